/** A person and his groups as an account. */

import type { Account } from '../accounts.ts'
import type { Membership } from './groups.ts'
import { type Person, Unusable } from './person.ts'

/** Unusable when the number is smaller than this directory may give. */
export function accountOf({ name, uid, mail }: Person, membership: Membership, minUid: number): Account | Unusable {
  const { gid, gids, names: groups } = membership
  const common = { name, groups, ...(mail !== undefined && { mail }) }
  if (uid === undefined || gid === undefined) return common
  if (uid < minUid) return new Unusable(`the uid of ${name} is smaller than the least allowed, ${minUid}`)
  return { ...common, ids: { uid, gid, gids } }
}
