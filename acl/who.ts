/** Names in entries: from wire strings to `Who` and back, decimal ids, domains, and `nobody`. */

import { StorageError } from '../gateway/core/errors.ts'
import { type Ace, type AceType, aceFlag, type Rights, type SpecialWho, type Who } from './acl.ts'

/** Longest name in bytes of UTF-8: user, "@" and domain as the NFSv4 ACL tools hold them. */
export const maxWhoBytes = 386

const specials: ReadonlySet<string> = new Set<SpecialWho>([
  'OWNER@',
  'GROUP@',
  'EVERYONE@',
  'ANONYMOUS@',
  'AUTHENTICATED@',
])

/** Ids that kernels and NFS servers show for what they cannot map: 16-bit nobody, -2 and -1 as 32 bits. */
const unmappedIds: ReadonlySet<number> = new Set([65534, 4294967294, 4294967295])

/**
 * The identity a wire string names. Special names are compared exactly (RFC 8881, section 6.2.1.5);
 * any other that ends in "@" is `unknown`. Throws `invalid` for what cannot be a name.
 */
export function whoOf(name: string, kind: 'user' | 'group'): Who {
  if (specials.has(name)) return name as SpecialWho
  checkWhoName(name)
  if (name.endsWith('@')) return { unknown: name }
  return kind === 'group' ? { group: name } : { user: name }
}

/** The wire string of an identity; whether it names a group is told by the entry's flag. */
export function whoName(who: Who): string {
  if (typeof who === 'string') return who
  if ('user' in who) return who.user
  return 'group' in who ? who.group : who.unknown
}

/** Throws `invalid` for a name that is empty, too long, not Unicode, or holds control characters. */
export function checkWhoName(name: string): void {
  if (name === '') throw new StorageError('invalid', 'an ACL entry names nobody')
  if (name.length > maxWhoBytes || Buffer.byteLength(name) > maxWhoBytes) {
    throw new StorageError('invalid', `a name in an ACL is longer than ${maxWhoBytes} bytes`)
  }
  if (!name.isWellFormed() || /[\u0000-\u001f\u007f]/.test(name)) {
    throw new StorageError('invalid', 'a name in an ACL holds a control character or is not valid Unicode')
  }
}

/** An entry of one shape for all codecs; identifierGroup is set exactly where `who` names a group. */
export function makeAce(type: AceType, flags: number, mask: Rights, who: Who): Ace {
  const isGroup = typeof who === 'object' && 'group' in who
  const others = (flags & ~aceFlag.identifierGroup) >>> 0
  return { type, flags: isGroup ? (others | aceFlag.identifierGroup) >>> 0 : others, mask: mask >>> 0, who }
}

/** The uid or gid that a name of decimal digits stands for (no leading zero, 32 bits); undefined for other names. */
export function numericId(name: string): number | undefined {
  if (name.length === 0 || name.length > 10) return undefined
  let id = 0
  for (let i = 0; i < name.length; i++) {
    const digit = name.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return undefined
    id = id * 10 + digit
  }
  if (name.length > 1 && name.charCodeAt(0) === 48) return undefined
  return id <= 0xffffffff ? id : undefined
}

/** The name with its domain in lower case: domains compare case-insensitively, names do not. */
export function foldDomain(name: string): string {
  const at = name.lastIndexOf('@')
  return at < 0 ? name : name.slice(0, at) + name.slice(at).toLowerCase()
}

/** The name without its domain. */
export function localPart(name: string): string {
  const at = name.lastIndexOf('@')
  return at < 0 ? name : name.slice(0, at)
}

/**
 * Whether a name stands for "could not be mapped". Two different unmapped users look alike, so such
 * a name never matches anyone (RFC 8881, section 5.9).
 */
export function isNobody(name: string): boolean {
  const local = localPart(name)
  if (local === 'nobody' || local === 'nogroup') return true
  const id = numericId(name)
  return id !== undefined && unmappedIds.has(id)
}
