/** Those of this process that wait for a byte-range lock. */

import type { ByteLockStore } from '../../state/state.ts'
import { StorageError } from '../errors.ts'

/** ms between two looks at who waits: what a process leaves that is gone is told by nobody. */
const pause = 1000
/** The same where nobody can be heard. */
const deafPause = 50

export class Waiters {
  readonly #store: ByteLockStore
  /** Each ticket with what ends the wait: true where it waits no more. */
  readonly #waiting = new Map<string, (served: boolean | StorageError) => void>()
  #timer: NodeJS.Timeout | undefined
  #hears: boolean | undefined
  #looking: Promise<void> | undefined
  #again = false

  constructor(store: ByteLockStore) {
    this.#store = store
  }

  /** True when the lock was given to the ticket, or another try may have it; false when `ended` aborted before. */
  async wait(ticket: string, ended: AbortSignal): Promise<boolean> {
    this.#hears ??= this.#store.listen(() => this.#look())
    const { promise, resolve, reject } = Promise.withResolvers<boolean>()
    this.#waiting.set(ticket, (served) => (typeof served === 'boolean' ? resolve(served) : reject(served)))
    const stop = () => resolve(false)
    ended.addEventListener('abort', stop)
    if (ended.aborted) stop()
    // It may have been served before anybody listened.
    this.#look()
    try {
      if (await promise) return true
      return !(await this.#store.leave(ticket))
    } catch (error) {
      await this.#store.leave(ticket).catch(() => {})
      throw error
    } finally {
      ended.removeEventListener('abort', stop)
      this.#waiting.delete(ticket)
      if (this.#waiting.size === 0) this.#rest()
    }
  }

  #rest(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #look(): void {
    if (this.#looking) {
      this.#again = true
      return
    }
    if (this.#waiting.size === 0) return
    clearTimeout(this.#timer)
    this.#looking = this.#see().finally(() => {
      this.#looking = undefined
      if (this.#again) {
        this.#again = false
        this.#look()
      } else if (this.#waiting.size > 0) {
        this.#timer = setTimeout(() => this.#look(), this.#hears ? pause : deafPause)
      }
    })
  }

  async #see(): Promise<void> {
    const tickets = [...this.#waiting.keys()]
    try {
      const left = await this.#store.waiting(tickets)
      for (const ticket of tickets) if (!left.has(ticket)) this.#waiting.get(ticket)?.(true)
    } catch (error) {
      const failed = StorageError.from(error)
      for (const ticket of tickets) this.#waiting.get(ticket)?.(failed)
    }
  }
}
