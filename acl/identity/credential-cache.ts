/**
 * What is known of credentials seen before. Bounded in entries and bytes, and looked up for every call.
 *
 * Good tokens are found by their own text and not by a hash of it: computing one costs more than the
 * rest of the look-up. Nothing is given away by it. Their text is in memory anyway, for back ends that
 * forward it; and a Map compares texts only after its own hash of them, seeded at random by the process,
 * was equal, so that the time of a miss tells nothing of any token. Refused tokens, which may be anyone's
 * rubbish, are kept as SHA-256, and passwords as HMAC-SHA-256 with a key that lives as long as the cache.
 */

import { createHmac, hash, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { type ErrorCode, type Reason, StorageError } from '../../gateway/core/errors.ts'
import type { Principal } from '../principal.ts'
import type { Secret } from '../secret.ts'
import { cacheLifetime, negativeLifetime } from './limits.ts'
import type { Holder } from './options.ts'

export interface Known {
  readonly principal: Principal
  readonly holder: Holder
  /** Milliseconds since 1970 until which this may be believed; never after the credential's own end. */
  readonly until: number
  /** The certificate that must come with the credential; see `requireBinding`. */
  readonly boundTo?: string
  /** Milliseconds since 1970 until which its issuer's word is believed, where it was asked. */
  readonly vouchedUntil?: number
}

interface Refused {
  readonly code: ErrorCode
  readonly message: string
  readonly reason: Reason | undefined
  readonly until: number
}

/** Refusals that a later moment may undo without the token changing. */
const passing: ReadonlySet<string> = new Set(['token-key', 'token-not-yet-valid', 'link'])

export class CredentialCache {
  readonly #tokens = new LRUCache<string, Known>({
    max: 20_000,
    maxSize: 64 * 1024 * 1024,
    sizeCalculation: (_known, token) => token.length + 1024,
  })
  /** Apart from tokens, whose text is whatever somebody sends: a thumbprint is no secret. */
  readonly #certificates = new LRUCache<string, Known>({ max: 10_000 })
  readonly #passwords = new LRUCache<string, Known>({ max: 10_000 })
  readonly #refused = new LRUCache<string, Refused>({ max: 5_000 })
  readonly #key = randomBytes(32)

  token(token: string, now: number): Known | undefined {
    const known = this.#tokens.get(token)
    return known !== undefined && now < known.until ? known : undefined
  }

  keepToken(token: string, known: Omit<Known, 'until'>, now: number): Known {
    const end = untilWhen(known.principal, now)
    const kept = { ...known, until: Math.min(end, known.vouchedUntil ?? end) }
    this.#tokens.set(token, kept)
    return kept
  }

  certificate(thumbprint: string, now: number): Known | undefined {
    const known = this.#certificates.get(thumbprint)
    return known !== undefined && now < known.until ? known : undefined
  }

  keepCertificate(thumbprint: string, known: Omit<Known, 'until'>, now: number): Known {
    const kept = { ...known, until: untilWhen(known.principal, now) }
    this.#certificates.set(thumbprint, kept)
    return kept
  }

  /** Throws again what was thrown for this token a moment ago. */
  checkRefused(token: string, now: number): void {
    const refused = this.#refused.get(hash('sha256', token, 'base64'))
    if (refused === undefined || now >= refused.until) return
    throw new StorageError(refused.code, refused.message, { ...(refused.reason && { reason: refused.reason }) })
  }

  keepRefusal(token: string, error: StorageError, now: number): void {
    const reason = StorageError.reasonOf(error)
    if (error.code !== 'unauthenticated' || reason === undefined || passing.has(reason.rule)) return
    const until = now + negativeLifetime * 1000
    this.#refused.set(hash('sha256', token, 'base64'), { code: error.code, message: error.message, reason, until })
  }

  /** The key under which a password is kept; it tells nothing of the password. */
  passwordKey(user: string, password: Secret): string {
    return createHmac('sha256', this.#key).update(`${user.length}:${user}${password.reveal()}`).digest('base64')
  }

  password(key: string, now: number): Known | undefined {
    const known = this.#passwords.get(key)
    return known !== undefined && now < known.until ? known : undefined
  }

  /** Whether it was right a while ago, though it may not be believed any more. */
  wasRight(key: string): boolean {
    return this.#passwords.has(key)
  }

  /** It is not right any more. */
  forgetPassword(key: string): void {
    this.#passwords.delete(key)
  }

  /** `lifetime` in seconds: nobody tells when a password is changed. */
  keepPassword(key: string, known: Omit<Known, 'until'>, now: number, lifetime: number): Known {
    const kept = { ...known, until: Math.min(untilWhen(known.principal, now), now + lifetime * 1000) }
    this.#passwords.set(key, kept)
    return kept
  }
}

function untilWhen({ expires, linkEnds }: Principal, now: number): number {
  const never = Number.POSITIVE_INFINITY
  return Math.min(now + cacheLifetime * 1000, expires === undefined ? never : expires * 1000, linkEnds ?? never)
}
