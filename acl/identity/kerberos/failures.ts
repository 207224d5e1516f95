/**
 * A bound on tickets that are refused, for each address: looking at one costs a decryption with every key of the keytab,
 * and the library loses some hundred bytes of memory over each refusal. Others of the same site are not to suffer from one
 * machine whose clock is wrong, so it is for no larger network.
 */

import { LRUCache } from 'lru-cache'
import { StorageError } from '../../../gateway/core/errors.ts'
import { networkOf } from '../../networks.ts'

/** Refusals that an address may have at once, and how many come back a second. */
const most = 30
const perSecond = 1

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

  /** Throws `busy`, rule attempts, for an address that has used up its own. */
  check(from: string): void {
    if (this.#left(from) >= 1) return
    throw new StorageError('busy', 'too many refused tickets', {
      retryAfter: 1,
      reason: { rule: 'attempts', text: 'too many tickets from this address were refused' },
    })
  }

  note(from: string): void {
    this.#levels.set(networkOf(from), { left: this.#left(from) - 1, at: this.#now() })
  }

  #left(from: string): number {
    const level = this.#levels.get(networkOf(from))
    if (level === undefined) return most
    return Math.min(most, level.left + (Math.max(0, this.#now() - level.at) / 1000) * perSecond)
  }
}
