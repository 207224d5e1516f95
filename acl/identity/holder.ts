/** Whom bans and revocations are asked about. */

import type { Principal } from '../principal.ts'
import { markOfLink } from './links/linked.ts'
import type { Holder } from './options.ts'

/** With the groups that somebody has now, and the link that he came by. */
export function wholeHolder({ groups, link }: Principal, holder: Holder): Holder {
  if (link === undefined) return { ...holder, groups }
  return { ...holder, groups, marks: [...(holder.marks ?? []), markOfLink(link)] }
}
