/**
 * ACLs as JSON, for the REST interface and the configuration:
 *
 *     {"owner": "alice@desy.de", "group": "cms@desy.de", "aces": [
 *       {"type": "allow", "who": "OWNER@", "rights": "rwatTcCy", "flags": ""},
 *       {"type": "allow", "who": "group:cms@desy.de", "rights": "rxtcy", "flags": "fd"}]}
 *
 * Rights and flags are the letters of nfs4_acl(5), without `g`, which the name tells; bits without a
 * letter follow as a number, "rw+0x600".
 */

import { StorageError } from '../../gateway/core/errors.ts'
import { type Ace, type AceType, type Acl, aceFlag, type Dialect, maxAces, type Who } from '../acl.ts'
import { makeAce, whoName, whoOf } from '../who.ts'
import { flagOfLetter, fromFull, inFull, lettersOfFlags, lettersOfRights, rightOfLetter } from './letters.ts'

export interface JsonAce {
  readonly type: AceType
  /** A special name such as "OWNER@", "user:NAME" or "group:NAME". */
  readonly who: string
  readonly rights: string
  readonly flags: string
}

export interface JsonAcl {
  readonly owner: string | null
  readonly group: string | null
  readonly dialect: Dialect
  /** Of a dacl: any of "auto-inherit", "protected", "defaulted". */
  readonly flags?: readonly string[]
  readonly aces: readonly JsonAce[]
}

const types: ReadonlySet<unknown> = new Set<AceType>(['allow', 'deny', 'audit', 'alarm'])
const dialects: ReadonlySet<unknown> = new Set<Dialect>(['rfc8881', 'gpfs', 'posix', 'dcache'])
const listFlags: ReadonlyMap<unknown, number> = new Map([
  ['auto-inherit', 1],
  ['protected', 2],
  ['defaulted', 4],
])

export function aclToJson(acl: Acl): JsonAcl {
  const { owner = null, group = null, dialect, flags } = acl
  const words = [...listFlags].filter(([, bit]) => ((flags ?? 0) & bit) !== 0).map(([word]) => String(word))
  return { owner, group, dialect, ...(flags !== undefined && { flags: words }), aces: acl.aces.map(aceToJson) }
}

/**
 * Reads an ACL from parsed JSON. What is left out is taken from `base` (owner, group, dialect), or is
 * unknown and `rfc8881`. The dialect is the storage's: where `base` tells it, another is refused. Throws `invalid` with the place, such as `aces[2].rights`, for everything
 * unknown, missing or of a wrong type.
 */
export function aclFromJson(
  value: unknown,
  base: { readonly owner?: string | undefined; readonly group?: string | undefined; readonly dialect?: Dialect } = {},
): Acl {
  const json = record(value, 'the ACL', ['owner', 'group', 'dialect', 'flags', 'aces'])
  const dialect = json.dialect ?? base.dialect ?? 'rfc8881'
  if (!dialects.has(dialect)) throw fault('dialect', 'is not one of rfc8881, gpfs, posix, dcache')
  if (base.dialect !== undefined && dialect !== base.dialect) throw fault('dialect', `is ${base.dialect} here`)
  if (!Array.isArray(json.aces)) throw fault('aces', 'is not a list')
  if (json.aces.length > maxAces) throw fault('aces', `has more than ${maxAces} entries`)
  const flags = json.flags === undefined ? undefined : listFlagsOf(json.flags)
  return {
    owner: json.owner === undefined ? base.owner : nameOrNull(json.owner, 'owner', 'user'),
    group: json.group === undefined ? base.group : nameOrNull(json.group, 'group', 'group'),
    aces: json.aces.map((ace, index) => aceFromJson(ace, `aces[${index}]`)),
    dialect: dialect as Dialect,
    ...(flags !== undefined && { flags }),
  }
}

function aceToJson(ace: Ace): JsonAce {
  return {
    type: ace.type,
    who: whoToJson(ace.who),
    rights: inFull(lettersOfRights(ace.mask)),
    flags: inFull(lettersOfFlags(ace.flags & ~aceFlag.identifierGroup)),
  }
}

function whoToJson(who: Who): string {
  const name = whoName(who)
  if (typeof who === 'string' || 'unknown' in who) return name
  return 'user' in who ? `user:${name}` : `group:${name}`
}

function aceFromJson(value: unknown, at: string): Ace {
  const json = record(value, at, ['type', 'who', 'rights', 'flags'])
  if (!types.has(json.type)) throw fault(`${at}.type`, 'is not one of allow, deny, audit, alarm')
  const mask = bits(json.rights, `${at}.rights`, rightOfLetter)
  const flags = bits(json.flags ?? '', `${at}.flags`, flagOfLetter)
  if ((flags & aceFlag.identifierGroup) !== 0) throw fault(`${at}.flags`, 'holds g: write "group:NAME" instead')
  return makeAce(json.type as AceType, flags, mask, whoFromJson(json.who, `${at}.who`))
}

function whoFromJson(value: unknown, at: string): Who {
  if (typeof value !== 'string') throw fault(at, 'is not a string')
  const [, kind, name] = /^(user|group):(.*)$/s.exec(value) ?? []
  if (kind === undefined || name === undefined) {
    const who = named(value, 'user', at)
    if (typeof who === 'string' || 'unknown' in who) return who
    throw fault(at, 'is not a special name, "user:NAME" or "group:NAME"')
  }
  const who = named(name, kind === 'group' ? 'group' : 'user', at)
  if (typeof who === 'string' || 'unknown' in who) throw fault(at, 'names a user or group like a special name')
  return who
}

function nameOrNull(value: unknown, at: string, kind: 'user' | 'group'): string | undefined {
  if (value === null) return undefined
  if (typeof value !== 'string') throw fault(at, 'is neither a string nor null')
  const who = named(value, kind, at)
  if (typeof who === 'string' || 'unknown' in who) throw fault(at, 'is a special name')
  return value
}

function named(name: string, kind: 'user' | 'group', at: string): Who {
  try {
    return whoOf(name, kind)
  } catch (error) {
    if (error instanceof StorageError) throw fault(at, `is no name: ${error.message}`)
    throw error
  }
}

function bits(value: unknown, at: string, letterValue: (letter: string) => number | undefined): number {
  if (typeof value !== 'string') throw fault(at, 'is not a string')
  const result = fromFull(value, letterValue)
  if (typeof result === 'number') return result
  throw fault(at, `holds ${JSON.stringify(result.slice(0, 16))}, which is not one of its letters`)
}

function listFlagsOf(value: unknown): number {
  if (!Array.isArray(value)) throw fault('flags', 'is not a list')
  return value.reduce<number>((sum, word) => {
    const bit = listFlags.get(word)
    if (bit === undefined) throw fault('flags', 'holds a word other than auto-inherit, protected, defaulted')
    return sum | bit
  }, 0)
}

function record(value: unknown, at: string, keys: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw fault(at, 'is not an object')
  const stranger = Object.keys(value).find((key) => !keys.includes(key))
  if (stranger !== undefined) throw fault(at, `has an unknown key ${JSON.stringify(stranger.slice(0, 32))}`)
  return value as Readonly<Record<string, unknown>>
}

function fault(at: string, what: string): StorageError {
  return new StorageError('invalid', `${at} ${what}`)
}
