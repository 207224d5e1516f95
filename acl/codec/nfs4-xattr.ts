/**
 * The binary ACL of the Linux NFSv4 client: XDR of the attributes `acl` (system.nfs4_acl) and `dacl`
 * (system.nfs4_dacl), RFC 8881, sections 6.2.1 and 6.2.2.
 */

import { StorageError } from '../../gateway/core/errors.ts'
import { type Ace, type AceType, aceFlag, maxAces } from '../acl.ts'
import { makeAce, whoName, whoOf } from '../who.ts'

/** Largest value of an extended attribute on Linux. */
export const maxXattrBytes = 65536

const types: readonly AceType[] = ['allow', 'deny', 'audit', 'alarm']
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A dacl: entries and the list's own flags (RFC 8881, section 6.4.3.2). */
export interface Dacl {
  readonly flags: number
  readonly aces: readonly Ace[]
}

/**
 * Reads the value of system.nfs4_acl. Flag and mask bits that nobody knows are kept, for writing back,
 * and never grant anything. Throws `invalid` for anything but exactly one well-formed list.
 */
export function decodeNfs4Acl(bytes: Uint8Array): Ace[] {
  const reader = readerOf(bytes)
  const aces = readAces(reader)
  reader.end()
  return aces
}

/** Reads the value of system.nfs4_dacl: the list's flags, then its entries. Throws `invalid`. */
export function decodeDacl(bytes: Uint8Array): Dacl {
  const reader = readerOf(bytes)
  const flags = reader.word()
  const aces = readAces(reader)
  reader.end()
  return { flags, aces }
}

/** The value of system.nfs4_acl. INHERITED_ACE has no place there and is left out. Throws `too-large`. */
export function encodeNfs4Acl(aces: readonly Ace[]): Buffer {
  const plain = aces.map((ace) => makeAce(ace.type, ace.flags & ~aceFlag.inherited, ace.mask, ace.who))
  return encode([], plain)
}

/** The value of system.nfs4_dacl. Throws `too-large`. */
export function encodeDacl(dacl: Dacl): Buffer {
  return encode([dacl.flags], dacl.aces)
}

interface Reader {
  word(): number
  text(): string
  end(): void
}

function readerOf(bytes: Uint8Array): Reader {
  if (bytes.length > maxXattrBytes) throw malformed('it is too long')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  const word = () => {
    if (at + 4 > bytes.length) throw malformed('it ends early')
    const value = view.getUint32(at)
    at += 4
    return value
  }
  const text = () => {
    const length = word()
    const padded = Math.ceil(length / 4) * 4
    if (padded > bytes.length - at) throw malformed('a name is longer than what is left')
    const name = bytes.subarray(at, at + length)
    for (let i = at + length; i < at + padded; i++) if (bytes[i] !== 0) throw malformed('padding is not zero')
    at += padded
    try {
      return decoder.decode(name)
    } catch (cause) {
      throw new StorageError('invalid', 'the ACL is malformed: a name is not UTF-8', { cause })
    }
  }
  const end = () => {
    if (at !== bytes.length) throw malformed('bytes follow it')
  }
  return { word, text, end }
}

function readAces(reader: Reader): Ace[] {
  const count = reader.word()
  if (count > maxAces) throw malformed(`it announces more than ${maxAces} entries`)
  const aces: Ace[] = []
  for (let i = 0; i < count; i++) {
    const type = types[reader.word()]
    if (type === undefined) throw malformed('an entry is of no known type')
    const flags = reader.word()
    const mask = reader.word()
    const kind = (flags & aceFlag.identifierGroup) !== 0 ? 'group' : 'user'
    aces.push(makeAce(type, flags, mask, whoOf(reader.text(), kind)))
  }
  return aces
}

function encode(header: readonly number[], aces: readonly Ace[]): Buffer {
  const names = aces.map((ace) => Buffer.from(whoName(ace.who)))
  const size = names.reduce((sum, name) => sum + 16 + Math.ceil(name.length / 4) * 4, header.length * 4 + 4)
  if (aces.length > maxAces || size > maxXattrBytes) {
    throw new StorageError('too-large', 'the ACL is too long to be stored')
  }
  const bytes = Buffer.alloc(size)
  let at = 0
  const word = (value: number) => {
    at = bytes.writeUInt32BE(value >>> 0, at)
  }
  for (const value of header) word(value)
  word(aces.length)
  for (const [i, ace] of aces.entries()) {
    const name = names[i] ?? Buffer.alloc(0)
    word(types.indexOf(ace.type))
    word(ace.flags)
    word(ace.mask)
    word(name.length)
    name.copy(bytes, at)
    at += Math.ceil(name.length / 4) * 4
  }
  return bytes
}

function malformed(what: string): StorageError {
  return new StorageError('invalid', `the ACL is malformed: ${what}`)
}
