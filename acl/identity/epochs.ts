/**
 * The keys that macaroons are made with: one for each epoch, sealed in the state store. A rotation begins a new epoch;
 * what was made in earlier ones stays good until its own end, unless they are ended at once.
 */

import { createHmac, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { StorageError } from '../../gateway/core/errors.ts'
import { Secret } from '../secret.ts'

/** Where the keys lie; `SecretStore` of the state store. */
export interface EpochSecrets {
  names(): Promise<readonly string[]>
  get(name: string): Promise<Secret | undefined>
  set(name: string, value: Secret): Promise<void>
  remove(name: string): Promise<void>
}

/** The keys of one epoch. Never printed: they are functions of a Secret, made when they are needed. */
export interface Epoch {
  readonly id: string
  /** A key for this one purpose. */
  key(purpose: string): Uint8Array
}

const prefix = 'macaroon-epoch:'
/** Milliseconds since 1970 in base 36, then chance. */
const grammar = /^[0-9a-z]{8,9}-[0-9a-f]{16}$/
/** Milliseconds for which the current epoch is not looked up again. */
const currentFor = 1000

export class Epochs {
  readonly #secrets: EpochSecrets
  readonly #now: () => number
  readonly #known = new LRUCache<string, Epoch>({ max: 100 })
  #current: { readonly epoch: Promise<Epoch>; readonly until: number } | undefined

  constructor(secrets: EpochSecrets, now: () => number) {
    this.#secrets = secrets
    this.#now = now
  }

  /** The epoch in which macaroons are made now: the newest; the first one is begun here. */
  current(): Promise<Epoch> {
    const now = this.#now()
    if (this.#current && now < this.#current.until) return this.#current.epoch
    const epoch = this.#newest()
    this.#current = { epoch, until: now + currentFor }
    epoch.catch(() => {
      this.#current = undefined
    })
    return epoch
  }

  /** The epoch of that name, if its key is still there. */
  async find(id: string): Promise<Epoch | undefined> {
    if (!grammar.test(id)) return undefined
    const known = this.#known.get(id)
    if (known) return known
    const secret = await this.#secrets.get(prefix + id)
    if (secret === undefined) return undefined
    const epoch = { id, key: (purpose: string) => createHmac('sha256', bytesOf(secret)).update(purpose).digest() }
    this.#known.set(id, epoch)
    return epoch
  }

  /**
   * Begins a new epoch and takes away the keys of those that ended more than `keep` ms ago: nothing made in them is
   * good any more. `ending` is told their names before, so that what must be known of them cannot be lost. Gives the new one.
   */
  async rotate(keep: number, ending: (ids: readonly string[]) => Promise<void> = async () => {}): Promise<string> {
    const before = await this.#ids()
    const last = before.at(-1)
    const { id: begun } = await this.#begin(last === undefined ? 0 : timeOf(last) + 1)
    const now = Math.max(this.#now(), timeOf(begun))
    // An epoch ends when the next one begins.
    const ended = before.filter((_id, index) => timeOf(before[index + 1] ?? begun) + keep <= now)
    await ending(ended)
    for (const id of ended) {
      await this.#secrets.remove(prefix + id)
      this.#known.delete(id)
    }
    this.#current = undefined
    return begun
  }

  async #newest(): Promise<Epoch> {
    const id = (await this.#ids()).at(-1)
    const epoch = id === undefined ? undefined : await this.find(id)
    return epoch ?? this.#begin(0)
  }

  /** `least`: a clock that was set back must not make the new epoch an earlier one. */
  async #begin(least: number): Promise<Epoch> {
    const id = `${Math.max(this.#now(), least).toString(36)}-${randomBytes(8).toString('hex')}`
    await this.#secrets.set(prefix + id, new Secret(randomBytes(32).toString('base64')))
    const epoch = await this.find(id)
    if (!epoch) throw new StorageError('internal', 'a key that was just kept is gone')
    return epoch
  }

  /** In the order in which they began. */
  async #ids(): Promise<string[]> {
    const names = await this.#secrets.names()
    const ids = names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length))
    return ids.filter((id) => grammar.test(id)).toSorted((a, b) => timeOf(a) - timeOf(b) || (a < b ? -1 : 1))
  }
}

function timeOf(id: string): number {
  return Number.parseInt(id.slice(0, id.indexOf('-')), 36)
}

function bytesOf(secret: Secret): Buffer {
  return Buffer.from(secret.reveal(), 'base64')
}
