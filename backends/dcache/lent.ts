/** Credentials that somebody else hands out: asked for once for all who wait, kept while they are good. */

import { createHmac, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { StorageError } from '../../gateway/core/errors.ts'
import { abortOf } from './errors.ts'

/** Something that is good until a time. */
export interface Lent {
  /** Milliseconds since 1970. Past it, another one is asked for. */
  readonly until: number
}

/** A refusal is remembered for so many milliseconds, so that a caller who insists does not become a burden to others. */
const refusalKept = 5000
/** Milliseconds for asking once, however many wait for the answer. */
const askingDeadline = 15_000

export class LentCache<T extends Lent> {
  readonly #kept: LRUCache<string, T>
  readonly #refused: LRUCache<string, StorageError>
  readonly #asking = new Map<string, Promise<T>>()
  readonly #closing = new AbortController()

  constructor(max: number) {
    this.#kept = new LRUCache({ max })
    this.#refused = new LRUCache({ max, ttl: refusalKept })
  }

  /**
   * The one that is kept, or what `ask` gives. One question a key at a time: `ask` runs for all who wait, so its
   * signal is not that of a caller. `signal` ends the waiting of one.
   */
  async get(key: string, signal: AbortSignal, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (signal.aborted) throw abortOf(signal)
    const kept = this.#kept.get(key)
    if (kept && kept.until > Date.now()) return kept
    const refusal = this.#refused.get(key)
    if (refusal) throw refusal
    let asking = this.#asking.get(key)
    if (!asking) {
      asking = this.#ask(key, ask)
      this.#asking.set(key, asking)
    }
    return await whileWanted(asking, signal)
  }

  /** Forgets one that turned out to be no good. */
  drop(key: string): void {
    this.#kept.delete(key)
  }

  /** Questions on their way fail. */
  close(): void {
    this.#closing.abort(new StorageError('unavailable', 'the back end is closed'))
    this.#kept.clear()
    this.#refused.clear()
  }

  async #ask(key: string, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(askingDeadline)])
      const fresh = await ask(signal)
      if (!this.#closing.signal.aborted) this.#kept.set(key, fresh)
      return fresh
    } catch (thrown) {
      const error = StorageError.from(thrown)
      if (error.code === 'denied') this.#refused.set(key, error)
      throw error
    } finally {
      this.#asking.delete(key)
    }
  }
}

/** What a promise gives, for somebody whose `signal` ends the waiting and nothing else. */
export function whileWanted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(abortOf(signal))
    signal.addEventListener('abort', leave, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave))
  })
}

const fingerprintKey = randomBytes(32)

/** Stands for a secret in keys of caches: nobody can tell the secret from it, in this process or another. */
export function fingerprint(secret: string): string {
  return createHmac('sha256', fingerprintKey).update(secret).digest('base64url')
}
