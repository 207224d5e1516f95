/** The operations on uploads: who may, whose turn it is, and what the audit log hears of it. */

import { randomBytes } from 'node:crypto'
import type { Readable } from 'node:stream'
import { permitsPath } from '../../acl/authorizer.ts'
import type { CommitCondition, Entry, LastingDraft } from '../../backends/backend.ts'
import type { NewStoredUpload, StoredUpload, UploadBounds } from '../state/state.ts'
import { append, tellLength } from './appending.ts'
import type { Call } from './call.ts'
import { forMaker } from './committing.ts'
import { commitCondition } from './conditions.ts'
import type { Gate } from './deciding.ts'
import { StorageError } from './errors.ts'
import { finish } from './finishing.ts'
import type { Admission } from './limits.ts'
import { type Path, root } from './path.ts'
import { type Claim, Spool, type SpooledDraft } from './spool.ts'
import type { Written } from './storage.ts'
import { begin, Target, withParents } from './target.ts'
import type { Task } from './task.ts'
import { Passes, pendingOf, staying, type UploadMeans, unseen } from './upload-means.ts'
import { Sweeping } from './upload-sweeping.ts'
import { stateOf, termsOf, textOfTerms, writtenOf } from './upload-terms.ts'
import { expired, gone, type TurnState, Turns } from './upload-turns.ts'
import {
  type AppendOptions,
  maxListedUploads,
  maxUploadNote,
  type NewUpload,
  type UploadOperations,
  type UploadState,
} from './uploads.ts'
import { largest, tooLarge } from './writing.ts'

export interface UploadKeeping {
  readonly state: TurnState
  /** For bytes on their way to back ends that keep no drafts; made when it is needed. */
  readonly spoolDirectory: string
  /** Keeps other processes off files of the spool that are open. */
  readonly claim?: Claim
  /** Seconds that an upload is kept. */
  readonly lifetime: number
  readonly bounds: UploadBounds
}

export class Resumable implements UploadOperations {
  readonly available = true
  readonly lifetime: number
  readonly #gate: Gate
  readonly #means: UploadMeans
  readonly #sweeping: Sweeping

  constructor(gate: Gate, { state, spoolDirectory, claim, lifetime, bounds }: UploadKeeping) {
    this.#gate = gate
    this.lifetime = lifetime
    const turns = new Turns(state)
    const spool = new Spool(spoolDirectory, claim)
    const means = { gate, turns, bounds, store: state.uploads, spool, passes: new Passes() }
    this.#means = means
    this.#sweeping = new Sweeping(means, state.leases)
  }

  largest({ principal }: Call): number {
    return largest(this.#gate, { principal })
  }

  async create(call: Call, path: Path, options: NewUpload = {}): Promise<UploadState> {
    return this.#gate.perform(call, 'upload', path, async (task) => {
      requireCaller(task, path)
      if (options.note !== undefined && Buffer.byteLength(options.note) > maxUploadNote) throw tooLarge(path)
      const wanted = await forMaker(this.#gate, task, path, options)
      const target = new Target(this.#gate, task, path)
      if ((options.size ?? 0) > largest(this.#gate, task)) throw tooLarge(path)
      const creation = new Creation(this.#means, task, target, { ...options, ...wanted }, this.#expiry(options))
      const row = await withParents(this.#gate, task, target, options, 'new', (admission) => creation.run(admission))
      return stateOf(row)
    })
  }

  async state(call: Call, id: string, { settled = false }: { readonly settled?: boolean } = {}): Promise<UploadState> {
    return this.#with(call, 'upload-progress', id, async (row) => {
      if (!settled || row.result !== undefined) return stateOf(row)
      return this.#means.turns.hold(id, async ({ row: now }) => stateOf(now))
    })
  }

  async announce(call: Call, id: string, length: number): Promise<UploadState> {
    return this.#with(call, 'append', id, (_, task) =>
      this.#means.turns.hold(id, async ({ row, number }) => {
        const { store, bounds } = this.#means
        const told = tellLength(this.#means, task, row, length)
        if (row.result === undefined && !(await store.progress(id, number, told, bounds))) throw gone()
        return stateOf({ ...row, ...told })
      }),
    )
  }

  async append(
    call: Call,
    id: string,
    offset: number,
    body: Readable,
    options: AppendOptions = {},
  ): Promise<UploadState> {
    return this.#with(staying(call), 'append', id, async (_, task) => {
      const target = new Target(this.#gate, task, task.path)
      const row = await this.#means.turns.hold(id, (turn) =>
        append(this.#means, task, target, turn, { offset, body, options, signal: call.signal }),
      )
      return stateOf(row)
    })
  }

  async finish(call: Call, id: string): Promise<Written> {
    const made = (await this.#means.store.get(id))?.result
    // Asking again makes nothing.
    if (made !== undefined) return this.#with(call, 'upload-progress', id, async () => writtenOf(made))
    return this.#with(call, 'create', id, async (_, task) => {
      const target = new Target(this.#gate, task, task.path)
      return this.#means.turns.hold(id, (turn) => finish(this.#means, task, target, turn))
    })
  }

  async remove(call: Call, id: string): Promise<void> {
    const row = await this.#means.store.get(id)
    await this.#gate.perform(call, 'upload-cancel', row?.path ?? root, async (task) => {
      if (!row || !(task.principal.administrator || this.#isFor(task, row))) throw gone()
      if (!(await this.#sweeping.remove(row))) throw new StorageError('busy', 'not now', { retryAfter: 5 })
    })
  }

  async list(call: Call): Promise<readonly UploadState[]> {
    return this.#gate.perform(call, 'uploads', root, async (task) => {
      const { principal } = task
      // What others have begun with the same link is not told.
      if (principal.user === undefined || principal.guest) return []
      const whose = principal.administrator ? undefined : ownerOf(task)
      const rows = await this.#means.store.list(whose, maxListedUploads)
      return rows.filter((row) => principal.administrator || reaches(task, row.path)).map(stateOf)
    })
  }

  /** Takes away what has expired, if no other process is about to. Returns how many. */
  sweep(): Promise<number> {
    return this.#sweeping.run()
  }

  #expiry({ expires }: NewUpload): number {
    const latest = this.#means.store.now() + this.lifetime * 1000
    return expires === undefined ? latest : Math.min(latest, expires * 1000)
  }

  /** For an upload of the caller's. */
  async #with<T>(
    call: Call,
    operation: 'append' | 'create' | 'upload-progress',
    id: string,
    work: (row: StoredUpload, task: Task) => Promise<T>,
  ): Promise<T> {
    const row = await this.#means.store.get(id)
    return this.#gate.perform(call, operation, row?.path ?? root, async (task) => {
      requireCaller(task, task.path)
      if (!row || !this.#isFor(task, row)) throw gone()
      if (row.expires <= this.#means.store.now()) throw expired()
      // A credential that has ended, or is for other addresses.
      this.#gate.admit(task, row.path)
      return work(row, task)
    })
  }

  #isFor(task: Task, row: StoredUpload): boolean {
    const isOwn = row.principal === ownerOf(task) && (!task.principal.guest || termsOf(row).by === task.principal.id)
    return isOwn && reaches(task, row.path)
  }
}

/** Makes the draft and what is known of it. */
class Creation {
  readonly #means: UploadMeans
  readonly #task: Task
  readonly #target: Target
  readonly #options: NewUpload
  readonly #expires: number
  readonly #id = randomBytes(24).toString('base64url')
  /** The draft's name, once it is known to the store. */
  #kept: string | undefined

  constructor(means: UploadMeans, task: Task, target: Target, options: NewUpload, expires: number) {
    this.#means = means
    this.#task = task
    this.#target = target
    this.#options = options
    this.#expires = expires
  }

  async run(admission: Admission): Promise<StoredUpload> {
    const { gate, store } = this.#means
    const { place } = this.#target
    try {
      const draft = await (place.mount.backend.resuming ? this.#inBackend(admission) : this.#inSpool(admission))
      try {
        return await store.made(this.#id, draft.id)
      } finally {
        await gate.run(this.#task, place, () => draft.close(), { admission: 'continues' })
      }
    } catch (error) {
      await this.#forget()
      throw error
    }
  }

  async #inBackend(admission: Admission): Promise<LastingDraft> {
    const { gate } = this.#means
    const { place } = this.#target
    const { size } = this.#options
    let seen: Entry | undefined
    const { made } = await begin<LastingDraft>(gate, this.#task, this.#target, this.#options, {
      admission,
      open: async () => {
        const keep = (name: string) => this.#keep(name, false, commitCondition(this.#options.conditions ?? {}, seen))
        const facet = place.mount.backend.resuming
        if (!facet) throw new StorageError('internal', 'the back end keeps no drafts')
        const pending = await facet.begin(place.inner, { keep, ...(size !== undefined && { size }) }, this.#task)
        seen = pending.trail.entry
        return pending
      },
      late: (late) => late.discard(),
    })
    return made
  }

  async #inSpool(admission: Admission): Promise<SpooledDraft> {
    const { gate, spool } = this.#means
    const { place } = this.#target
    const { backend } = place.mount
    const look = async () => {
      try {
        return await backend.walk(place.inner, this.#task)
      } catch (error) {
        // He may be allowed to write where he may not look: the back end says so at the end.
        const mayBe = backend.enforces(this.#task.principal) && StorageError.from(error).code === 'denied'
        if (!mayBe) throw error
        return unseen()
      }
    }
    const { made } = await begin<SpooledDraft>(gate, this.#task, this.#target, this.#options, {
      admission,
      open: async () => {
        const trail = await look()
        return pendingOf(trail, async () => {
          const name = spool.name()
          await this.#keep(name, true, commitCondition(this.#options.conditions ?? {}, trail.entry))
          return spool.make(name)
        })
      },
      late: (late) => late.discard(),
    })
    return made
  }

  async #keep(place: string, spooled: boolean, condition: CommitCondition): Promise<void> {
    // The one before was of a look that was repeated.
    await this.#forget()
    const { digests = [], expected = {}, modified, note, size } = this.#options
    const { mount, path, inner } = this.#target.place
    const by = this.#task.principal.id
    const upload: NewStoredUpload = {
      id: this.#id,
      principal: ownerOf(this.#task),
      user: this.#task.principal.user,
      backend: mount.backend.name,
      terms: textOfTerms({ condition, digests, expected, modified, note, by }),
      length: size,
      reserved: size ?? 0,
      expires: this.#expires,
      ...{ path, inner, place, spooled },
    }
    await this.#means.store.add(upload, this.#means.bounds)
    this.#kept = place
  }

  /** Takes back what was kept; what cannot be taken away now goes when it expires. */
  async #forget(): Promise<void> {
    const place = this.#kept
    this.#kept = undefined
    if (place === undefined) return
    const { store, spool } = this.#means
    const { resuming } = this.#target.place.mount.backend
    try {
      await (resuming ? resuming.drop(place) : spool.remove(place))
      await store.remove(this.#id)
    } catch {
      // The reason for the failure is thrown by who called.
    }
  }
}

/** Whose an upload is. */
function ownerOf({ principal }: Task): string {
  return principal.counted ?? principal.id
}

/** Whether the credential is good for writing there at all. */
function reaches({ principal }: Task, path: Path): boolean {
  return permitsPath(principal, 'create', path).allowed || permitsPath(principal, 'replace', path).allowed
}

/** What one caller without a credential began would be everybody's. */
function requireCaller({ principal }: Task, path: Path): void {
  if (principal.user !== undefined) return
  const reason = { rule: 'anonymous', text: 'uploads that are kept take a credential' }
  throw new StorageError('unauthenticated', 'a credential is needed', { path, reason })
}
