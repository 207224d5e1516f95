/** Mode bits and ACLs: each from the other, and what chmod does to a list (RFC 8881, sections 6.3.2 and 6.4.1). */

import { type Ace, type Acl, aceFlag, type Dialect, type Rights, right } from './acl.ts'
import type { ObjectKind } from './dialects.ts'
import { acesFromPosix, rightsOfPermission } from './posix.ts'
import { makeAce } from './who.ts'

/** The list that grants what the low nine bits of `mode` grant, in the canonical form servers give POSIX objects. */
export function acesFromMode(mode: number, kind: ObjectKind): Ace[] {
  const owner = (mode >> 6) & 7
  const group = (mode >> 3) & 7
  return acesFromPosix({ owner, users: [], group, groups: [], other: mode & 7 }, kind)
}

/** The ACL of an object that has mode bits only. */
export function aclFromMode(
  mode: number,
  kind: ObjectKind,
  object: { readonly owner: string | undefined; readonly group: string | undefined; readonly dialect?: Dialect },
): Acl {
  const { owner, group, dialect = 'posix' } = object
  return { owner, group, aces: acesFromMode(mode, kind), dialect }
}

/**
 * The low nine mode bits that a list amounts to: named users and groups do not count, and a class may
 * write only where it holds both WRITE_DATA and APPEND_DATA.
 */
export function modeOf(aces: readonly Ace[]): number {
  return (permissionOf(aces, 'OWNER@') << 6) | (permissionOf(aces, 'GROUP@') << 3) | permissionOf(aces, 'EVERYONE@')
}

/**
 * The ACL after chmod. Afterwards `modeOf` gives exactly the low nine bits of `mode`; entries for anyone
 * but the three classes keep read, write and execute only as far as the group bits go; everything else,
 * and everything that is only inherited, stays. An entry that is both effective and heritable is split.
 * A dacl whose inherited entries had to change is marked PROTECTED.
 */
export function withMode(acl: Acl, mode: number, kind: ObjectKind): Acl {
  const bits: Classes = {
    owner: rightsOfPermission((mode >> 6) & 7, kind),
    group: rightsOfPermission((mode >> 3) & 7, kind),
    other: rightsOfPermission(mode & 7, kind),
    all: rightsOfPermission(7, kind),
  }
  const stripped = acl.aces.flatMap((ace) => strip(ace, bits))
  const aces = withEveryone(withGroup(withOwner(stripped, bits), bits), bits)
  if (acl.flags === undefined) return { ...acl, aces }
  const kept = new Set(aces)
  const changed = acl.aces.some((ace) => (ace.flags & aceFlag.inherited) !== 0 && !kept.has(ace))
  return { ...acl, aces, flags: changed ? acl.flags | daclProtected : acl.flags }
}

const daclProtected = 2

/** What each class shall hold, out of `all`, the bits that a mode speaks about. */
interface Classes {
  readonly owner: Rights
  readonly group: Rights
  readonly other: Rights
  readonly all: Rights
}

function permissionOf(aces: readonly Ace[], special: 'OWNER@' | 'GROUP@' | 'EVERYONE@'): number {
  let open: Rights = right.readData | right.writeData | right.appendData | right.execute
  let granted: Rights = 0
  for (const ace of aces) {
    if (!isEffective(ace) || (ace.who !== special && ace.who !== 'EVERYONE@')) continue
    if (ace.type === 'allow') granted |= ace.mask & open
    open &= ~ace.mask
  }
  const write = right.writeData | right.appendData
  return (
    ((granted & right.readData) !== 0 ? 4 : 0) |
    ((granted & write) === write ? 2 : 0) |
    ((granted & right.execute) !== 0 ? 1 : 0)
  )
}

function isEffective(ace: Ace): boolean {
  return (ace.type === 'allow' || ace.type === 'deny') && (ace.flags & aceFlag.inheritOnly) === 0
}

/** The entry without what the mode now decides, and the heritable part of it as it was. */
function strip(ace: Ace, bits: Classes): readonly Ace[] {
  if (!isEffective(ace)) return [ace]
  const special = ace.who === 'OWNER@' || ace.who === 'GROUP@' || ace.who === 'EVERYONE@'
  if (!special && ace.type === 'deny') return [ace]
  const lost = special ? bits.all : bits.all & ~bits.group
  const mask = ace.mask & ~lost
  const heritable = ace.flags & (aceFlag.fileInherit | aceFlag.directoryInherit)
  if (mask === ace.mask && (!special || heritable === 0)) return [ace]
  const inheritance = heritable | aceFlag.noPropagateInherit
  const effective = mask === 0 ? [] : [makeAce(ace.type, ace.flags & ~(inheritance | aceFlag.inherited), mask, ace.who)]
  if (heritable === 0) return effective
  return [...effective, makeAce(ace.type, ace.flags | aceFlag.inheritOnly, ace.mask, ace.who)]
}

/** OWNER@ is denied, before anyone else speaks, what he shall lack and a later entry grants. */
function withOwner(aces: readonly Ace[], bits: Classes): Ace[] {
  const granted = aces.reduce(
    (sum, ace) => (isEffective(ace) && ace.type === 'allow' ? sum | ace.mask : sum),
    bits.group | bits.other,
  )
  const denied = granted & bits.all & ~bits.owner
  const at = aces.findIndex((ace) => isPlainAllow(ace, 'OWNER@'))
  const result = addTo(aces, Math.max(at, 0), at >= 0, 'OWNER@', bits.owner)
  return denied === 0 ? result : [makeAce('deny', 0, denied, 'OWNER@'), ...result]
}

/** GROUP@ is allowed its bits, then denied what EVERYONE@ shall hold beyond them. */
function withGroup(aces: readonly Ace[], bits: Classes): Ace[] {
  const found = aces.findIndex((ace) => isPlainAllow(ace, 'GROUP@'))
  const everyone = aces.findLastIndex((ace) => isPlainAllow(ace, 'EVERYONE@'))
  const at = found >= 0 ? found : everyone >= 0 ? everyone : aces.length
  const result = addTo(aces, at, found >= 0, 'GROUP@', bits.group)
  const denied = bits.other & ~bits.group
  const isThere = found >= 0 || bits.group !== 0
  if (denied !== 0) result.splice(isThere ? at + 1 : at, 0, makeAce('deny', 0, denied, 'GROUP@'))
  return result
}

/** The bits of EVERYONE@ come after all that speaks about OWNER@ and GROUP@. */
function withEveryone(aces: readonly Ace[], bits: Classes): Ace[] {
  const last = aces.findLastIndex((ace) => isPlainAllow(ace, 'EVERYONE@'))
  const before = aces.findLastIndex((ace) => isEffective(ace) && (ace.who === 'GROUP@' || ace.who === 'OWNER@'))
  return last > before
    ? addTo(aces, last, true, 'EVERYONE@', bits.other)
    : addTo(aces, aces.length, false, 'EVERYONE@', bits.other)
}

function isPlainAllow(ace: Ace, who: Ace['who']): boolean {
  return ace.type === 'allow' && ace.who === who && isEffective(ace)
}

/** Adds rights to the entry at `index`, or as an entry of its own before it. */
function addTo(aces: readonly Ace[], index: number, merge: boolean, who: Ace['who'], rights: Rights): Ace[] {
  const result = [...aces]
  if (rights === 0) return result
  const ace = merge ? result[index] : undefined
  // What has been changed is no longer what was inherited.
  const flags = (ace?.flags ?? 0) & ~aceFlag.inherited
  const entry = makeAce('allow', flags, (ace?.mask ?? 0) | rights, who)
  result.splice(index, merge ? 1 : 0, entry)
  return result
}
