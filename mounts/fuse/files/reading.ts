/** How one handle reads: from what is here, from what is on its way, and otherwise what was asked for. */

import type { RemoteFile } from '../../client/fs/remote.ts'
import type { File } from './file.ts'
import { blockSize, smallRead } from './neighbours.ts'
import type { Segment } from './segments.ts'
import { type Stream, Streams, stride } from './streams.ts'

/** Reads up to this many bytes do not count: there are at most as many as the kernel has requests under way. */
const uncounted = 64 * 1024

interface Piece {
  readonly start: number
  readonly end: number
  readonly segment: Segment
}

interface Gathered {
  readonly held: Piece[]
  /** Those of `held` that this read has asked for. */
  readonly own: Set<Segment>
}

export class Reading {
  readonly #file: File
  readonly #remote: RemoteFile
  readonly #streams: Streams

  constructor(file: File, remote: RemoteFile) {
    this.#file = file
    this.#remote = remote
    const { memory } = file.surroundings
    this.#streams = new Streams(memory.readers, memory.read.limit * 0.75)
  }

  async read(offset: number, size: number, signal: AbortSignal | undefined): Promise<readonly Uint8Array[]> {
    if (size <= 0) return []
    const { extents } = this.#file
    const end = offset + size
    const pending = extents.pending
    if (pending && extents.overlaps(offset, end)) {
      const here = extents.cover(offset, end)
      if (here) return [here]
      await extents.settle(signal, offset, end)
    }
    const chunks = await this.#clean(offset, end, signal)
    return pending ? this.#withHoles(chunks, offset, end) : chunks
  }

  /** Nobody reads by this handle any more. */
  close(): void {
    this.#streams.close()
  }

  async #clean(offset: number, end: number, signal: AbortSignal | undefined): Promise<readonly Uint8Array[]> {
    const { segments, neighbours } = this.#file
    const stream = this.#streams.note(offset, end, (left) => segments.dropWithin(left.frontier, left.issued))
    const small = end - offset <= smallRead && stream.window === 0 && !this.#file.extents.pending
    const near = small && neighbours.note(offset)
    if (small && !segments.at(offset)) {
      const block = Math.floor(offset / blockSize)
      if (end <= (block + 1) * blockSize) {
        const cached = await this.#cached(block, offset, end, signal)
        if (cached) return cached
        if (near) return this.#pieces(block * blockSize, (block + 1) * blockSize, offset, end, signal)
      }
      return this.#exact(offset, end, signal)
    }
    return this.#pieces(offset, end, offset, end, signal, stream)
  }

  /** Reads `start` to `stop` where it is not here, and gives `offset` to `end` of it. */
  async #pieces(
    start: number,
    stop: number,
    offset: number,
    end: number,
    signal: AbortSignal | undefined,
    stream?: Stream,
  ): Promise<readonly Uint8Array[]> {
    const held: Piece[] = []
    const own = new Set<Segment>()
    try {
      const isAll = await this.#gather(start, stop, { held, own }, signal)
      if (stream) this.#ahead(stream)
      if (isAll && (await this.#arrived({ held, own }, signal))) {
        const chunks = this.#taken(held, own, offset, end)
        if (chunks) return chunks
      }
    } finally {
      for (const { segment } of held) segment.letGo()
    }
    return this.#exact(offset, end, signal)
  }

  /** Holds what is here and asks for the rest; false where there is no room, or where something was written meanwhile. */
  async #gather(
    start: number,
    stop: number,
    { held, own }: Gathered,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const { segments, extents, surroundings } = this.#file
    for (let at = start; at < stop; ) {
      const found = segments.at(at)
      const to = found ? Math.min(found.end, stop) : segments.next(at, stop)
      let segment = found
      if (!segment) {
        const { read } = surroundings.memory
        // Who holds something does not wait for others who do.
        const lease = read.tryTake(to - at) ?? (held.length === 0 ? await read.take(to - at, signal) : undefined)
        if (!lease) return false
        const isOld = extents.overlaps(at, to) || segments.at(at) !== undefined || segments.next(at, to) < to
        if (isOld) {
          lease.release()
          return false
        }
        segment = segments.fetch(this.#remote, at, to, lease)
        own.add(segment)
      }
      segment.hold()
      held.push({ start: at, end: to, segment })
      at = to
    }
    return true
  }

  /** False where others asked for a part of it, with less right or patience than this caller. */
  async #arrived({ held, own }: Gathered, signal: AbortSignal | undefined): Promise<boolean> {
    for (const { segment } of held) {
      if (await segment.arrived(signal)) continue
      if (own.has(segment)) await segment.failure()
      return false
    }
    return true
  }

  /** All have arrived: nothing is awaited between the first chunk and the last. Undefined where it may be too little. */
  #taken(
    held: readonly Piece[],
    own: ReadonlySet<Segment>,
    offset: number,
    end: number,
  ): readonly Uint8Array[] | undefined {
    const chunks: Uint8Array[] = []
    for (const piece of held) {
      const [from, to] = [Math.max(piece.start, offset), Math.min(piece.end, end)]
      if (from >= to) continue
      const chunk = piece.segment.take(from, to)
      chunks.push(chunk)
      if (chunk.length === to - from) continue
      // What was read ahead ended earlier than the file may end now.
      if (!own.has(piece.segment) && from + chunk.length < this.#file.size) return undefined
      break
    }
    return chunks
  }

  /** Keeps the window full that belongs to who reads in order. */
  #ahead(stream: Stream): void {
    const { segments, extents, surroundings, size } = this.#file
    if (stream.window === 0 || extents.pending) return
    const step = stride(stream.window, surroundings.largest.read)
    const goal = Math.min(stream.frontier + stream.window, size)
    stream.issued = Math.max(stream.issued, stream.frontier)
    segments.dropWithin(stream.frontier - 16 * stream.window, stream.frontier - stream.window)
    while (stream.issued < goal) {
      const found = segments.at(stream.issued)
      if (found) {
        stream.issued = found.end
        continue
      }
      const end = segments.next(stream.issued, Math.min(stream.issued + step, size))
      if (end > goal && end < size) return
      const lease = surroundings.memory.read.tryTake(end - stream.issued)
      if (!lease) return
      segments.fetch(this.#remote, stream.issued, end, lease)
      stream.issued = end
    }
  }

  /** From the gateway, and nothing but this. */
  async #exact(offset: number, end: number, signal: AbortSignal | undefined): Promise<readonly Uint8Array[]> {
    if (end - offset <= uncounted) {
      const into = Buffer.allocUnsafeSlow(end - offset)
      return [into.subarray(0, await this.#remote.read(into, offset, signal))]
    }
    const lease = await this.#file.surroundings.memory.read.take(end - offset, signal)
    try {
      const into = lease.buffer.subarray(0, end - offset)
      return [into.subarray(0, await this.#remote.read(into, offset, signal))]
    } finally {
      lease.release()
    }
  }

  /** From the disk, or through it; undefined where it does not help. */
  async #cached(
    block: number,
    offset: number,
    end: number,
    signal: AbortSignal | undefined,
  ): Promise<readonly Uint8Array[] | undefined> {
    const { cache } = this.#file.surroundings
    const { cacheable: version } = this.#file
    if (!cache || version === undefined) return undefined
    const start = block * blockSize
    let bytes = await cache.get(version, block)
    if (!bytes) {
      const into = Buffer.allocUnsafeSlow(blockSize)
      bytes = into.subarray(0, await this.#remote.read(into, start, signal))
      if (this.#file.cacheable === version) cache.put(version, block, bytes)
    }
    return [bytes.subarray(offset - start, end - start)]
  }

  /** The gateway knows a file that is still shorter than it is here: what it has not got are zeros. */
  #withHoles(chunks: readonly Uint8Array[], offset: number, end: number): readonly Uint8Array[] {
    const got = chunks.reduce((sum, { length }) => sum + length, 0)
    const missing = Math.min(end, this.#file.size) - offset - got
    return missing > 0 ? [...chunks, Buffer.alloc(missing)] : chunks
  }
}
