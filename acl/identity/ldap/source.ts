/**
 * Accounts of a directory, asked by LDAP (RFC 4511). One look-up is a search for the person, which must find exactly
 * one, and searches for the groups; what was found is kept for a while, and longer while no server answers.
 */

import { StorageError } from '../../../gateway/core/errors.ts'
import type { Secret } from '../../secret.ts'
import type { Account, AccountSource, SourceState } from '../accounts.ts'
import { accountName, groupName } from '../names.ts'
import { deny, refuse } from '../refusal.ts'
import { accountOf } from './account.ts'
import { DirectoryCache } from './cache.ts'
import { checkDirectory } from './checking.ts'
import type { Connection } from './connection.ts'
import { isDn } from './dn.ts'
import { LdapFailure } from './failure.ts'
import { DirectoryGroups, membershipOf, readGroup } from './groups.ts'
import { listAccounts } from './listing.ts'
import type { LdapOptions } from './options.ts'
import { readPerson, Unusable } from './person.ts'
import { equals, type LdapSchema, schemaOf } from './schema.ts'
import type { ServerOptions } from './server.ts'
import { Servers } from './servers.ts'

export interface LdapSettings {
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Called when a server no longer answers, and when it does again. */
  readonly report: (state: Omit<SourceState, 'name'>) => void
  /** Milliseconds until a server that failed is tried again; half a second to ten if absent. */
  readonly retry?: ServerOptions['retry']
}

interface KnownAccount {
  readonly dn: string
  readonly account: Account
  /** Milliseconds since 1970, or Infinity. */
  readonly expires: number
}

/** Never connects before it is asked something. The options are those that `checkLdapOptions` lets pass. */
export function createLdapAccounts(options: LdapOptions, settings: LdapSettings): AccountSource {
  return new Directory(options, settings)
}

const usualRetry = { least: 500, most: 10_000 }

class Directory implements AccountSource {
  readonly #options: LdapOptions
  readonly #schema: LdapSchema
  readonly #servers: Servers
  readonly #now: () => number
  readonly #people: DirectoryCache<KnownAccount | Unusable | undefined>
  readonly #groups: DirectoryCache<{ readonly gid?: number } | Unusable | undefined>

  constructor(options: LdapOptions, { now, report, retry = usualRetry }: LdapSettings) {
    this.#options = options
    this.#schema = schemaOf(options)
    this.#servers = new Servers(options, { retry, report })
    this.#now = now
    const { found, missing, stale } = options
    const times = { now, found, missing, stale, isDown: () => this.#servers.isDown() }
    this.#people = new DirectoryCache({
      ...times,
      load: (name) => this.#ask((connection) => this.#findPerson(connection, name)),
      isGood,
      survives: isGood,
      weigh: (value) => (value === undefined || value instanceof Unusable ? 0 : weightOf(value.account)),
      endOf: (value) => (value === undefined || value instanceof Unusable ? Number.POSITIVE_INFINITY : value.expires),
    })
    this.#groups = new DirectoryCache({
      ...times,
      load: (name) => this.#ask((connection) => this.#findGroup(connection, name)),
      isGood,
      // Rules may name groups that are nobody's here; who has them by a rule has them in an outage too.
      survives: (value) => !(value instanceof Unusable),
      weigh: () => 0,
      endOf: () => Number.POSITIVE_INFINITY,
    })
  }

  async find(name: string): Promise<Account | undefined> {
    if (!accountName.test(name)) return undefined
    return usable(await this.#people.get(name))?.account
  }

  async findGroup(name: string): Promise<{ readonly gid?: number } | undefined> {
    if (!groupName.test(name)) return undefined
    return usable(await this.#groups.get(name))
  }

  async checkPassword(name: string, password: Secret): Promise<boolean | undefined> {
    const known = accountName.test(name) ? usable(await this.#people.get(name)) : undefined
    if (known === undefined) return undefined
    const text = password.reveal()
    // A bind without a password succeeds as nobody (RFC 4513, section 5.1.2), and so does one without a name.
    if (text === '' || !isDn(known.dn)) return false
    const judgement = await this.#servers.alone((connection) => connection.judge(known.dn, text))
    if (judgement !== 'unusable') return judgement === 'right'
    throw refuse('password', `the directory does not let ${name} in with a password: expired, locked or to be changed`)
  }

  async *list(): AsyncIterable<Account> {
    const accounts = await this.#long((connection) =>
      listAccounts({ schema: this.#schema, options: this.#options, connection, now: this.#now() }),
    )
    for (const person of accounts) yield person
  }

  check() {
    return checkDirectory(this.#options, this.#schema, this.#servers.all)
  }

  state(): Omit<SourceState, 'name'> {
    // Whoever looks at it makes us look as well, so that it does not take a caller to find that all is well again.
    this.#servers.isDown()
    return this.#servers.state()
  }

  async close(): Promise<void> {
    this.#servers.close()
  }

  async #ask<T>(work: (connection: Connection) => Promise<T>): Promise<T | Unusable> {
    try {
      return await this.#servers.use(work)
    } catch (error) {
      if (error instanceof LdapFailure) return new Unusable(`the directory says too much: ${error.message}`)
      throw error
    }
  }

  async #long<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    try {
      return await this.#servers.long(work)
    } catch (error) {
      if (!(error instanceof LdapFailure)) throw error
      throw new StorageError('busy', 'there are too many accounts to list', { cause: error })
    }
  }

  async #findPerson(connection: Connection, name: string): Promise<KnownAccount | Unusable | undefined> {
    const { base } = this.#options.users
    const filter = this.#schema.users(equals(this.#schema.user.name, name))
    const entries = await connection.search({ base, filter, attributes: this.#schema.userAttributes }, 10)
    const [entry, ...more] = entries
    if (entry === undefined) return undefined
    if (more.length > 0) return new Unusable(`${entries.length} entries of the directory have the name ${name}`)
    const person = readPerson(entry, this.#schema, this.#now())
    if (person instanceof Unusable) return person
    if (person.name !== name) return new Unusable(`${name} is another name of ${person.name}`)
    const { depth, minGid, minUid } = this.#options
    const finder = new DirectoryGroups(this.#schema, this.#options, connection)
    const membership = await membershipOf(person, finder, { schema: this.#schema, depth, minGid })
    if (membership instanceof Unusable) return membership
    const account = accountOf(person, membership, minUid)
    return account instanceof Unusable ? account : { dn: person.dn, account, expires: person.expires }
  }

  async #findGroup(connection: Connection, name: string): Promise<{ readonly gid?: number } | Unusable | undefined> {
    const { base } = this.#options.groups
    const filter = this.#schema.groups(equals(this.#schema.group.name, name))
    const entries = await connection.search({ base, filter, attributes: this.#schema.groupAttributes }, 10)
    const [entry, ...more] = entries
    if (entry === undefined) return undefined
    if (more.length > 0) return new Unusable(`${entries.length} groups of the directory have the name ${name}`)
    const group = readGroup(entry, this.#schema)
    if (group.problem !== undefined) return new Unusable(`the group ${name}: ${group.problem}`)
    // A directory that ignores case answers for P01 too; ACLs know only one of them.
    if (group.name !== name) return undefined
    if (group.gid !== undefined && group.gid < this.#options.minGid)
      return new Unusable(`the gid of ${name} is too small`)
    return group.gid === undefined ? {} : { gid: group.gid }
  }
}

function isGood(value: unknown): boolean {
  return value !== undefined && !(value instanceof Unusable)
}

function weightOf({ groups, ids }: Account): number {
  return groups.length + (ids?.gids.length ?? 0)
}

function usable<T>(value: T | Unusable | undefined): T | undefined {
  if (value instanceof Unusable) throw deny('account-refused', value.text)
  return value
}
