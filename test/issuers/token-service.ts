/**
 * An issuer of opaque and signed tokens on loopback: metadata (OpenID Connect Discovery 1.0), keys (RFC 7517),
 * introspection (RFC 7662) with client authentication as RFC 6749, section 2.3.1 says, UserInfo (OpenID Connect Core 1.0,
 * section 5.3). It can be told to be slow, to be down, and to answer what no issuer should.
 */

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { makeKey, type SigningKey, signToken } from '../identity/issuer.ts'

export type Claims = Readonly<Record<string, unknown>>

type Answering = (request: IncomingMessage, response: ServerResponse) => void

export class TokenService {
  readonly client = { id: 'gate:way', secret: 'p&w d' }
  /** What introspection tells of active tokens, `active` aside. */
  readonly tokens = new Map<string, Claims>()
  /** What UserInfo tells of people, by token. */
  readonly people = new Map<string, Claims>()
  /** Requests, as method and path, in order. */
  readonly asked: string[] = []
  /** Tokens that introspection was shown, in order. */
  readonly shown: string[] = []
  /** Tokens that introspection answers with a failure of its own. */
  readonly stumbles = new Set<string>()
  /** Answers in the place of a path. */
  readonly instead = new Map<string, Answering>()
  metadata: Claims = {}
  keys: SigningKey[] = [makeKey('one')]
  /** Answers are held back until then. */
  held: Promise<void> | undefined
  /** Requests that have no answer yet, and the most there were. */
  waiting = 0
  mostWaiting = 0
  readonly #server: http.Server
  readonly #port: number

  static async start(t: Test, port = 0): Promise<TokenService> {
    const server = http.createServer()
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    const service = new TokenService(server)
    t.teardown(() => service.stop())
    return service
  }

  private constructor(server: http.Server) {
    this.#server = server
    this.#port = (server.address() as AddressInfo).port
    server.on('request', (request, response) => {
      this.#answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)))
    })
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  get port(): number {
    return this.#port
  }

  /** An active opaque token. */
  opaque(claims: Claims = {}, prefix = ''): string {
    const token = `${prefix}${randomBytes(24).toString('base64url')}`
    const now = Math.floor(Date.now() / 1000)
    this.tokens.set(token, { iss: this.url, iat: now, exp: now + 600, token_type: 'Bearer', ...claims })
    return token
  }

  /** A signed token; by the first of its keys. */
  signed(claims: Claims = {}, key = this.keys[0]): string {
    if (!key) throw new Error('it has no key')
    const now = Math.floor(Date.now() / 1000)
    const jti = randomBytes(8).toString('hex')
    return signToken(key, { iss: this.url, iat: now, exp: now + 600, jti, ...claims })
  }

  /** How often a path was asked for. */
  times(path: string): number {
    return this.asked.filter((each) => each.endsWith(` ${path}`)).length
  }

  stop(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? ''
    this.asked.push(`${request.method} ${path}`)
    this.waiting++
    this.mostWaiting = Math.max(this.waiting, this.mostWaiting)
    response.once('close', () => this.waiting--)
    await this.held
    const instead = this.instead.get(path)
    if (instead) return instead(request, response)
    switch (`${request.method} ${path}`) {
      case 'GET /.well-known/openid-configuration':
        return json(response, this.#metadata())
      case 'GET /jwks':
        return json(response, { keys: this.keys.map(({ jwk }) => jwk) })
      case 'POST /introspect':
        return this.#introspect(request, response)
      case 'GET /userinfo':
        return this.#tell(request, response)
      default:
        return json(response, { error: 'not_found' }, 404)
    }
  }

  #metadata(): object {
    return {
      issuer: this.url,
      jwks_uri: `${this.url}/jwks`,
      introspection_endpoint: `${this.url}/introspect`,
      userinfo_endpoint: `${this.url}/userinfo`,
      ...this.metadata,
    }
  }

  async #introspect(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = new URLSearchParams(await text(request))
    const [, basic = ''] = /^Basic (.*)$/.exec(request.headers.authorization ?? '') ?? []
    const [id, secret] = basic
      ? Buffer.from(basic, 'base64')
          .toString()
          .split(':')
          .map((part) => new URLSearchParams(`x=${part}`).get('x'))
      : [form.get('client_id'), form.get('client_secret')]
    if (id !== this.client.id || secret !== this.client.secret) return json(response, { error: 'invalid_client' }, 401)
    const token = form.get('token') ?? ''
    this.shown.push(token)
    if (this.stumbles.has(token)) return json(response, { error: 'server_error' }, 500)
    const claims = this.tokens.get(token)
    json(response, claims ? { active: true, ...claims } : { active: false })
  }

  #tell(request: IncomingMessage, response: ServerResponse): void {
    const claims = this.people.get(request.headers.authorization?.slice('Bearer '.length) ?? '')
    if (!claims) return void json(response, { error: 'invalid_token' }, 401)
    json(response, claims)
  }
}

export function json(response: ServerResponse, value: unknown, status = 200, type = 'application/json'): void {
  response.writeHead(status, { 'content-type': type })
  response.end(typeof value === 'string' ? value : JSON.stringify(value))
}
