/** How many bytes of large bodies one process holds at a time, and one caller of them. */

import { StorageError } from '../core/errors.ts'
import type { Exchange } from '../http/exchange.ts'

export class BodyBudget {
  readonly #total: number
  readonly #share: number
  readonly #held = new Map<string, number>()
  #used = 0

  /** Bytes of all callers together, and of one. */
  constructor(total: number, share: number) {
    this.#total = total
    this.#share = share
  }

  /**
   * Sets aside room for the body of a request whose caller is known, until the answer is over: the announced length,
   * or `limit`. Throws `too-large`, or `busy` when there is no room.
   */
  reserve(x: Exchange, limit: number): void {
    x.response.once('close', this.hold(x, limit))
  }

  /** The same until what it gives is called. */
  hold({ request, principal, from }: Exchange, limit: number): () => void {
    const announced = request.headers['content-length']
    const size = announced === undefined ? limit : Number(announced)
    if (!(size <= limit)) throw new StorageError('too-large', `the body is larger than ${limit} bytes`)
    const owner = principal.user === undefined ? `anonymous ${from}` : (principal.counted ?? principal.id)
    const held = this.#held.get(owner) ?? 0
    if (this.#used + size > this.#total || held + size > this.#share) {
      throw new StorageError('busy', 'too many large requests at once', { retryAfter: 2 })
    }
    this.#used += size
    this.#held.set(owner, held + size)
    return () => {
      this.#used -= size
      const left = (this.#held.get(owner) ?? size) - size
      if (left > 0) this.#held.set(owner, left)
      else this.#held.delete(owner)
    }
  }
}
