/** The list of a new object where lists are written by path: given to it, or left to what the file system passes on. */

import { type Ace, type Acl, aceFlag } from '../../acl/acl.ts'
import type { ObjectKind } from '../../acl/dialects.ts'
import { goesBy } from '../../acl/evaluate.ts'
import { inherit } from '../../acl/inherit.ts'
import type { Principal } from '../../acl/principal.ts'
import type { Call } from '../../gateway/core/call.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Entry } from '../backend.ts'
import type { Desk, NameSight } from './desk.ts'
import { aclForNew } from './new-objects.ts'
import { directoryOf } from './staging-area.ts'
import type { AclBytes } from './wire.ts'

export interface NewObject {
  readonly kind: ObjectKind
  /** Of the directory. */
  readonly directory: Entry
  readonly path: Path
  /** The directory lies on a file system with NFSv4 ACLs. */
  readonly nfs4: boolean
  /** Permission bits that it gets where it inherits nothing; the usual ones if absent. */
  readonly mode?: number
}

/**
 * What `aclForNew` says; undefined also where lists cannot be written and what the directory passes on by itself lets
 * the caller do the same. Throws where neither is so. What replaces a file gets the list of that, if any.
 */
export async function aclToGive(
  desk: Desk,
  { kind, directory, path, ...place }: NewObject,
  sight: NameSight,
  { principal, signal }: Call,
): Promise<AclBytes | undefined> {
  const acl = aclForNew(desk.setup, kind, directory, principal, place)
  const { pathWriter } = desk
  if (!pathWriter || !acl?.list || !directory.acl) return acl
  const above = directoryOf(sight, path)
  if (await pathWriter.canWrite(above, signal)) return acl
  if (saysTheSame(acl.list, inherit(directory.acl.aces, kind, { split: 'gpfs' }), principal)) return undefined
  if (!sight.trail.entry) await pathWriter.requireWay(above, signal)
  return acl
}

/**
 * Whether all that the list says besides what is passed on is said there too: of the caller by an entry that speaks to
 * him, of others in the same words. Where something is denied, order counts, and nothing is concluded.
 */
function saysTheSame({ aces }: Acl, passed: readonly Ace[], principal: Principal): boolean {
  if (passed.length === 0 || passed.some(({ type }) => type !== 'allow')) return false
  const effective = passed.filter(({ flags }) => (flags & aceFlag.inheritOnly) === 0)
  const isSaid = (ace: Ace) =>
    effective.some(({ mask, who }) => (ace.mask & ~mask) === 0 && (isSame(who, ace.who) || covers(who, ace, principal)))
  return aces.every((ace) => (ace.flags & aceFlag.inheritOnly) !== 0 || isSaid(ace))
}

/** Whether an entry for `who` speaks to the caller, as `ace` does. */
function covers(who: Ace['who'], ace: Ace, principal: Principal): boolean {
  if (who === 'EVERYONE@') return true
  if (typeof who !== 'object' || typeof ace.who !== 'object' || !('user' in ace.who)) return false
  if (!goesBy(principal, 'user', ace.who.user)) return false
  return 'user' in who ? goesBy(principal, 'user', who.user) : 'group' in who && goesBy(principal, 'group', who.group)
}

function isSame(one: Ace['who'], other: Ace['who']): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
