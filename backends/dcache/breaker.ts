/** A breaker: after failures in a row a door is left alone for a while, so that its callers do not wait in vain. */

import { unavailable } from './errors.ts'

export interface BreakerOptions {
  /** Failures in a row after which it opens; default 5. */
  readonly failures?: number
  /** Milliseconds that it first stays open, doubled at each failed probe up to eight times that; default 5,000. */
  readonly pause?: number
  /** Milliseconds. */
  readonly now?: () => number
}

/** Milliseconds. */
const probePatience = 30_000

/**
 * Closed: everybody goes through. Open: nobody does, `enter` throws `unavailable` with the time until the next try.
 * After that one caller goes through as a probe: its success closes the breaker, its failure opens it again. Some
 * requests take hours, such as for a file on tape; so after a while without news another one is let through.
 */
export class Breaker {
  readonly #limit: number
  readonly #pause: number
  readonly #now: () => number
  #failures = 0
  #opened = 0
  #until = 0
  /** From here on somebody else may try, though the last probe has not come back. */
  #probeEnds = 0

  constructor({ failures = 5, pause = 5000, now = () => performance.now() }: BreakerOptions = {}) {
    this.#limit = failures
    this.#pause = pause
    this.#now = now
  }

  get isOpen(): boolean {
    return this.#until !== 0
  }

  /** Every caller let in says how it ended: once, by what this returns. */
  enter(): (outcome: 'answered' | 'failed' | 'gave up') => void {
    if (this.#until === 0) {
      // The first failures have opened it: those that were on their way with them tell nothing new.
      return (outcome) => {
        if (outcome !== 'failed' || this.#until === 0) this.#note(outcome)
      }
    }
    const now = this.#now()
    const left = Math.max(this.#until, this.#probeEnds) - now
    if (left > 0) {
      throw unavailable('the storage does not answer', { retryAfter: Math.max(1, Math.ceil(left / 1000)) })
    }
    const ends = now + probePatience
    this.#probeEnds = ends
    return (outcome) => {
      // Another one may have taken its place.
      if (this.#probeEnds === ends) this.#probeEnds = 0
      this.#note(outcome)
    }
  }

  #note(outcome: 'answered' | 'failed' | 'gave up'): void {
    if (outcome === 'gave up') return
    if (outcome === 'answered') {
      this.#failures = this.#opened = this.#until = 0
      return
    }
    this.#failures++
    if (this.#failures < this.#limit) return
    this.#until = this.#now() + this.#pause * 2 ** Math.min(3, this.#opened)
    this.#opened++
  }
}
