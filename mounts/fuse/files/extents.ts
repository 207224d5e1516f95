/**
 * Bytes of one file that were written here and that the gateway does not have yet. Writes that meet are collected into
 * blocks; blocks are sent several at once, but never one before an earlier one that it overlaps.
 */

import type { Attributes, RemoteFile } from '../../client/fs/remote.ts'
import { type Lease, type Pool, unlessAborted } from './pool.ts'

/** Who wrote, and is told what became of it. */
export interface Writer {
  readonly remote: RemoteFile
  /** To be called before the last bytes are sent; what it gives is told what the object is like with them. */
  readonly telling?: (() => Tell) | undefined
}

export type Tell = (seen: Attributes) => void

interface Extent {
  start: number
  /** Exclusive. */
  end: number
  /** Its first byte is that at `start`. */
  buffer: Uint8Array
  lease: Lease
  /** Whose memory `buffer` is, where it is not that of the lease. */
  kept?: Kept
  readonly writer: Writer
  state: 'open' | 'waiting' | 'sending'
  readonly done: Promise<void>
  readonly finish: () => void
}

export interface ExtentsOptions {
  readonly pool: Pool
  /** Bytes of one request. */
  readonly largest: number
  /** Blocks under way at once; 1 for files that are written in order. */
  readonly parallel: number
  /** Of a block after which nothing is pending: who is to be told what the object is like then. */
  readonly telling: (writer: Writer) => Tell | undefined
  /** Told of each block that is no longer pending, and what it failed with. */
  readonly written: (error: unknown) => void
  /** Told when something begins to be collected. */
  readonly opened: () => void
}

const beginning = 64 * 1024
/** Places of one file that are collected at once. */
const mostOpen = 4

export class Extents {
  /** In the order of their making, which is the order they take effect in. */
  #all: Extent[] = []
  #sending = 0
  /** Those who wait for everything, and ask what the object is like then. */
  #asking = 0
  readonly #options: ExtentsOptions

  constructor(options: ExtentsOptions) {
    this.#options = options
  }

  get pending(): boolean {
    return this.#all.length > 0
  }

  overlaps(start: number, end: number): boolean {
    return this.#all.some((extent) => meets(extent, start, end))
  }

  /** Takes all of it; `data` is kept until `done`, which is not called where something fails. Waits where there is no room. */
  async add(
    writer: Writer,
    data: Uint8Array,
    offset: number,
    signal: AbortSignal | undefined,
    done?: () => void,
  ): Promise<void> {
    const kept = new Kept(done)
    await this.#addAll(writer, data, offset, signal, kept)
    kept.letGo()
  }

  async #addAll(
    writer: Writer,
    data: Uint8Array,
    offset: number,
    signal: AbortSignal | undefined,
    kept: Kept,
  ): Promise<void> {
    const { largest } = this.#options
    for (let done = 0; done < data.length; ) {
      const at = offset + done
      const room = this.#collect(writer, data.subarray(done), at)
      if (room > 0) {
        done += room
        continue
      }
      const piece = data.subarray(done, done + largest)
      if (piece.length * 2 > largest) await this.#whole(writer, piece, at, signal, kept)
      else await this.#open(writer, piece, at, signal)
      done += piece.length
    }
  }

  /** Sends what is collected, and is done when all of this moment that touches the range is. Never fails. */
  async settle(signal?: AbortSignal, start = 0, end = Number.POSITIVE_INFINITY): Promise<void> {
    const ours = this.#all.filter((extent) => meets(extent, start, end))
    for (const extent of ours) if (extent.state === 'open') extent.state = 'waiting'
    this.#pump()
    await unlessAborted(Promise.all(ours.map(({ done }) => done)), signal)
  }

  /** The same of everything; the writer of the last block is told what the object is like with it, if that can be told. */
  async settleTelling(signal?: AbortSignal): Promise<void> {
    this.#asking++
    try {
      await this.settle(signal)
    } finally {
      this.#asking--
    }
  }

  /** Sends what is collected, and waits for nothing. */
  seal(): void {
    for (const extent of this.#all) if (extent.state === 'open') extent.state = 'waiting'
    this.#pump()
  }

  /** A copy of a range that is pending as a whole, in one block; undefined for all others. */
  cover(start: number, end: number): Buffer | undefined {
    const touching = this.#all.filter((extent) => meets(extent, start, end))
    const [only] = touching
    if (touching.length !== 1 || !only || only.start > start || end > only.end) return undefined
    return Buffer.from(only.buffer.subarray(start - only.start, end - only.start))
  }

  /** Whether a write that begins at `start` would change only what is still being collected. */
  mayReplace(writer: Writer, start: number): boolean {
    return this.#all.some(
      (extent) => extent.state === 'open' && extent.writer === writer && extent.start <= start && start <= extent.end,
    )
  }

  /** Forgets what is collected from `size` on, where that is all there is of it; false where it was sent. */
  cut(size: number): boolean {
    const behind = this.#all.filter(({ end }) => end > size)
    if (behind.some(({ state, start }) => state !== 'open' || start > size)) return false
    for (const extent of behind) extent.end = size
    return true
  }

  /** Puts as much as possible into a block that is being collected; tells how many bytes that was. */
  #collect(writer: Writer, data: Uint8Array, at: number): number {
    const { largest } = this.#options
    const into = this.#all.find(
      (extent) =>
        extent.state === 'open' &&
        extent.writer === writer &&
        extent.start <= at &&
        at <= extent.end &&
        at < extent.start + largest,
    )
    if (!into) return 0
    const room = Math.min(data.length, into.start + largest - at)
    if (this.#all.some((extent) => extent !== into && meets(extent, at, at + room))) return 0
    const needed = at + room - into.start
    if (needed > into.buffer.length && !this.#grow(into)) return 0
    into.buffer.set(data.subarray(0, room), at - into.start)
    into.end = Math.max(into.end, at + room)
    if (into.end - into.start === largest) {
      into.state = 'waiting'
      this.#pump()
    }
    return room
  }

  #grow(extent: Extent): boolean {
    const { pool, largest } = this.#options
    const lease = pool.tryTake(largest)
    if (!lease) {
      extent.state = 'waiting'
      this.#pump()
      return false
    }
    lease.buffer.set(extent.buffer.subarray(0, extent.end - extent.start))
    extent.lease.release()
    extent.lease = lease
    extent.buffer = lease.buffer
    return true
  }

  /** A block that is full from the beginning: it is sent from where it lies. */
  async #whole(
    writer: Writer,
    data: Uint8Array,
    at: number,
    signal: AbortSignal | undefined,
    kept: Kept,
  ): Promise<void> {
    const lease = await this.#options.pool.take(data.length, signal, false)
    kept.hold()
    this.#push(writer, at, data.length, data, lease, 'waiting').kept = kept
    this.#pump()
  }

  async #open(writer: Writer, data: Uint8Array, at: number, signal: AbortSignal | undefined): Promise<void> {
    const { pool, opened } = this.#options
    const lease = await pool.take(Math.max(beginning, data.length), signal)
    lease.buffer.set(data)
    this.#push(writer, at, data.length, lease.buffer, lease, 'open')
    const open = this.#all.filter(({ state }) => state === 'open')
    for (const extent of open.slice(0, -mostOpen)) extent.state = 'waiting'
    this.#pump()
    opened()
  }

  #push(writer: Writer, at: number, length: number, buffer: Uint8Array, lease: Lease, state: Extent['state']): Extent {
    // What lies under it goes first, and nothing is added to it any more.
    const inOrder = this.#options.parallel === 1
    for (const extent of this.#all) {
      if (extent.state === 'open' && (inOrder || meets(extent, at, at + length))) extent.state = 'waiting'
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    const extent = { start: at, end: at + length, buffer, lease, writer, state, done: promise, finish: resolve }
    this.#all.push(extent)
    return extent
  }

  #pump(): void {
    const { parallel } = this.#options
    for (let index = 0; index < this.#all.length && this.#sending < parallel; index++) {
      const extent = this.#all[index]
      if (extent?.state !== 'waiting') continue
      const before = this.#all.slice(0, index)
      if (parallel === 1 && before.length > 0) return
      if (!before.some((each) => meets(each, extent.start, extent.end))) void this.#send(extent)
    }
  }

  async #send(extent: Extent): Promise<void> {
    extent.state = 'sending'
    this.#sending++
    const { writer } = extent
    let problem: unknown
    try {
      // Of several that are under way none knows what the others make of it.
      const tell = this.#asking > 0 && this.#all.length === 1 ? this.#options.telling(writer) : undefined
      const bytes = extent.buffer.subarray(0, extent.end - extent.start)
      const told = (seen: Attributes) => {
        if (this.#all.length === 1) tell?.(seen)
      }
      await writer.remote.write(bytes, extent.start, undefined, tell && told)
    } catch (error) {
      problem = error
    }
    this.#sending--
    const { parallel, written } = this.#options
    // Of a file that is written in order, nothing can come after what is missing.
    const over = problem !== undefined && parallel === 1 ? this.#all : [extent]
    this.#all = this.#all.filter((each) => !over.includes(each))
    for (const each of over) {
      each.lease.release()
      // After a failure something may still look at it.
      if (problem === undefined) each.kept?.letGo()
      written(problem)
      each.finish()
    }
    this.#pump()
  }
}

/** Bytes that came from outside, and how many still look at them. */
class Kept {
  #holders = 1
  readonly #done: (() => void) | undefined

  constructor(done: (() => void) | undefined) {
    this.#done = done
  }

  hold(): void {
    this.#holders++
  }

  letGo(): void {
    this.#holders--
    if (this.#holders === 0) this.#done?.()
  }
}

function meets(extent: { readonly start: number; readonly end: number }, start: number, end: number): boolean {
  return extent.start < end && start < extent.end
}
