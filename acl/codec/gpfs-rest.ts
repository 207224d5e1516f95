/**
 * The ACL of the Storage Scale management API v2 (Filesystems/{filesystemName}/acl/{path}): JSON whose letters look
 * like those of nfs4_acl(5) and mean other things.
 */

import { StorageError } from '../../gateway/core/errors.ts'
import { type Ace, type AceType, type Acl, aceFlag, maxAces, type Rights, right } from '../acl.ts'
import { makeAce } from '../who.ts'
import { type GpfsOptions, parseWhoText, whoText } from './gpfs-names.ts'
import type { GpfsAcl } from './gpfs-text.ts'

/** The body of a PUT, and the member `acl` of the answer to a GET. */
export interface GpfsRestAcl {
  readonly type: 'NFSv4'
  readonly entries: readonly GpfsRestEntry[]
}

export interface GpfsRestEntry {
  readonly type: AceType
  readonly who: string
  readonly permissions: string
  readonly flags: string
}

/** In the order the API writes them. `a` is no append here, and `s`, not `y`, is SYNCHRONIZE. */
const rightLetters: ReadonlyArray<readonly [string, Rights]> = [
  ['r', right.readData],
  ['w', right.writeData],
  ['m', right.appendData],
  ['x', right.execute],
  ['d', right.delete],
  ['D', right.deleteChild],
  ['a', right.readAttributes],
  ['A', right.writeAttributes],
  ['n', right.readNamedAttributes],
  ['N', right.writeNamedAttributes],
  ['c', right.readAcl],
  ['C', right.writeAcl],
  ['o', right.writeOwner],
  ['s', right.synchronize],
]

/** Inherited entries have no documented letter: a list that holds another one is not written back. */
const flagLetters: ReadonlyArray<readonly [string, number]> = [
  ['f', aceFlag.fileInherit],
  ['d', aceFlag.directoryInherit],
  ['i', aceFlag.inheritOnly],
  ['n', aceFlag.noPropagateInherit],
]

const rightOf: ReadonlyMap<string, Rights> = new Map(rightLetters)
const flagOf: ReadonlyMap<string, number> = new Map(flagLetters)
const types: readonly AceType[] = ['allow', 'deny', 'audit', 'alarm']

/**
 * Reads the member `acl` of an answer. Unknown letters make the list read-only. Owner and group are not in it. Throws
 * `invalid` for another type of ACL and for anything that is not a list of entries, `too-large` for too many.
 */
export function parseGpfsRest(value: unknown, options: GpfsOptions = {}): GpfsAcl {
  const { type, entries } = membersOf(value)
  if (type !== 'NFSv4' || !Array.isArray(entries)) throw new StorageError('invalid', 'this is no NFSv4 ACL')
  if (entries.length > maxAces) throw new StorageError('too-large', `more than ${maxAces} entries`)
  const readOnly = new Set<string>()
  const aces = entries.map((entry: unknown) => parseEntry(entry, options, readOnly))
  return { acl: { owner: undefined, group: undefined, aces, dialect: 'gpfs' }, readOnly: [...readOnly] }
}

/** The body of a PUT. Throws `unsupported` for what the API has no letter for. */
export function formatGpfsRest(acl: Acl, options: GpfsOptions = {}): GpfsRestAcl {
  return { type: 'NFSv4', entries: acl.aces.map((ace) => formatEntry(ace, options)) }
}

function parseEntry(value: unknown, options: GpfsOptions, readOnly: Set<string>): Ace {
  const { type, who, permissions, flags } = membersOf(value)
  if (!isType(type)) throw new StorageError('invalid', 'an entry of an unknown type')
  const mask = bitsOf(permissions, rightOf, () => readOnly.add('an unknown right'))
  const flag = bitsOf(flags ?? '', flagOf, () => readOnly.add('an unknown flag'))
  return makeAce(type, flag, mask, parseWhoText(typeof who === 'string' ? who : '', options))
}

function formatEntry(ace: Ace, options: GpfsOptions): GpfsRestEntry {
  const permissions = lettersOf(ace.mask, rightLetters)
  const flags = lettersOf(ace.flags & ~aceFlag.identifierGroup, flagLetters)
  return { type: ace.type, who: whoText(ace.who, options), permissions, flags }
}

function bitsOf(letters: unknown, table: ReadonlyMap<string, number>, unknown: () => void): number {
  if (typeof letters !== 'string' || letters.length > 64) throw new StorageError('invalid', 'letters are missing')
  let bits = 0
  for (const letter of letters) {
    const bit = table.get(letter)
    if (bit === undefined) unknown()
    bits |= bit ?? 0
  }
  return bits
}

function lettersOf(bits: number, table: ReadonlyArray<readonly [string, number]>): string {
  const rest = table.reduce((left, [, bit]) => left & ~bit, bits)
  if (rest !== 0) {
    throw new StorageError('unsupported', 'an entry of the ACL holds a right or flag that the API has no letter for')
  }
  return table.map(([letter, bit]) => ((bits & bit) !== 0 ? letter : '')).join('')
}

function isType(value: unknown): value is AceType {
  return types.some((type) => type === value)
}

function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw new StorageError('invalid', 'an object is missing')
  return value as Readonly<Record<string, unknown>>
}
