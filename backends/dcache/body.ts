/** The body of an answer as a stream that fails with StorageErrors, never hangs, and costs no copy. */

import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { abortOf, unavailable } from './errors.ts'

/** So much waits for a slow reader. Each stop and start of the connection costs more than these bytes. */
const waiting = 512 * 1024

export interface BodyOptions {
  readonly signal: AbortSignal
  /** Milliseconds without a byte while somebody waits for one. */
  readonly stall: number
  /** So many bytes, neither more nor fewer; whatever comes if absent. */
  readonly length?: number | undefined
}

/** Bytes of a message, each chunk handed on as it came. */
export class BodyStream extends Readable {
  readonly #message: IncomingMessage
  readonly #signal: AbortSignal
  readonly #length: number | undefined
  readonly #timer: NodeJS.Timeout
  readonly #onAbort = () => this.destroy(abortOf(this.#signal))
  #received = 0
  #isWanted = false

  constructor(message: IncomingMessage, { signal, stall, length }: BodyOptions) {
    super({ highWaterMark: waiting })
    this.#message = message
    this.#signal = signal
    this.#length = length
    this.#timer = setTimeout(() => this.#stalled(), stall)
    message.on('data', (chunk: Buffer) => this.#chunk(chunk))
    message.on('end', () => this.#end())
    message.on('error', (cause) => this.destroy(unavailable('the storage broke the transfer off', { cause })))
    message.on('close', () => {
      if (!message.complete) this.destroy(unavailable('the storage broke the transfer off'))
    })
    message.pause()
    if (signal.aborted) queueMicrotask(this.#onAbort)
    else signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  override _read(): void {
    this.#want()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#timer)
    this.#signal.removeEventListener('abort', this.#onAbort)
    // What was read to its end goes back to the pool of connections; a rest is not worth reading.
    if (!this.#message.complete) this.#message.destroy()
    done(error)
  }

  get #isWhole(): boolean {
    return this.#message.complete && (this.#length === undefined || this.#received === this.#length)
  }

  #want(): void {
    if (this.destroyed || this.#isWanted) return
    this.#isWanted = true
    this.#timer.refresh()
    this.#message.resume()
  }

  #chunk(chunk: Buffer): void {
    this.#received += chunk.length
    if (this.#length !== undefined && this.#received > this.#length) {
      this.destroy(unavailable('the storage sent more bytes than it said'))
    } else if (this.push(chunk)) {
      this.#timer.refresh()
    } else {
      this.#isWanted = false
      this.#message.pause()
    }
  }

  #end(): void {
    if (!this.#isWhole) return void this.destroy(endedEarly())
    this.push(null)
  }

  #stalled(): void {
    if (this.#isWanted) this.destroy(unavailable('the storage stopped in the middle of a transfer'))
    else this.#timer.refresh()
  }
}

/** For a body that is shorter than was said. */
export function endedEarly() {
  return unavailable('the storage sent fewer bytes than it said')
}

/** All of a body. Throws `unavailable` where it is longer than `limit` or not there after `deadline` ms. */
export async function collect(body: Readable, limit: number, deadline: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  const timer = setTimeout(() => body.destroy(unavailable('the storage is too slow')), deadline)
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > limit) throw unavailable('the storage answered with more than makes sense')
      chunks.push(chunk)
    }
  } finally {
    clearTimeout(timer)
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, length)
}
