/** The body of a draft: a stream of whatever chunks becomes a few large writes. */

import { Writable } from 'node:stream'
import { StorageError } from '../../../gateway/core/errors.ts'
import { byteBudget, type ChunkLease } from './budget.ts'
import type { StreamOptions } from './streams.ts'

/** What a draft's body tells of itself. */
export interface DraftWriter extends Writable {
  /** Bytes handed in so far. */
  readonly received: number
}

export interface DraftWriterOptions extends StreamOptions {
  /** Where the first byte goes; 0 if absent. */
  readonly start?: number
  /** Bytes after which more are `too-large`. */
  readonly limit?: number
  /** Set when a sync will follow: the disk then begins its work while bytes still come in. */
  readonly syncFollows?: boolean
}

/**
 * Writes what it is given from `start` on, gathered to large writes. Fails with StorageError (`no-space`, `quota`,
 * `too-large`). `finish` means that all is written, not that it is on disk.
 */
export function draftWriter(options: DraftWriterOptions): DraftWriter {
  return new Gatherer(options)
}

/** Chunks below this size are copied together: a small slice may keep a large buffer alive. */
const smallChunk = 8 * 1024
const chunkSize = 64 * 1024
/** Bytes written after which the disk is told to begin. */
const behind = 8 * 1024 * 1024
/** Bytes of the largest write. */
const writeSize = 1024 * 1024

class Gatherer extends Writable implements DraftWriter {
  readonly #options: DraftWriterOptions
  readonly #lease: ChunkLease
  #received = 0
  #position: number
  #gathered: Uint8Array[] = []
  #size = 0
  /** Where small chunks are copied to, and how much of it is used. */
  #corner: Buffer | undefined
  #used = 0
  #writing: Promise<void> | undefined
  /** Up to where the disk was told to begin. */
  #told: number
  #telling: boolean

  constructor(options: DraftWriterOptions) {
    super({ highWaterMark: chunkSize, decodeStrings: true })
    this.#options = options
    this.#lease = (options.budget ?? byteBudget).lease(writeSize)
    this.#telling = !options.syncFollows
    this.#position = options.start ?? 0
    this.#told = this.#position
  }

  get received(): number {
    return this.#received
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#received += chunk.length
    if (this.#received > (this.#options.limit ?? Number.POSITIVE_INFINITY)) {
      callback(new StorageError('too-large', 'more bytes than allowed'))
      return
    }
    this.#gather(chunk)
    if (this.#size < this.#lease.size) callback()
    else this.#flush(callback)
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#flush((error) => {
      if (error) callback(error)
      else this.#settle(callback)
    })
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#gathered = []
    this.#corner = undefined
    this.#settle(() => {
      this.#lease.release()
      callback(error)
    })
  }

  #gather(chunk: Buffer): void {
    this.#size += chunk.length
    if (chunk.length >= smallChunk) {
      this.#closeCorner()
      this.#gathered.push(chunk)
      return
    }
    if (this.#corner && this.#used + chunk.length > chunkSize) this.#closeCorner()
    this.#corner ??= Buffer.allocUnsafeSlow(chunkSize)
    this.#used += chunk.copy(this.#corner, this.#used)
  }

  #closeCorner(): void {
    if (this.#corner) this.#gathered.push(this.#corner.subarray(0, this.#used))
    this.#corner = undefined
    this.#used = 0
  }

  /** Begins to write what was gathered once the write before it has ended; gathering goes on meanwhile. */
  #flush(callback: (error?: Error | null) => void): void {
    this.#settle((error) => {
      if (error || this.destroyed) {
        callback(error)
        return
      }
      this.#closeCorner()
      const batch = this.#gathered
      this.#gathered = []
      this.#size = 0
      this.#lease.consumed()
      this.#writing = this.#writeAll(batch)
      // Its failure is met by whoever waits for it next; nobody else may be first.
      this.#writing.catch(() => {})
      callback()
    })
  }

  #settle(callback: (error?: Error | null) => void): void {
    if (!this.#writing) {
      callback()
      return
    }
    this.#writing.then(
      () => {
        this.#writing = undefined
        callback()
      },
      (error: unknown) => callback(StorageError.from(error)),
    )
  }

  async #writeAll(batch: readonly Uint8Array[]): Promise<void> {
    const { share, fd, signal } = this.#options
    let left = batch
    while (left.length > 0) {
      // Its descriptor may be closed by then, and its number another file's.
      if (this.destroyed) throw new StorageError('cancelled', 'the draft was given up')
      const count = await share.write(fd, left, this.#position, signal)
      if (count === 0 && left.some((buffer) => buffer.length > 0)) throw new StorageError('no-space', 'nothing written')
      this.#position += count
      left = without(left, count)
    }
    if (!this.destroyed && !this.#telling && this.#position - this.#told >= behind) this.#tellDisk()
  }

  /** One call at a time. It only saves time: whether it worked shows in the sync that follows. */
  #tellDisk(): void {
    const { share, fd, signal } = this.#options
    const from = this.#told
    this.#told = this.#position
    this.#telling = true
    share.writeBehind(fd, from, this.#told - from, signal).then(
      (possible) => {
        this.#telling = !possible
      },
      () => {},
    )
  }
}

/** The buffers without their first `count` bytes. */
function without(buffers: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let skip = count
  for (const [index, buffer] of buffers.entries()) {
    if (skip < buffer.length) {
      return skip === 0 ? buffers.slice(index) : [buffer.subarray(skip), ...buffers.slice(index + 1)]
    }
    skip -= buffer.length
  }
  return []
}
