/**
 * Macaroons with first-party caveats: bearer credentials that whoever holds one can narrow.
 *
 * Formats 1 (text packets) and 2 (binary) of libmacaroons, in base64url; its JSON form and third-party
 * caveats are refused. What a caveat means is for the reader to say: an intact macaroon allows nothing
 * by itself, and a caveat that is not understood is a refusal.
 */

import { createHmac, timingSafeEqual } from 'node:crypto'
import { StorageError } from '../gateway/core/errors.ts'

export type MacaroonFormat = 'v1' | 'v2'

export interface Macaroon {
  /** A hint where it may be used. Not signed: anybody can change it. */
  readonly location: string
  /** Names the root key to whoever made the macaroon. */
  readonly identifier: string
  /** In the order in which they were added; all must hold. */
  readonly caveats: readonly string[]
  /** 32 bytes. Knowing it is owning the macaroon. */
  readonly signature: Uint8Array
}

/** Longest serialised macaroon, in characters. */
export const maxMacaroonLength = 8192
/** More caveats are refused. */
export const maxCaveats = 64

const signatureBytes = 32
const maxPacket = 0xffff

/** Format 2: types of fields. */
const field = { end: 0, location: 1, identifier: 2, verifier: 4, signature: 6 } as const

/** A macaroon that allows everything its root key stands for, until caveats are added. */
export function createMacaroon(parts: {
  readonly location: string
  readonly identifier: string
  readonly rootKey: Uint8Array
}): Macaroon {
  const { location, identifier, rootKey } = parts
  return { location, identifier, caveats: [], signature: hmac(keyFrom(rootKey), identifier) }
}

/** The same macaroon, narrower. Needs no key. Throws `invalid` past `maxCaveats`. */
export function attenuate(macaroon: Macaroon, ...caveats: readonly string[]): Macaroon {
  const all = [...macaroon.caveats, ...caveats]
  if (all.length > maxCaveats) throw new StorageError('invalid', 'the macaroon has too many caveats')
  return { ...macaroon, caveats: all, signature: caveats.reduce(hmac, macaroon.signature) }
}

/** Whether it was made with this root key and nothing was taken from it. Says nothing about its caveats. */
export function isIntact({ identifier, caveats, signature }: Macaroon, rootKey: Uint8Array): boolean {
  const expected = caveats.reduce(hmac, hmac(keyFrom(rootKey), identifier))
  return signature.length === signatureBytes && timingSafeEqual(expected, signature)
}

/** In base64url without padding. Throws `invalid` where it would be longer than `maxMacaroonLength`. */
export function serializeMacaroon(macaroon: Macaroon, format: MacaroonFormat): string {
  const bytes = format === 'v1' ? packetsOf(macaroon) : fieldsOf(macaroon)
  const text = bytes.toString('base64url')
  if (text.length > maxMacaroonLength) throw new StorageError('invalid', 'the macaroon is too long')
  return text
}

/**
 * Reads either format, with padding or without. Throws `invalid` for anything else: other encodings, third-party
 * caveats, text that is not UTF-8, too much of something, bytes left over. The message does not quote the input.
 */
export function parseMacaroon(text: string): { readonly macaroon: Macaroon; readonly format: MacaroonFormat } {
  if (text.length > maxMacaroonLength) throw malformed('it is too long')
  const bare = text.replace(/={1,2}$/, '')
  const bytes = Buffer.from(bare, 'base64url')
  // The decoder skips what it does not know.
  if (bytes.length === 0 || bytes.toString('base64url') !== bare) throw malformed('it is not base64url')
  if (bytes[0] === 2) return { macaroon: readFields(bytes), format: 'v2' }
  return { macaroon: readPackets(bytes), format: 'v1' }
}

/** libmacaroons signs with a key derived from the root key, which may so have any length. */
function keyFrom(rootKey: Uint8Array): Uint8Array {
  const generator = Buffer.alloc(32)
  generator.write('macaroons-key-generator')
  return hmac(generator, rootKey)
}

function hmac(key: Uint8Array, data: Uint8Array | string): Uint8Array {
  return createHmac('sha256', key).update(data).digest()
}

function malformed(text: string): StorageError {
  return new StorageError('invalid', `not a macaroon: ${text}`)
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function textOf(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    // The decoder's error tells nothing that the caller could use.
    throw malformed('it holds bytes that are not UTF-8')
  }
}

function checked(parts: Macaroon): Macaroon {
  if (parts.signature.length !== signatureBytes) throw malformed('its signature has the wrong length')
  if (parts.caveats.length > maxCaveats) throw malformed('it has too many caveats')
  return parts
}

// Format 1: packets of four hexadecimal digits (the length of all of it), key, blank, value, newline.

function packetsOf({ location, identifier, caveats, signature }: Macaroon): Buffer {
  return Buffer.concat([
    packet('location', Buffer.from(location)),
    packet('identifier', Buffer.from(identifier)),
    ...caveats.map((caveat) => packet('cid', Buffer.from(caveat))),
    packet('signature', signature),
  ])
}

function packet(key: string, value: Uint8Array): Buffer {
  const length = 4 + key.length + 1 + value.length + 1
  if (length > maxPacket) throw new StorageError('invalid', 'a part of the macaroon is too long')
  return Buffer.concat([Buffer.from(`${length.toString(16).padStart(4, '0')}${key} `), value, Buffer.from('\n')])
}

interface Packet {
  readonly key: string
  readonly value: Buffer
  readonly end: number
}

function readPackets(bytes: Buffer): Macaroon {
  const location = expectPacket(bytes, 0, 'location')
  const identifier = expectPacket(bytes, location.end, 'identifier')
  const caveats: string[] = []
  let next = readPacket(bytes, identifier.end)
  while (next.key === 'cid' && caveats.length <= maxCaveats) {
    caveats.push(textOf(next.value))
    next = readPacket(bytes, next.end)
  }
  if (next.key === 'vid' || next.key === 'cl') throw malformed('it has a third-party caveat')
  if (next.key !== 'signature' || next.end !== bytes.length) throw malformed('its packets are out of order')
  return checked({
    location: textOf(location.value),
    identifier: textOf(identifier.value),
    caveats,
    signature: Uint8Array.from(next.value),
  })
}

function expectPacket(bytes: Buffer, at: number, key: string): Packet {
  const found = readPacket(bytes, at)
  if (found.key !== key) throw malformed('its packets are out of order')
  return found
}

function readPacket(bytes: Buffer, at: number): Packet {
  const digits = bytes.toString('latin1', at, at + 4)
  if (!/^[0-9a-f]{4}$/.test(digits)) throw malformed('a packet has no length')
  const end = at + Number.parseInt(digits, 16)
  // No key of ours is longer; so a value without a blank is not searched to its end.
  const blank = bytes.subarray(at + 4, Math.min(at + 16, end)).indexOf(32)
  if (end > bytes.length || blank < 1 || bytes[end - 1] !== 10) throw malformed('a packet is cut short')
  const start = at + 4 + blank + 1
  if (start > end - 1) throw malformed('a packet is cut short')
  return { key: bytes.toString('latin1', at + 4, start - 1), value: bytes.subarray(start, end - 1), end }
}

// Format 2: a version byte, then fields of type, length and value in sections that end in a zero.

function fieldsOf({ location, identifier, caveats, signature }: Macaroon): Buffer {
  const hint = location === '' ? [] : [fieldOf(field.location, Buffer.from(location))]
  const end = Buffer.of(field.end)
  return Buffer.concat([
    Buffer.of(2),
    ...hint,
    fieldOf(field.identifier, Buffer.from(identifier)),
    end,
    ...caveats.flatMap((caveat) => [fieldOf(field.identifier, Buffer.from(caveat)), end]),
    end,
    fieldOf(field.signature, signature),
  ])
}

function fieldOf(type: number, value: Uint8Array): Buffer {
  const length: number[] = []
  let left = value.length
  for (; left > 0x7f; left >>= 7) length.push((left & 0x7f) | 0x80)
  return Buffer.concat([Buffer.of(type, ...length, left), value])
}

interface Field {
  readonly type: number
  readonly value: Buffer
  readonly end: number
}

function readFields(bytes: Buffer): Macaroon {
  let next = readField(bytes, 1)
  const location = next.type === field.location ? textOf(next.value) : ''
  if (next.type === field.location) next = readField(bytes, next.end)
  const identifier = textOf(expectField(next, field.identifier).value)
  next = expectField(readField(bytes, next.end), field.end)
  const caveats: string[] = []
  for (next = readField(bytes, next.end); next.type !== field.end; next = readField(bytes, next.end)) {
    if (caveats.length > maxCaveats) throw malformed('it has too many caveats')
    // A location or a verifier id comes with third-party caveats alone.
    if (next.type === field.location) throw malformed('it has a third-party caveat')
    caveats.push(textOf(expectField(next, field.identifier).value))
    next = readField(bytes, next.end)
    if (next.type === field.verifier) throw malformed('it has a third-party caveat')
    expectField(next, field.end)
  }
  const signature = expectField(readField(bytes, next.end), field.signature)
  if (signature.end !== bytes.length) throw malformed('bytes are left over')
  return checked({ location, identifier, caveats, signature: Uint8Array.from(signature.value) })
}

function expectField(found: Field, type: number): Field {
  if (found.type !== type) throw malformed('its fields are out of order')
  return found
}

function readField(bytes: Buffer, at: number): Field {
  const type = bytes[at]
  if (type === undefined) throw malformed('it ends early')
  if (type === field.end) return { type, value: bytes.subarray(at, at), end: at + 1 }
  const { value: length, end: start } = readLength(bytes, at + 1)
  if (start + length > bytes.length) throw malformed('it ends early')
  return { type, value: bytes.subarray(start, start + length), end: start + length }
}

/** A number in groups of seven bits, the low ones first. Three bytes hold more than a macaroon is long. */
function readLength(bytes: Buffer, at: number): { readonly value: number; readonly end: number } {
  let value = 0
  for (let index = 0; index < 3; index++) {
    const byte = bytes[at + index]
    if (byte === undefined) throw malformed('it ends early')
    value |= (byte & 0x7f) << (7 * index)
    if ((byte & 0x80) !== 0) continue
    if (byte === 0 && index > 0) throw malformed('a length is not in its shortest form')
    return { value, end: at + index + 1 }
  }
  throw malformed('a length is too large')
}
