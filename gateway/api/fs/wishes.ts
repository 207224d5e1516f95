/** Requests for locks that their callers may take back, by the names that they give them. */

import { StorageError } from '../../core/errors.ts'

/** Names that are remembered as taken back, for requests that come after that. */
const most = 256

interface Running {
  readonly stop: AbortController
  readonly ended: Promise<void>
}

export class Wishes {
  readonly #running = new Map<string, Running>()
  readonly #cancelled = new Set<string>()

  /** Does the work, whose signal aborts when it is taken back. Throws `cancelled` where that came first. */
  async run<T>(name: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    // Sent again: the connection of the first is gone, and so it ends.
    for (let first = this.#running.get(name); first; first = this.#running.get(name)) await first.ended
    if (this.#cancelled.has(name)) throw new StorageError('cancelled', 'this was taken back')
    const stop = new AbortController()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#running.set(name, { stop, ended: promise })
    try {
      return await work(stop.signal)
    } finally {
      this.#running.delete(name)
      resolve()
    }
  }

  /** Takes one back, whether it has come yet or not; afterwards it is over, and what was had may be given back. */
  async cancel(name: string): Promise<void> {
    this.#cancelled.add(name)
    const [oldest] = this.#cancelled
    if (this.#cancelled.size > most && oldest !== undefined) this.#cancelled.delete(oldest)
    const running = this.#running.get(name)
    running?.stop.abort()
    await running?.ended
  }
}
