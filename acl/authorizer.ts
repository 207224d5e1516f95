/**
 * Allowed = the credential's bounds permit it, and the NFSv4 ACLs on the way permit it.
 *
 * Both halves are pure functions over values that the caller already holds: no I/O, no clock, no
 * configuration look-ups, so that policy is tested with tables.
 */

import type { Trail } from '../backends/backend.ts'
import type { Reason } from '../gateway/core/errors.ts'
import type { Path } from '../gateway/core/path.ts'
import type { Action } from './needs.ts'
import type { Principal } from './principal.ts'

export type Decision =
  | { readonly allowed: true; readonly reason?: Reason }
  | { readonly allowed: false; readonly reason: Reason }

/**
 * The credential's half. Runs before any back end hears of the call. A path-bound credential may
 * stat and list the ancestors of its paths (`ancestorOnly` tells), seeing only the names that lead there.
 */
export function permitsPath(_principal: Principal, _action: Action, _path: Path): Decision {
  throw new Error('to be written')
}

/** The names below `directory` that lead to a grant, or `all` when the credential may list it in full. */
export function visibleNames(_principal: Principal, _directory: Path): ReadonlySet<string> | 'all' {
  throw new Error('to be written')
}

/**
 * The ACLs' half, over everything the walk to the object has seen. No ACL seen means no. `at` is
 * where the object appears in the namespace, for the reason's path.
 *
 * It runs before anyone says whether the object exists, so a caller who may not look gets the same
 * answer for what is there and for what is not.
 */
export function permitsTrail(_principal: Principal, _action: Action, _trail: Trail, _at: Path): Decision {
  throw new Error('to be written')
}
