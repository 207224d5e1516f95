/**
 * Tokens about which their issuer is asked (RFC 7662): those that are no JWTs, and signed ones of issuers that want it.
 *
 * An opaque token does not say whose it is. One that begins as the configuration says of some issuer is shown to that one
 * alone; others are shown to the few issuers that name no such beginning, one after the other, those that answer first.
 */

import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Finding } from '../../../backends/backend.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { JsonObject } from '../../json.ts'
import type { Trace, TrustedIssuer, VerifiedToken } from '../jwt.ts'
import type { IntrospectionOptions } from '../options.ts'
import { refuse } from '../refusal.ts'
import { joinClaims, readAnswer } from './answer.ts'
import { Endpoint, noToken } from './endpoint.ts'
import { Guesses } from './guesses.ts'

/** b64token (RFC 6750, section 2.1). */
const tokenGrammar = /^[A-Za-z0-9._~+/-]+=*$/
/** Application passwords, session tokens of S3 and cookies of tickets, where somebody takes one for a token: shown to nobody. */
const own = /^(?:pw-[\w-]{16}-[\w-]{32}$|(?:ps1|k1)\.[0-9a-z]{8,9}-[0-9a-f]{16}\.)/
/** Characters of an opaque token, where the configuration does not say. */
const usualLength = { least: 16, most: 4096 }
/** Milliseconds for which a token that no issuer knows is not shown to them again. */
const refusedFor = 30_000

interface Asked {
  readonly issuer: TrustedIssuer
  readonly endpoint: Endpoint
  readonly options: IntrospectionOptions
}

interface Answered {
  readonly asked: Asked
  readonly answer: JsonObject
  /** Milliseconds since 1970 until which this is believed. */
  readonly until: number
}

/** A verified token, with the end of what its issuer said when asked. */
export interface Introspected extends VerifiedToken {
  /** Milliseconds since 1970. */
  readonly until?: number
}

export interface IntrospectionSettings {
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Milliseconds for one answer. */
  readonly deadline?: number
}

export class Introspection {
  readonly #asked: readonly Asked[]
  readonly #now: () => number
  readonly #guesses: Guesses
  /** By the hash of the token, as is the other. */
  readonly #answers = new LRUCache<string, Answered>({
    max: 2_000,
    maxSize: 16 * 1024 * 1024,
    sizeCalculation: ({ answer }) => JSON.stringify(answer).length + 256,
  })
  readonly #refused = new LRUCache<string, { readonly error: StorageError; readonly until: number }>({ max: 20_000 })

  constructor(issuers: Iterable<TrustedIssuer>, settings: IntrospectionSettings) {
    this.#asked = [...issuers].flatMap((issuer) => {
      const options = issuer.options.introspection
      return options ? [{ issuer, options, endpoint: new Endpoint(issuer.options, options, settings) }] : []
    })
    this.#now = settings.now
    this.#guesses = new Guesses(settings.now)
  }

  /** Whether an issuer is to be asked about this token, which is none that could be verified here. */
  isFor(token: string): boolean {
    return this.#asked.length > 0 && !looksSigned(token)
  }

  /**
   * Throws `unauthenticated` for a token that no issuer calls active or that is not for us, `unavailable` when one of
   * them could not be asked and no other knew it, `busy` for addresses that guess.
   */
  async verify(token: string, from: string | undefined, trace: Trace): Promise<Introspected> {
    const candidates = tokenGrammar.test(token) && !own.test(token) ? this.#candidatesFor(token) : []
    if (candidates.length === 0)
      throw refuse('token-format', 'neither a signed JWT nor a token of an issuer that is asked')
    trace('form', 'no signed JWT: its issuer is asked')
    const ask = () => this.#guesses.judge(from, (count) => this.#answerOf(candidates, token, count))
    const { asked, answer, until } = await this.#remembered(token, ask)
    const { issuer, options } = asked
    trace('issuer', `issuer ${issuer.options.name} says that the token is active`)
    const now = this.#now()
    const vouched = readAnswer(answer, issuer.options, options, { now: now / 1000, until: until / 1000 })
    trace('claims', `kind, times and audience are right; valid until ${new Date(vouched.expires * 1000).toISOString()}`)
    return { ...vouched, issuer, until }
  }

  /** A signed token whose issuer is to be asked whether it is still good; others as they are. Throws as `verify` does. */
  async confirm(token: string, verified: VerifiedToken, trace: Trace): Promise<Introspected> {
    const asked = this.#asked.find(({ issuer, options }) => options.jwts && issuer === verified.issuer)
    if (asked === undefined) return verified
    // Nobody guesses signatures, so these count for no address.
    const { answer, until } = await this.#remembered(token, () => this.#answerOf([asked], token))
    const payload = joinClaims(verified.payload, answer)
    const { issuer } = verified
    const { boundTo } = readAnswer(payload, issuer.options, asked.options, {
      now: this.#now() / 1000,
      until: until / 1000,
    })
    trace('introspection', `issuer ${issuer.options.name} says that the token is active`)
    return { ...verified, payload, until, ...(boundTo !== undefined && { boundTo }) }
  }

  /** Asks each issuer about a token that is none, for `portolan check`. */
  async check(): Promise<readonly Finding[]> {
    return Promise.all(
      this.#asked.map(async ({ issuer, endpoint }): Promise<Finding> => {
        const said = (level: Finding['level'], text: string): Finding => {
          return { subject: 'introspection', level, text: `issuer ${issuer.options.name}: ${text}` }
        }
        try {
          const answer = await endpoint.ask(noToken)
          if (answer === undefined) return said('ok', 'answers when asked about tokens')
          return said('error', 'calls active what is no token')
        } catch (thrown) {
          const error = StorageError.from(thrown)
          if (error.code === 'unauthenticated') return said('ok', 'answers when asked about tokens')
          return said('error', StorageError.reasonOf(error)?.text ?? error.message)
        }
      }),
    )
  }

  /** Ends what is under way. */
  close(): void {
    for (const { endpoint } of this.#asked) endpoint.close()
  }

  #candidatesFor(token: string): readonly Asked[] {
    // The beginning alone says whose it is: a damaged one is shown to nobody else either.
    const prefixed = this.#asked.filter(({ options: { prefix } }) => prefix !== undefined && token.startsWith(prefix))
    const longest = Math.max(...prefixed.map(({ options }) => options.prefix?.length ?? 0))
    const possible =
      prefixed.length > 0
        ? prefixed.filter(({ options }) => options.prefix?.length === longest)
        : this.#asked.filter(({ options }) => options.prefix === undefined)
    const candidates = possible.filter(({ options: { length = usualLength } }) => {
      return token.length >= length.least && token.length <= length.most
    })
    // Whoever waits for an issuer that is down waits for it last.
    return candidates.toSorted((a, b) => Number(a.endpoint.paused) - Number(b.endpoint.paused))
  }

  async #remembered(token: string, ask: () => Promise<Answered>): Promise<Answered> {
    const key = hash('sha256', token, 'base64')
    const now = this.#now()
    const known = this.#answers.get(key)
    if (known !== undefined && now < known.until) return known
    const refused = this.#refused.get(key)
    if (refused !== undefined && now < refused.until) throw refused.error
    try {
      return await ask()
    } catch (thrown) {
      const error = StorageError.from(thrown)
      if (error.code === 'unauthenticated') this.#refused.set(key, { error, until: now + refusedFor })
      throw error
    }
  }

  /** The first that knows it. An issuer that cannot be asked may be the one, so without an answer it is not refused. */
  async #answerOf(candidates: readonly Asked[], token: string, count: () => void = () => {}): Promise<Answered> {
    let failure: StorageError | undefined
    let refusal: StorageError | undefined
    for (const asked of candidates) {
      try {
        const answer = await asked.endpoint.ask(token)
        if (answer !== undefined) return this.#keep(token, asked, answer)
        refusal ??= refuse('token-inactive', 'no issuer that was asked calls the token active')
      } catch (thrown) {
        const error = StorageError.from(thrown)
        if (error.code === 'unauthenticated') refusal ??= error
        else failure ??= error
      }
    }
    // Also where another could not be asked: nobody is to try his luck with those that can while one is down.
    if (refusal !== undefined) count()
    throw failure ?? refusal ?? refuse('token-inactive', 'no issuer was asked')
  }

  #keep(token: string, asked: Asked, answer: JsonObject): Answered {
    const answered = { asked, answer, until: this.#now() + asked.options.remember * 1000 }
    this.#answers.set(hash('sha256', token, 'base64'), answered)
    return answered
  }
}

/** Three or five parts of which the first is an object: a JWT, good or bad (RFC 7519, section 7.2), and no issuer's secret. */
function looksSigned(token: string): boolean {
  const parts = token.split('.')
  if (parts.length !== 3 && parts.length !== 5) return false
  return Buffer.from(parts[0] ?? '', 'base64url')
    .toString()
    .trimStart()
    .startsWith('{')
}
