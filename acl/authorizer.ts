/**
 * Allowed = the credential's bounds permit it, and the NFSv4 ACLs on the way permit it.
 *
 * Both halves are pure functions over values that the caller already holds: no I/O, no clock, no
 * configuration look-ups, so that policy is tested with tables. The credential's half is in scopes.ts.
 *
 * Rules named in reasons: `scope` (credential), `traverse` (a directory on the way is closed), `ace` (an
 * entry denies), `not-granted` (no entry allows), `sticky`, `no-acl` (none was seen), `owner` (who may
 * give what to whom), `root` (the top has no parent). Texts hold neither names nor entries: the index
 * of the entry is in `ace` alone, so that whoever may not read the ACL can be given the rest.
 */

import type { Entry, Trail } from '../backends/backend.ts'
import type { Reason } from '../gateway/core/errors.ts'
import { type Path, parentOf } from '../gateway/core/path.ts'
import { type Rights, right } from './acl.ts'
import { decideDeletion } from './deletion.ts'
import { fullRights, knownRights, type ObjectKind } from './dialects.ts'
import { type AclDecision, allowed, decide, goesBy, isOwner } from './evaluate.ts'
import { aclFromMode } from './mode.ts'
import { type Action, type Need, needs } from './needs.ts'
import type { Principal } from './principal.ts'
import { rightsNames } from './rights-names.ts'
import { boundOf, permitsType } from './scopes.ts'

export { permitsPath, permitsType, visibleNames } from './scopes.ts'

export type Decision =
  | { readonly allowed: true; readonly reason?: Reason }
  | { readonly allowed: false; readonly reason: Reason }

const yes: Decision = { allowed: true }

/**
 * The ACLs' half, over everything the walk to the object has seen. No ACL seen means no. `at` is
 * where the object appears in the namespace, for the reason's path.
 *
 * It runs before anyone says whether the object exists. A caller who may traverse all directories down
 * to the parent may learn that a name is not there, as POSIX has it: for him an object or parent that
 * is missing asks for no rights and is left to the caller of this function to report. Below a closed
 * directory the answer is the same for what is there and for what is not.
 */
export function permitsTrail(principal: Principal, action: Action, trail: Trail, at: Path): Decision {
  const { ancestors, entry } = trail
  for (let i = 0; i < ancestors.length; i++) {
    const directory = ancestors[i] as Entry
    if (!holds(directory, principal, right.traverse)) return closed(principal, trail, i, at)
  }
  if (principal.grants !== 'unbounded' && entry !== undefined) {
    const bound = boundByCredential(principal, action, entry, at)
    if (!bound.allowed) return bound
  }
  if (action === 'remove' || action === 'move-away') return permitsDeletion(principal, trail, at)
  const need = needs[action]
  for (const alternative of need.rights) if (suffices(alternative, principal, trail)) return yes
  // A link has no list of its own: who may take it away and make it again may set its times.
  const isOfLink = entry?.type === 'symlink' && (action === 'set-attributes' || action === 'set-times-now')
  if (isOfLink && permitsDeletion(principal, trail, at).allowed) return yes
  return { allowed: false, reason: refusal(need, principal, trail, at) }
}

/**
 * What the caller may do with an object that is there: the ACL, the directory's part in deleting, and the
 * credential's bound together. Nothing where a directory on the way is closed.
 */
export function rightsOn(principal: Principal, trail: Trail, at: Path): Rights {
  const { entry } = trail
  if (entry?.acl === undefined) return 0
  if (trail.ancestors.some((directory) => !holds(directory, principal, right.traverse))) return 0
  const kind: ObjectKind = entry.type === 'directory' ? 'directory' : 'file'
  const all = fullRights[kind] | right.writeRetention | right.writeRetentionHold
  let rights = heldRights(entry, principal, all) & ~right.delete
  if (permitsDeletion(principal, trail, at).allowed) rights |= right.delete
  const bound = boundOf(principal, at, entry.type)
  const own = isOwner(entry.acl, principal) ? right.readAcl : 0
  return rights & (bound | own)
}

/**
 * Who may give an object away, beyond `set-owner` itself: nobody but to himself, and to a group only if
 * he is in it. The owner may do the latter without WRITE_OWNER. In POSIX and dCache nobody changes the
 * owner. Decides the whole change, traversal included; call it in the place of permitsTrail for `set-owner`.
 */
export function permitsOwner(
  principal: Principal,
  change: { readonly owner?: string | undefined; readonly group?: string | undefined },
  trail: Trail,
  at: Path,
): Decision {
  const decision = permitsTrail(principal, 'set-owner', trail, at)
  const acl = trail.entry?.acl
  if (acl === undefined) return decision
  const isOwn = isOwner(acl, principal)
  const refuse = (text: string): Decision => ({ allowed: false, reason: { rule: 'owner', text, path: at } })
  const isFixed = acl.dialect === 'posix' || acl.dialect === 'dcache'
  if (change.owner !== undefined) {
    if (isFixed) return refuse('this storage lets nobody change the owner')
    if (!decision.allowed) return decision
    if (!goesBy(principal, 'user', change.owner)) return refuse('the owner can only be changed to oneself')
  }
  if (change.group === undefined) return decision
  const mayWithout = isOwn && principal.grants === 'unbounded' && wayIsOpen(principal, trail)
  if (!mayWithout && (isFixed || !decision.allowed)) {
    return decision.allowed ? refuse('only the owner may change the group') : decision
  }
  return goesBy(principal, 'group', change.group) ? yes : refuse('the group can only be one that one is in')
}

/**
 * Three-valued decision on one entry. dCache asks the mode bits where the list is silent; then no index
 * is told, since there is no such entry in the list.
 */
export function decideEntry(entry: Entry, principal: Principal, mask: Rights): AclDecision {
  if (entry.acl === undefined) return { outcome: 'undefined', rights: mask }
  const decision = decide(entry.acl, principal, mask)
  if (decision.outcome !== 'undefined' || entry.acl.dialect !== 'dcache' || entry.mode === undefined) return decision
  const kind: ObjectKind = entry.type === 'directory' ? 'directory' : 'file'
  const { outcome, rights } = decide(aclFromMode(entry.mode, kind, entry.acl), principal, decision.rights)
  return { outcome, rights }
}

/** Where the `index`th directory of the way appears in the namespace; undefined when that cannot be told. */
export function pathOfAncestor(trail: Trail, index: number, at: Path): Path | undefined {
  const { ancestors, parentExists, resolved } = trail
  // Behind links the directories are others than those the names of the path speak of, but for the last one.
  if (resolved !== undefined && (!parentExists || index < ancestors.length - 1)) return undefined
  const missing = parentExists ? 0 : missingLevels(trail, at)
  if (missing === undefined) return undefined
  let path = parentOf(at)
  for (let up = ancestors.length - 1 - index + missing; up > 0; up--) path = parentOf(path)
  return path
}

function holds(entry: Entry, principal: Principal, mask: Rights): boolean {
  if (entry.acl === undefined) return false
  if (allowed(entry.acl, principal, mask) === mask) return true
  return entry.acl.dialect === 'dcache' && decideEntry(entry, principal, mask).outcome === 'allowed'
}

function wayIsOpen(principal: Principal, trail: Trail): boolean {
  return trail.ancestors.every((directory) => holds(directory, principal, right.traverse))
}

function heldRights(entry: Entry, principal: Principal, all: Rights): Rights {
  let rights: Rights = 0
  for (let bit = 1; bit <= knownRights; bit *= 2) {
    if ((all & bit) !== 0 && holds(entry, principal, bit)) rights |= bit
  }
  return rights
}

function suffices({ target, parent }: Need['rights'][number], principal: Principal, trail: Trail): boolean {
  // What is missing is reported as missing; it is no question of rights.
  if (target !== undefined && trail.entry !== undefined && !holds(trail.entry, principal, target)) return false
  if (parent === undefined || !trail.parentExists) return true
  const directory = trail.ancestors.at(-1)
  return directory !== undefined && holds(directory, principal, parent)
}

function permitsDeletion(principal: Principal, trail: Trail, at: Path): Decision {
  const { entry } = trail
  if (entry === undefined) return yes
  const parent = trail.ancestors.at(-1)
  if (parent === undefined) return { allowed: false, reason: topHasNoParent(at) }
  const deletion = decideDeletion(principal, parent, entry)
  if (deletion.allowed) return yes
  const { rule, by, ace } = deletion
  const path = by === 'object' ? at : parentOf(at)
  return { allowed: false, reason: { rule, text: deletionTexts[rule], path, ...(ace !== undefined && { ace }) } }
}

const deletionTexts = {
  ace: 'the ACL denies deleting here',
  'not-granted': 'the ACL grants neither DELETE on the object nor DELETE_CHILD or ADD_FILE on its directory',
  sticky: 'the directory is sticky: only the owner of the object or of the directory may delete here',
  'no-acl': 'no ACL could be read here, so nothing is allowed',
} as const

/** Bounds that show only once the object is known: its type, and READ_ACL, which no scope gives beyond one's own. */
function boundByCredential(principal: Principal, action: Action, entry: Entry, at: Path): Decision {
  const byType = permitsType(principal, action, at, entry.type)
  if (!byType.allowed || action !== 'read-acl') return byType
  if (entry.acl !== undefined && isOwner(entry.acl, principal)) return yes
  return {
    allowed: false,
    reason: { rule: 'scope', text: 'no scope of a token allows reading the ACL of others', path: at },
  }
}

function closed(principal: Principal, trail: Trail, index: number, at: Path): Decision {
  const directory = trail.ancestors[index] as Entry
  const path = pathOfAncestor(trail, index, at)
  const { ace } = decideEntry(directory, principal, right.traverse)
  const text = directory.acl
    ? 'a directory on the way is closed'
    : 'a directory on the way shows no ACL, so it is closed'
  return {
    allowed: false,
    reason: { rule: 'traverse', text, ...(path !== undefined && { path }), ...(ace !== undefined && { ace }) },
  }
}

/** The reason of the first alternative: the others are exceptions to it. */
function refusal(need: Need, principal: Principal, trail: Trail, at: Path): Reason {
  const { target, parent } = need.rights[0] ?? {}
  const { entry } = trail
  if (target !== undefined && entry !== undefined && !holds(entry, principal, target)) {
    return reasonOf(entry, principal, target, at)
  }
  const directory = trail.ancestors.at(-1)
  if (directory === undefined) return topHasNoParent(at)
  return reasonOf(directory, principal, parent ?? 0, parentOf(at))
}

function reasonOf(entry: Entry, principal: Principal, mask: Rights, path: Path): Reason {
  if (entry.acl === undefined) return { rule: 'no-acl', text: deletionTexts['no-acl'], path }
  const { outcome, ace, rights } = decideEntry(entry, principal, mask)
  const names = rightsNames(rights, entry.type === 'directory' ? 'directory' : 'file').join(', ')
  if (outcome === 'denied') {
    return { rule: 'ace', text: `the ACL denies ${names}`, path, ...(ace !== undefined && { ace }) }
  }
  return { rule: 'not-granted', text: `the ACL does not grant ${names}`, path }
}

function topHasNoParent(path: Path): Reason {
  return { rule: 'root', text: 'the top of a mount has no parent directory here', path }
}

/**
 * How many directories between the last one that exists and the object's parent, its parent included,
 * do not exist: told by laying the names of the way along the path.
 */
function missingLevels({ ancestors }: Trail, at: Path): number | undefined {
  const names = at.split('/').slice(1, -1)
  // The first directory is the back end's root, whose name says nothing about the namespace.
  const way = ancestors.slice(1).map((directory) => directory.name)
  if (way.length === 0) return undefined
  for (let missing = 1; missing <= names.length; missing++) {
    const end = names.length - missing
    if (way.length <= end && way.every((name, i) => name === names[end - way.length + i])) return missing
  }
  return undefined
}
