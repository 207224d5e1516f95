/** How guessing opaque tokens is slowed down: each address may have so many refused in a while, and so many looked at at once. */

import { LRUCache } from 'lru-cache'
import { StorageError } from '../../../gateway/core/errors.ts'
import { networkOf } from '../../networks.ts'

/** Refused tokens of one address that cost nothing yet; one more is forgiven every `forgiven` milliseconds. */
const free = 30
const forgiven = 2000
/** Of one address, looked at at once. */
const atOnce = 64

interface Tally {
  failures: number
  /** Milliseconds since 1970. */
  since: number
  running: number
}

export class Guesses {
  readonly #now: () => number
  readonly #tallies = new LRUCache<string, Tally>({ max: 20_000 })

  /** `now`: milliseconds since 1970. */
  constructor(now: () => number) {
    this.#now = now
  }

  /**
   * Runs `ask` for a token from this address, which calls what it is given for a token that was a guess. Throws `busy`,
   * rule `attempts`, without running it for an address that has guessed too often. Callers without an address share one
   * count.
   */
  async judge<T>(from: string | undefined, ask: (count: () => void) => Promise<T>): Promise<T> {
    const tally = this.#tallyOf(networkOf(from ?? ''))
    if (tally.failures >= free) throw tooMany(Math.ceil(((tally.failures - free + 1) * forgiven) / 1000))
    if (tally.running >= atOnce) throw tooMany(1)
    tally.running++
    try {
      return await ask(() => {
        tally.failures++
      })
    } finally {
      tally.running--
    }
  }

  #tallyOf(network: string): Tally {
    const now = this.#now()
    const known = this.#tallies.get(network)
    if (known === undefined) {
      const made = { failures: 0, since: now, running: 0 }
      this.#tallies.set(network, made)
      return made
    }
    const passed = Math.floor((now - known.since) / forgiven)
    known.failures = Math.max(0, known.failures - passed)
    known.since = known.failures === 0 ? now : known.since + passed * forgiven
    return known
  }
}

function tooMany(wait: number): StorageError {
  return new StorageError('busy', 'too many tokens that are not accepted', {
    retryAfter: wait,
    reason: { rule: 'attempts', text: 'too many tokens from this address were refused by their issuer' },
  })
}
