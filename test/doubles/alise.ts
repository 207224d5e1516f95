/**
 * A stand-in for ALISE, the account linking service, as version 1.1.4 of it answers GET on
 * /api/v1/target/{site}/mapping/issuer/{ISS}/user/{SUB} (m-team-kit/alise, alise/router_api.py; README): the path is
 * decoded by the server and its parts then once more; the issuer may be its SHA-1; who is not mapped, and a wrong key, are
 * told apart by `type` in answers of the same status; what goes wrong inside is told in an answer of status 200.
 */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

export interface AliseDouble {
  readonly url: string
  readonly site: string
  readonly apiKey: string
  /** Issuers that it knows, as it was configured with them. */
  readonly issuers: Set<string>
  /** Accounts by `issuer|subject`. */
  readonly accounts: Map<string, string>
  /** Addresses that were asked for, in order. */
  readonly asked: string[]
  /** Answers instead when set. */
  answer: ((request: IncomingMessage, response: ServerResponse) => void) | undefined
  /** It is not there any more. */
  stop(): Promise<void>
}

/** Runs until the test ends; over TLS with a certificate. */
export async function startAlise(t: Test, tls?: { readonly key: string; readonly cert: string }): Promise<AliseDouble> {
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    double.asked.push(request.url ?? '')
    if (double.answer) double.answer(request, response)
    else answerAs(double, request.url ?? '', response)
  }
  const server = tls ? https.createServer(tls, listener) : http.createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = async () => {
    if (!server.listening) return
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
  const double: AliseDouble = {
    url: `http${tls ? 's' : ''}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    site: 'test-hpc',
    apiKey: 'k+y/with%odd=signs',
    issuers: new Set(),
    accounts: new Map(),
    asked: [],
    answer: undefined,
    stop,
  }
  t.teardown(stop)
  return double
}

export function sendJson(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json', 'x-alise-version': '1.1.4' })
  response.end(JSON.stringify(value))
}

function answerAs({ site, apiKey, issuers, accounts }: AliseDouble, address: string, response: ServerResponse): void {
  const [path = '', query = ''] = address.split('?')
  // The framework routes by the decoded path.
  const parts = /^\/api\/v1\/target\/([^/]+)\/mapping\/issuer\/([^/]+)\/user\/([^/]+)$/.exec(decodeURIComponent(path))
  if (!parts) return void sendJson(response, { detail: 'Not Found' }, 404)
  const [, asked, iss = '', sub = ''] = parts
  if (asked !== site) return void sendJson(response, { error: `no such site: ${asked}` })
  const key = new URLSearchParams(query).get('apikey')
  if (key === null)
    return void sendJson(response, { detail: [{ loc: ['query', 'apikey'], msg: 'field required' }] }, 422)
  if (key !== apiKey) return void sendJson(response, { detail: [{ msg: 'invalid apikey', type: 'invalid' }] }, 401)
  const unquoted = (text: string) => decodeURIComponent(text.replaceAll('+', ' '))
  const issuer = [...issuers].find((each) => each === unquoted(iss) || sha1(each) === unquoted(iss))
  const account = accounts.get(`${issuer}|${unquoted(sub)}`)
  if (account === undefined) {
    return void sendJson(response, { detail: [{ msg: 'no such user', type: 'not-mapped' }] }, 401)
  }
  sendJson(response, {
    internal: {
      sub: `int-${account}`,
      iss: 'https://idp.test-hpc.example',
      username: account,
      display_name: 'Somebody',
    },
    external: [
      { sub: 'another-one', iss: 'https://other.example', display_name: 'Somebody' },
      { sub: unquoted(sub), iss: issuer, display_name: 'Somebody' },
    ],
  })
}

function sha1(text: string): string {
  return createHash('sha1').update(text).digest('hex')
}
