/** ACLs of new and changed objects in the `gateway` grade, and the bytes they are stored as. */

import { type Ace, type Acl, aceFlag } from '../../acl/acl.ts'
import { encodeNfs4Acl } from '../../acl/codec/nfs4-xattr.ts'
import { encodeStoredAcl } from '../../acl/codec/stored.ts'
import type { ObjectKind } from '../../acl/dialects.ts'
import { aclOfNew } from '../../acl/inherit.ts'
import type { Principal } from '../../acl/principal.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Entry } from '../backend.ts'
import type { PosixSetup } from './options.ts'
import type { AclBytes } from './wire.ts'

const setGroupId = 0o2000

/** Where a directory's ACL lies: only where it can be stored with a new object does the object get one. */
interface Place {
  readonly nfs4: boolean
  /** Permission bits of an object that inherits nothing. */
  readonly mode?: number
}

/** What an ACL is stored as: a list for a library or a path, `system.nfs4_acl`, or our own attribute. */
export type AclForm = 'list' | 'nfs4' | 'stored'

/** `nfs4`: the object lies on a file system with NFSv4 ACLs. */
export function formOf({ acl, aclModule }: PosixSetup, nfs4: boolean | undefined): AclForm {
  if (aclModule !== undefined || acl.includes('path')) return 'list'
  return nfs4 ? 'nfs4' : 'stored'
}

/**
 * The ACL of what the caller makes in a directory: inherited entries, the caller as owner, and as group that of a
 * set-group-id directory, else the caller's own. Undefined where nothing but the mode can hold it.
 */
export function aclForNew(
  setup: PosixSetup,
  kind: ObjectKind,
  directory: Entry,
  principal: Principal,
  { nfs4, mode: asked }: Place,
): AclBytes | undefined {
  const form = formOf(setup, nfs4)
  if (setup.native || (form === 'stored' && !setup.acl.includes('xattr'))) return undefined
  const { acl: parent, mode = 0 } = directory
  if (!parent) {
    const reason = { rule: 'no-acl', text: 'the ACL of the directory could not be read' }
    throw new StorageError('denied', 'the directory has no ACL', { reason })
  }
  const acl = aclOfNew(parent, {
    kind,
    owner: ownName(setup, principal),
    group: (mode & setGroupId) !== 0 ? parent.group : ownGroup(principal),
    defaultMode: asked ?? (kind === 'file' ? 0o666 : 0o777) & ~setup.umask,
  })
  return bytesOf({ ...acl, dialect: form === 'list' ? parent.dialect : 'rfc8881' }, form !== 'stored', form)
}

/**
 * A list in the form it is stored in. `naming`: the file system takes the account of the gateway
 * for the owner, so that what is meant for owner and group is said of them by name besides.
 */
export function bytesOf(acl: Acl, naming: boolean, form: AclForm): AclBytes {
  if (form === 'stored') return { stored: encodeStoredAcl(acl), nfs4: empty }
  const aces = naming ? acl.aces.flatMap((ace) => named(ace, acl)) : acl.aces
  if (form === 'nfs4') return { stored: empty, nfs4: encodeNfs4Acl(aces) }
  return { stored: empty, nfs4: empty, list: { ...acl, aces } }
}

/** A list as its new object holds it: the object tells itself whose it is. */
export function ownerless(list: Acl | undefined): Acl | undefined {
  return list && { ...list, owner: undefined, group: undefined }
}

const empty = new Uint8Array(0)

/** Libraries know numbers only. */
function ownName({ aclModule }: PosixSetup, { posix, user }: Principal): string | undefined {
  return aclModule !== undefined && posix ? String(posix.uid) : user
}

function ownGroup({ posix, groups }: Principal): string | undefined {
  const [first] = groups
  return posix ? String(posix.gid) : first
}

function named(ace: Ace, { owner, group }: Acl): Ace[] {
  // Of this object alone: what is made below it may belong to others.
  const own = ace.flags & ~inheritance
  if ((ace.flags & aceFlag.inheritOnly) !== 0) return [ace]
  if (ace.who === 'OWNER@' && owner !== undefined) return [ace, { ...ace, flags: own, who: { user: owner } }]
  if (ace.who !== 'GROUP@' || group === undefined) return [ace]
  return [ace, { ...ace, flags: own | aceFlag.identifierGroup, who: { group } }]
}

const { fileInherit, directoryInherit, noPropagateInherit, inheritOnly } = aceFlag
const inheritance = fileInherit | directoryInherit | noPropagateInherit | inheritOnly
