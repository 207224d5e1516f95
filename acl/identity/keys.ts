/**
 * The verification keys of one issuer: kept, fetched anew, dropped (WLCG profile, section 4.3.1).
 *
 * Keys are fetched again halfway to `refresh` while calls go on, and at `refresh` before a call goes
 * on. A key that the issuer no longer lists is gone after that. An issuer that cannot be reached is
 * believed for two days.
 */

import type { Finding } from '../../backends/backend.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { unavailable } from './fetch.ts'
import type { KeySet, PublicKey } from './jwk.ts'
import { keySource, type Load } from './key-source.ts'
import * as limits from './limits.ts'
import type { Algorithm, IssuerOptions } from './options.ts'
import { quoted, refuse } from './refusal.ts'

export interface KeysSettings {
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Milliseconds that one fetch may take. */
  readonly deadline?: number
}

export class Keys {
  readonly #issuer: IssuerOptions
  readonly #settings: KeysSettings
  readonly #load: Load
  /** Seconds. */
  readonly #refresh: number
  readonly #early: number
  readonly #unknownRetry: number
  readonly #closing = new AbortController()
  #set: KeySet | undefined
  #loadedAt = Number.NEGATIVE_INFINITY
  #triedAt = Number.NEGATIVE_INFINITY
  #unknownAt = Number.NEGATIVE_INFINITY
  #failure: StorageError | undefined
  #skew: number | undefined
  #loading: Promise<void> | undefined

  constructor(issuer: IssuerOptions, settings: KeysSettings) {
    this.#issuer = issuer
    this.#settings = settings
    this.#load = keySource(issuer)
    const isFile = 'jwksFile' in issuer.keys
    this.#refresh = isFile ? limits.keyFileRefresh : limits.keyRefresh
    this.#early = isFile ? this.#refresh : this.#refresh / 2
    this.#unknownRetry = isFile ? limits.keyFileRefresh : limits.keyRetry
  }

  /**
   * The key of this id for this algorithm. Throws `unauthenticated` (token-key) when there is none or
   * it does not fit, and `unavailable` when no keys can be had at all.
   */
  async find(kid: string, algorithm: Algorithm): Promise<CryptoKey> {
    const triedBefore = this.#triedAt
    await this.#freshen()
    let named = this.#set?.keys.get(kid)
    if (named === undefined && this.#mayLookAgain(triedBefore)) {
      await this.#reload()
      named = this.#set?.keys.get(kid)
    }
    if (named === undefined) throw refuse('token-key', `kid ${quoted(kid)} is no key of issuer ${this.#issuer.name}`)
    return importFitting(named, algorithm)
  }

  /** Fetches now, for `portolan check`. */
  async check(): Promise<readonly Finding[]> {
    await this.#reload()
    const name = this.#issuer.name
    if (this.#failure !== undefined) {
      const why = StorageError.reasonOf(this.#failure)?.text ?? this.#failure.message
      return [{ subject: 'issuer-keys', level: 'error', text: `issuer ${name}: ${why}` }]
    }
    const findings: Finding[] = []
    const ids = [...(this.#set?.keys.keys() ?? [])]
    const level = ids.length === 0 ? 'error' : 'ok'
    findings.push({ subject: 'issuer-keys', level, text: `issuer ${name}: ${ids.length} usable keys` })
    for (const text of this.#set?.refused ?? []) {
      findings.push({ subject: 'issuer-keys', level: 'warning', text: `issuer ${name}: ${text}` })
    }
    if (this.#skew !== undefined && Math.abs(this.#skew) > 30_000) {
      const seconds = Math.round(this.#skew / 1000)
      findings.push({ subject: 'clock', level: 'warning', text: `issuer ${name}: our clocks differ by ${seconds} s` })
    }
    return findings
  }

  /** Ends a fetch that is under way; later calls fail. */
  close(): void {
    this.#closing.abort()
  }

  async #freshen(): Promise<void> {
    const age = this.#since(this.#loadedAt)
    if (age >= limits.keyKeep) this.#set = undefined
    if (this.#set === undefined) {
      if (this.#loading !== undefined || this.#since(this.#triedAt) >= limits.keyFirstRetry) await this.#reload()
      if (this.#set === undefined) throw this.#failure ?? unavailable('there are no keys yet')
      return
    }
    if (age < this.#early) return
    const pause = this.#failure === undefined ? 0 : limits.keyRetry
    if (this.#loading === undefined && this.#since(this.#triedAt) < pause) return
    const done = this.#reload()
    // With an issuer known to be down nobody waits for the next try; #reload never rejects.
    if (age >= this.#refresh && this.#failure === undefined) await done
  }

  /** For an unknown kid: yes while a load is under way; else once in a while, but not right after this call's own load. */
  #mayLookAgain(triedBefore: number): boolean {
    if (this.#loading !== undefined) return true
    if (this.#triedAt !== triedBefore || this.#since(this.#unknownAt) < this.#unknownRetry) return false
    this.#unknownAt = this.#now()
    return true
  }

  /** One load at a time; failures are kept, not thrown, since old keys may still do. */
  #reload(): Promise<void> {
    this.#loading ??= this.#loadOnce().finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #loadOnce(): Promise<void> {
    this.#triedAt = this.#now()
    const deadline = this.#settings.deadline ?? limits.fetchDeadline * 1000
    try {
      const loaded = await this.#load(AbortSignal.any([this.#closing.signal, AbortSignal.timeout(deadline)]))
      this.#set = loaded.set
      this.#skew = loaded.date === undefined ? undefined : this.#settings.now() - loaded.date
      this.#loadedAt = this.#now()
      this.#failure = undefined
    } catch (error) {
      this.#failure = StorageError.from(error)
    }
  }

  #now(): number {
    return this.#settings.now() / 1000
  }

  #since(time: number): number {
    return this.#now() - time
  }
}

async function importFitting(named: readonly PublicKey[], algorithm: Algorithm): Promise<CryptoKey> {
  const [key, ...others] = named.filter((candidate) => candidate.fits(algorithm))
  if (key === undefined) throw refuse('token-key', `the key of this kid is not for ${algorithm}`)
  if (others.length > 0) throw refuse('token-key', 'the issuer lists several keys of this kid')
  try {
    return await key.import(algorithm)
  } catch (error) {
    throw refuse('token-key', 'the key of this kid is malformed', error)
  }
}
