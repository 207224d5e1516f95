/** How many copies there may be at once. Nobody waits in a queue here: the client tries again, as it does anyway. */

import { StorageError } from '../../core/errors.ts'

const retryAfter = 10

export class Slots {
  readonly #most: number
  readonly #mostOfOne: number
  readonly #taken = new Map<string, number>()
  #all = 0

  constructor({ all, ofOne }: { readonly all: number; readonly ofOne: number }) {
    this.#most = all
    this.#mostOfOne = ofOne
  }

  /** Throws `busy` where there are too many. Call what it returns once, when the copy is over. */
  take(owner: string): () => void {
    const own = this.#taken.get(owner) ?? 0
    if (this.#all >= this.#most || own >= this.#mostOfOne) {
      const text = 'too many third-party copies at once'
      throw new StorageError('busy', text, { retryAfter, reason: { rule: 'limit', text } })
    }
    this.#all++
    this.#taken.set(owner, own + 1)
    return () => {
      this.#all--
      const left = (this.#taken.get(owner) ?? 1) - 1
      if (left === 0) this.#taken.delete(owner)
      else this.#taken.set(owner, left)
    }
  }
}
