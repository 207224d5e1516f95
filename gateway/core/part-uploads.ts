/** The operations on uploads in parts: who may, and what the audit log hears of it. */

import { pipeline } from 'node:stream/promises'
import type { Digest, OpenFile, Range } from '../../backends/backend.ts'
import type { StoredUpload } from '../state/state.ts'
import type { Call } from './call.ts'
import { forMaker } from './committing.ts'
import type { Gate } from './deciding.ts'
import { StorageError } from './errors.ts'
import { completeParts } from './part-completing.ts'
import { type PartMeans, stateOfPart, stateOfParted } from './part-means.ts'
import { AuditedPart, startPart } from './part-writing.ts'
import {
  type ChosenPart,
  type CompleteOptions,
  maxListedParts,
  type NewParted,
  type PartedState,
  type PartOperations,
  type PartOptions,
  type PartState,
  type PartWriting,
  type UploadMarker,
} from './parts.ts'
import { type Path, root } from './path.ts'
import { openFile, streamOf } from './reading.ts'
import type { Sharing } from './resumable.ts'
import type { Written } from './storage.ts'
import { Target, withParents } from './target.ts'
import type { Task } from './task.ts'
import { Creation } from './upload-creating.ts'
import { isFor, ownerOf, reaches, requireCaller } from './upload-owner.ts'
import { writtenOf } from './upload-terms.ts'
import { expired, gone } from './upload-turns.ts'
import { maxUploadNote } from './uploads.ts'
import { tooLarge } from './writing.ts'

export class PartedUploads implements PartOperations {
  readonly available = true
  readonly #gate: Gate
  readonly #means: PartMeans
  readonly #sharing: Sharing

  constructor(gate: Gate, sharing: Sharing) {
    this.#gate = gate
    this.#sharing = sharing
    this.#means = { ...sharing.means, parts: sharing.parts }
  }

  async create(call: Call, path: Path, options: NewParted = {}): Promise<PartedState> {
    return this.#gate.perform(call, 'upload', path, async (task) => {
      requireCaller(task, path)
      if (options.note !== undefined && Buffer.byteLength(options.note) > maxUploadNote) throw tooLarge(path)
      const wanted = await forMaker(this.#gate, task, path, options)
      const target = new Target(this.#gate, task, path)
      const latest = this.#means.store.now() + this.#sharing.lifetime * 1000
      const expires = options.expires === undefined ? latest : Math.min(latest, options.expires * 1000)
      const creation = new Creation(this.#means, task, target, { ...options, ...wanted, parted: true }, expires)
      const row = await withParents(this.#gate, task, target, options, 'new', (admission) => creation.run(admission))
      return stateOfParted(row)
    })
  }

  async state(call: Call, id: string): Promise<PartedState> {
    return this.#with(call, 'upload-progress', id, async (row) => stateOfParted(unfinished(row)))
  }

  async write(call: Call, id: string, number: number, options: PartOptions = {}): Promise<PartWriting> {
    const row = await this.#means.store.get(id)
    const task = this.#gate.begin(call, 'append', row?.path ?? root)
    try {
      const known = unfinished(this.#require(task, row))
      return new AuditedPart(this.#gate, task, await startPart(this.#means, task, known, number, options))
    } catch (thrown) {
      throw this.#gate.fail(task, thrown)
    }
  }

  async copy(
    call: Call,
    id: string,
    number: number,
    from: Path,
    range: Range | undefined,
    options: { readonly digests?: readonly Digest[]; readonly version?: string } = {},
  ): Promise<PartState> {
    const row = await this.#means.store.get(id)
    const work = async (task: Task) => {
      const known = unfinished(this.#require(task, row))
      const place = this.#gate.place(task, 'read', from)
      const file = await openFile(this.#gate, task, place)
      try {
        const { start, end } = rangeOf(file, range, options.version, from)
        const digests = options.digests ?? []
        const part = await startPart(this.#means, task, known, number, { size: end - start, digests })
        try {
          if (start === end) part.body.end()
          else if (file.content) part.body.end(file.content.subarray(start, end))
          else
            await pipeline(streamOf(this.#gate, task, place.mount, file, { start, end }), part.body, {
              signal: task.signal,
            })
        } catch (error) {
          await part.discard()
          throw error
        }
        const state = await part.commit()
        task.bytes = state.size
        return state
      } finally {
        await file.close()
      }
    }
    return this.#gate.perform(call, 'copy', from, work, row?.path)
  }

  async list(
    call: Call,
    id: string,
    { after = 0, limit }: { readonly after?: number; readonly limit: number },
  ): Promise<readonly PartState[]> {
    return this.#with(call, 'upload-progress', id, async (row, task) => {
      const most = Math.min(limit, maxListedParts)
      const parts = await this.#means.parts.list(unfinished(row).id, after, most)
      // An upload that was completed or aborted meanwhile has none, and has to be told from one without any.
      if (parts.length === 0) unfinished(this.#require(task, await this.#means.store.get(id)))
      return parts.map(stateOfPart)
    })
  }

  async complete(
    call: Call,
    id: string,
    chosen: readonly ChosenPart[],
    options: CompleteOptions = {},
  ): Promise<Written> {
    return this.#with(call, 'create', id, async (_, task) => {
      const target = new Target(this.#gate, task, task.path)
      return this.#means.turns.holdNext(id, (turn) =>
        completeParts(this.#means, task, target, turn, { chosen, options }),
      )
    })
  }

  async completed(call: Call, id: string, path: Path): Promise<Written | undefined> {
    const row = await this.#means.store.get(id)
    if (row?.result === undefined) return undefined
    return this.#with(call, 'upload-progress', id, async (now) =>
      now.result === undefined || now.path !== path ? undefined : writtenOf(now.result),
    )
  }

  async abort(call: Call, id: string): Promise<void> {
    return this.#with(call, 'upload-cancel', id, async (row) => {
      const removal = await this.#sharing.remove(unfinished(row))
      if (removal === 'finished') throw gone()
      if (removal === 'not-now') throw new StorageError('busy', 'not now', { retryAfter: 5 })
    })
  }

  async uploads(
    call: Call,
    below: Path,
    { after, limit }: { readonly after?: UploadMarker; readonly limit: number },
  ): Promise<readonly PartedState[]> {
    return this.#gate.perform(call, 'uploads', below, async (task) => {
      const { principal } = task
      // What others have begun with the same link is not told.
      if (principal.user === undefined || principal.guest) return []
      const most = Math.min(limit, maxListedParts)
      const found: PartedState[] = []
      let marker = after
      while (found.length < most) {
        const wanted = most - found.length
        const rows = await this.#means.store.parted(ownerOf(task), below, marker, wanted)
        for (const row of rows) if (reaches(task, row.path)) found.push(stateOfParted(row))
        const last = rows.at(-1)
        if (!last || rows.length < wanted) break
        marker = { path: last.path, id: last.id }
      }
      return found
    })
  }

  /** For an upload of the caller's. */
  async #with<T>(
    call: Call,
    operation: 'create' | 'upload-progress' | 'upload-cancel',
    id: string,
    work: (row: StoredUpload, task: Task) => Promise<T>,
  ): Promise<T> {
    const row = await this.#means.store.get(id)
    return this.#gate.perform(call, operation, row?.path ?? root, (task) => work(this.#require(task, row), task))
  }

  #require(task: Task, row: StoredUpload | undefined): StoredUpload {
    requireCaller(task, row?.path ?? root)
    if (!row?.parted || row.object === undefined || !isFor(task, row)) throw gone()
    if (row.expires <= this.#means.store.now()) throw expired()
    // A credential that has ended, or is for other addresses.
    this.#gate.admit(task, row.path)
    return row
  }
}

function unfinished(row: StoredUpload): StoredUpload {
  if (row.result !== undefined) throw gone()
  return row
}

function rangeOf({ entry }: OpenFile, range: Range | undefined, version: string | undefined, path: Path): Range {
  if (version !== undefined && entry.version !== version) {
    throw new StorageError('stale', 'the file is not the one that was seen', { path })
  }
  const { start, end } = range ?? { start: 0, end: entry.size }
  if (start < 0 || end > entry.size || start > end) throw new StorageError('range', 'not within the file', { path })
  return { start, end }
}
