/** The operations on uploads: who may, whose turn it is, and what the audit log hears of it. */

import type { Readable } from 'node:stream'
import type { PartStore, State, StoredUpload, UploadBounds } from '../state/state.ts'
import { append, tellLength } from './appending.ts'
import type { Call } from './call.ts'
import { forMaker } from './committing.ts'
import type { Gate } from './deciding.ts'
import { StorageError } from './errors.ts'
import { finish } from './finishing.ts'
import { type Path, root } from './path.ts'
import { type Claim, Spool } from './spool.ts'
import type { Written } from './storage.ts'
import { Target, withParents } from './target.ts'
import type { Task } from './task.ts'
import { Creation } from './upload-creating.ts'
import { Passes, staying, type UploadMeans } from './upload-means.ts'
import { isFor, ownerOf, reaches, requireCaller } from './upload-owner.ts'
import { type Removal, Sweeping } from './upload-sweeping.ts'
import { stateOf, writtenOf } from './upload-terms.ts'
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
  readonly state: TurnState & Pick<State, 'parts'>
  /** For bytes on their way to back ends that keep no drafts; made when it is needed. */
  readonly spoolDirectory: string
  /** Keeps other processes off files of the spool that are open. */
  readonly claim?: Claim
  /** Seconds that an upload is kept. */
  readonly lifetime: number
  readonly bounds: UploadBounds
}

/** What uploads in parts share with these. */
export interface Sharing {
  readonly means: UploadMeans
  readonly parts: PartStore
  readonly lifetime: number
  /** Stops whoever works on it, and takes it away, unless it was finished since it was looked at. */
  remove(row: StoredUpload): Promise<Removal>
}

export class Resumable implements UploadOperations {
  readonly available = true
  readonly lifetime: number
  /** For uploads in parts, which are kept beside these. */
  readonly sharing: Sharing
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
    this.sharing = { means, parts: state.parts, lifetime, remove: (row) => this.#sweeping.remove(row) }
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
      return stateOf(!settled || row.result !== undefined ? row : await this.#means.turns.settle(id))
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
      if (!row || !(task.principal.administrator || isFor(task, row))) throw gone()
      if ((await this.#sweeping.remove(row, { finished: true })) === 'removed') return
      throw new StorageError('busy', 'not now', { retryAfter: 5 })
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
      if (!row || row.parted || !isFor(task, row)) throw gone()
      if (row.expires <= this.#means.store.now()) throw expired()
      // A credential that has ended, or is for other addresses.
      this.#gate.admit(task, row.path)
      return work(row, task)
    })
  }
}
