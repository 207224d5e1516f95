/** Decisions and entries for people. Pure: what may be shown to whom is for Storage to say. */

import type { Entry, Trail } from '../backends/backend.ts'
import type { Reason } from '../gateway/core/errors.ts'
import { type Path, parentOf } from '../gateway/core/path.ts'
import { type Ace, type Acl, type Dialect, type Rights, right } from './acl.ts'
import { decideEntry, pathOfAncestor, permitsTrail } from './authorizer.ts'
import { inFull, lettersOfFlags, lettersOfRights, typeLetter } from './codec/letters.ts'
import { decideDeletion } from './deletion.ts'
import { ignoredRights, type ObjectKind } from './dialects.ts'
import { type Action, needs } from './needs.ts'
import type { Principal } from './principal.ts'
import { rightsNames } from './rights-names.ts'
import { whoName } from './who.ts'

/**
 * One line for an entry, in the syntax of nfs4_getfacl. Unlike the codec it never throws: bits without a
 * letter follow as a number, and what would upset a terminal is escaped.
 */
export function aceText(ace: Ace): string {
  const name = whoName(ace.who).replace(/[^\u0021-\u007e\u00a1-\u{10ffff}]|\p{C}/gu, escaped)
  return `${typeLetter(ace.type)}:${inFull(lettersOfFlags(ace.flags))}:${name}:${inFull(lettersOfRights(ace.mask))}`
}

/** The deciding entry as a person would point at it: "entry 3, A::bob@desy.de:rx". Counted from 1. */
export function pointAt(acl: Acl, index: number): string {
  const ace = acl.aces[index]
  return ace ? `entry ${index + 1}, ${aceText(ace)}` : `entry ${index + 1}`
}

/** A reason in one line, with the entry that decided when the ACL is given. */
export function reasonText(reason: Reason, acl?: Acl): string {
  const where = reason.path === undefined ? '' : ` (${reason.path})`
  const entry = acl === undefined || reason.ace === undefined ? '' : `: ${pointAt(acl, reason.ace)}`
  return `${reason.text}${where}${entry}`
}

/** The reason for who may not read the ACL: without the entry. */
export function withoutAce(reason: Reason): Reason {
  const { ace: _, ...rest } = reason
  return rest
}

/** Which of these rights the storage itself never acts on, by name. */
export function ignoredNames(dialect: Dialect, rights: Rights, kind: ObjectKind): string[] {
  return rightsNames(rights & ignoredRights[dialect], kind)
}

export interface TrailStep {
  readonly check: 'traverse' | 'acl'
  readonly allowed: boolean | 'not reached'
  readonly reason: Reason
}

/** The ACLs' half step by step, with a reason also for what is allowed. Decides exactly as permitsTrail. */
export function explainTrail(principal: Principal, action: Action, trail: Trail, at: Path): readonly TrailStep[] {
  const decision = permitsTrail(principal, action, trail, at)
  if (!decision.allowed && decision.reason.rule === 'traverse') {
    const reason: Reason = { rule: 'not-reached', text: 'not looked at: the way is closed' }
    return [
      { check: 'traverse', allowed: false, reason: decision.reason },
      { check: 'acl', allowed: 'not reached', reason },
    ]
  }
  const open: Reason = { rule: 'traverse', text: 'every directory on the way may be traversed' }
  const reason = decision.allowed ? whyAllowed(principal, action, trail, at) : decision.reason
  return [
    { check: 'traverse', allowed: true, reason: open },
    { check: 'acl', allowed: decision.allowed, reason },
  ]
}

/** One directory on the way to an object, and whether it may be passed. */
export interface WayStep {
  readonly path: Path
  readonly allowed: boolean
  readonly reason: Reason
}

/**
 * The directories on the way, from the first that was looked at to the first that is closed. Empty where links were
 * followed: then the names of the way are others than those of the path.
 */
export function explainWay(principal: Principal, trail: Trail, at: Path): readonly WayStep[] {
  const steps: WayStep[] = []
  if (trail.resolved !== undefined) return steps
  for (const [index, directory] of trail.ancestors.entries()) {
    const path = pathOfAncestor(trail, index, at)
    if (path === undefined) return steps
    const { outcome, ace } = decideEntry(directory, principal, right.traverse)
    const isOpen = outcome === 'allowed'
    const which = ace === undefined ? {} : { ace }
    if (isOpen) {
      const rule = ace === undefined ? 'owner' : 'ace'
      steps.push({ path, allowed: true, reason: { rule, text: 'may be passed', path, ...which } })
      continue
    }
    const rule = directory.acl === undefined ? 'no-acl' : outcome === 'denied' ? 'ace' : 'not-granted'
    const text = directory.acl === undefined ? 'shows no ACL, so it is closed' : 'is closed: EXECUTE is not held here'
    steps.push({ path, allowed: false, reason: { rule, text, path, ...which } })
    return steps
  }
  return steps
}

function whyAllowed(principal: Principal, action: Action, trail: Trail, at: Path): Reason {
  const parent = trail.ancestors.at(-1)
  if (action === 'remove' || action === 'move-away') {
    if (trail.entry === undefined || parent === undefined) return nothingThere(at)
    const deletion = decideDeletion(principal, parent, trail.entry)
    const ace = deletion.ace === undefined ? {} : { ace: deletion.ace }
    const by = deletion.allowed ? deletion.by : undefined
    return { rule: 'ace', text: 'the ACL allows deleting here', path: by === 'object' ? at : parentOf(at), ...ace }
  }
  for (const need of needs[action].rights) {
    const found =
      (need.target && trail.entry && granting(trail.entry, principal, need.target, at)) ||
      (need.parent && trail.parentExists && parent && granting(parent, principal, need.parent, parentOf(at)))
    if (found) return found
  }
  return nothingThere(at)
}

function granting(entry: Entry, principal: Principal, mask: Rights, path: Path): Reason | undefined {
  const { outcome, ace } = decideEntry(entry, principal, mask)
  if (outcome !== 'allowed') return undefined
  const names = rightsNames(mask, entry.type === 'directory' ? 'directory' : 'file').join(', ')
  if (ace !== undefined) return { rule: 'ace', text: `the ACL grants ${names}`, path, ace }
  return { rule: 'owner', text: `${names} is held without an entry: by ownership or by mode bits`, path }
}

function nothingThere(path: Path): Reason {
  return { rule: 'missing', text: 'there is nothing here that an ACL could protect', path }
}

function escaped(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
}
