/**
 * Local accounts from several sources, asked in order: the first that knows a name answers for it.
 *
 * Ids that mean "everything" or "nobody" to a kernel are refused here, whatever a source says.
 */

import type { Principal } from '../principal.ts'
import { openAccountFile } from './account-file.ts'
import { createSystemAccounts } from './account-system.ts'
import { accountName, reservedAccounts } from './names.ts'
import type { AccountSourceOptions, IdentityOptions } from './options.ts'
import { deny } from './refusal.ts'

export interface Account {
  readonly name: string
  /** Absent for an account without ids, which only mounts of the `gateway` grade admit. */
  readonly ids?: { readonly uid: number; readonly gid: number; readonly gids: readonly number[] }
  /** Names of local groups, without domain. */
  readonly groups: readonly string[]
  /** See password.ts. */
  readonly passwordHash?: string
}

export interface AccountSource {
  /** Names that have a password here. */
  readonly passwords?: ReadonlySet<string>
  /** Undefined when this source does not know the name; throws `unavailable` when it cannot tell. */
  find(name: string): Promise<Account | undefined>
  findGroup(name: string): Promise<{ readonly gid?: number } | undefined>
}

export interface Accounts {
  /** Throws `denied`: account-unknown or account-refused; `unavailable` when a source cannot tell. */
  find(name: string): Promise<Account>
  findGroup(name: string): Promise<{ readonly gid?: number } | undefined>
  /** Names that have a password in some source; whether `find` gives that account is another question. */
  readonly passwords: ReadonlySet<string>
}

/** Opens all sources. Throws `invalid` or `unavailable` when a file is bad, so that a reload can keep the old ones. */
export async function openAccounts(options: IdentityOptions, now: () => number): Promise<Accounts> {
  const sources: AccountSource[] = []
  for (const source of options.accounts) sources.push(await openSource(source, now))
  return {
    passwords: new Set(sources.flatMap((source) => [...(source.passwords ?? [])])),
    async find(name) {
      if (!accountName.test(name)) throw deny('account-refused', 'the name is no account name')
      if (reservedAccounts.has(name)) throw deny('account-refused', `the account ${name} may be nobody's`)
      for (const source of sources) {
        const account = await source.find(name)
        if (account !== undefined) return checked(account, options.minUid)
      }
      throw deny('account-unknown', `no account source knows ${name}`)
    },
    async findGroup(name) {
      for (const source of sources) {
        const group = await source.findGroup(name)
        if (group !== undefined) return group
      }
      return undefined
    },
  }
}

async function openSource(source: AccountSourceOptions, now: () => number): Promise<AccountSource> {
  if ('file' in source) return openAccountFile(source.file)
  return createSystemAccounts({ now, ...(source.getent !== undefined && { getent: source.getent }) })
}

/** Ids that stand for nobody: -1 leaves an identity unchanged in setfsuid(2); 65534 is everyone else of NFS. */
const nobodyIds: ReadonlySet<number> = new Set([65_534, 65_535, 4_294_967_294, 4_294_967_295])

function checked(account: Account, minUid: number): Account {
  const { ids, name } = account
  if (ids === undefined) return account
  if (ids.uid === 0 || ids.uid < minUid) {
    throw deny('account-refused', `the uid of ${name} is smaller than the least allowed, ${minUid}`)
  }
  if (nobodyIds.has(ids.uid)) throw deny('account-refused', `the uid of ${name} means nobody`)
  if ([ids.gid, ...ids.gids].some((gid) => gid > 4_294_967_293)) {
    throw deny('account-refused', `a gid of ${name} is out of range`)
  }
  return account
}

/** What an account contributes to a Principal. `extra` are groups from outside with their full names. */
export function principalOf(
  account: Account,
  domain: string,
  extra: { readonly groups: ReadonlySet<string>; readonly joined: ReadonlyMap<string, number | undefined> },
): Pick<Principal, 'user' | 'groups' | 'posix'> {
  const local = [...account.groups, ...extra.joined.keys()].map((group) => `${group}@${domain}`)
  const user = `${account.name}@${domain}`
  const groups = new Set([...local, ...extra.groups])
  if (account.ids === undefined) return { user, groups }
  const { uid, gid, gids } = account.ids
  const all = new Set([...gids, ...[...extra.joined.values()].filter((id) => id !== undefined)])
  all.delete(gid)
  return { user, groups, posix: { uid, gid, gids: [...all] } }
}
