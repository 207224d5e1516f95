/** Whom bans and revocations are asked about. */

import type { Principal } from '../principal.ts'
import { markOfLink } from './links/linked.ts'
import type { Holder } from './options.ts'

/** Names under which he can be banned that hold for what he hands on too. */
export function lastingMarks(holder: Holder | undefined): readonly string[] {
  return (holder?.marks ?? []).filter((mark) => mark.startsWith('principal:'))
}

/** With the groups that somebody has now, and the link that he came by. */
export function wholeHolder({ groups, link }: Principal, holder: Holder): Holder {
  if (link === undefined) return { ...holder, groups }
  return { ...holder, groups, marks: [...(holder.marks ?? []), markOfLink(link)] }
}
