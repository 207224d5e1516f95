/**
 * Our own form of an ACL with owner and group, for an extended attribute on file systems that know no
 * NFSv4 ACL. Compact, because such file systems keep about 4 KiB of attributes for a file.
 *
 *     u8 'P'  u8 version 1  u8 dialect  u8 presence (1 owner, 2 group, 4 list flags)
 *     [owner: u16 length, UTF-8]  [group: likewise]  [u8 list flags]
 *     u16 count, then per entry: u8 type + 4 × who kind, u8 flags, u32 mask, [name: u16 length, UTF-8]
 *
 * Numbers are big-endian. Names are written for users, groups and unknown special names only.
 */

import { StorageError } from '../../gateway/core/errors.ts'
import { type Ace, type AceType, type Acl, type Dialect, maxAces, type SpecialWho, type Who } from '../acl.ts'
import { checkWhoName, makeAce, whoName, whoOf } from '../who.ts'

/** Largest stored form that is read or written, in bytes. */
export const maxStoredBytes = 65536

const magic = 0x50
const version = 1
const dialects: readonly Dialect[] = ['rfc8881', 'gpfs', 'posix', 'dcache']
const types: readonly AceType[] = ['allow', 'deny', 'audit', 'alarm']
const specials: readonly SpecialWho[] = ['OWNER@', 'GROUP@', 'EVERYONE@', 'ANONYMOUS@', 'AUTHENTICATED@']
const has = { owner: 1, group: 2, flags: 4 } as const
/** Who kinds 0 to 4 are the special names above. */
const kinds = { user: 5, group: 6, unknown: 7 } as const
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The bytes to store. Throws `too-large`, and `unsupported` for flags beyond eight bits. */
export function encodeStoredAcl(acl: Acl): Buffer {
  const { owner, group, flags } = acl
  if (acl.aces.length > maxAces) throw new StorageError('too-large', `the ACL has more than ${maxAces} entries`)
  const parts: Buffer[] = [
    Buffer.from([
      magic,
      version,
      dialects.indexOf(acl.dialect),
      (owner === undefined ? 0 : has.owner) |
        (group === undefined ? 0 : has.group) |
        (flags === undefined ? 0 : has.flags),
    ]),
  ]
  for (const name of [owner, group]) if (name !== undefined) parts.push(lengthAndName(name))
  if (flags !== undefined) parts.push(byte(flags))
  const count = Buffer.alloc(2)
  count.writeUInt16BE(acl.aces.length)
  parts.push(count)
  for (const ace of acl.aces) parts.push(...encodeAce(ace))
  const bytes = Buffer.concat(parts)
  if (bytes.length > maxStoredBytes) throw new StorageError('too-large', 'the ACL is too long to be stored')
  return bytes
}

/** Reads what `encodeStoredAcl` writes. Throws `invalid` for anything else, trailing bytes included. */
export function decodeStoredAcl(bytes: Uint8Array): Acl {
  if (bytes.length > maxStoredBytes) throw malformed('it is too long')
  const reader = new Reader(bytes)
  if (reader.number(1) !== magic || reader.number(1) !== version) throw malformed('it is not of version 1')
  const dialect = dialects[reader.number(1)]
  const presence = reader.number(1)
  if (dialect === undefined || presence > 7) throw malformed('its head is unknown')
  const owner = (presence & has.owner) !== 0 ? reader.name() : undefined
  const group = (presence & has.group) !== 0 ? reader.name() : undefined
  const flags = (presence & has.flags) !== 0 ? reader.number(1) : undefined
  const count = reader.number(2)
  if (count > maxAces) throw malformed(`it announces more than ${maxAces} entries`)
  const aces: Ace[] = []
  for (let i = 0; i < count; i++) aces.push(decodeAce(reader))
  reader.end()
  return { owner, group, aces, dialect, ...(flags !== undefined && { flags }) }
}

class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  number(size: 1 | 2 | 4): number {
    if (this.#at + size > this.#bytes.length) throw malformed('it ends early')
    const value = this.#bytes.readUIntBE(this.#at, size)
    this.#at += size
    return value
  }

  name(): string {
    const end = this.number(2) + this.#at
    if (end > this.#bytes.length) throw malformed('a name is longer than what is left')
    const raw = this.#bytes.subarray(this.#at, end)
    this.#at = end
    let name: string
    try {
      name = decoder.decode(raw)
    } catch (cause) {
      throw new StorageError('invalid', 'the stored ACL is malformed: a name is not UTF-8', { cause })
    }
    checkWhoName(name)
    return name
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw malformed('bytes follow it')
  }
}

function decodeAce(reader: Reader): Ace {
  const head = reader.number(1)
  const type = types[head & 3]
  const kind = head >> 2
  const flags = reader.number(1)
  const mask = reader.number(4)
  if (type === undefined || kind > kinds.unknown) throw malformed('an entry is of no known type')
  const who = specials[kind] ?? namedWho(kind, reader.name())
  const ace = makeAce(type, flags, mask, who)
  if (ace.flags !== flags) throw malformed('an entry disagrees with its group flag')
  return ace
}

function namedWho(kind: number, name: string): Who {
  const who = whoOf(name, kind === kinds.group ? 'group' : 'user')
  const found =
    typeof who === 'string' ? undefined : 'user' in who ? kinds.user : 'group' in who ? kinds.group : kinds.unknown
  if (found !== kind) throw malformed('a name is not of its kind')
  return who
}

function encodeAce(ace: Ace): Buffer[] {
  const { who } = ace
  const kind =
    typeof who === 'string'
      ? specials.indexOf(who)
      : 'user' in who
        ? kinds.user
        : 'group' in who
          ? kinds.group
          : kinds.unknown
  const fixed = Buffer.alloc(6)
  fixed[0] = types.indexOf(ace.type) | (kind << 2)
  byte(ace.flags).copy(fixed, 1)
  fixed.writeUInt32BE(ace.mask >>> 0, 2)
  return typeof who === 'string' ? [fixed] : [fixed, lengthAndName(whoName(who))]
}

function lengthAndName(name: string): Buffer {
  checkWhoName(name)
  const text = Buffer.from(name)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(text.length)
  return Buffer.concat([length, text])
}

function byte(value: number): Buffer {
  if (value < 0 || value > 255) throw new StorageError('unsupported', 'the ACL holds a flag that cannot be stored')
  return Buffer.from([value])
}

function malformed(what: string): StorageError {
  return new StorageError('invalid', `the stored ACL is malformed: ${what}`)
}
