/** How much of an explanation its asker may see: entries of ACLs that he may read, owners of what he may look at. */

import { right } from '../../acl/acl.ts'
import { decideEntry, pathOfAncestor, permitsPath } from '../../acl/authorizer.ts'
import { isOwner } from '../../acl/evaluate.ts'
import { aceText, explainWay, withoutAce } from '../../acl/explain.ts'
import { inheritedFrom, isInherited } from '../../acl/inherited-from.ts'
import type { Principal } from '../../acl/principal.ts'
import type { Entry, Trail } from '../../backends/backend.ts'
import type { Reason } from './errors.ts'
import type { ExplainedDirectory, ExplainedEntry } from './operations.ts'
import { type Path, parentOf } from './path.ts'

/** A reason as the asker may see it. */
export interface Shown {
  readonly reason: Reason
  readonly entry?: ExplainedEntry
}

/** Whether GET acl would show it, the way to it being open; administrators are shown every ACL. */
export function mayReadAcl(asker: Principal, object: Entry, path: Path): boolean {
  if (asker.user === undefined) return false
  if (asker.administrator === true) return true
  if (object.acl === undefined || decideEntry(object, asker, right.readAcl).outcome !== 'allowed') return false
  if (!permitsPath(asker, 'read-acl', path).allowed) return false
  // No scope of a token gives more than one's own here.
  return asker.grants === 'unbounded' || isOwner(object.acl, asker)
}

/** The owner's name for who may look at the object; undefined where it cannot be told. */
export function ownerFor(asker: Principal, object: Entry | undefined, path: Path): string | undefined {
  if (object?.acl?.owner === undefined || asker.user === undefined) return undefined
  if (asker.administrator === true) return object.acl.owner
  const mayLook =
    decideEntry(object, asker, right.readAttributes).outcome === 'allowed' && permitsPath(asker, 'stat', path).allowed
  return mayLook ? object.acl.owner : undefined
}

/** The reason with the entry it speaks of, or without where the asker may not read that ACL. */
export function shownTo(asker: Principal, trail: Trail, at: Path, reason: Reason): Shown {
  if (reason.ace === undefined) return { reason }
  const { path } = reason
  if (path === undefined) return { reason: withoutAce(reason) }
  const place = placeOf(trail, at, path)
  const object = place < 0 ? undefined : (trail.ancestors[place] ?? trail.entry)
  const ace = object?.acl?.aces[reason.ace]
  if (object === undefined || ace === undefined || !mayReadAcl(asker, object, path)) {
    return { reason: withoutAce(reason) }
  }
  const above = trail.ancestors.slice(0, place)
  const mayLook = (directory: Entry, index: number) => {
    const where = pathOfAncestor(trail, index, at)
    return where !== undefined && mayReadAcl(asker, directory, where)
  }
  // With links on the way the directories above go by other names than those of the path.
  const source = trail.resolved === undefined ? inheritedFrom(ace, object, above, mayLook) : undefined
  const from = source === undefined ? undefined : pathOfAncestor(trail, source, at)
  const text = aceText(ace)
  const whence = from === undefined ? '' : `, inherited from ${from}`
  return {
    reason: { ...reason, text: `${reason.text}: ${text}${whence}` },
    entry: { path, index: reason.ace, text, inherited: isInherited(ace), ...(from !== undefined && { from }) },
  }
}

/** The directories on the way for `subject`, as the asker may see them. */
export function shownWay(asker: Principal, subject: Principal, trail: Trail, at: Path): readonly ExplainedDirectory[] {
  return explainWay(subject, trail, at).map(({ path, allowed, reason }) => ({
    path,
    allowed,
    ...shownTo(asker, trail, at, reason),
  }))
}

/** What a path speaks about: the index of a directory on the way, the number of them for the object itself, -1 for neither. */
export function placeOf(trail: Trail, at: Path, path: Path): number {
  const { ancestors } = trail
  if (path === at) return ancestors.length
  if (path === parentOf(at) && trail.parentExists) return ancestors.length - 1
  return ancestors.findIndex((_, index) => pathOfAncestor(trail, index, at) === path)
}
