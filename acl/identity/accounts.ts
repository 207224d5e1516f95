/**
 * Local accounts from several sources, asked in order: the first that knows a name answers for it.
 *
 * Ids that mean "everything" or "nobody" to a kernel are refused here, whatever a source says.
 */

import type { Finding } from '../../backends/backend.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Principal } from '../principal.ts'
import type { Secret } from '../secret.ts'
import { openAccountFile } from './account-file.ts'
import { createSystemAccounts } from './account-system.ts'
import { createLdapAccounts } from './ldap/source.ts'
import { accountName, reservedAccounts } from './names.ts'
import type { AccountSourceOptions, IdentityOptions } from './options.ts'
import { deny, quoted, refuse } from './refusal.ts'

export interface Account {
  readonly name: string
  /** Absent for an account without ids, which only mounts of the `gateway` grade admit. */
  readonly ids?: { readonly uid: number; readonly gid: number; readonly gids: readonly number[] }
  /** Names of local groups, without domain. */
  readonly groups: readonly string[]
  /** See password.ts. */
  readonly passwordHash?: string
  readonly mail?: string
}

/** Whether a source that others answer for (a directory) can be asked now. */
export interface SourceState {
  /** As in `sourceOf`. */
  readonly name: string
  readonly available: boolean
  /** For the administrator; without secrets. */
  readonly text: string
}

export interface AccountSource {
  /** Names that have a password here. */
  readonly passwords?: ReadonlySet<string>
  /** Of that very name. Undefined when this source does not know it; throws `unavailable` when it cannot tell. */
  find(name: string): Promise<Account | undefined>
  findGroup(name: string): Promise<{ readonly gid?: number } | undefined>
  /**
   * Whether that is the password of an account that `find` gives; undefined when there is no such account here. Throws
   * `unavailable` when the source cannot tell, `unauthenticated` (password) with the reason when it may not be used.
   */
  checkPassword?(name: string, password: Secret): Promise<boolean | undefined>
  /** All that `find` would give. Throws `unavailable`, or `busy` when there are too many. */
  list?(): AsyncIterable<Account>
  /** Tries everything that the source stands on. Never throws for what is wrong in the world. */
  check?(): Promise<readonly Finding[]>
  state?(): Omit<SourceState, 'name'>
  /** Ends connections; calls under way may fail with `unavailable`. */
  close?(): Promise<void>
}

export interface Accounts {
  /** Throws `denied`: account-unknown or account-refused; `unavailable` when a source cannot tell. */
  find(name: string): Promise<Account>
  findGroup(name: string): Promise<{ readonly gid?: number } | undefined>
  /** Names that have a password in some source; whether `find` gives that account is another question. */
  readonly passwords: ReadonlySet<string>
  /** Whether some source may know passwords of names that are not in `passwords`. */
  readonly asksPasswords: boolean
  /**
   * Asks the source that answers for this name. Undefined when no source knows it, or the one that does has no
   * passwords to ask for. Throws `unavailable`; `unauthenticated` (password) with a reason for an expired one.
   */
  checkPassword(name: string, password: Secret): Promise<boolean | undefined>
  /**
   * All accounts that `find` would give, of sources that can list theirs; names that an earlier source knows are its own.
   * Throws `unavailable`, or `busy` when there are too many.
   */
  list(): AsyncIterable<Account>
  /** Names, as in `sourceOf`, of the sources that cannot list their accounts. */
  readonly unlisted: readonly string[]
  /** Tries every source that can be tried. */
  check(): Promise<readonly Finding[]>
  /** Of the sources that others answer for. */
  states(): readonly SourceState[]
  /** Which source told of an account that `find` gave, for people: "source 1 (file)". */
  sourceOf(account: Account): string | undefined
  /** Ends connections, but for those of sources that `next` goes on using. */
  close(next?: Accounts): Promise<void>
}

/**
 * Opens all sources. Throws `invalid` or `unavailable` when a file is bad, so that a reload can keep the old ones. A
 * directory whose lines are as they were in `old` stays open, with everything it knows.
 */
export async function openAccounts(options: IdentityOptions, now: () => number, old?: Accounts): Promise<Accounts> {
  const before = old instanceof OpenAccounts ? old.sources : []
  const sources: Opened[] = []
  for (const [index, given] of options.accounts.entries()) {
    const name = `source ${index + 1} (${kindOf(given)})`
    const kept = before.find((each) => isSameDirectory(each.given, given))
    const place = kept?.place ?? { name }
    place.name = name
    const report = (state: Omit<SourceState, 'name'>) => options.report?.({ name: place.name, ...state })
    sources.push({ name, place, given, source: kept?.source ?? (await openSource(given, now, report)) })
  }
  return new OpenAccounts(sources, options.minUid)
}

interface Opened {
  readonly name: string
  /** By what name it is reported; a directory that is kept open may get another one. */
  readonly place: { name: string }
  readonly given: AccountSourceOptions
  readonly source: AccountSource
}

class OpenAccounts implements Accounts {
  readonly sources: readonly Opened[]
  readonly passwords: ReadonlySet<string>
  readonly asksPasswords: boolean
  readonly unlisted: readonly string[]
  readonly #minUid: number
  readonly #origins = new WeakMap<Account, string>()

  constructor(sources: readonly Opened[], minUid: number) {
    this.sources = sources
    this.#minUid = minUid
    this.passwords = new Set(sources.flatMap(({ source }) => [...(source.passwords ?? [])]))
    this.asksPasswords = sources.some(({ source }) => source.checkPassword !== undefined)
    this.unlisted = sources.flatMap(({ name, source }) => (source.list === undefined ? [name] : []))
  }

  async find(name: string): Promise<Account> {
    checkName(name)
    for (const { name: origin, source } of this.sources) {
      const account = await source.find(name)
      if (account === undefined) continue
      // By another name he would be none of those that bans, links and earlier sources know.
      if (account.name !== name) throw deny('account-refused', `${name} is another name of ${quoted(account.name)}`)
      this.#origins.set(account, origin)
      return checked(account, this.#minUid)
    }
    throw deny('account-unknown', `no account source knows ${name}`)
  }

  async findGroup(name: string): Promise<{ readonly gid?: number } | undefined> {
    for (const { source } of this.sources) {
      const group = await source.findGroup(name)
      if (group !== undefined) return group
    }
    return undefined
  }

  async checkPassword(name: string, password: Secret): Promise<boolean | undefined> {
    try {
      checkName(name)
      for (const { source } of this.sources) {
        // Never a later source: the password of another person of that name would open this one's account.
        if ((await source.find(name)) !== undefined) return await source.checkPassword?.(name, password)
      }
      return undefined
    } catch (error) {
      // Who does not know the password learns nothing about an account that is closed.
      if (StorageError.from(error).code !== 'denied') throw error
      throw refuse('password', StorageError.reasonOf(StorageError.from(error))?.text ?? 'the account is refused', error)
    }
  }

  async *list(): AsyncIterable<Account> {
    const seen = new Set<string>()
    for (const { source } of this.sources) {
      for await (const account of source.list?.() ?? []) {
        if (seen.has(account.name)) continue
        seen.add(account.name)
        if (mayBe(account, this.#minUid)) yield account
      }
    }
  }

  async check(): Promise<readonly Finding[]> {
    const found = await Promise.all(this.sources.map(({ source }) => source.check?.() ?? []))
    return found.flat()
  }

  states(): readonly SourceState[] {
    return this.sources.flatMap(({ name, source }) => (source.state ? [{ name, ...source.state() }] : []))
  }

  sourceOf(account: Account): string | undefined {
    return this.#origins.get(account)
  }

  async close(next?: Accounts): Promise<void> {
    const kept = new Set(next instanceof OpenAccounts ? next.sources.map(({ source }) => source) : [])
    await Promise.all(this.sources.map(({ source }) => (kept.has(source) ? undefined : source.close?.())))
  }
}

/** The key that says in the configuration what kind it is. */
function kindOf(source: AccountSourceOptions): string {
  return Object.keys(source)[0] ?? ''
}

async function openSource(
  source: AccountSourceOptions,
  now: () => number,
  report: (state: Omit<SourceState, 'name'>) => void,
): Promise<AccountSource> {
  if ('file' in source) return openAccountFile(source.file)
  if ('ldap' in source) return createLdapAccounts(source.ldap, { now, report })
  return createSystemAccounts({ now, ...(source.getent !== undefined && { getent: source.getent }) })
}

/** What a directory has told outlives a reload, which may come while it is down. */
function isSameDirectory(one: AccountSourceOptions, other: AccountSourceOptions): boolean {
  if (!('ldap' in one && 'ldap' in other)) return false
  // A Secret prints as no more than that, so its text is compared by itself.
  const isSamePassword = one.ldap.bind?.password.reveal() === other.ldap.bind?.password.reveal()
  return isSamePassword && JSON.stringify(one.ldap) === JSON.stringify(other.ldap)
}

function checkName(name: string): void {
  if (!accountName.test(name)) throw deny('account-refused', 'the name is no account name')
  if (reservedAccounts.has(name)) throw deny('account-refused', `the account ${name} may be nobody's`)
}

function mayBe(account: Account, minUid: number): boolean {
  try {
    checkName(account.name)
    checked(account, minUid)
    return true
  } catch (error) {
    if (StorageError.from(error).code === 'denied') return false
    throw error
  }
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
