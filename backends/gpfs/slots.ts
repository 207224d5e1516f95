/** A bounded number of things at a time, and a bounded number that wait for it. */

import { StorageError } from '../../gateway/core/errors.ts'

interface Waiter {
  start(): void
}

export class Slots {
  readonly #atOnce: number
  readonly #waiting: number
  readonly #queue = new Set<Waiter>()
  #taken = 0

  constructor(atOnce: number, waiting: number) {
    this.#atOnce = atOnce
    this.#waiting = waiting
  }

  /**
   * Resolves when there is room, with what gives it back (once; later calls do nothing). Throws `busy` when too many
   * wait, and the reason of `signal` when it is raised before.
   */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (this.#taken < this.#atOnce) this.#taken += 1
    else await this.#wait(signal)
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#giveBack()
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (this.#queue.size >= this.#waiting) {
      throw new StorageError('busy', 'too many questions to Storage Scale are waiting', { retryAfter: 5 })
    }
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#queue.delete(waiter)
        reject(signal.reason)
      }
      const waiter: Waiter = {
        start: () => {
          signal.removeEventListener('abort', leave)
          resolve()
        },
      }
      this.#queue.add(waiter)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  /** Whoever has waited longest takes over; nothing is counted twice. */
  #giveBack(): void {
    const [next] = this.#queue
    if (!next) {
      this.#taken -= 1
      return
    }
    this.#queue.delete(next)
    next.start()
  }
}
