/** What hands out credentials in tests of delegation: a door that gives macaroons, and a token endpoint. */

import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { attenuate, createMacaroon, type MacaroonFormat, serializeMacaroon } from '../../acl/macaroon.ts'
import { anonymous, type Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import type { DoorRequest } from '../../backends/dcache/door.ts'
import type { MacaroonDoor } from '../../backends/dcache/macaroons.ts'
import type { Call } from '../../gateway/core/call.ts'

export const issuer = 'https://idp.example.org'
export const rootKey = Buffer.from('the root key of the door')

/** Gives macaroons as dCache does (User Guide, "Macaroons"), and notes what it was asked. */
export class FakeDoor implements MacaroonDoor {
  readonly asked: DoorRequest[] = []
  format: MacaroonFormat = 'v2'
  /** Another answer than a macaroon. */
  answer: { readonly status: number; readonly body: string } | undefined
  /** Seconds that a macaroon is good for at most. */
  longest = 86_400
  /** Waited for before the answer. */
  gate: Promise<void> = Promise.resolve()

  async request(request: DoorRequest): ReturnType<MacaroonDoor['request']> {
    this.asked.push(request)
    await this.gate
    request.call.signal.throwIfAborted()
    if (this.answer) return responseOf(this.answer.status, this.answer.body)
    const { caveats, validity } = JSON.parse(String(request.body)) as { caveats: string[]; validity: string }
    const seconds = Math.min(this.longest, Number(/^PT(\d+)S$/.exec(validity)?.[1]))
    const before = new Date(Date.now() + seconds * 1000).toISOString()
    const made = createMacaroon({ location: 'dCache', identifier: `key ${this.asked.length}`, rootKey })
    const path = request.path === '/' ? [] : [`path:${request.path}`]
    const macaroon = attenuate(made, 'id:1000;1000;alice', ...path, ...caveats, `before:${before}`)
    return responseOf(200, JSON.stringify({ macaroon: serializeMacaroon(macaroon, this.format) }))
  }
}

function responseOf(status: number, body: string) {
  return { status, answered: { status, text: 'said so' }, json: async () => JSON.parse(body), discard() {} }
}

export interface TokenEndpoint {
  readonly url: URL
  readonly asked: { readonly form: URLSearchParams; readonly headers: IncomingHttpHeaders }[]
  status: number
  answer: unknown
}

/** A token endpoint that answers as told (RFC 8693, section 2.2). */
export async function serveTokens(t: Test): Promise<TokenEndpoint> {
  const endpoint = { asked: [] as TokenEndpoint['asked'], status: 200, answer: {} as unknown }
  const server = createServer((request, response) => {
    void text(request).then((form) => {
      endpoint.asked.push({ form: new URLSearchParams(form), headers: request.headers })
      response.writeHead(endpoint.status, { 'content-type': 'application/json' })
      response.end(typeof endpoint.answer === 'string' ? endpoint.answer : JSON.stringify(endpoint.answer))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/token`)
  return Object.assign(endpoint, { url })
}

/** The text of a JWT that nobody signed. */
export function tokenWith(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'none' })}.${part(claims)}.c2lnbmF0dXJl`
}

/** Alice, by a token of `issuer` for dCache that ends in an hour. */
export function alice(more: Partial<Principal> = {}, claims: object = {}): Principal {
  const expires = Math.floor(Date.now() / 1000) + 3600
  const token = tokenWith({ iss: issuer, sub: 'alice', exp: expires, ...claims })
  return {
    id: `${issuer}|alice`,
    user: 'alice@example.org',
    groups: new Set(),
    grants: 'unbounded',
    expires,
    credential: { kind: 'bearer', secret: new Secret(token), issuer, audiences: ['dcache'] },
    ...more,
  }
}

export function callBy(principal: Principal = anonymous, signal = new AbortController().signal): Call {
  return { id: 'call', principal, protocol: 'http', from: '192.0.2.7', signal }
}
