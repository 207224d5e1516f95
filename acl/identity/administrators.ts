/** Who looks after the gateway, as the configuration names them: users, and groups of our own domain. */

import type { Principal } from '../principal.ts'
import type { IdentityOptions } from './options.ts'

/** What begins an entry that names a group. */
export const groupEntry = 'group:'

type Parts = Pick<Principal, 'user' | 'groups' | 'grants' | 'within' | 'macaroon' | 'counted'>

/**
 * The entry by which somebody is an administrator; undefined if there is none. A credential with bounds, or one that was
 * derived from another, makes nobody one: looking after others is not among what can be handed on.
 */
export function administratorBy(
  { user, groups, grants, within, macaroon, counted }: Parts,
  { administrators }: Pick<IdentityOptions, 'administrators'>,
): string | undefined {
  if (user === undefined || grants !== 'unbounded' || within || macaroon || counted !== undefined) return undefined
  return administrators.find((entry) =>
    entry.startsWith(groupEntry) ? groups.has(entry.slice(groupEntry.length)) : entry === user,
  )
}

/** To be asked wherever a principal is made. */
export function isAdministrator(parts: Parts, options: Pick<IdentityOptions, 'administrators'>): boolean {
  return administratorBy(parts, options) !== undefined
}
