/**
 * The staging queue: files are brought from tape and kept on disk for a while, whoever asks through whatever door.
 * A request is kept in the state store and is its principal's; what a back end was asked for is in orders.ts.
 *
 * Nothing runs in the background: a back end is asked with the credential of who asks us, when he asks us.
 */

import { createHash } from 'node:crypto'
import { permitsType } from '../../acl/authorizer.ts'
import type { StageState } from '../../backends/backend.ts'
import type { NewStagedFile, StagedFile, StagingBounds, Staging as StagingRequest } from '../state/state.ts'
import type { Call } from './call.ts'
import { denied, type Gate } from './deciding.ts'
import { decideMany, type Verdict } from './deciding-many.ts'
import { type ErrorCode, StorageError } from './errors.ts'
import { isWaiting, Orders, type StagingState } from './orders.ts'
import { type Path, root } from './path.ts'
import type { Operation, Task } from './task.ts'

export interface StageWish {
  readonly path: Path
  /** Seconds that the file is kept on disk once it is there; the storage's own default if absent. */
  readonly lifetime?: number
}

/** How far a request is. Times are milliseconds since 1970. */
export interface StagingProgress {
  readonly id: string
  readonly created: number
  readonly started: number | undefined
  readonly completed: number | undefined
  readonly files: readonly StagingFile[]
}

export interface StagingFile {
  readonly path: Path
  /** Seconds that the file is kept on disk; the storage's own default if absent. */
  readonly lifetime: number | undefined
  readonly state: StageState
  readonly started: number | undefined
  readonly finished: number | undefined
  /** Why it failed. */
  readonly error: string | undefined
}

/** Requests of others do not exist: `not-found`. Administrators see, cancel and release those of all. */
export interface StagingOperations {
  /**
   * Gives the id of the request. A file that is refused, missing or no file fails alone; when the credential reaches
   * none of the files the call is refused. `key`: a call repeated with it is the same request, until that is removed;
   * `invalid` if it asks for something else. Without one, the same files and lifetimes are the same request while it
   * waits for any of them. Throws `busy` or `unavailable` when no back end could be asked: repeat it.
   */
  stage(call: Call, wishes: readonly StageWish[], options?: { readonly key?: string }): Promise<string>
  progress(call: Call, id: string): Promise<StagingProgress>
  /** How far the caller's own request with this key is; undefined where there is none. */
  find(call: Call, key: string): Promise<StagingProgress | undefined>
  /** These files, or all; those that are there already stay. A path that is not of the request is `invalid`, and nothing is done. */
  cancel(call: Call, id: string, paths?: readonly Path[]): Promise<void>
  /** The files need not be kept any longer; those that are waited for are cancelled. Foreign paths as in `cancel`. */
  release(call: Call, id: string, paths: readonly Path[]): Promise<void>
  /** Cancels what is left and removes the request. */
  forget(call: Call, id: string): Promise<void>
}

/** Files of one request. */
export const maxStagedFiles = 50_000
/** Of all that is counted for one principal, in requests that are not finished. */
const bounds: StagingBounds = { requests: 5000, files: 500_000 }
/** Seconds; a year. */
export const maxLifetime = 365 * 86_400
const day = 86_400_000
/** Finished requests can be looked at for a week; one that never ends is given up after a month. */
const keptFinished = 7 * day
const keptAtAll = 30 * day
const sweepPause = 60_000
const sweepTurns = 5
/** Seconds after which a read that started a recall may be tried again. */
const recallPause = 60

/** What says nothing about a file: the whole call fails with it, and may be repeated. */
const noVerdict: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'busy',
  'unavailable',
  'timeout',
  'cancelled',
  'internal',
])

export class Staging implements StagingOperations {
  readonly #gate: Gate
  readonly #state: StagingState
  readonly #orders: Orders
  #sweepAfter = 0

  constructor(gate: Gate, state: StagingState) {
    this.#gate = gate
    this.#state = state
    this.#orders = new Orders(gate, state)
  }

  stage(call: Call, wishes: readonly StageWish[], { key }: { readonly key?: string } = {}): Promise<string> {
    const path = wishes[0]?.path ?? root
    return this.#gate.perform(call, 'stage', path, async (task) => {
      requireCaller(task, path)
      const files = unique(wishes)
      task.items = files.length
      const fingerprint = fingerprintOf(files)
      const claim = key === undefined ? `same:${fingerprint}` : claimOf(key)
      const known = await this.#state.stagings.claimed(task.principal.id, claim)
      if (!known) return this.#accept(task, files, { claim, lasting: key !== undefined, fingerprint })
      requireSame(known, fingerprint)
      requireCover(task, await this.#state.stagings.files(known.id))
      await this.#orders.place(task, known, { decided: false })
      return known.id
    })
  }

  progress(call: Call, id: string): Promise<StagingProgress> {
    return this.#with(call, 'stage-progress', id, async (task, staging, files) => {
      let current = staging
      // Only its principal's own credential places an order; what fails now is tried again with the next question.
      const unplaced = staging.orders.some(({ order }) => order === undefined)
      if (unplaced && staging.principal === task.principal.id && files.some(isWaiting)) {
        await this.#orders.place(task, staging, { decided: false }).catch(unlessTemporary)
        current = await this.#get(id)
      }
      const news = await this.#orders.poll(task, current, files)
      const last = news ? await this.#get(id) : current
      const { created, started, completed } = last
      const seen = news || current !== staging ? await this.#state.stagings.files(id) : files
      return { id, created, started, completed, files: seen.map(shown) }
    })
  }

  async find(call: Call, key: string): Promise<StagingProgress | undefined> {
    const known = await this.#state.stagings.claimed(call.principal.id, claimOf(key))
    return known && this.progress(call, known.id)
  }

  cancel(call: Call, id: string, paths?: readonly Path[]): Promise<void> {
    return this.#with(call, 'stage-cancel', id, async (task, staging, files) => {
      await this.#orders.cancel(task, staging, chosenOf(files, paths))
    })
  }

  release(call: Call, id: string, paths: readonly Path[]): Promise<void> {
    return this.#with(call, 'release', id, async (task, staging, files) => {
      const chosen = chosenOf(files, paths)
      // One that came later would be kept on disk for nobody.
      await this.#orders.cancel(task, staging, chosen)
      await this.#orders.release(task, staging, chosen)
    })
  }

  forget(call: Call, id: string): Promise<void> {
    return this.#with(call, 'stage-cancel', id, async (task, staging, files) => {
      await this.#orders.cancel(task, staging, chosenOf(files, undefined))
      await this.#state.stagings.remove(id)
    })
  }

  /**
   * For a read of a file on tape where the mount recalls on reading: starts the recall, and gives the error to
   * answer with. Who may not stage is told that the file is on tape.
   */
  async recall(call: Call, path: Path): Promise<StorageError> {
    try {
      await this.stage(call, [{ path }])
      return new StorageError('busy', 'the file is being brought from tape', { path, retryAfter: recallPause })
    } catch (thrown) {
      const error = StorageError.from(thrown)
      if (noVerdict.has(error.code)) return error
      return new StorageError('nearline', 'the file is on tape', { path, cause: error })
    }
  }

  async #accept(
    task: Task,
    wishes: readonly StageWish[],
    identity: { readonly claim: string; readonly lasting: boolean; readonly fingerprint: string },
  ): Promise<string> {
    const { stagings } = this.#state
    const paths = wishes.map(({ path }) => path)
    const verdicts = await decideMany(this.#gate, task, 'stage', paths)
    requireVerdicts(verdicts)
    this.#auditRefusals(task, verdicts)
    const files = verdicts.map((verdict, index) => newFile(verdict, wishes[index]?.lifetime))
    const mounts = new Map(
      verdicts.flatMap(({ place: { mount } }, index) =>
        files[index]?.state === 'submitted' ? [[mount.at, mount.backend.name] as const] : [],
      ),
    )
    const orders = [...mounts].map(([mount, backend]) => ({ mount, backend }))
    await this.#sweep()
    const { id, counted = id } = task.principal
    const request = { principal: id, counted, ...identity, files, orders }
    const { staging, added } = await stagings.add(request, bounds)
    requireSame(staging, identity.fingerprint)
    // Somebody was first, perhaps with another credential.
    if (!added) requireCover(task, await stagings.files(staging.id))
    await this.#orders.place(task, staging, { decided: added })
    return staging.id
  }

  /** Each refused file has a line of its own; that of the request tells how many there were. */
  #auditRefusals(task: Task, verdicts: readonly Verdict[]): void {
    for (const { place, error } of verdicts) {
      if (error?.code === 'denied' || error?.code === 'unauthenticated') {
        this.#gate.fail(this.#gate.begin(task, 'stage', place.path), error)
      }
    }
  }

  #with<T>(
    call: Call,
    operation: Operation,
    id: string,
    work: (task: Task, staging: StagingRequest, files: readonly StagedFile[]) => Promise<T>,
  ): Promise<T> {
    return this.#gate.perform(call, operation, root, async (task) => {
      requireCaller(task, root)
      const staging = await this.#get(id)
      const { principal } = task
      if (staging.principal !== principal.id && !principal.administrator) throw noRequest()
      const files = await this.#state.stagings.files(id)
      requireCover(task, files)
      task.items = files.length
      return work(task, staging, files)
    })
  }

  async #get(id: string): Promise<StagingRequest> {
    const staging = await this.#state.stagings.get(id)
    if (!staging) throw noRequest()
    return staging
  }

  async #sweep(): Promise<void> {
    const { stagings } = this.#state
    const now = stagings.now()
    if (now < this.#sweepAfter) return
    this.#sweepAfter = now + sweepPause
    for (let turn = 0; turn < sweepTurns; turn++) {
      if (!(await stagings.sweep({ completed: now - keptFinished, created: now - keptAtAll }))) return
    }
  }
}

/** Where there is no state store nobody can be told later how far a request is. */
export const noStaging: StagingOperations = {
  stage: refuse,
  progress: refuse,
  find: async () => undefined,
  cancel: refuse,
  release: refuse,
  forget: refuse,
}

async function refuse(): Promise<never> {
  throw new StorageError('unsupported', 'this gateway keeps no staging requests')
}

/** What one caller without a credential asked for would be everybody's. */
function requireCaller({ principal }: Task, path: Path): void {
  if (principal.user !== undefined) return
  const reason = { rule: 'anonymous', text: 'staging takes a credential' }
  throw new StorageError('unauthenticated', 'a credential is needed', { path, reason })
}

/** Each path once, with the longest of the lifetimes given for it. Throws `invalid` or `too-large`. */
function unique(wishes: readonly StageWish[]): readonly StageWish[] {
  if (wishes.length === 0) throw new StorageError('invalid', 'the request names no files')
  const files = new Map<Path, StageWish>()
  for (const wish of wishes) {
    const { path, lifetime } = wish
    if (lifetime !== undefined && !(Number.isSafeInteger(lifetime) && lifetime > 0 && lifetime <= maxLifetime)) {
      throw new StorageError('invalid', `a lifetime is from 1 to ${maxLifetime} seconds`, { path })
    }
    const before = files.get(path)
    if (!before || (lifetime ?? 0) > (before.lifetime ?? 0)) files.set(path, wish)
  }
  if (files.size > maxStagedFiles) {
    throw new StorageError('too-large', `a request takes at most ${maxStagedFiles} files`)
  }
  return [...files.values()]
}

/** The same for the same files and lifetimes in any order. */
function fingerprintOf(files: readonly StageWish[]): string {
  return hash(
    files
      .map(({ path, lifetime }) => `${path}\0${lifetime ?? ''}\0`)
      .toSorted()
      .join(''),
  )
}

/** What holds a key of the caller's choice. */
function claimOf(key: string): string {
  return `key:${hash(key)}`
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}

function requireSame({ fingerprint }: StagingRequest, expected: string): void {
  if (fingerprint === expected) return
  throw new StorageError('invalid', 'this idempotency key was used for other files or lifetimes')
}

/** A credential made narrower than that which made the request does not reach it through the request's id. */
function requireCover({ principal }: Task, files: readonly StagedFile[]): void {
  if (principal.grants === 'unbounded') return
  for (const { path, outside } of files) {
    if (outside) continue
    const decision = permitsType(principal, 'stage', path, 'file')
    if (!decision.allowed) throw denied(path, decision.reason)
  }
}

function requireVerdicts(verdicts: readonly Verdict[]): void {
  const unsure = verdicts.find(({ error }) => error && noVerdict.has(error.code))
  if (unsure?.error) throw unsure.error
  const [first] = verdicts
  if (first?.error && verdicts.every(({ outside }) => outside)) throw first.error
}

function newFile({ place, error, outside }: Verdict, lifetime: number | undefined): NewStagedFile {
  const { mount, path, inner } = place
  // What knows no tape is on disk and stays there.
  const state = error ? 'failed' : mount.backend.tape ? 'submitted' : 'completed'
  return { path, inner, mount: mount.at, lifetime, state, outside: outside === true, error: error?.message }
}

/** Throws `invalid` for a path that is not of the request. */
function chosenOf(files: readonly StagedFile[], paths: readonly Path[] | undefined): ReadonlySet<number> {
  if (paths === undefined) return new Set(files.map(({ number }) => number))
  const numbers = new Map(files.map(({ path, number }) => [path, number]))
  return new Set(
    paths.map((path) => {
      const number = numbers.get(path)
      if (number === undefined) throw new StorageError('invalid', 'a path is not of this request', { path })
      return number
    }),
  )
}

function shown({ path, lifetime, state, started, finished, error }: StagedFile): StagingFile {
  return { path, lifetime, state, started, finished, error }
}

function noRequest(): StorageError {
  return new StorageError('not-found', 'no such request')
}

function unlessTemporary(thrown: unknown): void {
  if (!noVerdict.has(StorageError.from(thrown).code)) throw thrown
}
