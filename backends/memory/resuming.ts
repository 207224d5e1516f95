/** Drafts that are left and gone on with: they outlive their calls, and go with the back end. */

import { randomUUID } from 'node:crypto'
import { Readable, Writable } from 'node:stream'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type {
  BeginOptions,
  CommitOptions,
  Entry,
  FileStream,
  LastingDraft,
  LeftDraft,
  Pending,
  Range,
  ResumingFacet,
} from '../backend.ts'
import { needPlace } from './changes.ts'
import type { Host } from './files.ts'
import { needFile, type Spot, type Tree } from './tree.ts'

/** What the back end lends. */
export interface ResumingHost {
  readonly tree: Tree
  readonly host: Host
  pending<T>(file: Path, call: Call, act: (spot: Spot) => T | Promise<T>): Pending<T>
  commit(spot: Spot, made: { readonly bytes: Buffer; readonly id: string }, options: CommitOptions, call: Call): Entry
}

interface Left {
  readonly id: string
  /** What was written, in order; no two overlap. What lies between is zeros. */
  extents: Extent[]
  /** Who has it open: one alone, or some who share it. */
  open: 'alone' | number
}

interface Extent {
  readonly start: number
  readonly bytes: Buffer
}

export class MemoryResuming implements ResumingFacet {
  readonly #host: ResumingHost
  readonly #left = new Map<string, Left>()

  constructor(host: ResumingHost) {
    this.#host = host
  }

  /** Drafts that are there, for tests. */
  get places(): readonly string[] {
    return [...this.#left.keys()]
  }

  async begin(file: Path, { size, keep }: BeginOptions, call: Call): Promise<Pending<LastingDraft>> {
    return this.#host.pending(file, call, async (spot) => {
      this.#requirePlace(spot)
      this.#host.host.makeRoom(size ?? 0)
      const place = randomUUID()
      await keep(place)
      const left: Left = { id: this.#host.tree.nextId(), extents: [], open: 'alone' }
      this.#left.set(place, left)
      return this.#draft(place, left, spot, call)
    })
  }

  async resume(file: Path, { place, id, shared = false }: LeftDraft, call: Call): Promise<Pending<LastingDraft>> {
    return this.#host.pending(file, call, (spot) => {
      this.#requirePlace(spot)
      const left = this.#left.get(place)
      if (left?.id !== id) throw new StorageError('not-found', 'the draft is gone', { path: file })
      if (left.open === 'alone' || (left.open > 0 && !shared)) {
        throw new StorageError('busy', 'the draft is open', { path: file, retryAfter: 1 })
      }
      left.open = shared ? left.open + 1 : 'alone'
      return this.#draft(place, left, spot, call)
    })
  }

  async drop(place: string): Promise<void> {
    this.#left.delete(place)
  }

  #requirePlace(spot: Spot): void {
    needPlace(this.#host.tree, spot)
    if (spot.node) needFile(spot)
  }

  #draft(place: string, left: Left, spot: Spot, call: Call): LastingDraft {
    return new MemoryLastingDraft(left, {
      host: this.#host.host,
      call,
      isThere: () => this.#left.get(place) === left,
      forget: () => this.#left.delete(place),
      commit: (bytes, options) => this.#host.commit(spot, { bytes, id: left.id }, options, call),
    })
  }
}

interface Lent {
  readonly host: Host
  readonly call: Call
  isThere(): boolean
  forget(): void
  commit(bytes: Buffer, options: CommitOptions): Entry
}

class MemoryLastingDraft implements LastingDraft {
  readonly id: string
  readonly size: number
  readonly #left: Left
  readonly #lent: Lent
  #closed = false

  constructor(left: Left, lent: Lent) {
    this.id = left.id
    this.size = lengthOf(left)
    this.#left = left
    this.#lent = lent
  }

  writeFrom(offset: number): Writable {
    let position = offset
    const writer = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        try {
          this.#write(position, Buffer.from(chunk))
          position += chunk.length
          done()
        } catch (error) {
          done(StorageError.from(error))
        }
      },
    })
    // Whoever writes gets the error from the stream.
    return writer.on('error', () => {})
  }

  async sync(): Promise<void> {
    this.#requireOpen()
  }

  stream(range: Range): FileStream {
    this.#requireOpen()
    return Readable.from(range.start < range.end ? [bytesOf(this.#left, range)] : [], { objectMode: false })
  }

  async copyFrom(from: LastingDraft, range: Range, to: number): Promise<void> {
    this.#requireOpen()
    if (!(from instanceof MemoryLastingDraft)) throw new StorageError('internal', 'the draft is another back end’s')
    from.#requireOpen()
    if (lengthOf(from.#left) < range.end) throw new StorageError('stale', 'bytes of the draft are missing')
    this.#write(to, bytesOf(from.#left, range))
  }

  async commit(size: number, options: CommitOptions): Promise<Entry> {
    this.#requireOpen()
    this.#requireAlone()
    if (lengthOf(this.#left) < size) throw new StorageError('stale', 'bytes of the draft are missing')
    const entry = this.#lent.commit(bytesOf(this.#left, { start: 0, end: size }), options)
    this.#lent.forget()
    return entry
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#left.open = this.#left.open === 'alone' ? 0 : this.#left.open - 1
  }

  async discard(): Promise<void> {
    this.#requireAlone()
    await this.close()
    this.#lent.forget()
  }

  #write(start: number, bytes: Buffer): void {
    this.#requireOpen()
    const there = this.#left.extents.reduce((sum, extent) => sum + extent.bytes.length, 0)
    this.#lent.host.makeRoom(there + bytes.length)
    write(this.#left, { start, bytes })
  }

  #requireAlone(): void {
    if (this.#left.open !== 'alone' && !this.#closed) {
      throw new StorageError('internal', 'a shared draft is for others too')
    }
  }

  #requireOpen(): void {
    this.#lent.host.check(this.#lent.call)
    if (this.#closed || !this.#lent.isThere()) throw new StorageError('stale', 'the draft is closed')
  }
}

function endOf({ start, bytes }: Extent): number {
  return start + bytes.length
}

function lengthOf({ extents }: Left): number {
  const last = extents.at(-1)
  return last ? endOf(last) : 0
}

/** Over what is there. */
function write(left: Left, extent: Extent): void {
  if (extent.bytes.length === 0) return
  const end = endOf(extent)
  const before = left.extents.filter(({ start }) => start < extent.start)
  const after = left.extents.filter((one) => endOf(one) > end)
  const cut = before.map(({ start, bytes }) => ({ start, bytes: bytes.subarray(0, extent.start - start) }))
  const rest = after.map(({ start, bytes }) => {
    const skipped = Math.max(0, end - start)
    return { start: start + skipped, bytes: bytes.subarray(skipped) }
  })
  left.extents = [...cut, extent, ...rest]
}

function bytesOf({ extents }: Left, { start, end }: Range): Buffer {
  const all = Buffer.alloc(end - start)
  for (const { start: at, bytes } of extents) {
    if (at >= end || at + bytes.length <= start) continue
    const from = Math.max(0, start - at)
    bytes.copy(all, Math.max(0, at - start), from, end - at)
  }
  return all
}
