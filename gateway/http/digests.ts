/** Checksums in headers: RFC 9530, the older RFC 3230 that grid tools speak, Content-MD5 and OC-Checksum. */

import type { IncomingHttpHeaders } from 'node:http'
import type { Digest, Digests } from '../../backends/backend.ts'
import { digestSizes } from '../core/digests.ts'
import { StorageError } from '../core/errors.ts'

/** Names of RFC 9530's registry (the key of Adler-32 is `adler`). */
const modernNames: ReadonlyMap<string, Digest> = new Map([
  ['adler', 'adler32'],
  ['crc32c', 'crc32c'],
  ['md5', 'md5'],
  ['sha-256', 'sha-256'],
  ['sha-512', 'sha-512'],
])
const modernKeys: ReadonlyMap<Digest, string> = new Map([...modernNames].map(([key, kind]) => [kind, key]))
/** Names of RFC 3230 and of OC-Checksum, lower case. */
const olderNames: ReadonlyMap<string, Digest> = new Map([
  ['adler32', 'adler32'],
  ['crc32c', 'crc32c'],
  ['md5', 'md5'],
  ['sha-256', 'sha-256'],
  ['sha256', 'sha-256'],
  ['sha-512', 'sha-512'],
  ['sha512', 'sha-512'],
])

/** What the caller wants to be told, and in which words. */
export interface Wanted {
  /** All of them, each once. */
  readonly kinds: readonly Digest[]
  /** In the words of RFC 3230, each once. */
  readonly older: readonly Digest[]
  /** In the words of RFC 9530, each once. */
  readonly modern: readonly Digest[]
}

/** Want-Digest, Want-Repr-Digest and Want-Content-Digest; undefined when none names a kind that we know. */
export function parseWanted(headers: IncomingHttpHeaders): Wanted | undefined {
  const older = listOf(headers['want-digest']).flatMap((part) => {
    const [name = '', ...parameters] = part.split(';').map((each) => each.trim())
    const kind = olderNames.get(name.toLowerCase())
    return kind && !parameters.some((each) => /^q=0(?:\.0*)?$/i.test(each)) ? [kind] : []
  })
  const modern = listOf(headers['want-repr-digest'] ?? headers['want-content-digest']).flatMap((part) => {
    const match = /^([a-z0-9-]+)=(\d+)/.exec(part)
    const kind = modernNames.get(match?.[1] ?? '')
    return kind && match?.[2] !== '0' ? [kind] : []
  })
  const kinds = [...new Set([...older, ...modern])]
  return kinds.length === 0 ? undefined : { kinds, older: [...new Set(older)], modern: [...new Set(modern)] }
}

/** Headers that tell `digests` in the words asked for; name, value, name, value. */
export function digestHeaders(digests: Digests, { older, modern }: Wanted): string[] {
  const told = (kinds: readonly Digest[], word: (kind: Digest, value: Buffer) => string) =>
    kinds.flatMap((kind) => {
      const value = digests[kind]
      return value ? [word(kind, Buffer.from(value.buffer, value.byteOffset, value.byteLength))] : []
    })
  const olderWords = told(older, (kind, value) => `${kind}=${olderValue(kind, value)}`)
  const modernWords = told(modern, (kind, value) => `${modernKeys.get(kind)}=:${value.toString('base64')}:`)
  return [
    ...(olderWords.length > 0 ? ['Digest', olderWords.join(',')] : []),
    ...(modernWords.length > 0 ? ['Repr-Digest', modernWords.join(', ')] : []),
  ]
}

function olderValue(kind: Digest, value: Buffer): string {
  return kind === 'adler32' || kind === 'crc32c' ? value.toString('hex') : value.toString('base64')
}

/** Several digests as one text: in the words of RFC 3230, or of ownCloud's checksums, which are all in hexadecimal. */
export function digestText(digests: Digests, words: 'rfc3230' | 'oc'): string {
  const told = Object.entries(digests).map(([kind, bytes]) => {
    const value = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (words === 'rfc3230') return `${kind}=${olderValue(kind as Digest, value)}`
    return `${kind.replace('-', '').toUpperCase()}:${value.toString('hex')}`
  })
  return told.join(words === 'rfc3230' ? ',' : ' ')
}

/**
 * What the sender of a body says of it. Kinds that we do not know are left out; a value that cannot
 * be read, or two that contradict each other, are `invalid`.
 */
export function parseExpected(headers: IncomingHttpHeaders): Digests | undefined {
  const found: Partial<Record<Digest, Buffer>> = {}
  const add = (kind: Digest | undefined, value: Buffer | undefined) => {
    if (!kind) return
    const before = found[kind]
    if (!value || value.length !== digestSizes[kind] || (before && !before.equals(value))) {
      throw new StorageError('invalid', 'a checksum of the request cannot be read or contradicts another')
    }
    found[kind] = value
  }
  for (const name of ['repr-digest', 'content-digest']) addModern(headers[name], add)
  for (const part of listOf(headers.digest)) {
    const equals = part.indexOf('=')
    const kind = olderNames.get(part.slice(0, Math.max(equals, 0)).toLowerCase())
    const value = part.slice(equals + 1)
    add(kind, kind === 'adler32' || kind === 'crc32c' ? fromHex(value, 8) : fromBase64(value))
  }
  const md5 = headers['content-md5']
  if (md5 !== undefined) add('md5', fromBase64(String(md5)))
  for (const part of String(headers['oc-checksum'] ?? '').split(/\s+/)) {
    const colon = part.indexOf(':')
    const kind = olderNames.get(part.slice(0, Math.max(colon, 0)).toLowerCase())
    if (kind) add(kind, fromHex(part.slice(colon + 1), digestSizes[kind] * 2))
  }
  return Object.keys(found).length === 0 ? undefined : found
}

/** A dictionary of byte sequences (RFC 9530, section 2; RFC 9651, section 3.2). */
function addModern(
  header: string | string[] | undefined,
  add: (kind: Digest | undefined, value: Buffer | undefined) => void,
): void {
  for (const part of listOf(header)) {
    const equals = part.indexOf('=')
    const kind = modernNames.get(part.slice(0, Math.max(equals, 0)))
    const value = /^:([A-Za-z0-9+/]*={0,2}):(?:;|$)/.exec(part.slice(equals + 1))?.[1]
    if (kind) add(kind, value === undefined ? undefined : fromBase64(value))
  }
}

function listOf(header: string | string[] | undefined): string[] {
  if (header === undefined) return []
  const text = typeof header === 'string' ? header : header.join(',')
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}

/** Grid tools drop leading zeros of Adler-32. */
function fromHex(text: string, digits: number): Buffer | undefined {
  return text.length <= digits && /^[0-9a-f]+$/i.test(text) ? Buffer.from(text.padStart(digits, '0'), 'hex') : undefined
}

function fromBase64(text: string): Buffer | undefined {
  return /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, 'base64') : undefined
}
