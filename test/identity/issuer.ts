/** Token issuers for tests: keys of all kinds, tokens of any shape, and a server of discovery and keys that counts. */

import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

export interface SigningKey {
  readonly kid: string
  readonly alg: string
  readonly privateKey: KeyObject
  /** The public key as it stands in a key set. */
  readonly jwk: Readonly<Record<string, unknown>>
}

export function makeKey(
  kid: string,
  alg: 'RS256' | 'PS256' | 'ES256' | 'ES384' | 'EdDSA' = 'ES256',
  bits = 2048,
): SigningKey {
  const { privateKey, publicKey } = generate(alg, bits)
  return { kid, alg, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' } }
}

function generate(alg: string, bits: number): { publicKey: KeyObject; privateKey: KeyObject } {
  if (alg === 'EdDSA') return generateKeyPairSync('ed25519')
  if (alg.startsWith('ES')) return generateKeyPairSync('ec', { namedCurve: alg === 'ES384' ? 'P-384' : 'P-256' })
  return generateKeyPairSync('rsa', { modulusLength: bits })
}

export function encode(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
}

/** A token with exactly this header and payload (text is taken as it is), signed by the algorithm of its header. */
export function signRaw(header: Readonly<Record<string, unknown>>, payload: unknown, key: KeyObject | string): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${signature(String(header.alg), input, key).toString('base64url')}`
}

function signature(alg: string, input: string, key: KeyObject | string): Buffer {
  if (typeof key === 'string') return createHmac('sha256', key).update(input).digest()
  const bytes = Buffer.from(input)
  if (alg === 'EdDSA') return sign(null, bytes, key)
  if (alg.startsWith('ES')) return sign(`sha${alg.slice(2)}`, bytes, { key, dsaEncoding: 'ieee-p1363' })
  if (alg.startsWith('PS')) return sign(`sha${alg.slice(2)}`, bytes, { key, padding: 6, saltLength: 32 })
  return sign('sha256', bytes, key)
}

/** A token with the usual header for the key. */
export function signToken(key: SigningKey, payload: unknown, header: Readonly<Record<string, unknown>> = {}): string {
  return signRaw({ alg: key.alg, kid: key.kid, typ: 'at+jwt', ...header }, payload, key.privateKey)
}

export function directoryFor(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-identity-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

export interface KeyServer {
  readonly origin: string
  /** Paths that were asked for, in order. */
  readonly asked: string[]
  /** What /keys lists; may be changed. */
  keys: unknown[]
  /** Overrides of the discovery document. */
  metadata: Readonly<Record<string, unknown>>
  /** Answers instead of the server when set. */
  answer: ((request: IncomingMessage, response: ServerResponse) => void) | undefined
}

/** Serves discovery and keys on loopback until the test ends. */
export async function serveKeys(t: Test, keys: unknown[], tls?: { key: Buffer; cert: Buffer }): Promise<KeyServer> {
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    state.asked.push(request.url ?? '')
    if (state.answer !== undefined) {
      state.answer(request, response)
      return
    }
    const metadata = { issuer: state.origin, jwks_uri: `${state.origin}/keys`, ...state.metadata }
    const isKeys = request.url === '/keys'
    response.end(JSON.stringify(isKeys ? { keys: state.keys } : metadata))
  }
  const server = tls === undefined ? http.createServer(listener) : https.createServer(tls, listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const origin = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
  const state: KeyServer = { origin, asked: [], keys, metadata: {}, answer: undefined }
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return state
}

/** A clock that stands until it is moved. */
export function makeClock(start = Date.parse('2030-01-01T00:00:00Z')): {
  now: () => number
  pass(seconds: number): void
} {
  let time = start
  return {
    now: () => time,
    pass: (seconds) => {
      time += seconds * 1000
    },
  }
}
