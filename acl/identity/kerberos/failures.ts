/**
 * A bound on tickets that are refused, for each network: looking at one costs a decryption with every key of the keytab,
 * and the library loses a few bytes of memory over each refusal.
 */

import { LRUCache } from 'lru-cache'
import { StorageError } from '../../../gateway/core/errors.ts'
import { providerOf } from '../attempts.ts'

/** Refusals that a network may have at once, and how many come back a second. */
const most = 50
const perSecond = 5

interface Level {
  readonly left: number
  /** Milliseconds since 1970. */
  readonly at: number
}

export class Failures {
  readonly #levels = new LRUCache<string, Level>({ max: 10_000 })
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  /** Throws `busy`, rule attempts, for a network that has used up its own. */
  check(from: string): void {
    if (this.#left(from) >= 1) return
    throw new StorageError('busy', 'too many refused tickets', {
      retryAfter: 1,
      reason: { rule: 'attempts', text: 'too many tickets from this network were refused' },
    })
  }

  note(from: string): void {
    this.#levels.set(providerOf(from), { left: this.#left(from) - 1, at: this.#now() })
  }

  #left(from: string): number {
    const level = this.#levels.get(providerOf(from))
    if (level === undefined) return most
    return Math.min(most, level.left + (Math.max(0, this.#now() - level.at) / 1000) * perSecond)
  }
}
