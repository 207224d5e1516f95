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
  /** What it takes in memory, in names. */
  readonly weigh: (value: T) => number
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
/** The directory could not be asked, or not by so many at once. */
const silences: ReadonlySet<string> = new Set(['unavailable', 'busy'])

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
    if (known !== undefined && now < known.until) return known.value
    if (known !== undefined && this.#isUsable(known) && this.#settings.isDown()) return known.value
    const running = this.#running.get(name)
    if (running !== undefined) return running
    const started = this.#load(name, known)
    this.#running.set(name, started)
    return started
  }

  #isUsable(known: Known<T>): boolean {
    return this.#settings.isGood(known.value) && this.#settings.now() < known.usableUntil
  }

  async #load(name: string, known: Known<T> | undefined): Promise<T> {
    try {
      const value = await this.#settings.load(name)
      const { now, found, missing, stale, isGood } = this.#settings
      const [kept, other, lifetime] = isGood(value) ? [this.#good, this.#bad, found] : [this.#bad, this.#good, missing]
      kept.set(name, { value, until: now() + lifetime, usableUntil: now() + stale })
      other.delete(name)
      return value
    } catch (error) {
      if (known !== undefined && this.#isUsable(known) && silences.has(StorageError.from(error).code)) {
        return known.value
      }
      throw error
    } finally {
      this.#running.delete(name)
    }
  }
}
