/** Exchanging the caller's token for one that dCache accepts (RFC 8693). */

import http from 'node:http'
import https from 'node:https'
import type { Forwardable, Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { type Reason, StorageError } from '../../gateway/core/errors.ts'
import { isLoopback } from './addresses.ts'
import { claimsOf, hasStorageScope } from './claims.ts'
import { unavailable } from './errors.ts'
import { fingerprint, type Lent, LentCache } from './lent.ts'

export interface ExchangeOptions {
  /** The token endpoint: https, or http on loopback. */
  readonly endpoint: URL
  /** The gateway's own client at the authorization server; read when used. */
  readonly client: () => Promise<{ readonly id: string; readonly secret: Secret }>
  /** For whom the new token shall be: one that dCache accepts. */
  readonly audience?: string
  /** Blank separated; must not hold storage scopes. */
  readonly scope?: string
  readonly resource?: string
  /** Who we are in `act` of tokens given to us, where that is not our client's id (RFC 8693, section 4.1). */
  readonly actor?: string
  /** Issuers whose tokens are exchanged; others are not shown to the endpoint. */
  readonly issuers: readonly string[]
  /** PEM trusted besides nothing else; the system's if absent. */
  readonly ca?: string | undefined
  /** Milliseconds; default 10,000. */
  readonly deadline?: number
}

export interface Exchanged extends Lent {
  readonly token: Secret
  /** Milliseconds since 1970. */
  readonly since: number
}

/** Least and most milliseconds that a token is used before it ends, so that it does not end on its way. */
const margin = 30_000
/** Milliseconds that a token without a known end is used. */
const unknownLife = 60_000
const maxAnswer = 64 * 1024
const maxToken = 16 * 1024
const maxKept = 10_000

const accessToken = 'urn:ietf:params:oauth:token-type:access_token'
const acceptedTypes: readonly unknown[] = [accessToken, 'urn:ietf:params:oauth:token-type:jwt']
/** Refusals that are about the subject's token, not about the gateway (RFC 6749, section 5.2; RFC 8693, section 2.2.2). */
const subjectErrors: readonly unknown[] = [
  'invalid_request',
  'invalid_grant',
  'invalid_target',
  'invalid_scope',
  'access_denied',
]

export class TokenExchange {
  readonly #options: ExchangeOptions
  readonly #cache = new LentCache<Exchanged>(maxKept)

  /** Throws `invalid` for an endpoint that secrets must not be sent to, and for scopes that make dCache skip its ACLs. */
  constructor(options: ExchangeOptions) {
    const { endpoint, scope } = options
    if (endpoint.protocol !== 'https:' && !(endpoint.protocol === 'http:' && isLoopback(endpoint.hostname))) {
      throw new StorageError('invalid', 'the token endpoint must be reached by https')
    }
    if (hasStorageScope(scope)) throw new StorageError('invalid', 'a token with storage scopes must not be asked for')
    this.#options = options
  }

  /** Whether tokens of its issuer may be shown to the endpoint. */
  covers({ issuer }: Forwardable): boolean {
    return issuer !== undefined && this.#options.issuers.includes(issuer)
  }

  /**
   * A token for the same subject, without storage scopes, kept while it and the subject's own are good. Throws
   * `denied` (rule `exchange`) when the endpoint refuses or gives something else, `unavailable` when it cannot be asked.
   */
  exchange(principal: Principal, credential: Forwardable, signal: AbortSignal): Promise<Exchanged> {
    const subject = credential.secret.reveal()
    return this.#cache.get(fingerprint(subject), signal, async (asking) => {
      const client = await this.#options.client()
      const answer = await this.#ask(subject, client, asking)
      const { audience, actor = client.id } = this.#options
      return readAnswer(answer, { principal, credential, audience, actor })
    })
  }

  /** What was given for this credential turned out to be no good. */
  drop(credential: Forwardable): void {
    this.#cache.drop(fingerprint(credential.secret.reveal()))
  }

  close(): void {
    this.#cache.close()
  }

  async #ask(subject: string, { id, secret }: Client, asking: AbortSignal): Promise<Answer> {
    const { endpoint, audience, scope, resource, ca, deadline = 10_000 } = this.#options
    const form = new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: subject,
      subject_token_type: accessToken,
      requested_token_type: accessToken,
      ...(audience !== undefined && { audience }),
      ...(scope !== undefined && { scope }),
      ...(resource !== undefined && { resource }),
    })
    // RFC 6749, section 2.3.1: both are form-encoded before they are joined.
    const pair = [id, secret.reveal()].map((part) => new URLSearchParams([['', part]]).toString().slice(1)).join(':')
    const headers = {
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded',
      authorization: `Basic ${Buffer.from(pair).toString('base64')}`,
    }
    const signal = AbortSignal.any([asking, AbortSignal.timeout(deadline)])
    return await post(endpoint, { headers, body: form.toString(), ca, signal })
  }
}

type Client = Awaited<ReturnType<ExchangeOptions['client']>>

interface Wanted {
  readonly principal: Principal
  readonly credential: Forwardable
  readonly audience: string | undefined
  readonly actor: string
}

interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

/** Everything that is checked: kind, size, end, subject, audience, actor, and that it gives no rights on data by itself. */
function readAnswer({ status, body }: Answer, { principal, credential, audience, actor }: Wanted): Exchanged {
  if (status !== 200) throw refusalOf(status, body)
  const { access_token: token, issued_token_type: type, token_type: use, expires_in: lifetime, scope } = body
  if (typeof token !== 'string' || token.length > maxToken || !/^[\w.~+/-]+=*$/.test(token)) throw unusable('no token')
  if (!acceptedTypes.includes(type)) throw unusable('a token of another kind')
  if (typeof use !== 'string' || use.toLowerCase() !== 'bearer') throw unusable('a token that is no bearer token')
  const claims = claimsOf(token)
  if (hasStorageScope(scope) || hasStorageScope(claims?.scope)) throw unusable('a token with storage scopes')
  if (claims?.iss === credential.issuer && `${credential.issuer}|${String(claims?.sub ?? '')}` !== principal.id) {
    throw unusable('a token of another subject')
  }
  // An opaque token is dCache's to judge; of one that says for whom it is and who acts, that must be what was asked for.
  if (audience !== undefined && claims?.aud !== undefined && ![claims.aud].flat().includes(audience)) {
    throw unusable('a token for another audience')
  }
  if (claims?.act !== undefined && !isActor(claims.act, actor)) throw unusable('a token for another actor')
  const now = Date.now()
  const ends = [
    principal.expires === undefined ? undefined : principal.expires * 1000,
    typeof lifetime === 'number' && lifetime >= 0 ? now + lifetime * 1000 : undefined,
    typeof claims?.exp === 'number' ? claims.exp * 1000 : undefined,
  ].filter((end) => end !== undefined)
  const end = ends.length > 0 ? Math.min(...ends) : now + unknownLife + margin
  if (end <= now) throw unusable('a token that has ended')
  return { token: new Secret(token), since: now, until: end - Math.min(margin, (end - now) / 2) }
}

/** RFC 8693, section 4.1: the outermost is who acts now; those within acted before and decide nothing. */
function isActor(act: unknown, actor: string): boolean {
  if (typeof act !== 'object' || act === null) return false
  const { sub, client_id: client } = act as { readonly sub?: unknown; readonly client_id?: unknown }
  return sub === actor || client === actor
}

function refusalOf(status: number, { error }: Answer['body']): StorageError {
  if (status >= 400 && status < 500 && subjectErrors.includes(error)) {
    return refused(`the token endpoint refuses to exchange the token: ${String(error)}`)
  }
  return unavailable('the token cannot be exchanged', { cause: { status } })
}

function unusable(what: string): StorageError {
  return refused(`the token endpoint gave ${what}`)
}

function refused(text: string): StorageError {
  const reason: Reason = { rule: 'exchange', text }
  return new StorageError('denied', 'not allowed', { reason })
}

/** A connection of its own: nothing is left open between exchanges, and redirects are not followed. */
function post(
  url: URL,
  request: {
    readonly headers: Readonly<Record<string, string>>
    readonly body: string
    readonly ca: string | undefined
    readonly signal: AbortSignal
  },
): Promise<Answer> {
  const { headers, body, ca, signal } = request
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) => {
      reject(cause instanceof StorageError ? cause : unavailable('the token endpoint does not answer', { cause }))
    }
    const client = url.protocol === 'https:' ? https : http
    const settings = { method: 'POST', agent: false as const, headers, signal, ...(ca !== undefined && { ca }) }
    const sent = client.request(url, settings, (response) => void read(response).then(resolve, fail))
    sent.on('error', fail)
    sent.end(body)
  })
}

async function read(response: http.IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = []
  let size = 0
  // Leaving the loop destroys the response.
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxAnswer) throw unavailable('the token endpoint answers too much')
    chunks.push(chunk)
  }
  return { status: response.statusCode ?? 0, body: parsed(Buffer.concat(chunks)) }
}

function parsed(bytes: Buffer): Answer['body'] {
  try {
    const value: unknown = JSON.parse(bytes.toString())
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Answer['body']
  } catch {
    // The parser's message would quote the input, which may be a token.
  }
  return {}
}
