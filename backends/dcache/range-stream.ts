/** A range of a file as a stream, or straight to a connection: its bytes are asked for when the first is wanted. */

import { Readable } from 'node:stream'
import { StorageError } from '../../gateway/core/errors.ts'
import type { FileStream, SocketSink } from '../backend.ts'
import type { Flow } from './flow.ts'

/** Of a push. */
const pieceBytes = 256 * 1024

/** Where a stream gets its bytes. */
export interface FlowSource {
  /** Bytes on their way that begin with the range's first. `signal` aborts when nobody wants them any more. */
  take(signal: AbortSignal): Promise<Flow>
  /** Takes back what the range has not used up, for whoever reads on. */
  giveBack(flow: Flow): void
}

export class RangeStream extends Readable implements FileStream {
  readonly #source: FlowSource
  readonly #giving = new AbortController()
  #left: number
  #flow: Promise<Flow> | undefined

  constructor(source: FlowSource, length: number) {
    super({ highWaterMark: 2 * pieceBytes })
    this.#source = source
    this.#left = length
  }

  override _read(): void {
    this.#next().then(
      (chunk) => this.push(chunk),
      (error) => this.destroy(error),
    )
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#giving.abort(new StorageError('cancelled', 'nobody wants the bytes any more'))
    this.#flow?.then(
      (flow) => (error || this.#left > 0 ? flow.destroy() : this.#source.giveBack(flow)),
      // Whoever asked for the bytes has been told.
      () => {},
    )
    done(error)
  }

  async sendTo(sink: SocketSink): Promise<void> {
    try {
      if (this.#left === 0) return
      const flow = await this.#taken()
      this.once('error', (error) => flow.destroy(error))
      await flow.sendTo(sink, this.#left)
      this.#left = 0
    } catch (error) {
      throw this.errored ?? error
    } finally {
      this.destroy()
    }
  }

  async #next(): Promise<Uint8Array | null> {
    if (this.#left === 0) return null
    const flow = await this.#taken()
    const chunk = await flow.next(Math.min(this.#left, pieceBytes))
    this.#left -= chunk.length
    return chunk
  }

  #taken(): Promise<Flow> {
    this.#flow ??= this.#source.take(this.#giving.signal)
    return this.#flow
  }
}
