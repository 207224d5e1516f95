/** Which account somebody is here, and where each of his groups comes from, in the words of `whoami` and `explain`. */

import type { Principal } from '../principal.ts'
import type { Account, Accounts } from './accounts.ts'
import type { Trace } from './jwt.ts'
import { quoted } from './refusal.ts'

/** Groups that are told one by one. */
const mostTold = 50

/** `local` is what the account and groups from elsewhere came to. */
export function traceAccount(
  trace: Trace,
  account: Account,
  local: Pick<Principal, 'groups' | 'posix'>,
  { accounts, domain }: { readonly accounts: Accounts; readonly domain: string },
): void {
  const source = accounts.sourceOf(account)
  trace('account', `account ${account.name}${source === undefined ? '' : ` of ${source}`}, ${idsOf(local)}`)
  trace('groups', groupsOf(account, local.groups, domain))
}

function idsOf({ posix }: Pick<Principal, 'posix'>): string {
  if (posix === undefined) return 'without numeric ids'
  const { uid, gid, gids } = posix
  const others = gids.length === 0 ? '' : `, further gids ${gids.slice(0, mostTold).join(' ')}${more(gids.length)}`
  return `uid ${uid}, gid ${gid}${others}`
}

function groupsOf(account: Account, groups: ReadonlySet<string>, domain: string): string {
  if (groups.size === 0) return 'none'
  const own = new Set(account.groups.map((group) => `${group}@${domain}`))
  const told = [...groups.values().take(mostTold)].map((group) => {
    const name = /^[\x21-\x7e]+$/.test(group) ? group : quoted(group)
    if (own.has(group)) return `${name} (of the account)`
    return `${name} (${group.endsWith(`@${domain}`) ? 'joined by a mapping rule' : 'of its issuer'})`
  })
  return `${told.join(', ')}${more(groups.size)}`
}

function more(count: number): string {
  return count > mostTold ? ` and ${count - mostTold} more` : ''
}
