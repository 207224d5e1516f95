/** What storage systems do otherwise than RFC 8881: standing rights, ignored bits, and what they can store. */

import { StorageError } from '../gateway/core/errors.ts'
import { type Ace, type Acl, aceFlag, type Dialect, maxAces, type Rights, right, type SpecialWho } from './acl.ts'
import { checkWhoName, makeAce, whoName } from './who.ts'

/** What an ACL belongs to: everything that is not a directory counts as a file (RFC 8881, section 6.2.1.4). */
export type ObjectKind = 'file' | 'directory'

/** Every bit that RFC 8881 names. No other bit is ever granted. */
export const knownRights: Rights = 0x1f07ff

/** All rights of a file (DELETE_CHILD has no meaning there) and of a directory, without retention. */
export const fullRights: Readonly<Record<ObjectKind, Rights>> = { file: 0x1f01bf, directory: 0x1f01ff }

const ownersFour = right.readAcl | right.writeAcl | right.readAttributes | right.writeAttributes

/**
 * What the owner holds whatever the list says (RFC 8881, section 6.3.1.1). GPFS gives him these four
 * always; POSIX lets him stat and chmod. dCache asks the mode bits instead where the list is silent.
 */
export const standingRights: Readonly<Record<Dialect, Rights>> = {
  rfc8881: 0,
  gpfs: ownersFour,
  posix: ownersFour,
  dcache: 0,
}

/** Bits that the storage keeps or shows without ever acting on them; the gateway still honours them. */
export const ignoredRights: Readonly<Record<Dialect, Rights>> = {
  rfc8881: 0,
  gpfs: right.readNamedAttributes | right.writeNamedAttributes | right.synchronize,
  posix: right.synchronize | right.readNamedAttributes | right.writeNamedAttributes,
  dcache: right.readNamedAttributes | right.writeNamedAttributes | right.synchronize,
}

interface Limits {
  readonly aces: number
  readonly types: ReadonlySet<Ace['type']>
  readonly specials: ReadonlySet<SpecialWho>
  /** Special names that nobody here matches are kept for the server to judge. */
  readonly unknownWho: boolean
  readonly flags: number
  readonly rights: Rights
}

const { fileInherit, directoryInherit, noPropagateInherit, inheritOnly, inherited, identifierGroup } = aceFlag
const audited = aceFlag.successfulAccess | aceFlag.failedAccess
const inheritance = fileInherit | directoryInherit | noPropagateInherit | inheritOnly
const both: ReadonlySet<Ace['type']> = new Set(['allow', 'deny'])
const three: ReadonlySet<SpecialWho> = new Set(['OWNER@', 'GROUP@', 'EVERYONE@'])
const five: ReadonlySet<SpecialWho> = new Set([...three, 'ANONYMOUS@', 'AUTHENTICATED@'])
const withoutRetention = fullRights.directory

const limits: Readonly<Record<Dialect, Limits>> = {
  rfc8881: {
    aces: maxAces,
    types: new Set(['allow', 'deny', 'audit', 'alarm']),
    specials: five,
    unknownWho: true,
    flags: inheritance | audited | identifierGroup | inherited,
    rights: knownRights,
  },
  gpfs: {
    aces: 638,
    types: both,
    specials: three,
    unknownWho: false,
    flags: inheritance | identifierGroup | inherited,
    rights: withoutRetention,
  },
  dcache: {
    aces: maxAces,
    types: both,
    specials: five,
    unknownWho: false,
    flags: fileInherit | directoryInherit | inheritOnly | identifierGroup,
    rights: withoutRetention,
  },
  // Whether the list can be said in POSIX terms at all is for posixFromAcl to find out.
  posix: {
    aces: 170,
    types: both,
    specials: three,
    unknownWho: false,
    flags: fileInherit | directoryInherit | inheritOnly | identifierGroup,
    rights: withoutRetention,
  },
}

/**
 * The list as it may be stored on a `kind` of object in the list's dialect: DELETE_CHILD, which has no
 * meaning on files, is dropped there, as the NFSv4 tools do. Throws `unsupported` for what the storage
 * cannot hold (NFS4ERR_ATTRNOTSUPP) and `invalid` for what is no ACL; the message names the entry, from 1.
 */
export function storable(acl: Acl, kind: ObjectKind): Acl {
  const limit = limits[acl.dialect]
  if (acl.aces.length > limit.aces) {
    throw new StorageError('unsupported', `the ACL has more than ${limit.aces} entries`)
  }
  const aces = acl.aces.map((ace, index) => {
    const fault = faultOf(ace, kind, limit, acl.dialect)
    if (fault) throw new StorageError(fault.code, `entry ${index + 1} of the ACL ${fault.text}`)
    checkWhoName(whoName(ace.who))
    return makeAce(ace.type, ace.flags, kind === 'file' ? ace.mask & ~right.deleteChild : ace.mask, ace.who)
  })
  return { ...acl, aces }
}

interface Fault {
  readonly code: 'invalid' | 'unsupported'
  readonly text: string
}

function faultOf(ace: Ace, kind: ObjectKind, limit: Limits, dialect: Dialect): Fault | undefined {
  if (!limit.types.has(ace.type)) return unsupported(`is of type ${ace.type}, which ${dialect} cannot store`)
  if ((ace.mask & ~limit.rights) !== 0) return unsupported(`holds a right that ${dialect} cannot store`)
  return whoFault(ace, limit, dialect) ?? flagFault(ace, kind, limit, dialect)
}

function whoFault({ who, flags }: Ace, limit: Limits, dialect: Dialect): Fault | undefined {
  const isGroup = typeof who === 'object' && 'group' in who
  if (isGroup !== ((flags & identifierGroup) !== 0)) return invalid('disagrees with its group flag')
  if (typeof who === 'string') {
    return limit.specials.has(who) ? undefined : unsupported(`is for ${who}, which ${dialect} does not know`)
  }
  if ('unknown' in who) {
    return limit.unknownWho ? undefined : unsupported(`is for a special name that ${dialect} does not know`)
  }
  if (whoName(who).endsWith('@')) return invalid('names a user or group without domain after the "@"')
  return undefined
}

/** RFC 8881, section 6.2.1.4.1. */
function flagFault({ flags, type }: Ace, kind: ObjectKind, limit: Limits, dialect: Dialect): Fault | undefined {
  if ((flags & ~limit.flags) !== 0) return unsupported(`holds a flag that ${dialect} cannot store`)
  if (kind === 'file' && (flags & inheritance) !== 0) return unsupported('has inheritance flags, but this is a file')
  if ((flags & inheritOnly) !== 0 && (flags & (fileInherit | directoryInherit)) === 0) {
    return unsupported('is inherit-only, but inherited by nothing')
  }
  if ((flags & audited) !== 0 && both.has(type)) return invalid('has audit flags, but neither audits nor alarms')
  return undefined
}

function unsupported(text: string): Fault {
  return { code: 'unsupported', text }
}

function invalid(text: string): Fault {
  return { code: 'invalid', text }
}
