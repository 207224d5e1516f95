/**
 * What an ACL says to a caller: allowed, denied, or not mentioned (RFC 8881, section 6.2.1).
 *
 * Lists and principals are prepared once per object and remembered as long as the object lives, so
 * both must not be changed after their first use here. What cannot be resolved errs to less access:
 * an ALLOW for it is dropped, a DENY for it holds for everybody.
 */

import { type Ace, type Acl, aceFlag, type Rights } from './acl.ts'
import { knownRights, standingRights } from './dialects.ts'
import type { Principal } from './principal.ts'
import { foldDomain, isNobody, localPart, numericId } from './who.ts'

/** What one walk over a list found. */
export interface AclDecision {
  /** `undefined`: some bit is mentioned by no entry that speaks to the caller; most servers take that for no. */
  readonly outcome: 'allowed' | 'denied' | 'undefined'
  /** Index of the entry that decided, from 0. Absent when silence or a standing right of the owner did. */
  readonly ace?: number
  /** Of an `allowed` all bits asked for, of a `denied` those denied, of an `undefined` those not mentioned. */
  readonly rights: Rights
}

/**
 * Walks the list for `mask` as one request: the first entry that denies a bit still open ends it.
 * Rights that the list's dialect always gives the owner are given before the walk. Bits that RFC 8881
 * does not name are never allowed.
 */
export function decide(acl: Acl, principal: Principal, mask: Rights): AclDecision {
  const list = prepared(acl)
  const caller = identityOf(principal)
  let open = mask
  if (list.ownerRights !== 0 && matches(list.owner, caller)) open &= ~list.ownerRights
  if (open === 0) return { outcome: 'allowed', rights: mask }
  for (const entry of list.entries) {
    if ((entry.mask & open) === 0 || !matches(entry, caller)) continue
    if (!entry.allows) return { outcome: 'denied', ace: entry.index, rights: (entry.mask & open) >>> 0 }
    // The first entry that speaks about a bit decides it, so decided bits drop out.
    open &= ~entry.mask
    if (open === 0) return { outcome: 'allowed', ace: entry.index, rights: mask }
  }
  return { outcome: 'undefined', rights: open >>> 0 }
}

/** Which of the bits of `mask` the caller holds. Equals `mask` exactly where `decide` says `allowed`. Allocates nothing. */
export function allowed(acl: Acl, principal: Principal, mask: Rights): Rights {
  const list = prepared(acl)
  const caller = identityOf(principal)
  let open = mask & knownRights
  let granted = 0
  if (list.ownerRights !== 0 && matches(list.owner, caller)) {
    granted = open & list.ownerRights
    open &= ~granted
  }
  const { entries } = list
  for (let i = 0; i < entries.length && open !== 0; i++) {
    const entry = entries[i] as Prepared
    const spoken = entry.mask & open
    if (spoken === 0 || !matches(entry, caller)) continue
    open &= ~spoken
    if (entry.allows) granted |= spoken
  }
  return granted
}

/** Whether the caller is the object's owner; never for an owner that cannot be told. */
export function isOwner(acl: Acl, principal: Principal): boolean {
  return matches(prepared(acl).owner, identityOf(principal))
}

/** Whether the caller is the user or in the group of this name, compared as in entries. */
export function goesBy(principal: Principal, kind: 'user' | 'group', name: string): boolean {
  return matches(named(0, true, 0, kind, name), identityOf(principal))
}

/** `user` and `group` compare names, `uid` and `gid` numbers; `none` matches nobody. */
type Kind = 'none' | 'everyone' | 'anonymous' | 'authenticated' | 'user' | 'group' | 'uid' | 'gid'

/** One effective ALLOW or DENY. OWNER@ and GROUP@ are prepared as the names they stand for. */
interface Prepared {
  readonly index: number
  readonly allows: boolean
  readonly mask: number
  readonly kind: Kind
  readonly name: string
  readonly id: number
  /** A DENY of a name without domain holds for that name in every domain. */
  readonly anyDomain: boolean
}

interface PreparedList {
  readonly entries: readonly Prepared[]
  readonly owner: Prepared
  readonly ownerRights: Rights
}

interface CallerIdentity {
  readonly authenticated: boolean
  readonly user: string | undefined
  readonly local: string | undefined
  readonly groups: ReadonlySet<string>
  readonly localGroups: ReadonlySet<string>
  readonly uid: number | undefined
  readonly gids: ReadonlySet<number>
}

const lists = new WeakMap<Acl, PreparedList>()
const identities = new WeakMap<Principal, CallerIdentity>()

function prepared(acl: Acl): PreparedList {
  const known = lists.get(acl)
  if (known !== undefined) return known
  const entries: Prepared[] = []
  for (const [index, ace] of acl.aces.entries()) {
    const entry = prepare(acl, ace, index)
    if (entry.kind !== 'none' && entry.mask !== 0) entries.push(entry)
  }
  const owner = acl.owner === undefined ? make(0, true, 0, 'none', '', 0, false) : named(0, true, 0, 'user', acl.owner)
  const list: PreparedList = { entries, owner, ownerRights: standingRights[acl.dialect] }
  lists.set(acl, list)
  return list
}

function prepare(acl: Acl, ace: Ace, index: number): Prepared {
  const allows = ace.type === 'allow'
  const speaks = (allows || ace.type === 'deny') && (ace.flags & aceFlag.inheritOnly) === 0
  const mask = allows ? ace.mask & knownRights : ace.mask | 0
  if (!speaks) return make(index, allows, mask, 'none', '', 0, false)
  const { who } = ace
  if (who === 'EVERYONE@') return make(index, allows, mask, 'everyone', '', 0, false)
  if (who === 'ANONYMOUS@') return make(index, allows, mask, 'anonymous', '', 0, false)
  if (who === 'AUTHENTICATED@') return make(index, allows, mask, 'authenticated', '', 0, false)
  if (who === 'OWNER@') return named(index, allows, mask, 'user', acl.owner)
  if (who === 'GROUP@') return named(index, allows, mask, 'group', acl.group)
  if ('user' in who) return named(index, allows, mask, 'user', who.user)
  return named(index, allows, mask, 'group', 'group' in who ? who.group : undefined)
}

/** Unresolvable: nobody is let in by it, and a DENY, which may be meant for the caller, holds for everybody. */
function named(
  index: number,
  allows: boolean,
  mask: number,
  kind: 'user' | 'group',
  name: string | undefined,
): Prepared {
  if (name === undefined || isNobody(name)) {
    return make(index, allows, mask, allows ? 'none' : 'everyone', '', 0, false)
  }
  const id = numericId(name)
  if (id !== undefined) return make(index, allows, mask, kind === 'user' ? 'uid' : 'gid', '', id, false)
  return make(index, allows, mask, kind, foldDomain(name), 0, !allows && !name.includes('@'))
}

/** One shape for all, so that the walk stays monomorphic. */
function make(
  index: number,
  allows: boolean,
  mask: number,
  kind: Kind,
  name: string,
  id: number,
  anyDomain: boolean,
): Prepared {
  return { index, allows, mask, kind, name, id, anyDomain }
}

function identityOf(principal: Principal): CallerIdentity {
  const known = identities.get(principal)
  if (known !== undefined) return known
  const { user, posix } = principal
  // Without a user the caller is anonymous, whatever else the principal holds.
  const authenticated = user !== undefined
  const name = authenticated && !isNobody(user) ? foldDomain(user) : undefined
  const groups = authenticated ? [...principal.groups].filter((group) => !isNobody(group)).map(foldDomain) : []
  const identity: CallerIdentity = {
    authenticated,
    user: name,
    local: name === undefined ? undefined : localPart(name),
    groups: new Set(groups),
    localGroups: new Set(groups.map(localPart)),
    uid: authenticated ? posix?.uid : undefined,
    gids: new Set(authenticated && posix ? [posix.gid, ...posix.gids] : []),
  }
  identities.set(principal, identity)
  return identity
}

function matches(entry: Prepared, caller: CallerIdentity): boolean {
  switch (entry.kind) {
    case 'everyone':
      return true
    case 'user':
      return caller.user === entry.name || (entry.anyDomain && caller.local === entry.name)
    case 'group':
      return caller.groups.has(entry.name) || (entry.anyDomain && caller.localGroups.has(entry.name))
    case 'uid':
      return caller.uid === entry.id || (!entry.allows && isUnnumbered(caller))
    case 'gid':
      return caller.gids.has(entry.id) || (!entry.allows && isUnnumbered(caller))
    case 'anonymous':
      return !caller.authenticated
    case 'authenticated':
      return caller.authenticated
    case 'none':
      return false
  }
}

/** A user whose numbers are not known may be the one a number denies. */
function isUnnumbered(caller: CallerIdentity): boolean {
  return caller.authenticated && caller.uid === undefined
}
