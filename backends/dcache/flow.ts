/** A body of known length, taken in order by one reader after the other: by a stream, or straight to a connection. */

import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { SocketSink } from '../backend.ts'
import { endedEarly } from './body.ts'
import { abortOf, unavailable } from './errors.ts'
import { type Tap, tapOf } from './tapping.ts'

/** Shorter bodies are left to the parser: the connection can be kept after them. */
const worthTaking = 1024 * 1024
/** So many pieces are handed on before others get a turn. */
const longestRow = 8

export interface FlowOptions {
  readonly signal: AbortSignal
  /** Milliseconds without a byte while somebody waits for one. */
  readonly stall: number
  readonly length: number
}

/** What somebody who waits makes of a chunk when it comes: all of it was used, and more is wanted or not; or nothing. */
type Offer = (chunk: Uint8Array) => 'more' | 'enough' | 'untouched'

interface Waiter {
  readonly offer: Offer | undefined
  /** Undefined where the offer was taken. */
  resolve(chunk: Uint8Array | undefined): void
  reject(error: Error): void
}

/** Fails with StorageErrors alone. One taker at a time. */
export class Flow {
  /** Bytes that nobody has taken yet. */
  left: number
  readonly #message: IncomingMessage
  readonly #socket: Socket
  readonly #signal: AbortSignal
  readonly #tap: Tap | undefined
  readonly #timer: NodeJS.Timeout
  readonly #onAbort = () => this.destroy(abortOf(this.#signal))
  /** Read past the parser before anybody waited. */
  readonly #queue: Uint8Array[] = []
  #held: Uint8Array | undefined
  #waiter: Waiter | undefined
  #failure: Error | undefined

  constructor(message: IncomingMessage, { signal, stall, length }: FlowOptions) {
    this.left = length
    this.#message = message
    this.#socket = message.socket
    this.#signal = signal
    const { headers } = message
    const isPlain = headers['transfer-encoding'] === undefined && headers['content-length'] === `${length}`
    this.#tap = isPlain && length >= worthTaking ? tapOf(message.socket) : undefined
    if (this.#tap) this.#tap.take = (chunk) => this.#taken(chunk)
    this.#timer = setTimeout(() => this.#stalled(), stall).unref()
    message.on('error', (cause) => this.destroy(unavailable('the storage broke the transfer off', { cause })))
    message.on('close', () => this.#closed())
    message.on('end', () => this.#ended())
    message.on('readable', () => this.#readable())
    if (signal.aborted) this.#onAbort()
    else signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** The next bytes, at most so many and at least one. They belong to the caller. Not to be called at the end. */
  async next(most: number): Promise<Uint8Array> {
    const chunk = await this.#pull()
    if (!chunk) throw endedEarly()
    return this.#count(chunk, most, chunk.subarray(most))
  }

  /** Writes the next so many bytes, waiting for the receiver: no queue, and no stream in between. */
  async sendTo(sink: SocketSink, bytes: number): Promise<void> {
    let open = bytes
    let writing: Promise<void> | undefined
    let row = 0
    const offer: Offer = (chunk) => {
      if (chunk.length >= open || chunk.length > this.left) return 'untouched'
      open -= chunk.length
      this.left -= chunk.length
      writing = sink.write(chunk)
      return writing === undefined && ++row < longestRow ? 'more' : 'enough'
    }
    while (open > 0) {
      const chunk = await this.#pull(offer)
      if (chunk) {
        const rest = chunk.length > open ? Buffer.from(chunk.subarray(open)) : undefined
        const piece = this.#count(chunk, open, rest)
        open -= piece.length
        writing = sink.write(piece)
      }
      if (writing) await writing
      writing = undefined
      row = 0
    }
  }

  /** Lets go. What is not taken yet is lost; whoever waits gets `error`. */
  destroy(error: Error = unavailable('the transfer is over')): void {
    if (this.#failure) return
    this.#failure = error
    clearTimeout(this.#timer)
    this.#signal.removeEventListener('abort', this.#onAbort)
    const waiter = this.#waiter
    this.#waiter = undefined
    // A message that the parser has seen the end of leaves a connection that can be kept.
    if (this.#tap || !this.#message.complete) this.#message.destroy()
    waiter?.reject(error)
  }

  #count(chunk: Uint8Array, most: number, rest: Uint8Array | undefined): Uint8Array {
    const piece = chunk.length > most ? chunk.subarray(0, most) : chunk
    if (rest && rest.length > 0) this.#held = rest
    this.left -= piece.length
    if (this.left < 0) throw unavailable('the storage sent more bytes than it said')
    return piece
  }

  /** `offer`: may use the chunk at once, and only then. */
  async #pull(offer?: Offer): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.#failure) throw this.#failure
      const ready = this.#held ?? (this.#message.read() as Buffer | null) ?? undefined
      this.#held = undefined
      if (ready) return ready
      if (!this.#tap || this.#socket.readableLength === 0) break
      await passed(this.#socket)
    }
    const early = this.#queue.shift()
    if (early) return early
    if (this.#message.complete) throw endedEarly()
    return new Promise((resolve, reject) => {
      this.#waiter = { offer, resolve, reject }
      this.#timer.refresh()
      if (!this.#tap) return
      this.#tap.isShared = offer !== undefined
      this.#socket.resume()
    })
  }

  #taken(chunk: Uint8Array): boolean {
    const waiter = this.#waiter
    const taken = waiter?.offer?.(chunk) ?? 'untouched'
    if (taken === 'more') {
      this.#timer.refresh()
      return true
    }
    this.#waiter = undefined
    if (waiter) waiter.resolve(taken === 'enough' ? undefined : chunk)
    else this.#queue.push(Buffer.from(chunk))
    return false
  }

  #readable(): void {
    const waiter = this.#waiter
    if (!waiter) return
    const chunk = this.#message.read() as Buffer | null
    if (!chunk) return
    this.#waiter = undefined
    waiter.resolve(chunk)
  }

  /** What the parser has seen the end of may still be held here. */
  #closed(): void {
    if (!this.#message.complete) this.destroy(unavailable('the storage broke the transfer off'))
  }

  #ended(): void {
    if (this.#waiter) this.destroy(endedEarly())
  }

  #stalled(): void {
    if (this.#waiter) this.destroy(unavailable('the storage stopped in the middle of a transfer'))
    else this.#timer.refresh()
  }
}

/** Lets the parser have what the connection holds. */
function passed(socket: Socket): Promise<void> {
  socket.resume()
  return new Promise((resolve) => setImmediate(resolve))
}
