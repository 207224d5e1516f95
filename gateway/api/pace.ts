/** How fast one caller, and one address, may ask questions that cost more than they tell. */

import { LRUCache } from 'lru-cache'
import { networkOf } from '../../acl/networks.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'

/** An address may stand for many callers: a batch farm behind one router. */
const callersOfAddress = 8
/** Callers and addresses that are remembered; whoever was forgotten begins anew. */
const most = 50_000

interface Purse {
  /** What may be spent at once now. */
  left: number
  /** On the clock of `now`. */
  at: number
}

export interface Pace {
  /** Questions in a minute, and at once. */
  readonly perMinute: number
  /** Milliseconds. */
  readonly now?: () => number
}

/** Counts in this process. */
export class Pacing {
  readonly #perMinute: number
  readonly #now: () => number
  readonly #purses = new LRUCache<string, Purse>({ max: most })

  constructor({ perMinute, now = () => performance.now() }: Pace) {
    this.#perMinute = perMinute
    this.#now = now
  }

  /** Before anything is looked up. Throws `busy` as 429 (RFC 6585, section 4) with the time to wait. `cost` in questions. */
  spendAddress({ from }: Exchange, cost = 1): void {
    this.#spend(`address ${networkOf(from)}`, cost, this.#perMinute * callersOfAddress)
  }

  /** Once the caller is known; for those without a credential their address is all there is to count. */
  spendCaller({ principal: { id, user, counted = id } }: Exchange, cost = 1): void {
    if (user !== undefined) this.#spend(`caller ${counted}`, cost, this.#perMinute)
  }

  #spend(name: string, cost: number, perMinute: number): void {
    const now = this.#now()
    const purse = this.#purses.get(name) ?? { left: perMinute, at: now }
    const rate = perMinute / 60_000
    purse.left = Math.min(perMinute, purse.left + (now - purse.at) * rate)
    purse.at = now
    this.#purses.set(name, purse)
    // What costs more than a minute's worth is let through when nothing else was asked.
    const needed = Math.min(cost, perMinute)
    if (purse.left >= needed) {
      purse.left -= needed
      return
    }
    const retryAfter = Math.ceil((needed - purse.left) / rate / 1000)
    const reason = { rule: 'rate', text: 'too many questions in a minute' }
    throw new HttpError(429, 'busy', 'too many questions; wait a little', { retryAfter, reason })
  }
}
