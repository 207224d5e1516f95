/**
 * One issuer's word on tokens: its introspection endpoint (RFC 7662) and, if asked for, its UserInfo endpoint (OpenID
 * Connect Core 1.0, section 5.3).
 *
 * Spoken to over TLS at origins of the configuration, with our own client credentials, bounded in time, size and number,
 * and without following a redirect. An issuer that fails is left alone for a while, so that it holds up nobody; but not
 * one that stumbles over a certain token, which anybody might send.
 */

import { StorageError } from '../../../gateway/core/errors.ts'
import { type JsonObject, member, parseObject } from '../../json.ts'
import type { Secret } from '../../secret.ts'
import { createGate, type Gate } from '../gate.ts'
import { discover } from '../key-source.ts'
import { fetchDeadline } from '../limits.ts'
import { fetchFrom, mayReach } from '../login-fetch.ts'
import type { IntrospectionOptions, IssuerOptions } from '../options.ts'
import { refuse } from '../refusal.ts'
import { withMore } from './answer.ts'

/** Seconds for which the metadata of an issuer is believed. */
const metadataLifetime = 3600
/** What no issuer knows, asked about to see how one answers. */
export const noToken = 'portolan-check-is-no-token'
/** The cause of failures that the issuer has answered with, and that may be those of one token. */
const stumbling = new Error('the answer is none')
/** Seconds that an issuer which failed is left alone: doubled with every further failure. */
const firstPause = 2
const longestPause = 60

interface Endpoints {
  readonly introspection: string
  readonly userInfo: string | undefined
}

export interface EndpointSettings {
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Milliseconds for one answer, all of it. */
  readonly deadline?: number
}

export class Endpoint {
  readonly issuer: IssuerOptions
  readonly #options: IntrospectionOptions
  readonly #now: () => number
  readonly #deadline: number
  /** Bounds what guesses of others can cost the issuer, whatever comes from how many addresses. */
  readonly #gate: Gate = createGate({ running: 16, waiting: 512 })
  readonly #closing = new AbortController()
  #endpoints: { readonly found: Promise<Endpoints>; readonly until: number } | undefined
  #failures = 0
  #failure: StorageError | undefined
  #pausedUntil = Number.NEGATIVE_INFINITY

  constructor(issuer: IssuerOptions, options: IntrospectionOptions, { now, deadline }: EndpointSettings) {
    this.issuer = issuer
    this.#options = options
    this.#now = now
    this.#deadline = deadline ?? fetchDeadline * 1000
  }

  /** It has failed, and whoever asks now is told so at once. */
  get paused(): boolean {
    return this.#now() < this.#pausedUntil
  }

  /**
   * What the issuer says of an active token, claims of its UserInfo endpoint included; undefined for one that is not.
   * Throws `unavailable` when it cannot tell, `busy` when too many ask, `unauthenticated` when it tells no claims.
   */
  ask(token: string): Promise<JsonObject | undefined> {
    return this.#gate(async () => {
      this.#requireUp()
      try {
        const answer = await this.#askOnce(token)
        this.#resume()
        return answer
      } catch (thrown) {
        const error = StorageError.from(thrown)
        if (error.code !== 'unavailable') this.#resume()
        else if (error.cause !== stumbling || !(await this.#answersOthers())) this.#pause(error)
        throw error
      }
    })
  }

  /** Ends what is under way. */
  close(): void {
    this.#closing.abort()
  }

  #requireUp(): void {
    if (this.#failure === undefined) return
    if (this.paused) throw this.#failure
    // One asks whether it is back; the others do not wait for that.
    this.#pausedUntil = this.#now() + this.#deadline
  }

  async #answersOthers(): Promise<boolean> {
    try {
      await this.#askOnce(noToken)
      return true
    } catch (thrown) {
      return StorageError.from(thrown).code !== 'unavailable'
    }
  }

  #resume(): void {
    this.#failures = 0
    this.#failure = undefined
    this.#pausedUntil = Number.NEGATIVE_INFINITY
  }

  #pause(failure: StorageError): void {
    this.#failure = failure
    const seconds = Math.min(longestPause, firstPause * 2 ** Math.min(10, this.#failures))
    this.#failures++
    this.#pausedUntil = this.#now() + seconds * 1000
  }

  async #askOnce(token: string): Promise<JsonObject | undefined> {
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(this.#deadline)])
    const { introspection, userInfo } = await this.#find()
    const answer = await this.#introspect(introspection, token, signal)
    const active = member(answer, 'active')
    if (typeof active !== 'boolean') {
      throw unavailable('its answer does not say whether the token is active', stumbling)
    }
    if (!active) return undefined
    if (userInfo === undefined) return answer
    return withMore(answer, about(await this.#tell(userInfo, token, signal), answer))
  }

  /** The endpoints; metadata are read once for all who wait, and again when they were not to be had. */
  #find(): Promise<Endpoints> {
    const known = this.#endpoints
    if (known !== undefined && this.#now() < known.until) return known.found
    const found = this.#learn()
    this.#endpoints = { found, until: this.#now() + metadataLifetime * 1000 }
    found.catch(() => {
      this.#endpoints = undefined
    })
    return found
  }

  async #learn(): Promise<Endpoints> {
    const { endpoint, userInfo } = this.#options
    if (endpoint !== undefined && !userInfo) return { introspection: endpoint, userInfo: undefined }
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(this.#deadline)])
    const metadata = await discover(this.issuer, signal).catch((error: unknown) => {
      throw unavailable(StorageError.reasonOf(StorageError.from(error))?.text ?? 'its metadata cannot be read', error)
    })
    return {
      introspection: endpoint ?? this.#named(metadata, 'introspection_endpoint'),
      userInfo: userInfo ? this.#named(metadata, 'userinfo_endpoint') : undefined,
    }
  }

  #named(metadata: JsonObject, name: string): string {
    const address = member(metadata, name)
    if (typeof address !== 'string' || !mayReach(address, this.issuer, this.#options.origins)) {
      throw unavailable(`${name} of its metadata is not at an origin of the configuration`)
    }
    return address
  }

  /** RFC 7662, section 2.1. */
  async #introspect(address: string, token: string, signal: AbortSignal): Promise<JsonObject> {
    const { clientId, clientSecret, authentication } = this.#options
    const form = new URLSearchParams({ token, token_type_hint: 'access_token' })
    const headers: Record<string, string> = {
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded',
    }
    if (authentication === 'basic') headers.authorization = basic(clientId, clientSecret)
    else {
      form.set('client_id', clientId)
      form.set('client_secret', clientSecret.reveal())
    }
    const request = { method: 'POST', headers, body: form.toString(), redirect: 'manual', signal } as const
    const response = await this.#fetch(address, request)
    const { status } = response
    // Sections 2.2 and 2.3: a token that is bad or unknown is answered with 200; 400 is about the request, so about what the token is.
    if (status === 400) throw refuse('token-inactive', 'its issuer does not understand this token')
    if (status === 401 || status === 403) throw unavailable(`it does not accept our client credentials (${status})`)
    if (status !== 200) throw unavailable(`its introspection endpoint answers with status ${status}`, stumbling)
    return readObject(response, 'its introspection endpoint')
  }

  async #tell(address: string, token: string, signal: AbortSignal): Promise<JsonObject> {
    const headers = { accept: 'application/json', authorization: `Bearer ${token}` }
    const response = await this.#fetch(address, { method: 'GET', headers, body: null, redirect: 'manual', signal })
    const { status } = response
    // Without the groups that it would tell, an entry that denies one of them would not be seen to.
    if (status === 401 || status === 403) {
      throw refuse('token-profile', 'the UserInfo endpoint of its issuer does not accept the token')
    }
    if (status !== 200) throw unavailable(`its UserInfo endpoint answers with status ${status}`, stumbling)
    return readObject(response, 'its UserInfo endpoint')
  }

  async #fetch(address: string, request: Parameters<ReturnType<typeof fetchFrom>>[1]): Promise<Response> {
    const { origins, endpoint } = this.#options
    const allowed = endpoint === undefined ? origins : [...origins, endpoint]
    try {
      return await fetchFrom(this.issuer, allowed)(address, request)
    } catch (error) {
      throw unavailable(StorageError.reasonOf(StorageError.from(error))?.text ?? 'it cannot be reached', error)
    }
  }
}

/** RFC 6749, section 2.3.1: both are form-encoded before they are joined. */
function basic(id: string, secret: Secret): string {
  const [user, password] = [id, secret.reveal()].map((part) => new URLSearchParams([['', part]]).toString().slice(1))
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

/** What the answer itself has to say, and nobody else: whether, by whom, for whom and for how long the token is good. */
const ownWords: ReadonlySet<string> = new Set([
  ...['active', 'iss', 'aud', 'exp', 'nbf', 'iat', 'jti', 'scope', 'cnf', 'client_id', 'token_type', 'ver', 'typ'],
  ...['token_use', 'wlcg.ver'],
])

/** OpenID Connect Core 1.0, section 5.3.2: claims of another subject are not used. */
function about(claims: JsonObject, answer: JsonObject): JsonObject {
  const subject = member(claims, 'sub')
  if (typeof subject !== 'string' || subject !== member(answer, 'sub')) {
    throw refuse('token-profile', 'the UserInfo endpoint of its issuer speaks of another subject')
  }
  return Object.fromEntries(Object.entries(claims).filter(([name]) => !ownWords.has(name)))
}

async function readObject(response: Response, who: string): Promise<JsonObject> {
  const type = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json') throw unavailable(`${who} answers with something else than JSON`, stumbling)
  const { object, problem } = parseObject(new Uint8Array(await response.arrayBuffer()))
  if (object === undefined) throw unavailable(`the answer of ${who} ${problem}`, stumbling)
  return object
}

/** `text` tells why and becomes the reason. */
function unavailable(text: string, cause?: unknown): StorageError {
  return new StorageError('unavailable', 'the issuer of the token cannot be asked', {
    retryAfter: 5,
    reason: { rule: 'introspection', text },
    cause,
  })
}
