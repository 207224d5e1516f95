/** Bytes of files as streams, on a mount's share of the data threads and within the process's budget of memory. */

import { Readable } from 'node:stream'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { FileStream, Range, SocketSink } from '../../backend.ts'
import { SocketCopy } from '../native/sending.ts'
import type { ByteBudget, ChunkLease } from './budget.ts'
import { byteBudget } from './budget.ts'
import type { DataShare } from './share.ts'

export { type DraftWriter, type DraftWriterOptions, draftWriter } from './draft-writer.ts'

export interface StreamOptions {
  readonly share: DataShare
  /** Belongs to the caller, who closes it (with `share.close`) when the stream has emitted `close`. */
  readonly fd: number
  readonly signal: AbortSignal
  readonly budget?: ByteBudget
}

/** A stream of a file's bytes that offers both ways to save work. */
export type FileReadable = Required<Pick<FileStream, 'recycle' | 'sendTo'>> & Readable

/**
 * The bytes of `range`, which must lie in the file: one that has become shorter is `stale`. Fails with StorageError.
 * Emits `close` when its last read has ended or has been given up.
 */
export function streamRange(range: Range, options: StreamOptions): FileReadable {
  return new RangeReader(range, options)
}

/** Bytes of the largest chunk: with two under way, a larger one falls out of the processor's cache. */
const mostAtOnce = 512 * 1024
const mostSpare = 2
/** Bytes that are read and written when the socket was full. */
const chunkSize = 64 * 1024
/** Bytes sent to a socket at once. */
const sendSize = 1024 * 1024
/** Attempts in a row that sent nothing, after which this file or socket is taken to be one that cannot. */
const mostMisses = 100

class RangeReader extends Readable implements FileReadable {
  readonly #options: StreamOptions
  readonly #lease: ChunkLease
  #position: number
  readonly #end: number
  #reading: Promise<void> | undefined
  /** Chunks given back. They never leave this stream: another's bytes must not turn up by somebody's mistake. */
  #spare: ArrayBufferLike[] = []

  constructor(range: Range, options: StreamOptions) {
    // One chunk ready while another is on its way out: what is read ahead is bounded by the chunk's size.
    super({ highWaterMark: 1 })
    this.#options = options
    this.#lease = (options.budget ?? byteBudget).lease(mostAtOnce)
    this.#position = range.start
    this.#end = range.end
  }

  recycle(chunk: Uint8Array): void {
    if (this.#spare.length < mostSpare && !this.destroyed) this.#spare.push(chunk.buffer)
  }

  async sendTo(sink: SocketSink): Promise<void> {
    try {
      await this.#sendAll(sink)
    } finally {
      this.destroy()
    }
  }

  async #sendAll(sink: SocketSink): Promise<void> {
    const { share, fd, signal } = this.#options
    const socket = new SocketCopy(sink.fd)
    let misses = 0
    try {
      while (this.#position < this.#end && !this.destroyed) {
        const size = Math.min(sendSize, this.#end - this.#position)
        const sent = misses < mostMisses ? await share.send(fd, socket, this.#position, size, signal) : -1
        if (sent === 0) throw shortened()
        misses = sent > 0 ? 0 : misses + 1
        this.#position += Math.max(0, sent)
        // The socket is full, or gone, or cannot: a write tells, and waits until there is room.
        if (sent < size && this.#position < this.#end) {
          await sink.write(await this.#next(misses < mostMisses ? chunkSize : this.#lease.size))
        }
      }
    } finally {
      socket.release()
    }
    if (this.#position < this.#end) throw new StorageError('cancelled', 'the stream was destroyed')
  }

  override _read(): void {
    if (this.#position >= this.#end) {
      this.push(null)
      return
    }
    this.#reading = this.#next(this.#lease.size).then(
      (chunk) => {
        this.#reading = undefined
        this.push(chunk)
      },
      (error: unknown) => {
        this.#reading = undefined
        this.destroy(StorageError.from(error))
      },
    )
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    const finish = (): void => {
      this.#lease.release()
      callback(error)
    }
    if (this.#reading) this.#reading.then(finish)
    else finish()
  }

  async #next(most: number): Promise<Uint8Array> {
    // Its descriptor may be closed by then, and its number another file's.
    if (this.destroyed) throw new StorageError('cancelled', 'the stream was destroyed')
    const { share, fd, signal } = this.#options
    const size = Math.min(most, this.#end - this.#position)
    const chunk = this.#chunk(size)
    const count = await share.read(fd, chunk, 0, size, this.#position, signal)
    if (count === 0) throw shortened()
    this.#position += count
    this.#lease.consumed()
    return count === size ? chunk : chunk.subarray(0, count)
  }

  #chunk(size: number): Buffer {
    for (let memory = this.#spare.pop(); memory; memory = this.#spare.pop()) {
      if (memory.byteLength >= size && memory.byteLength <= this.#lease.size) return Buffer.from(memory, 0, size)
    }
    // Never from a pool: whoever takes the chunk may keep it.
    return Buffer.allocUnsafeSlow(size)
  }
}

function shortened(): StorageError {
  return new StorageError('stale', 'the file became shorter while it was read')
}
