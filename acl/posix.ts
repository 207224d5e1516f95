/**
 * POSIX.1e access control lists and their translation to NFSv4 and back
 * (draft-ietf-nfsv4-acl-mapping). Back to POSIX loses much and is never more permissive.
 */

import { StorageError } from '../gateway/core/errors.ts'
import { type Ace, aceFlag, type Rights, right, type Who } from './acl.ts'
import type { ObjectKind } from './dialects.ts'
import { makeAce, numericId } from './who.ts'

/** Read 4, write 2, execute 1. */
export type PosixPermission = number

/** One POSIX ACL, access or default. Ids are of the machine the file system is on. */
export interface PosixAcl {
  readonly owner: PosixPermission
  readonly users: readonly PosixNamed[]
  readonly group: PosixPermission
  readonly groups: readonly PosixNamed[]
  /** Required as soon as a user or group is named. */
  readonly mask?: PosixPermission
  readonly other: PosixPermission
}

export interface PosixNamed {
  readonly id: number
  readonly permission: PosixPermission
}

/** What a POSIX permission means in NFSv4 bits. */
export function rightsOfPermission(permission: PosixPermission, kind: ObjectKind): Rights {
  return (
    ((permission & 4) !== 0 ? right.readData : 0) |
    ((permission & 2) !== 0 ? writeRights(kind) : 0) |
    ((permission & 1) !== 0 ? right.execute : 0)
  )
}

/** Held by everybody: stat and reading the ACL are no matter of permission in POSIX. */
export const posixEveryone: Rights = right.readAttributes | right.readAcl | right.synchronize
/** Held by the owner besides: chmod and utimes. */
export const posixOwner: Rights = posixEveryone | right.writeAcl | right.writeAttributes

/** The entries that mean the same as a POSIX access ACL. "Most specific class only" is said by DENY entries. */
export function acesFromPosix(posix: PosixAcl, kind: ObjectKind): Ace[] {
  const cut = posix.mask ?? 7
  const owner = rightsOfPermission(posix.owner, kind)
  const other = rightsOfPermission(posix.other, kind)
  const users = posix.users.map(({ id, permission }) => ({
    who: { user: String(id) } as Who,
    rights: rightsOfPermission(permission & cut, kind),
  }))
  const groups: Array<{ readonly who: Who; readonly rights: Rights }> = [
    { who: 'GROUP@', rights: rightsOfPermission(posix.group & cut, kind) },
    ...posix.groups.map(({ id, permission }) => ({
      who: { group: String(id) },
      rights: rightsOfPermission(permission & cut, kind),
    })),
  ]
  const byGroups = groups.reduce((sum, { rights }) => sum | rights, other)
  const byAll = users.reduce((sum, { rights }) => sum | rights, byGroups)

  const aces: Ace[] = []
  const deny = (who: Who, rights: Rights) => rights !== 0 && aces.push(makeAce('deny', 0, rights, who))
  const allow = (who: Who, rights: Rights) => aces.push(makeAce('allow', 0, rights | posixEveryone, who))
  deny('OWNER@', byAll & ~owner)
  allow('OWNER@', owner | posixOwner)
  for (const { who, rights } of users) {
    deny(who, byGroups & ~rights)
    allow(who, rights)
  }
  // Rights add up over groups, so no group is denied anything before all have allowed.
  for (const { who, rights } of groups) allow(who, rights)
  for (const { who, rights } of groups) deny(who, other & ~rights)
  allow('EVERYONE@', other)
  return aces
}

/** The entries of a default ACL: as those of an access ACL, but only for what is made below. */
export function acesFromPosixDefault(posix: PosixAcl): Ace[] {
  const flags = aceFlag.fileInherit | aceFlag.directoryInherit | aceFlag.inheritOnly
  return acesFromPosix(posix, 'directory').map((ace) => makeAce(ace.type, ace.flags | flags, ace.mask, ace.who))
}

/** Looks up the id of a name that is not a number; undefined if there is none. */
export type IdLookup = (name: string, kind: 'user' | 'group') => number | undefined

/**
 * The POSIX ACLs that come nearest without ever allowing more. Throws `unsupported` for what POSIX
 * cannot say: audit entries, inheritance other than `fd` and `fdi`, a DENY of what POSIX always
 * allows; and `invalid` for a name that is neither a number nor known to `idOf`.
 */
export function posixFromAces(
  aces: readonly Ace[],
  kind: ObjectKind,
  idOf: IdLookup = () => undefined,
): { readonly access: PosixAcl; readonly default?: PosixAcl } {
  const access = new Classes(kind)
  const inherited = new Classes('directory')
  let hasDefault = false
  for (const ace of aces) {
    const scope = scopeOf(ace, kind)
    refuseImpossible(ace)
    if (scope.access) access.speak(ace, idOf)
    if (scope.inherited) inherited.speak(ace, idOf)
    hasDefault ||= scope.inherited
  }
  return { access: access.result(), ...(hasDefault && { default: inherited.result() }) }
}

function scopeOf(ace: Ace, kind: ObjectKind): { readonly access: boolean; readonly inherited: boolean } {
  const flags = ace.flags & ~aceFlag.identifierGroup
  if (flags === 0) return { access: true, inherited: false }
  const heritable = aceFlag.fileInherit | aceFlag.directoryInherit
  if (kind === 'directory' && flags === heritable) return { access: true, inherited: true }
  if (kind === 'directory' && flags === (heritable | aceFlag.inheritOnly)) return { access: false, inherited: true }
  throw new StorageError('unsupported', 'a POSIX ACL inherits to files and directories alike or not at all')
}

function refuseImpossible(ace: Ace): void {
  if (ace.type !== 'allow' && ace.type !== 'deny') {
    throw new StorageError('unsupported', `a POSIX ACL has no ${ace.type} entries`)
  }
  if (ace.type === 'allow') return
  const always = ace.who === 'OWNER@' ? posixOwner & ~right.synchronize : right.readAttributes | right.readAcl
  if ((ace.mask & always) !== 0) {
    throw new StorageError('unsupported', 'a POSIX ACL cannot deny what POSIX always allows')
  }
}

function writeRights(kind: ObjectKind): Rights {
  const both = right.writeData | right.appendData
  return kind === 'directory' ? both | right.deleteChild : both
}

/** What the walk has decided so far for one class of callers. */
interface State {
  allow: Rights
  deny: Rights
}

/**
 * Walks the list once for every class of callers at the same time. A class stands for callers who may
 * also be in other classes, so what a DENY takes from one it takes from all that may overlap with it.
 */
class Classes {
  readonly #kind: ObjectKind
  readonly #owner: State = { allow: 0, deny: 0 }
  readonly #group: State = { allow: 0, deny: 0 }
  readonly #other: State = { allow: 0, deny: 0 }
  /** What a user or group gets that is named only later. */
  readonly #unnamed: State = { allow: 0, deny: 0 }
  readonly #users = new Map<number, State>()
  readonly #groups = new Map<number, State>()

  constructor(kind: ObjectKind) {
    this.#kind = kind
  }

  speak(ace: Ace, idOf: IdLookup): void {
    if (ace.who === 'EVERYONE@') {
      for (const state of this.#all()) apply(state, ace)
      return
    }
    const own = this.#classOf(ace.who, idOf)
    apply(own, ace)
    if (ace.type === 'allow' || own === this.#owner) return
    // The owner may be the user or in the group; a user or group may overlap with a denied group.
    const taken = own.deny
    const isUser = typeof ace.who === 'object' && 'user' in ace.who
    const touched = isUser
      ? [this.#owner]
      : [this.#owner, this.#group, this.#unnamed, ...this.#users.values(), ...this.#groups.values()]
    for (const state of touched) state.deny |= taken & ~state.allow
  }

  result(): PosixAcl {
    const permission = (state: State) => this.#permission(state.allow)
    const list = (states: ReadonlyMap<number, State>) =>
      [...states].map(([id, state]) => ({ id, permission: permission(state) })).sort((a, b) => a.id - b.id)
    const users = list(this.#users)
    const groups = list(this.#groups)
    const group = permission(this.#group)
    const mask = [...users, ...groups].reduce((sum, named) => sum | named.permission, group)
    return {
      owner: permission(this.#owner),
      users,
      group,
      groups,
      ...(users.length + groups.length > 0 && { mask }),
      other: permission(this.#other),
    }
  }

  #permission(rights: Rights): PosixPermission {
    const write = writeRights(this.#kind)
    return (
      ((rights & right.readData) !== 0 ? 4 : 0) |
      ((rights & write) === write ? 2 : 0) |
      ((rights & right.execute) !== 0 ? 1 : 0)
    )
  }

  #classOf(who: Who, idOf: IdLookup): State {
    if (who === 'OWNER@') return this.#owner
    if (who === 'GROUP@') return this.#group
    if (typeof who === 'string' || 'unknown' in who) {
      throw new StorageError('unsupported', 'a POSIX ACL knows only users, groups, owner, group and others')
    }
    const isUser = 'user' in who
    const name = isUser ? who.user : who.group
    const states = isUser ? this.#users : this.#groups
    const id = numericId(name) ?? idOf(name, isUser ? 'user' : 'group')
    if (id === undefined) throw new StorageError('invalid', 'the ACL names a user or group that is not known here')
    const known = states.get(id)
    if (known) return known
    const fresh = { ...this.#unnamed }
    states.set(id, fresh)
    return fresh
  }

  #all(): State[] {
    return [this.#owner, this.#group, this.#other, this.#unnamed, ...this.#users.values(), ...this.#groups.values()]
  }
}

/** The first entry that speaks about a bit decides it. */
function apply(state: State, ace: Ace): void {
  if (ace.type === 'allow') state.allow |= ace.mask & ~state.deny
  else state.deny |= ace.mask & ~state.allow
}
