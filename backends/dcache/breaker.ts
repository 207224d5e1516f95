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

/**
 * Closed: everybody goes through. Open: nobody does, `enter` throws `unavailable` with the time until the next try.
 * After that one caller goes through as a probe: its success closes the breaker, its failure opens it again.
 */
export class Breaker {
  readonly #limit: number
  readonly #pause: number
  readonly #now: () => number
  #failures = 0
  #opened = 0
  #until = 0
  #probing = false

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
    if (this.#until === 0) return (outcome) => this.#note(outcome)
    const left = this.#until - this.#now()
    if (left > 0 || this.#probing) {
      throw unavailable('the storage does not answer', { retryAfter: Math.max(1, Math.ceil(left / 1000)) })
    }
    this.#probing = true
    return (outcome) => {
      this.#probing = false
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
