/** What a directory has told: believed for a while, shared while it is being asked, and kept for when it is down. */

import { LRUCache } from 'lru-cache'
import { StorageError } from '../../../gateway/core/errors.ts'

/** Times in milliseconds. */
export interface CacheSettings<T> {
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly found: number
  readonly missing: number
  readonly stale: number
  /** Throws StorageError when the directory cannot tell. */
  readonly load: (name: string) => Promise<T>
  /** Whether this says that somebody is there and may come in. */
  readonly isGood: (value: T) => boolean
  /** Whether this may be told while nobody can be asked. */
  readonly survives: (value: T) => boolean
  /** What it takes in memory, in names. */
  readonly weigh: (value: T) => number
  /** Milliseconds since 1970 from which on this is certainly no longer so; Infinity where nobody knows. */
  readonly endOf: (value: T) => number
  /** True while it makes no sense to ask. */
  readonly isDown: () => boolean
}

interface Known<T> {
  readonly value: T
  readonly until: number
  /** It may still be used until then while the directory does not answer. */
  readonly usableUntil: number
}

const maxNames = 20_000
const maxWeight = 2_000_000
const maxBadNames = 10_000
/**
 * A directory that only has too much to do is not down: whoever keeps it busy must not stay somebody for as long as
 * in an outage.
 */
const crowded = 60_000

export class DirectoryCache<T> {
  readonly #settings: CacheSettings<T>
  readonly #good: LRUCache<string, Known<T>>
  /** Apart, so that asking for names that are nobody's drives out nobody who is known. */
  readonly #bad = new LRUCache<string, Known<T>>({ max: maxBadNames })
  readonly #running = new Map<string, Promise<T>>()

  constructor(settings: CacheSettings<T>) {
    this.#settings = settings
    const sizeCalculation = ({ value }: Known<T>) => 1 + settings.weigh(value)
    this.#good = new LRUCache<string, Known<T>>({ max: maxNames, maxSize: maxWeight, sizeCalculation })
  }

  /** Throws StorageError when the directory cannot be asked and this name was not known. */
  async get(name: string): Promise<T> {
    const known = this.#good.get(name) ?? this.#bad.get(name)
    const now = this.#settings.now()
    const { survives, isDown } = this.#settings
    if (known !== undefined && now < known.until) {
      // While nobody can be asked, a no is for everybody the same, or it would tell which names somebody asked for before.
      if (survives(known.value) || !isDown()) return known.value
    } else if (known !== undefined && this.#isUsable(known) && isDown()) return known.value
    const running = this.#running.get(name)
    if (running !== undefined) return running
    const started = this.#load(name, known)
    this.#running.set(name, started)
    return started
  }

  #isUsable(known: Known<T>): boolean {
    return this.#settings.survives(known.value) && this.#settings.now() < known.usableUntil
  }

  /** Whether what was known holds although asking failed. */
  #outlives(known: Known<T>, error: unknown): boolean {
    if (!this.#isUsable(known)) return false
    const { now, isDown } = this.#settings
    const { code } = StorageError.from(error)
    return code === 'unavailable' || (code === 'busy' && (now() < known.until + crowded || isDown()))
  }

  async #load(name: string, known: Known<T> | undefined): Promise<T> {
    try {
      const value = await this.#settings.load(name)
      const { now, found, missing, stale, isGood, endOf } = this.#settings
      const [kept, other, lifetime] = isGood(value) ? [this.#good, this.#bad, found] : [this.#bad, this.#good, missing]
      const end = endOf(value)
      kept.set(name, { value, until: Math.min(now() + lifetime, end), usableUntil: Math.min(now() + stale, end) })
      other.delete(name)
      return value
    } catch (error) {
      if (known !== undefined && this.#outlives(known, error)) return known.value
      throw error
    } finally {
      this.#running.delete(name)
    }
  }
}
