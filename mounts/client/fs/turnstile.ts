/** So many at a time; the others wait for as long as they like, in order. */

import { StorageError } from '../../../gateway/core/errors.ts'

export class Turnstile {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(most: number) {
    this.#free = most
  }

  /** Throws `cancelled` when the signal aborts before its turn. */
  async pass<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    await this.#enter(signal)
    try {
      return await work()
    } finally {
      const [next] = this.#waiting
      if (next) next()
      else this.#free++
    }
  }

  async #enter(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) throw new StorageError('cancelled', 'interrupted')
    if (this.#free > 0) {
      this.#free--
      return
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const turn = () => {
      this.#waiting.delete(turn)
      resolve()
    }
    const abort = () => {
      if (this.#waiting.delete(turn)) reject(new StorageError('cancelled', 'interrupted'))
    }
    this.#waiting.add(turn)
    signal?.addEventListener('abort', abort, { once: true })
    try {
      await promise
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }
}
