/** The groups of one person: those that name him, those above them, and the one of his group number. */

import type { Connection } from './connection.ts'
import { normalDn } from './dn.ts'
import type { LdapEntry } from './entry.ts'
import type { LdapOptions } from './options.ts'
import { type Person, readName, readNumber, Unusable } from './person.ts'
import { anyOf, equals, type LdapSchema, memberInChain } from './schema.ts'

export interface Group {
  readonly dn: string
  /** Absent where no ACL could name it: it is known by its number alone. */
  readonly name: string | undefined
  readonly gid: number | undefined
  /** Active Directory's identifier. */
  readonly sid: Buffer | undefined
  /** What is wrong with its number; who is in such a group is not let in with half of his groups. */
  readonly problem: string | undefined
}

/** Where groups are looked for: in the directory, or among those that were read before. */
export interface GroupFinder {
  /** With one of these as a direct member: DNs, or one login name in `rfc2307`. */
  withMembers(members: readonly string[]): Promise<readonly Group[]>
  /** With this one as a member, directly or through others. */
  withMemberInChain(dn: string): Promise<readonly Group[]>
  withNumber(gid: number): Promise<readonly Group[]>
  withSid(sid: Buffer): Promise<readonly Group[]>
}

export interface Membership {
  /** The primary group; undefined without numbers. */
  readonly gid: number | undefined
  readonly gids: readonly number[]
  readonly names: readonly string[]
}

/** Of one person. */
export const maxGroups = 2000

/** Throws what `finder` throws; Unusable says why this person cannot be let in with these groups. */
export async function membershipOf(
  person: Person,
  finder: GroupFinder,
  { schema, depth, minGid }: { readonly schema: LdapSchema; readonly depth: number; readonly minGid: number },
): Promise<Membership | Unusable> {
  const found = new Found(minGid)
  if (schema.kind === 'rfc2307') found.take(await finder.withMembers([person.name]))
  else if (schema.kind === 'rfc2307bis' || depth === 0) await climb(person.dn, found, { finder, depth })
  else found.take(await finder.withMemberInChain(person.dn))
  const primary = person.primaryGroup && (await primaryOf(person.primaryGroup, found, { finder, depth }))
  const gid = person.gid ?? primary?.gid
  if (person.uid !== undefined && gid === undefined) {
    return new Unusable(`${person.name} has a uid number, but neither he nor his primary group has a group number`)
  }
  if (gid !== undefined && gid < minGid)
    return new Unusable(`the gid of ${person.name} is smaller than the least allowed`)
  if (gid !== undefined && !found.hasNumber(gid)) {
    const [named, ...more] = await finder.withNumber(gid)
    // Of several groups with one number nobody can say which is meant; the number holds all the same.
    if (named !== undefined && more.length === 0) found.take([named])
  }
  if (found.problem !== undefined) return new Unusable(`${person.name} ${found.problem}`)
  return { gid, gids: found.gids.filter((id) => id !== gid), names: found.names }
}

interface Climbing {
  readonly finder: GroupFinder
  readonly depth: number
}

/** From the person upwards, a level at a time; a group is looked at once, so a loop ends where it began. */
async function climb(dn: string, found: Found, { finder, depth }: Climbing): Promise<void> {
  let members: readonly string[] = [dn]
  for (let level = 0; level <= depth && members.length > 0 && found.problem === undefined; level++) {
    members = found.take(await finder.withMembers(members))
  }
}

/** Active Directory does not list people among the members of their primary group. */
async function primaryOf(sid: Buffer, found: Found, { finder, depth }: Climbing): Promise<Group | undefined> {
  const [group, ...more] = await finder.withSid(sid)
  if (group === undefined || more.length > 0) return undefined
  found.take([group])
  if (depth > 0) found.take(await finder.withMemberInChain(group.dn))
  return group
}

class Found {
  readonly #minGid: number
  readonly #groups = new Map<string, Group>()
  /** What follows the name of the person. */
  problem: string | undefined

  constructor(minGid: number) {
    this.#minGid = minGid
  }

  /** Gives the DNs of those that are new. */
  take(groups: readonly Group[]): readonly string[] {
    const fresh: string[] = []
    for (const group of groups) {
      const key = normalDn(group.dn) ?? group.dn
      if (this.#groups.has(key)) continue
      this.#groups.set(key, group)
      fresh.push(group.dn)
      if (group.problem !== undefined) this.problem ??= `is in a group whose ${group.problem}`
      if ((group.gid ?? this.#minGid) < this.#minGid) {
        this.problem ??= `is in a group with the gid ${group.gid}, smaller than the least allowed`
      }
    }
    if (this.#groups.size > maxGroups) this.problem ??= `is in more than ${maxGroups} groups`
    return fresh
  }

  hasNumber(gid: number): boolean {
    return this.#groups.values().some((group) => group.gid === gid && group.name !== undefined)
  }

  get gids(): readonly number[] {
    return [...new Set(this.#groups.values().flatMap(({ gid }) => (gid === undefined ? [] : [gid])))]
  }

  get names(): readonly string[] {
    return [...new Set(this.#groups.values().flatMap(({ name }) => (name === undefined ? [] : [name])))]
  }
}

/** DNs in one filter. */
const batch = 50

/** Asks the directory. Throws LdapFailure. */
export class DirectoryGroups implements GroupFinder {
  readonly #schema: LdapSchema
  readonly #base: string
  readonly #connection: Connection

  constructor(schema: LdapSchema, { groups }: LdapOptions, connection: Connection) {
    this.#schema = schema
    this.#base = groups.base
    this.#connection = connection
  }

  async withMembers(members: readonly string[]): Promise<readonly Group[]> {
    const groups: Group[] = []
    for (let at = 0; at < members.length; at += batch) {
      const some = members.slice(at, at + batch).map((member) => equals(this.#schema.group.member, member))
      groups.push(...(await this.#search(anyOf(some))))
    }
    return groups
  }

  withMemberInChain(dn: string): Promise<readonly Group[]> {
    return this.#search(memberInChain(this.#schema.group.member, dn))
  }

  withNumber(gid: number): Promise<readonly Group[]> {
    return this.#search(equals(this.#schema.group.gid, String(gid)))
  }

  withSid(sid: Buffer): Promise<readonly Group[]> {
    return this.#search(equals('objectSid', sid))
  }

  async #search(filter: ReturnType<typeof equals>): Promise<readonly Group[]> {
    const search = { base: this.#base, filter: this.#schema.groups(filter), attributes: this.#schema.groupAttributes }
    const entries = await this.#connection.search(search, maxGroups)
    return entries.map((entry) => readGroup(entry, this.#schema))
  }
}

export function readGroup(entry: LdapEntry, schema: LdapSchema): Group {
  const gid = readNumber(entry, schema.group.gid)
  const isNumber = !(gid instanceof Unusable)
  return {
    dn: entry.dn,
    name: nameOf(entry, schema),
    gid: isNumber ? gid : undefined,
    sid: entry.bytes('objectSid'),
    problem: isNumber ? undefined : gid.text,
  }
}

/** Not a number, and nothing that would be read as a group of another domain. */
function nameOf(entry: LdapEntry, schema: LdapSchema): string | undefined {
  const stored = readName(entry, schema.group.name)
  if (stored instanceof Unusable) return undefined
  // A character that is another way to write a letter (the Kelvin sign) would make two groups one in lower case.
  if (schema.lowerCase && stored.normalize('NFC') !== stored) return undefined
  const name = schema.lowerCase ? stored.toLowerCase() : stored
  const isUsable = name !== '' && name.length <= 255 && !/[@\p{Cc}]/u.test(name) && !/^\d+$/.test(name)
  return isUsable ? name : undefined
}
