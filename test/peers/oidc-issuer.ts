/**
 * An OpenID Connect provider on loopback (OpenID Connect Core 1.0, sections 2, 3.1 and 5.3; Discovery 1.0; RFC 7636;
 * RFC 9207). Strict where a provider must be: registered redirect URIs, client authentication, PKCE, codes that are good
 * once. A person types a name into its form, and is that.
 */

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import type { Test } from 'tap'

export type Claims = Readonly<Record<string, unknown>>

interface Grant {
  readonly user: string
  readonly redirectUri: string
  readonly challenge: string
  readonly nonce: string | undefined
}

export interface OidcIssuer {
  readonly url: string
  readonly client: { readonly id: string; readonly secret: string }
  readonly redirectUris: Set<string>
  /** Claims of a person besides `sub`, in ID tokens and at the UserInfo endpoint. */
  readonly people: Map<string, Claims>
  /** What its metadata says otherwise. */
  metadata: Claims
  /** What the next ID tokens say otherwise. */
  spoil: Claims
  /** Signs the next ID tokens with a key that it does not show. */
  forge: boolean
  /** The token endpoint answers only then. */
  held: Promise<void> | undefined
  /** Requests at the token endpoint that wait for that, and the most there were. */
  readonly waiting: number
  readonly mostWaiting: number
  /** How often the token endpoint gave tokens. */
  readonly given: number
  /** What a browser does: opens the address, types the name. Gives where it is sent then. */
  consent(address: string | URL, user: string): Promise<URL>
  /** An access token of its own for that user. */
  accessToken(user: string, audience: string): Promise<string>
}

/** PEM. The certificate is its own authority. */
export interface Certified {
  readonly key: string
  readonly cert: string
}

/** Runs until the test ends; over TLS with a certificate. */
export async function startOidcIssuer(t: Test, tls?: Certified): Promise<OidcIssuer> {
  const issuer = await Provider.create(tls)
  t.teardown(() => issuer.close())
  return issuer
}

class Provider implements OidcIssuer {
  readonly client = { id: 'portolan', secret: randomBytes(24).toString('base64url') }
  readonly redirectUris = new Set<string>()
  readonly people = new Map<string, Claims>()
  metadata: Claims = {}
  spoil: Claims = {}
  forge = false
  held: Promise<void> | undefined
  waiting = 0
  mostWaiting = 0
  given = 0
  readonly #codes = new Map<string, Grant>()
  readonly #tokens = new Map<string, string>()
  readonly #key: CryptoKey
  readonly #strange: CryptoKey
  readonly #jwk: JWK
  readonly #tls: Certified | undefined
  readonly #server: http.Server

  static async create(tls: Certified | undefined): Promise<Provider> {
    const [own, strange] = [await generateKeyPair('ES256'), await generateKeyPair('ES256')]
    const jwk = { ...(await exportJWK(own.publicKey)), kid: 'one', alg: 'ES256', use: 'sig' }
    const provider = new Provider({ own: own.privateKey, strange: strange.privateKey, jwk }, tls)
    provider.#server.listen(0, '127.0.0.1')
    await once(provider.#server, 'listening')
    return provider
  }

  private constructor(
    { own, strange, jwk }: { readonly own: CryptoKey; readonly strange: CryptoKey; readonly jwk: JWK },
    tls: Certified | undefined,
  ) {
    this.#key = own
    this.#strange = strange
    this.#jwk = jwk
    this.#tls = tls
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      this.#answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)))
    }
    this.#server = tls ? https.createServer(tls, answer) : http.createServer(answer)
  }

  get url(): string {
    return `http${this.#tls ? 's' : ''}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async consent(address: string | URL, user: string): Promise<URL> {
    const asked = await this.#visit(address, 'GET', '')
    if (asked.status !== 200) throw new Error(`the provider refused: ${asked.status} ${asked.body}`)
    const { location } = await this.#visit(address, 'POST', new URLSearchParams({ user }).toString())
    return new URL(location ?? '')
  }

  async #visit(address: string | URL, method: string, body: string) {
    const request = (this.#tls ? https : http).request(address, { method, agent: false, ca: this.#tls?.cert })
    request.end(body)
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return { status: response.statusCode, location: response.headers.location, body: await text(response) }
  }

  accessToken(user: string, audience: string): Promise<string> {
    return this.#sign(this.#key, 'at+jwt', { sub: user, aud: audience, scope: 'openid', ...this.people.get(user) })
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', this.url)
    switch (`${request.method} ${url.pathname}`) {
      case 'GET /.well-known/openid-configuration':
        return json(response, this.#metadata())
      case 'GET /jwks':
        return json(response, { keys: [this.#jwk] })
      case 'GET /authorize':
        return this.#ask(url.searchParams, response)
      case 'POST /authorize':
        return this.#decide(url.searchParams, new URLSearchParams(await text(request)), response)
      case 'POST /token':
        return this.#give(request, new URLSearchParams(await text(request)), response)
      case 'GET /userinfo':
        return this.#tell(request, response)
      default:
        return json(response, { error: 'not_found' }, 404)
    }
  }

  #metadata(): object {
    return {
      issuer: this.url,
      authorization_endpoint: `${this.url}/authorize`,
      token_endpoint: `${this.url}/token`,
      userinfo_endpoint: `${this.url}/userinfo`,
      jwks_uri: `${this.url}/jwks`,
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256'],
      token_endpoint_auth_methods_supported: ['client_secret_basic'],
      code_challenge_methods_supported: ['S256'],
      scopes_supported: ['openid'],
      authorization_response_iss_parameter_supported: true,
      ...this.metadata,
    }
  }

  #problemOf(asked: URLSearchParams): string | undefined {
    if (asked.get('client_id') !== this.client.id) return 'unknown client'
    if (!this.redirectUris.has(asked.get('redirect_uri') ?? '')) return 'unregistered redirect URI'
    if (asked.get('response_type') !== 'code') return 'not the code flow'
    if (asked.get('code_challenge_method') !== 'S256' || !asked.get('code_challenge')) return 'no PKCE'
    return asked.get('scope')?.split(' ').includes('openid') ? undefined : 'no openid'
  }

  #ask(asked: URLSearchParams, response: ServerResponse): void {
    const problem = this.#problemOf(asked)
    if (problem !== undefined) return void json(response, { error: problem }, 400)
    response.writeHead(200, { 'content-type': 'text/html' })
    response.end('<title>Provider</title><form method="post"><input name="user"><button>Sign in</button></form>')
  }

  #decide(asked: URLSearchParams, typed: URLSearchParams, response: ServerResponse): void {
    const problem = this.#problemOf(asked)
    if (problem !== undefined) return void json(response, { error: problem }, 400)
    const redirectUri = asked.get('redirect_uri') ?? ''
    const back = new URL(redirectUri)
    const user = typed.get('user') ?? ''
    if (!this.people.has(user)) back.searchParams.set('error', 'access_denied')
    else {
      const code = randomBytes(16).toString('base64url')
      const nonce = asked.get('nonce') ?? undefined
      this.#codes.set(code, { user, redirectUri, challenge: asked.get('code_challenge') ?? '', nonce })
      back.searchParams.set('code', code)
    }
    back.searchParams.set('state', asked.get('state') ?? '')
    back.searchParams.set('iss', this.url)
    response.writeHead(303, { location: back.href }).end()
  }

  async #give(request: IncomingMessage, asked: URLSearchParams, response: ServerResponse): Promise<void> {
    this.waiting++
    this.mostWaiting = Math.max(this.waiting, this.mostWaiting)
    await this.held
    this.waiting--
    const [id = '', secret = ''] = Buffer.from(request.headers.authorization?.slice('Basic '.length) ?? '', 'base64')
      .toString()
      .split(':')
      .map(decodeURIComponent)
    if (id !== this.client.id || secret !== this.client.secret) return json(response, { error: 'invalid_client' }, 401)
    const code = asked.get('code') ?? ''
    const grant = this.#codes.get(code)
    this.#codes.delete(code)
    const challenge = createHash('sha256')
      .update(asked.get('code_verifier') ?? '')
      .digest('base64url')
    if (!grant || grant.redirectUri !== asked.get('redirect_uri') || grant.challenge !== challenge) {
      return json(response, { error: 'invalid_grant' }, 400)
    }
    this.given++
    const access = randomBytes(16).toString('base64url')
    this.#tokens.set(access, grant.user)
    const idToken = await this.#sign(this.forge ? this.#strange : this.#key, 'JWT', {
      sub: grant.user,
      aud: this.client.id,
      ...(grant.nonce !== undefined && { nonce: grant.nonce }),
      ...this.people.get(grant.user),
      ...this.spoil,
    })
    json(response, { access_token: access, token_type: 'Bearer', expires_in: 300, id_token: idToken })
  }

  #tell(request: IncomingMessage, response: ServerResponse): void {
    const user = this.#tokens.get(request.headers.authorization?.slice('Bearer '.length) ?? '')
    if (user === undefined) return void json(response, { error: 'invalid_token' }, 401)
    json(response, { sub: user, ...this.people.get(user), department: 'photon' })
  }

  #sign(key: CryptoKey, typ: string, claims: Claims): Promise<string> {
    const now = Math.floor(Date.now() / 1000)
    const standing = { iss: this.url, iat: now, exp: now + 300, jti: randomBytes(8).toString('hex') }
    return new SignJWT({ ...standing, ...claims }).setProtectedHeader({ alg: 'ES256', kid: 'one', typ }).sign(key)
  }
}

function json(response: ServerResponse, value: object, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
  response.end(JSON.stringify(value))
}
