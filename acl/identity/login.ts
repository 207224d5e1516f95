/**
 * Signing in at an issuer (OpenID Connect Core 1.0, section 3.1): authorization code with PKCE, state and nonce.
 *
 * The library checks the protocol and the claims of the ID token; the signature is checked here, with the same keys and
 * algorithms as those of access tokens; whom the claims stand for is said by the same mapping.
 */

import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  ClientSecretBasic,
  ClientSecretPost,
  type Configuration,
  calculatePKCECodeChallenge,
  customFetch,
  discovery,
  fetchUserInfo,
  None,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
  type ServerMetadata,
} from 'openid-client'
import { StorageError } from '../../gateway/core/errors.ts'
import { type JsonObject, member } from '../json.ts'
import type { Principal } from '../principal.ts'
import { mayFetch } from './check-options.ts'
import { nameClaim } from './claims.ts'
import { createGate, type Gate } from './gate.ts'
import { type TrustedIssuer, verifySignature } from './jwt.ts'
import { fetchDeadline } from './limits.ts'
import { fetchFrom, foreignEndpoint, mayReach } from './login-fetch.ts'
import type { IssuerOptions, LoginIssuerOptions } from './options.ts'
import { groupsOf } from './profiles.ts'
import { refuse } from './refusal.ts'
import { byIssuer, claimsForRules, type SessionState, type SignedIn } from './sessions.ts'
import type { PendingSignIn } from './sign-in.ts'

/** Seconds for which the metadata of an issuer is believed. */
const metadataLifetime = 3600

interface Known {
  readonly configuration: Promise<Configuration>
  /** Milliseconds since 1970. */
  readonly until: number
}

/** Who came back, and how the session is to remember it. */
export interface Arrived {
  readonly principal: Principal
  readonly signedIn: Extract<SignedIn, { kind: 'issuer' }>
}

/** The issuers of one configuration at which people sign in. */
export class Login {
  readonly #known = new Map<string, Known>()
  /** By issuer. Whoever was sent there once can come back as often as he likes, and it is asked each time. */
  readonly #asking = new Map<string, Gate>()

  /** Throws `not-found`, `unavailable`. */
  async start(name: string, redirectUri: string, state: SessionState, now: number) {
    const { login, issuer } = chosen(name, state)
    const configuration = await this.#configuration(login, issuer, now)
    const pending: PendingSignIn = {
      issuer: name,
      state: randomState(),
      nonce: randomNonce(),
      verifier: randomPKCECodeVerifier(),
    }
    const url = buildAuthorizationUrl(configuration, {
      redirect_uri: redirectUri,
      scope: login.scopes.join(' '),
      state: pending.state,
      nonce: pending.nonce,
      code_challenge: await calculatePKCECodeChallenge(pending.verifier),
      code_challenge_method: 'S256',
    })
    return { url, pending }
  }

  /** Throws `unauthenticated`, `denied`, `not-found`, `unavailable`, `busy`. */
  async finish(pending: PendingSignIn, answer: URL, state: SessionState, now: number): Promise<Arrived> {
    const signedIn = await this.prove(pending, answer, state, now)
    const local = await byIssuer(signedIn, state)
    const principal: Principal = { id: `${signedIn.issuer}|${signedIn.subject}`, ...local, grants: 'unbounded' }
    return { principal, signedIn }
  }

  /** Which identity came back, whether or not it has an account here. Throws as `finish`, but for `denied`. */
  async prove(pending: PendingSignIn, answer: URL, state: SessionState, now: number): Promise<Arrived['signedIn']> {
    const { login, issuer } = chosen(pending.issuer, state)
    const configuration = await this.#configuration(login, issuer, now)
    const ask = () => translated(() => claimsOf(pending, answer, { login, issuer, configuration }))
    const claims = await this.#gate(login.name)(ask)
    return factsOf(claims, { login, issuer, state })
  }

  #gate(name: string): Gate {
    const known = this.#asking.get(name)
    if (known !== undefined) return known
    const made = createGate({ running: 8, waiting: 64 })
    this.#asking.set(name, made)
    return made
  }

  #configuration(login: LoginIssuerOptions, issuer: TrustedIssuer, now: number): Promise<Configuration> {
    const known = this.#known.get(login.name)
    if (known !== undefined && now < known.until) return known.configuration
    const configuration = configure(login, issuer.options)
    this.#known.set(login.name, { configuration, until: now + metadataLifetime * 1000 })
    // One that failed is asked again at the next sign-in.
    configuration.catch(() => this.#known.delete(login.name))
    return configuration
  }
}

function chosen(name: string, { options, issuers }: SessionState) {
  const login = options.signIn?.issuers.find((each) => each.name === name)
  const issuer = [...issuers.values()].find((each) => each.options.name === name)
  if (login === undefined || issuer === undefined) throw new StorageError('not-found', 'nobody signs in there')
  return { login, issuer }
}

/** Throws `unavailable`, or `unauthenticated` for what no issuer answers; both with a reason. */
export async function configure(login: LoginIssuerOptions, options: IssuerOptions): Promise<Configuration> {
  const { clientId, clientSecret, origins } = login
  const address = new URL(`${options.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
  const ask = (basic: boolean) => {
    const secret = clientSecret?.reveal()
    const authentication = secret === undefined ? None() : basic ? ClientSecretBasic(secret) : ClientSecretPost(secret)
    return discovery(address, clientId, {}, authentication, {
      timeout: fetchDeadline,
      [customFetch]: fetchFrom(options, origins),
      ...(options.insecure && { execute: [allowInsecureRequests] }),
    })
  }
  return translated(async () => {
    const configuration = await ask(true)
    const metadata = configuration.serverMetadata()
    // OpenID Connect Discovery 1.0, section 4.3: exactly the issuer that was asked for.
    if (metadata.issuer !== options.issuer) throw unusable('its metadata is of another issuer')
    requireEndpoints(metadata, login, options)
    const methods = metadata.token_endpoint_auth_methods_supported
    // RFC 8414, section 2: client_secret_basic where nothing is said.
    return methods === undefined || methods.includes('client_secret_basic') ? configuration : ask(false)
  })
}

/** Told before anybody is sent there. The place to sign in may be anywhere, since it is the browser that goes there. */
function requireEndpoints(metadata: ServerMetadata, { userInfo, origins }: LoginIssuerOptions, issuer: IssuerOptions) {
  const { authorization_endpoint: place, token_endpoint: token, userinfo_endpoint: more } = metadata
  if (place === undefined || token === undefined || (userInfo && more === undefined)) {
    throw unusable('its metadata lacks an endpoint that signing in needs')
  }
  if (!mayFetch(place, issuer)) throw unusable('its metadata names a place to sign in that is not https')
  for (const endpoint of [token, userInfo ? more : undefined]) {
    if (endpoint !== undefined && !mayReach(endpoint, issuer, origins)) throw foreignEndpoint()
  }
}

interface Asking {
  readonly login: LoginIssuerOptions
  readonly issuer: TrustedIssuer
  readonly configuration: Configuration
}

/** What the issuer says of who came back. */
async function claimsOf(pending: PendingSignIn, answer: URL, { login, issuer, configuration }: Asking) {
  const tokens = await authorizationCodeGrant(configuration, answer, {
    expectedState: pending.state,
    expectedNonce: pending.nonce,
    pkceCodeVerifier: pending.verifier,
    idTokenExpected: true,
  })
  const { payload } = await verifySignature(tokens.id_token ?? '', {
    issuers: new Map([[issuer.options.issuer, issuer]]),
    trace: () => {},
  })
  if (!login.userInfo) return payload
  const subject = nameClaim(payload, 'sub') ?? ''
  const more: JsonObject = await fetchUserInfo(configuration, tokens.access_token, subject)
  return { ...more, ...payload }
}

function factsOf(
  claims: JsonObject,
  { login, issuer, state }: Pick<Asking, 'login' | 'issuer'> & { readonly state: SessionState },
): Arrived['signedIn'] {
  const { options } = issuer
  const subject = nameClaim(claims, 'sub')
  if (subject === undefined) throw refuse('token-profile', 'sub is missing')
  const tokenId = nameClaim(claims, 'jti')
  return {
    kind: 'issuer',
    issuer: options.issuer,
    subject,
    groups: groupsOf(claims, options),
    claims: claimsForRules(claims, state.options, options.name),
    until: endOf(claims, login),
    tokenId: tokenId === undefined ? undefined : `${options.issuer}|${tokenId}`,
  }
}

/** The end of the session as the issuer sees it: `session_expiry` (OpenID Connect Enterprise Extensions), or that of the ID token. */
function endOf(claims: JsonObject, { endsWithToken }: LoginIssuerOptions): number | undefined {
  const session = member(claims, 'session_expiry')
  const token = endsWithToken ? member(claims, 'exp') : undefined
  const ends = [session, token].filter((end) => typeof end === 'number' && Number.isFinite(end)) as number[]
  return ends.length === 0 ? undefined : Math.min(...ends) * 1000
}

/** The library's errors have codes; its messages and causes may quote what the issuer sent. */
async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    const error = storageErrorIn(thrown)
    if (error) throw error
    const code = (thrown as { readonly code?: unknown } | null)?.code
    const known = typeof code === 'string' && /^[A-Z_]{1,60}$/.test(code) ? code : 'unknown'
    throw refuse('sign-in', `the answer of the issuer was not accepted (${known})`)
  }
}

/** What `fetchFrom` threw, which may come wrapped. */
export function storageErrorIn(thrown: unknown): StorageError | undefined {
  for (let error = thrown, depth = 0; error instanceof Error && depth < 5; error = error.cause, depth++) {
    if (error instanceof StorageError) return error
  }
  return undefined
}

function unusable(text: string): StorageError {
  return new StorageError('unavailable', 'the issuer cannot be used', { reason: { rule: 'sign-in', text } })
}
