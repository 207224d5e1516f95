/**
 * What an ACL says to a caller: allowed, denied, or not mentioned (RFC 8881, section 6.2.1).
 *
 * Principals, and lists that are asked more than once, are prepared and remembered as long as they
 * live, so neither may be changed after its first use here. What cannot be resolved errs to less access:
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
  let open = mask & ~ownerRights(acl, caller)
  if (open === 0) return { outcome: 'allowed', rights: mask }
  const { aces } = acl
  for (let i = 0; i < aces.length; i++) {
    if (((aces[i] as Ace).mask & open) === 0) continue
    const entry = list === undefined ? prepare(acl, i) : (list[i] as Prepared)
    const spoken = entry.mask & open
    if (spoken === 0 || !matches(entry, caller)) continue
    if (!entry.allows) return { outcome: 'denied', ace: i, rights: spoken >>> 0 }
    // The first entry that speaks about a bit decides it, so decided bits drop out.
    open &= ~spoken
    if (open === 0) return { outcome: 'allowed', ace: i, rights: mask }
  }
  return { outcome: 'undefined', rights: open >>> 0 }
}

/** Which of the bits of `mask` the caller holds. Equals `mask` exactly where `decide` says `allowed`. */
export function allowed(acl: Acl, principal: Principal, mask: Rights): Rights {
  const list = prepared(acl)
  const caller = identityOf(principal)
  let open = mask & knownRights
  let granted = open & ownerRights(acl, caller)
  open &= ~granted
  const { aces } = acl
  for (let i = 0; i < aces.length && open !== 0; i++) {
    if (((aces[i] as Ace).mask & open) === 0) continue
    const entry = list === undefined ? prepare(acl, i) : (list[i] as Prepared)
    const spoken = entry.mask & open
    if (spoken === 0 || !matches(entry, caller)) continue
    open &= ~spoken
    if (entry.allows) granted |= spoken
  }
  return granted
}

/** Whether the caller is the object's owner; never for an owner that cannot be told. */
export function isOwner(acl: Acl, principal: Principal): boolean {
  return acl.owner !== undefined && goesBy(principal, 'user', acl.owner)
}

/** Whether the caller is the user or in the group of this name, compared as in entries that allow. */
export function goesBy(principal: Principal, kind: 'user' | 'group', name: string): boolean {
  return matches(prepareNamed(true, 1, kind, name), identityOf(principal))
}

/** `user` and `group` compare names, `uid` and `gid` numbers; `none` matches nobody. */
type Kind = 'none' | 'everyone' | 'anonymous' | 'authenticated' | 'user' | 'group' | 'uid' | 'gid'

/** One entry as it is matched. OWNER@ and GROUP@ have become the names they stand for. */
interface Prepared {
  readonly allows: boolean
  /** 0 for an entry that has no part in decisions. */
  readonly mask: number
  readonly kind: Kind
  readonly name: string
  readonly id: number
  /** A DENY of a name without domain holds for that name in every domain. */
  readonly anyDomain: boolean
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

interface Name {
  readonly folded: string
  readonly id: number | undefined
  readonly isNobody: boolean
  readonly isBare: boolean
}

const lists = new WeakMap<Acl, readonly Prepared[]>()
const identities = new WeakMap<Principal, CallerIdentity>()
/** Lists asked once. Most lists of a listing are never asked again, and remembering one costs more than a walk. */
const askedOnce = new Set<Acl>()
const names = new Map<string, Name>()
/** Entries, over all lists asked once. */
const maxAskedEntries = 65536
let askedEntries = 0
const maxNames = 4096

function prepared(acl: Acl): readonly Prepared[] | undefined {
  const known = lists.get(acl)
  if (known !== undefined) return known
  if (!askedOnce.delete(acl)) {
    if (askedEntries >= maxAskedEntries) {
      askedOnce.clear()
      askedEntries = 0
    }
    askedOnce.add(acl)
    askedEntries += acl.aces.length + 1
    return undefined
  }
  askedEntries -= acl.aces.length + 1
  const list = acl.aces.map((_, index) => prepare(acl, index))
  lists.set(acl, list)
  return list
}

function ownerRights(acl: Acl, caller: CallerIdentity): Rights {
  const rights = standingRights[acl.dialect]
  if (rights === 0 || acl.owner === undefined) return 0
  const { folded, id, isNobody } = nameOf(acl.owner)
  if (isNobody) return 0
  return (id === undefined ? caller.user === folded : caller.uid === id) ? rights : 0
}

function prepare(acl: Acl, index: number): Prepared {
  const ace = acl.aces[index] as Ace
  const allows = ace.type === 'allow'
  const speaks = (allows || ace.type === 'deny') && (ace.flags & aceFlag.inheritOnly) === 0
  if (!speaks) return make(allows, 0, 'none', '', 0, false)
  const mask = allows ? ace.mask & knownRights : ace.mask | 0
  const { who } = ace
  if (who === 'EVERYONE@') return make(allows, mask, 'everyone', '', 0, false)
  if (who === 'ANONYMOUS@') return make(allows, mask, 'anonymous', '', 0, false)
  if (who === 'AUTHENTICATED@') return make(allows, mask, 'authenticated', '', 0, false)
  if (who === 'OWNER@') return prepareNamed(allows, mask, 'user', acl.owner)
  if (who === 'GROUP@') return prepareNamed(allows, mask, 'group', acl.group)
  if ('user' in who) return prepareNamed(allows, mask, 'user', who.user)
  return prepareNamed(allows, mask, 'group', 'group' in who ? who.group : undefined)
}

function prepareNamed(allows: boolean, mask: number, kind: 'user' | 'group', text: string | undefined): Prepared {
  const name = text === undefined ? undefined : nameOf(text)
  // Nobody is let in by what cannot be resolved; a DENY may be meant for the caller, so it holds for everybody.
  if (name === undefined || name.isNobody) return make(allows, mask, allows ? 'none' : 'everyone', '', 0, false)
  if (name.id !== undefined) return make(allows, mask, kind === 'user' ? 'uid' : 'gid', '', name.id, false)
  return make(allows, mask, kind, name.folded, 0, !allows && name.isBare)
}

/** One shape for all, so that the walk stays monomorphic. */
function make(allows: boolean, mask: number, kind: Kind, name: string, id: number, anyDomain: boolean): Prepared {
  return { allows, mask, kind, name, id, anyDomain }
}

function nameOf(text: string): Name {
  const known = names.get(text)
  if (known !== undefined) return known
  if (names.size >= maxNames) names.clear()
  const name: Name = {
    folded: foldDomain(text),
    id: numericId(text),
    isNobody: isNobody(text),
    isBare: !text.includes('@'),
  }
  names.set(text, name)
  return name
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
