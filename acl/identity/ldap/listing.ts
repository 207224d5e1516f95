/** All accounts of a directory: groups with their members are read once, then people, and put together here. */

import { setImmediate as turn } from 'node:timers/promises'
import type { Account } from '../accounts.ts'
import { accountName } from '../names.ts'
import { accountOf } from './account.ts'
import type { Connection } from './connection.ts'
import { normalDn } from './dn.ts'
import type { LdapEntry } from './entry.ts'
import { LdapFailure } from './failure.ts'
import { type Group, type GroupFinder, membershipOf, readGroup } from './groups.ts'
import type { LdapOptions } from './options.ts'
import { readPerson, Unusable } from './person.ts'
import type { LdapSchema } from './schema.ts'

export interface ListMeans {
  readonly schema: LdapSchema
  readonly options: LdapOptions
  readonly connection: Connection
  /** Milliseconds since 1970. */
  readonly now: number
}

const maxPeople = 200_000
/** Of those too that may not come in. */
const maxNames = 1_000_000
/** A group of hundreds of thousands of members is one entry. */
const groupPage = { size: 50, bytes: 64 * 2 ** 20 }
const maxListedGroups = 50_000
const maxMemberships = 2_000_000
const membersAtOnce = 1000

/** Those that a look-up would give. Throws LdapFailure, of kind `size` when there are too many. */
export async function listAccounts(means: ListMeans): Promise<readonly Account[]> {
  const { schema, options, connection, now } = means
  const finder = await readGroups(means)
  const accounts: Account[] = []
  const names = new Names()
  const search = { base: options.users.base, filter: schema.users(), attributes: schema.userAttributes }
  for await (const page of connection.pages(search)) {
    for (const entry of page) {
      names.take(entry.texts(schema.user.name) ?? [])
      const person = readPerson(entry, schema, now)
      if (person instanceof Unusable) continue
      const { depth, minGid, minUid } = options
      const membership = await membershipOf(person, finder, { schema, depth, minGid })
      const account = membership instanceof Unusable ? membership : accountOf(person, membership, minUid)
      if (!(account instanceof Unusable)) accounts.push(account)
    }
    if (accounts.length > maxPeople) throw new LdapFailure('size', `there are more than ${maxPeople} people`)
  }
  return accounts.filter(({ name }) => names.isOnly(name))
}

/** A name that two entries have is nobody's, whatever else is the matter with one of them. */
class Names {
  readonly #seen = new Set<string>()
  readonly #twice = new Set<string>()

  /** All names of one entry. Throws LdapFailure for too many entries. */
  take(names: readonly string[]): void {
    for (const name of new Set(names.map((each) => each.toLowerCase()))) {
      if (!accountName.test(name)) continue
      if (this.#seen.has(name)) this.#twice.add(name)
      this.#seen.add(name)
    }
    if (this.#seen.size > maxNames) throw new LdapFailure('size', `there are more than ${maxNames} names`)
  }

  isOnly(name: string): boolean {
    return !this.#twice.has(name)
  }
}

async function readGroups({ schema, options, connection }: ListMeans): Promise<ListedGroups> {
  const { member } = schema.group
  const listed = new ListedGroups(schema.kind === 'rfc2307')
  const attributes = [...schema.groupAttributes, member]
  const long: Array<{ readonly group: Group; readonly next: number }> = []
  let groups = 0
  const search = { base: options.groups.base, filter: schema.groups(), attributes, page: groupPage }
  for await (const page of connection.pages(search)) {
    groups += page.length
    if (groups > maxListedGroups) throw new LdapFailure('size', `there are more than ${maxListedGroups} groups`)
    for (const entry of page) {
      const group = readGroup(entry, schema)
      const range = entry.range(member)
      await addGently(listed, group, [...(entry.texts(member) ?? []), ...(range?.values ?? [])])
      if (range?.next !== undefined) long.push({ group, next: range.next })
    }
  }
  for (const { group, next } of long) {
    for await (const members of furtherMembers(group.dn, { member, next, schema, connection })) {
      await addGently(listed, group, members)
    }
  }
  return listed
}

/** A group may have so many members that the process would answer nobody meanwhile. */
async function addGently(listed: ListedGroups, group: Group, members: readonly string[]): Promise<void> {
  listed.add(group, members.slice(0, membersAtOnce))
  for (let at = membersAtOnce; at < members.length; at += membersAtOnce) {
    await turn()
    listed.add(group, members.slice(at, at + membersAtOnce))
  }
}

interface Further {
  readonly member: string
  readonly next: number
  readonly schema: LdapSchema
  readonly connection: Connection
}

/** Active Directory gives long attributes in parts ([MS-ADTS], section 3.1.1.3.1.3.3). */
async function* furtherMembers(dn: string, { member, next, schema, connection }: Further) {
  let from: number | undefined = next
  while (from !== undefined) {
    const attributes = [`${member};range=${from}-*`]
    const [entry]: readonly LdapEntry[] = await connection.search(
      { base: dn, scope: 'base', filter: schema.groups(), attributes },
      1,
    )
    const range = entry?.range(member)
    if (range === undefined || range.values.length === 0) return
    yield range.values
    from = range.next !== undefined && range.next > from ? range.next : undefined
  }
}

/** Groups in memory, by everything that they are looked for by. */
class ListedGroups implements GroupFinder {
  readonly #byName: boolean
  readonly #byMember = new Map<string, Group[]>()
  readonly #byNumber = new Map<number, Set<Group>>()
  readonly #bySid = new Map<string, Set<Group>>()
  #memberships = 0

  /** `byName`: members are login names and no DNs. */
  constructor(byName: boolean) {
    this.#byName = byName
  }

  /** Once more for further members. Throws LdapFailure for too many. */
  add(group: Group, members: readonly string[]): void {
    this.#memberships += members.length
    if (this.#memberships > maxMemberships)
      throw new LdapFailure('size', `there are more than ${maxMemberships} members`)
    for (const member of members) {
      const key = this.#key(member)
      const groups = this.#byMember.get(key)
      if (groups) groups.push(group)
      else this.#byMember.set(key, [group])
    }
    if (group.gid !== undefined) keep(this.#byNumber, group.gid, group)
    if (group.sid !== undefined) keep(this.#bySid, group.sid.toString('hex'), group)
  }

  async withMembers(members: readonly string[]): Promise<readonly Group[]> {
    return members.flatMap((member) => this.#byMember.get(this.#key(member)) ?? [])
  }

  async withMemberInChain(dn: string): Promise<readonly Group[]> {
    const found = new Set<Group>()
    let members: readonly string[] = [dn]
    while (members.length > 0) {
      const fresh = (await this.withMembers(members)).filter((group) => !found.has(group))
      for (const group of fresh) found.add(group)
      members = fresh.map((group) => group.dn)
    }
    return [...found]
  }

  async withNumber(gid: number): Promise<readonly Group[]> {
    return [...(this.#byNumber.get(gid) ?? [])]
  }

  async withSid(sid: Buffer): Promise<readonly Group[]> {
    return [...(this.#bySid.get(sid.toString('hex')) ?? [])]
  }

  #key(member: string): string {
    return this.#byName ? member : (normalDn(member) ?? member)
  }
}

function keep<Key>(map: Map<Key, Set<Group>>, key: Key, group: Group): void {
  const groups = map.get(key)
  if (groups) groups.add(group)
  else map.set(key, new Set([group]))
}
