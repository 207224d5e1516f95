/** Checksums as dCache tells them: in `Digest` fields (RFC 3230), in properties, and in the frontend's JSON. */

import type { Digest, Digests } from '../backend.ts'
import { digestSizes } from '../digesting.ts'
import { isRecord } from './attributes.ts'

/** What dCache knows by other names. */
const kinds: Readonly<Record<string, Digest>> = {
  adler32: 'adler32',
  md5: 'md5',
  md5_type: 'md5',
  'sha-256': 'sha-256',
  'sha-512': 'sha-512',
}

/** The kinds that dCache computes at an upload when asked to. */
export const wantedDigests = 'adler32, md5;q=0.9, sha-256;q=0.8, sha-512;q=0.7'

/** Reads `adler32=5ae07809,md5=BASE64`: ADLER32 in hexadecimal, the others in base64. What makes no sense is left out. */
export function digestsOf(field: string | readonly string[] | undefined): Digests {
  const found: Partial<Record<Digest, Uint8Array>> = {}
  for (const part of String(field ?? '').split(',', 32)) {
    const equals = part.indexOf('=')
    const kind = kinds[part.slice(0, Math.max(0, equals)).trim().toLowerCase()]
    if (!kind) continue
    const value = part.slice(equals + 1).trim()
    const bytes = kind === 'adler32' ? fromHex(value) : Buffer.from(value, 'base64')
    if (bytes?.length === digestSizes[kind]) found[kind] = bytes
  }
  return found
}

export function digestOf(field: string | readonly string[] | undefined, kind: Digest): Uint8Array | undefined {
  return digestsOf(field)[kind]
}

/** Reads the frontend's `checksums`, a list of types and values in hexadecimal. */
export function digestsOfJson(list: unknown): Digests {
  const found: Partial<Record<Digest, Uint8Array>> = {}
  for (const one of Array.isArray(list) ? list.slice(0, 32) : []) {
    if (!isRecord(one) || typeof one.type !== 'string' || typeof one.value !== 'string') continue
    const kind = kinds[one.type.toLowerCase()]
    const bytes = fromHex(one.value)
    if (kind && bytes?.length === digestSizes[kind]) found[kind] = bytes
  }
  return found
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** ADLER32 may come without its leading zeros. */
function fromHex(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{1,128}$/i.test(text)) return undefined
  return Buffer.from(text.length < 8 ? text.padStart(8, '0') : text, 'hex')
}
