/** An issuer of tokens as a program without a browser uses it: device authorization (RFC 8628), refreshing, revoking (RFC 7009). */

import http from 'node:http'
import https from 'node:https'
import {
  allowInsecureRequests,
  ClientError,
  type Configuration,
  type CustomFetchOptions,
  customFetch,
  discovery,
  initiateDeviceAuthorization,
  None,
  pollDeviceAuthorizationGrant,
  ResponseBodyError,
  refreshTokenGrant,
  type TokenEndpointResponse,
  tokenRevocation,
} from 'openid-client'
import { Secret } from '../../../acl/secret.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import { connectionError, isUntrusted } from '../errors.ts'
import { source } from '../token.ts'
import { authoritiesToo, isOpenWay } from '../trust.ts'

/** Seconds for one answer. */
const patience = 15
const maxAnswer = 1024 * 1024

export interface Tokens {
  readonly accessToken: Secret
  /** Milliseconds since 1970. */
  readonly expires: number | undefined
  /** Absent where the one before stays good. */
  readonly refreshToken: Secret | undefined
}

/** What a person is asked to do in a browser. */
export interface Invitation {
  readonly address: string
  readonly code: string
  /** With the code in it, where the issuer offers that. */
  readonly whole: string | undefined
}

export interface IssuerTerms {
  readonly issuer: string
  readonly clientId: string
  /** PEM of authorities to trust besides the usual ones. */
  readonly ca?: string | undefined
}

/** Every failure is a StorageError: `unauthenticated` when the issuer says no, `unavailable` when it cannot be asked. */
export class Issuer {
  readonly #configuration: Configuration
  readonly #name: string

  private constructor(configuration: Configuration, name: string) {
    this.#configuration = configuration
    this.#name = name
  }

  /** Asks it for its endpoints (OpenID Connect Discovery 1.0), over TLS, or plainly on this machine. */
  static async find({ issuer, clientId, ca }: IssuerTerms): Promise<Issuer> {
    const address = URL.parse(issuer)
    if (!address || isForeign(address)) throw new StorageError('invalid', 'an issuer has an https address')
    return translated(issuer, async () => {
      const place = new URL(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
      const configuration = await discovery(place, clientId, {}, None(), {
        timeout: patience,
        [customFetch]: (url, options) => fetchFrom(url, options, ca),
        ...(address.protocol === 'http:' && { execute: [allowInsecureRequests] }),
      })
      if (configuration.serverMetadata().issuer !== issuer) {
        throw new StorageError('unavailable', `${issuer}: its metadata is of another issuer`)
      }
      return new Issuer(configuration, issuer)
    })
  }

  /** Waits until somebody has agreed in a browser, or refused, or was too slow. */
  async login(
    scopes: readonly string[],
    invite: (invitation: Invitation) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<Tokens> {
    if (this.#configuration.serverMetadata().device_authorization_endpoint === undefined) {
      throw new StorageError('unsupported', `${this.#name}: it offers no login without a browser (RFC 8628)`)
    }
    return translated(this.#name, async () => {
      const begun = await initiateDeviceAuthorization(this.#configuration, { scope: scopes.join(' ') })
      const address = webAddress(begun.verification_uri, this.#name)
      const whole = begun.verification_uri_complete
      await invite({
        address,
        code: begun.user_code,
        whole: whole === undefined ? undefined : webAddress(whole, this.#name),
      })
      return tokensOf(
        await pollDeviceAuthorizationGrant(
          this.#configuration,
          begun,
          undefined,
          signal === undefined ? {} : { signal },
        ),
        this.#name,
      )
    })
  }

  /** Throws `unauthenticated` when the refresh token is good no more. */
  async refresh(token: Secret): Promise<Tokens> {
    return translated(this.#name, async () =>
      tokensOf(await refreshTokenGrant(this.#configuration, token.reveal()), this.#name),
    )
  }

  /** Whether the issuer takes tokens back at all. */
  async revoke(token: Secret): Promise<boolean> {
    if (this.#configuration.serverMetadata().revocation_endpoint === undefined) return false
    await translated(this.#name, () => tokenRevocation(this.#configuration, token.reveal()))
    return true
  }
}

function isForeign(address: URL): boolean {
  return isOpenWay(address) || !/^https?:$/.test(address.protocol)
}

/** A person opens it: nothing but a web page, and nothing that can be changed on the way. */
function webAddress(text: string, issuer: string): string {
  const address = URL.parse(text)
  if (!address || isForeign(address))
    throw new StorageError('unavailable', `${issuer}: it names no https page to log in at`)
  return address.href
}

function tokensOf(answer: TokenEndpointResponse, issuer: string): Tokens {
  const { access_token: access, refresh_token: refresh, expires_in: seconds } = answer
  return {
    accessToken: source(access, `the answer of ${issuer}`).token,
    expires: seconds === undefined ? undefined : Date.now() + seconds * 1000,
    refreshToken: refresh === undefined ? undefined : new Secret(refresh),
  }
}

const refusals: ReadonlySet<string> = new Set(['access_denied', 'expired_token', 'invalid_grant'])

async function translated<T>(issuer: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof StorageError) throw error
    if (error instanceof ResponseBodyError) {
      const code = refusals.has(error.error) ? 'unauthenticated' : 'unavailable'
      throw new StorageError(code, `${issuer}: it says ${JSON.stringify(error.error.slice(0, 100))}`)
    }
    const inner = error instanceof Error ? storageErrorIn(error) : undefined
    if (inner) throw inner
    const isLate = error instanceof ClientError && error.code === 'OAUTH_TIMEOUT'
    const what = isLate ? 'does not answer in time' : 'cannot be reached, or answers what no issuer does'
    // Not with its cause: that may hold the answer, with the tokens in it.
    throw new StorageError('unavailable', `${issuer}: it ${what}`)
  }
}

function storageErrorIn(error: Error): StorageError | undefined {
  if (error instanceof StorageError) return error
  return error.cause instanceof Error ? storageErrorIn(error.cause) : undefined
}

/** Over TLS, without following a redirect, bounded in size. */
function fetchFrom(address: string, options: CustomFetchOptions, ca: string | undefined): Promise<Response> {
  const url = new URL(address)
  const refuse = (text: string, cause?: unknown) => new StorageError('unavailable', `${url.origin}: ${text}`, { cause })
  if (isForeign(url)) throw refuse('the issuer names an endpoint that is not https')
  const { promise, resolve, reject } = Promise.withResolvers<Response>()
  const { method, headers, body, signal } = options
  const text = body === undefined || body === null ? undefined : String(body)
  const settings = {
    method,
    agent: false as const,
    headers: { ...headers, ...(text !== undefined && { 'content-length': Buffer.byteLength(text) }) },
    ...(signal && { signal }),
  }
  // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
  const trust = () => ({ ca: authoritiesToo(ca), rejectUnauthorized: true })
  const request =
    url.protocol === 'https:' ? https.request(url, { ...settings, ...trust() }) : http.request(url, settings)
  request.on('error', (error) => {
    const text = 'it cannot be reached, or does not answer in time'
    reject(isUntrusted(error) ? connectionError(error, url.origin) : refuse(text, error))
  })
  request.on('response', (response) => void read(response, refuse).then(resolve, reject))
  request.end(text)
  return promise
}

async function read(response: http.IncomingMessage, refuse: (text: string) => StorageError): Promise<Response> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxAnswer) throw refuse('its answer is too long')
    chunks.push(chunk)
  }
  const status = response.statusCode ?? 0
  if (status < 200 || status > 599) throw refuse('its answer is no HTTP')
  const headers = Object.entries(response.headersDistinct).flatMap(([name, values = []]) =>
    values.map((value): [string, string] => [name, value]),
  )
  const isEmpty = status === 204 || status === 205 || status === 304
  return new Response(isEmpty ? null : Buffer.concat(chunks), { status, headers })
}
