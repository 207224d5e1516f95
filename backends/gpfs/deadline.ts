/** When a question to Storage Scale ends without an answer, and what it is told then. */

import { StorageError } from '../../gateway/core/errors.ts'
import { failure } from './failures.ts'

/** Raised by the caller's signal, after `ms`, or by `closing`; its reason is then the StorageError to throw. */
export class Deadline {
  readonly signal: AbortSignal
  readonly #controller = new AbortController()
  readonly #timer: NodeJS.Timeout
  readonly #detach: () => void

  constructor(caller: AbortSignal, closing: AbortSignal, ms: number) {
    this.signal = this.#controller.signal
    const cancelled = () => this.#end(new StorageError('cancelled', 'the caller went away'))
    const closed = () => this.#end(failure('unavailable', 'closed'))
    this.#timer = setTimeout(() => this.#end(failure('unavailable', `no answer in ${ms} ms`)), ms)
    caller.addEventListener('abort', cancelled, { once: true })
    closing.addEventListener('abort', closed, { once: true })
    this.#detach = () => {
      caller.removeEventListener('abort', cancelled)
      closing.removeEventListener('abort', closed)
    }
    if (caller.aborted) cancelled()
    else if (closing.aborted) closed()
  }

  /** Ends the watch; the signal is never raised after it. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#detach()
  }

  #end(reason: StorageError): void {
    this[Symbol.dispose]()
    this.#controller.abort(reason)
  }
}
