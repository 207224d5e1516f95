/** Work that takes long, so many pieces of it at once; the others wait for their turn. */

import { StorageError } from '../core/errors.ts'

export class Turns {
  readonly #most: number
  readonly #mostWaiting: number
  readonly #waiting = new Set<() => void>()
  #running = 0

  constructor({ running, waiting }: { readonly running: number; readonly waiting: number }) {
    this.#most = running
    this.#mostWaiting = waiting
  }

  /** Throws `busy` where too many wait already, and `cancelled` when the signal aborts before its turn. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#most) await this.#wait(signal)
    else this.#running++
    try {
      return await work()
    } finally {
      // A turn is handed on, so that nobody who comes meanwhile gets in between.
      const [next] = this.#waiting
      if (next) next()
      else this.#running--
    }
  }

  async #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiting.size >= this.#mostWaiting)
      throw new StorageError('busy', 'too many wait for this', { retryAfter: 5 })
    if (signal.aborted) throw new StorageError('cancelled', 'the caller went away')
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const leave = () => {
      this.#waiting.delete(start)
      signal.removeEventListener('abort', cancel)
    }
    const start = () => {
      leave()
      resolve()
    }
    const cancel = () => {
      leave()
      reject(new StorageError('cancelled', 'the caller went away'))
    }
    this.#waiting.add(start)
    signal.addEventListener('abort', cancel, { once: true })
    return promise
  }
}
