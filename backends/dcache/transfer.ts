/** A body being sent, piece by piece, to whoever said that he waits for it. */

import type { ClientRequest, IncomingMessage } from 'node:http'
import { type DoorResponse, responseOf } from './door.ts'
import { abortOf, errorOfPool, errorOfStatus, unavailable } from './errors.ts'
import { answeredBy } from './sending.ts'

export interface TransferOptions {
  readonly signal: AbortSignal
  /** Milliseconds that a piece may take, and the answer after the last one. */
  readonly stall: number
  readonly deadline: number
  readonly from: DoorResponse['from']
}

/** One piece at a time is on its way, so memory stays at that piece and what the kernel holds. */
export class Transfer {
  readonly #request: ClientRequest
  readonly #answer: Promise<IncomingMessage>
  readonly #options: TransferOptions
  readonly #onAbort = () => this.#fail(abortOf(this.#options.signal))
  readonly #timer: NodeJS.Timeout
  #pending: ((error?: Error) => void) | undefined
  #failure: Error | undefined
  #early: IncomingMessage | undefined
  #isOver = false

  constructor(request: ClientRequest, answer: Promise<IncomingMessage>, options: TransferOptions) {
    this.#request = request
    this.#answer = answer
    this.#options = options
    this.#timer = setTimeout(() => this.#stalled(), options.stall).unref()
    answer.then(
      (message) => this.#answered(message),
      (error) => this.#fail(error),
    )
    if (options.signal.aborted) this.#onAbort()
    else options.signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** `done` when the kernel has taken the bytes: the buffer is the caller's again. Fails with StorageError. */
  write(chunk: Uint8Array, done: (error?: Error) => void): void {
    if (this.#early) this.#fail(unavailable('the storage did not wait for the bytes'))
    if (this.#failure) {
      done(this.#failure)
      return
    }
    this.#pending = done
    this.#timer.refresh()
    this.#request.write(chunk, (error) => {
      if (error) this.#fail(unavailable('the storage broke the transfer off', { cause: error }))
      else this.#written()
    })
  }

  /** Ends the body. Resolves with the answer, whatever it says. */
  async finish(): Promise<DoorResponse> {
    if (this.#failure) throw this.#failure
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#pending = (error) => (error ? reject(error) : resolve())
    this.#timer.refresh()
    this.#request.end()
    if (this.#early) {
      this.#end()
      this.#written()
    }
    await promise
    if (this.#failure) throw this.#failure
    return responseOf(await this.#answer, this.#options)
  }

  /** Breaks off: what was sent so far comes to nothing. Harmless when it is over. */
  abort(): void {
    if (this.#isOver) return
    this.#end()
    this.#request.destroy()
  }

  #written(): void {
    const done = this.#pending
    this.#pending = undefined
    done?.()
  }

  #answered(message: IncomingMessage): void {
    this.#early = message
    const answered = answeredBy(message)
    if (this.#request.writableEnded) {
      this.#end()
      this.#written()
    } else if (answered.status >= 300) {
      // Somebody who answers before the last byte does not want the rest.
      this.#fail(this.#options.from === 'pool' ? errorOfPool(answered) : errorOfStatus(answered))
    }
  }

  #stalled(): void {
    if (this.#pending) this.#fail(unavailable('the storage stopped in the middle of a transfer'))
    else this.#timer.refresh()
  }

  #fail(error: Error): void {
    if (this.#isOver) return
    this.#failure = error
    this.abort()
    const done = this.#pending
    this.#pending = undefined
    done?.(error)
  }

  #end(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#options.signal.removeEventListener('abort', this.#onAbort)
  }
}
