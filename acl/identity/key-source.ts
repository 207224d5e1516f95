/** Where the key set of one issuer is read from: discovery, a URL or a file, all of them named in the configuration. */

import { open } from 'node:fs/promises'
import { type JsonObject, member, parseObject } from '../json.ts'
import { mayFetch } from './check-options.ts'
import { type Fetched, fetchDocument, unavailable } from './fetch.ts'
import { type KeySet, readKeySet } from './jwk.ts'
import { maxKeySetBytes } from './limits.ts'
import type { IssuerOptions } from './options.ts'

export interface Loaded {
  readonly set: KeySet
  /** The server's clock in milliseconds since 1970, if it told. */
  readonly date: number | undefined
}

/** Reads the key set; the same object again while a file has not changed. Throws `unavailable` with what was wrong as the reason. */
export type Load = (signal: AbortSignal) => Promise<Loaded>

export function keySource(issuer: IssuerOptions): Load {
  const { keys } = issuer
  if ('jwksFile' in keys) return fileSource(keys.jwksFile)
  if ('jwksUrl' in keys) return async (signal) => toSet(await fetchDocument(keys.jwksUrl, { ca: issuer.ca, signal }))
  return async (signal) => {
    const metadata = await discover(issuer, signal)
    const uri = member(metadata, 'jwks_uri')
    if (typeof uri !== 'string' || !isAllowed(uri, issuer, keys.origins ?? [])) {
      throw unavailable('jwks_uri of its discovery document is not at an origin of the configuration')
    }
    return toSet(await fetchDocument(uri, { ca: issuer.ca, signal }))
  }
}

/** Its metadata (OpenID Connect Discovery 1.0, section 4). Throws `unavailable`. */
export async function discover(issuer: IssuerOptions, signal: AbortSignal): Promise<JsonObject> {
  const address = `${issuer.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const metadata = parse((await fetchDocument(address, { ca: issuer.ca, signal })).body, 'its discovery document')
  // Section 4.3: exactly the issuer that was asked for.
  if (member(metadata, 'issuer') !== issuer.issuer) throw unavailable('its discovery document is of another issuer')
  return metadata
}

function isAllowed(uri: string, issuer: IssuerOptions, origins: readonly string[]): boolean {
  const origin = URL.parse(uri)?.origin
  const allowed = [issuer.issuer, ...origins].map((address) => URL.parse(address)?.origin)
  return mayFetch(uri, issuer) && allowed.includes(origin)
}

function toSet(fetched: Fetched): Loaded {
  const set = readKeySet(parse(fetched.body, 'its key set'))
  if (set === undefined) throw unavailable('its key set has no list of keys')
  return { set, date: fetched.date }
}

function parse(body: Uint8Array, what: string): JsonObject {
  const { object, problem } = parseObject(body)
  if (object === undefined) throw unavailable(`${what} ${problem}`)
  return object
}

function fileSource(file: string): Load {
  let last: { readonly version: string; readonly loaded: Loaded } | undefined
  return async () => {
    try {
      const handle = await open(file, 'r')
      try {
        const { ino, size, mtimeNs } = await handle.stat({ bigint: true })
        const version = `${ino}-${size}-${mtimeNs}`
        if (version === last?.version) return last.loaded
        if (size > maxKeySetBytes) throw unavailable(`the key set file is larger than ${maxKeySetBytes} bytes`)
        const loaded = toSet({ body: await handle.readFile(), date: undefined })
        last = { version, loaded }
        return loaded
      } finally {
        await handle.close()
      }
    } catch (error) {
      const code = (error as { readonly code?: unknown }).code
      if (code === 'unavailable') throw error
      throw unavailable(`the key set file cannot be read (${String(code)})`, error)
    }
  }
}
