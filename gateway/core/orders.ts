/**
 * What back ends with tape are asked for on behalf of a staging request: one order for each mount, placed once
 * however often a caller repeats himself, however many processes he reaches, and whatever dies in between.
 */

import type { StageProgress, TapeFacet } from '../../backends/backend.ts'
import type { Mount, Place } from '../../mounts/namespace.ts'
import type { FileChange, StagedFile, Staging, StagingOrder, State } from '../state/state.ts'
import type { Gate } from './deciding.ts'
import { decideMany, type Verdict } from './deciding-many.ts'
import { type ErrorCode, StorageError } from './errors.ts'
import type { Path } from './path.ts'
import { Task } from './task.ts'

/** What the queue keeps, for all processes. */
export type StagingState = Pick<State, 'stagings' | 'leases'>

/** After these the same order may do; any other is the back end's word that it will not. */
const temporary: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'busy',
  'unavailable',
  'timeout',
  'cancelled',
  'internal',
])

/** Milliseconds between two looks at one order: a tenth of its age, between these. */
const shortestPause = 2000
const longestPause = 120_000

/** An order and the files it is about, as the store has them while its lease is held. */
interface Held {
  readonly staging: Staging
  readonly order: StagingOrder
  readonly files: readonly StagedFile[]
  readonly place: Place
  readonly tape: TapeFacet
}

export class Orders {
  readonly #gate: Gate
  readonly #state: StagingState

  constructor(gate: Gate, state: StagingState) {
    this.#gate = gate
    this.#state = state
  }

  /**
   * Asks the back ends that have not been asked, or whose answer was lost. `decided`: the caller's rights on the
   * files were seen just now. Throws when no back end at all could be asked; the request stays, and may be
   * repeated.
   */
  async place(task: Task, staging: Staging, options: { readonly decided: boolean }): Promise<void> {
    const open = staging.orders.filter(({ order }) => order === undefined)
    const outcomes = await Promise.allSettled(
      open.map((order) => this.#holding(task, staging, order, (held, own) => this.#place(own, held, options))),
    )
    const failures = outcomes.filter((outcome) => outcome.status === 'rejected')
    const [failure] = failures
    if (failure && failures.length === staging.orders.length) throw failure.reason
  }

  /** Looks at what is due; what a back end does not tell now stays as it is. True if something may have changed. */
  async poll(task: Task, staging: Staging, files: readonly StagedFile[]): Promise<boolean> {
    const waiting = files.filter(isWaiting)
    const outcomes = await Promise.all(
      staging.orders.map(async (order) => {
        const own = waiting.filter(({ mount }) => mount === order.mount)
        return own.length > 0 && (await this.#poll(task, staging, order, own))
      }),
    )
    return outcomes.includes(true)
  }

  /** Stops waiting for these files, as far as they wait. */
  async cancel(task: Task, staging: Staging, chosen: ReadonlySet<number>): Promise<void> {
    await this.#each(task, staging, async (held, own) => {
      const files = held.files.filter((file) => isWaiting(file) && chosen.has(file.number))
      if (files.length === 0) return
      const order = await this.#known(own, held)
      const { stagings } = this.#state
      if (order !== undefined) {
        const whole = files.length === held.files.length
        const inner = whole ? undefined : files.map((file) => file.inner)
        await this.#call(own, held.place, files.length, () => held.tape.cancel(order, inner, own)).catch(unlessUnknown)
      }
      const finished = stagings.now()
      await stagings.update(
        staging.id,
        files.map(({ number }) => ({ number, state: 'cancelled', finished })),
      )
    })
  }

  /** Ends the pins on these files. */
  async release(task: Task, staging: Staging, chosen: ReadonlySet<number>): Promise<void> {
    await this.#each(task, staging, async (held, own) => {
      const files = held.files.filter(({ number }) => chosen.has(number))
      const { order } = held.order
      if (files.length === 0 || order === undefined) return
      const inner = files.map((file) => file.inner)
      await this.#call(own, held.place, files.length, () => held.tape.release(order, inner, own)).catch(unlessUnknown)
    })
  }

  /** All orders, whatever becomes of one; the first failure is thrown in the end. */
  async #each(task: Task, staging: Staging, work: (held: Held, own: Task) => Promise<void>): Promise<void> {
    const outcomes = await Promise.allSettled(staging.orders.map((order) => this.#holding(task, staging, order, work)))
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failure) throw failure.reason
  }

  /** The back end's id; where its answer was lost, by asking again. Undefined: it was never asked. */
  async #known(own: Task, held: Held): Promise<string | undefined> {
    if (held.order.order !== undefined || held.order.asked === undefined) return held.order.order
    await this.#place(own, held, { decided: true })
    const staging = await this.#state.stagings.get(held.staging.id)
    return staging?.orders.find(({ mount }) => mount === held.order.mount)?.order
  }

  /** Runs `work` alone among all processes, on what the store has then; not at all when the mount is gone. */
  async #holding(
    task: Task,
    { id }: Staging,
    { mount: at, backend }: StagingOrder,
    work: (held: Held, own: Task) => Promise<void>,
  ): Promise<void> {
    const { stagings, leases } = this.#state
    const mount = task.namespace.mounts.find((each) => each.at === at)
    const tape = mount?.backend.name === backend ? mount.backend.tape : undefined
    if (!mount || !tape) return this.#lose(id, at, notMounted)
    await leases.withLease(`staging:${id}:${at}`, mount.deadline, async () => {
      const staging = await stagings.get(id)
      const order = staging?.orders.find((each) => each.mount === at)
      if (!staging || !order) throw new StorageError('not-found', 'no such request')
      const files = (await stagings.files(id)).filter((file) => file.mount === at)
      const own = new Task(task, task.operation, at, task.namespace)
      try {
        await work({ staging, order, files, place: placeOf(mount), tape }, own)
      } finally {
        own.detach()
      }
    })
  }

  async #place(task: Task, held: Held, { decided }: { readonly decided: boolean }): Promise<void> {
    const { stagings } = this.#state
    const { staging, order, place, tape } = held
    if (order.order !== undefined) return
    const waiting = held.files.filter(isWaiting)
    const files = decided ? waiting : await this.#decideAgain(task, staging.id, waiting)
    if (files.length === 0) return
    const earlier = await stagings.ask(staging.id, order.mount)
    const keep = (answer: string) => stagings.place(staging.id, order.mount, answer)
    const request = {
      key: keyOf(staging, order),
      ...(earlier !== undefined && {
        earlier: { at: earlier, isTaken: (id: string) => stagings.isOrder(order.backend, id) },
      }),
      files: files.map(({ inner, lifetime }) => ({ path: inner, ...(lifetime !== undefined && { lifetime }) })),
    }
    try {
      await keep(await this.#call(task, place, files.length, () => tape.stage(request, task), keep))
    } catch (thrown) {
      const error = StorageError.from(thrown)
      if (temporary.has(error.code)) throw error
      await this.#fail(staging.id, files, error.message)
    }
  }

  /** Rights may have gone since the request was made, and paths lead elsewhere; what is refused now has failed. */
  async #decideAgain(task: Task, id: string, files: readonly StagedFile[]): Promise<readonly StagedFile[]> {
    const paths = files.map(({ path }) => path)
    const verdicts = await decideMany(this.#gate, task, 'stage', paths)
    const unsure = verdicts.find(({ error }) => error && temporary.has(error.code))
    if (unsure) throw unsure.error
    const byPath = new Map(verdicts.map((verdict) => [verdict.place.path, verdict]))
    const finished = this.#state.stagings.now()
    const changes = files.flatMap((file): FileChange[] => {
      const error = problemOf(file, byPath.get(file.path))
      return error === undefined ? [] : [{ number: file.number, state: 'failed', finished, error }]
    })
    if (changes.length > 0) await this.#state.stagings.update(id, changes)
    const refused = new Set(changes.map(({ number }) => number))
    return files.filter(({ number }) => !refused.has(number))
  }

  async #poll(
    task: Task,
    { id, principal }: Staging,
    { mount: at, backend, asked, order }: StagingOrder,
    files: readonly StagedFile[],
  ): Promise<boolean> {
    const { stagings } = this.#state
    const now = stagings.now()
    const mount = task.namespace.mounts.find((each) => each.at === at)
    const tape = mount?.backend.name === backend ? mount.backend.tape : undefined
    if (order === undefined || !mount || !tape) return false
    const pause = Math.min(longestPause, Math.max(shortestPause, (now - (asked ?? now)) / 10))
    if (!(await stagings.takePoll(id, at, now - pause))) return false
    const own = new Task(task, task.operation, at, task.namespace)
    try {
      const told = await this.#call(own, placeOf(mount), files.length, () => tape.progress(order, own))
      await stagings.update(id, changesOf(files, told))
    } catch (thrown) {
      // The back end's silence is no news of the files, nor is what it does not tell an administrator; what it has
      // told before is shown.
      if (StorageError.from(thrown).code !== 'not-found' || principal !== task.principal.id) return false
      await this.#fail(id, files, 'the storage does not know the request any more')
    } finally {
      own.detach()
    }
    return true
  }

  async #lose(id: string, at: Path, text: string): Promise<void> {
    const files = (await this.#state.stagings.files(id)).filter((file) => file.mount === at && isWaiting(file))
    await this.#fail(id, files, text)
  }

  async #fail(id: string, files: readonly StagedFile[], error: string): Promise<void> {
    const finished = this.#state.stagings.now()
    await this.#state.stagings.update(
      id,
      files.map(({ number }) => ({ number, state: 'failed', finished, error })),
    )
  }

  /** One call to the back end; one about many files may take longer. */
  #call<T>(
    task: Task,
    place: Place,
    files: number,
    work: () => Promise<T>,
    late?: (value: T) => Promise<void>,
  ): Promise<T> {
    const deadline = place.mount.deadline + files * msPerFile
    return this.#gate.run(task, place, work, { deadline, ...(late && { late }) })
  }
}

const msPerFile = 2
const notMounted = 'the storage is not mounted here any more'

/** Why the storage is not asked for a file: what was decided must be about the very file of its order. */
function problemOf({ mount, inner }: StagedFile, verdict: Verdict | undefined): string | undefined {
  if (verdict?.place.mount.at !== mount || verdict.place.inner !== inner) return notMounted
  return verdict.error?.message
}

/** The back end's own id of the request says nothing to it any more: then there is nothing to end. */
function unlessUnknown(thrown: unknown): void {
  if (StorageError.from(thrown).code !== 'not-found') throw thrown
}

export function isWaiting({ state }: Pick<StagedFile, 'state'>): boolean {
  return state === 'submitted' || state === 'started'
}

function placeOf(mount: Mount): Place {
  return { mount, path: mount.at, inner: mount.base }
}

/** Two mounts may show one back end, so the request's id alone would not do. */
function keyOf({ id, orders }: Staging, { mount }: StagingOrder): string {
  return `${id}.${orders.findIndex((order) => order.mount === mount)}`
}

/** What the back end tells of the files that are waited for and is news. */
function changesOf(files: readonly StagedFile[], told: readonly StageProgress[]): FileChange[] {
  const byPath = new Map<Path, StageProgress>(told.map((progress) => [progress.path, progress]))
  return files.flatMap(({ number, inner, state, started, error }): FileChange[] => {
    const now = byPath.get(inner)
    if (!now || (now.state === state && now.startedAt === started && now.error === error)) return []
    return [{ number, state: now.state, started: now.startedAt, finished: now.finishedAt, error: now.error }]
  })
}
