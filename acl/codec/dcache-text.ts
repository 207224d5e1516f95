/**
 * ACLs of dCache: as its administrators write them, `SUBJECT:±MASK[:FLAGS]`, one entry a line (the dCache Book, "ACLs
 * in dCache"; dCache's ACE.toExtraFormat), and as the REST frontend gives them in an object's `acl`.
 */

import { StorageError } from '../../gateway/core/errors.ts'
import { type Ace, aceFlag, maxAces, type Rights, right, type SpecialWho, type Who } from '../acl.ts'
import { makeAce, numericId, whoName } from '../who.ts'

/** A bit that has a letter for files and one for directories is the same bit. */
const rightLetters: ReadonlyArray<readonly [string, Rights]> = [
  ['r', right.readData],
  ['l', right.listDirectory],
  ['w', right.writeData],
  ['f', right.addFile],
  ['s', right.addSubdirectory],
  ['a', right.appendData],
  ['n', right.readNamedAttributes],
  ['N', right.writeNamedAttributes],
  ['x', right.execute],
  ['d', right.delete],
  ['D', right.deleteChild],
  ['t', right.readAttributes],
  ['T', right.writeAttributes],
  ['c', right.readAcl],
  ['C', right.writeAcl],
  ['o', right.writeOwner],
]
const rightOf: ReadonlyMap<string, Rights> = new Map(rightLetters)

const flagOf: ReadonlyMap<string, number> = new Map([
  ['f', aceFlag.fileInherit],
  ['d', aceFlag.directoryInherit],
  ['o', aceFlag.inheritOnly],
  ['g', aceFlag.identifierGroup],
])
const knownFlags = aceFlag.fileInherit | aceFlag.directoryInherit | aceFlag.inheritOnly | aceFlag.identifierGroup

const specials: ReadonlySet<string> = new Set<SpecialWho>([
  'OWNER@',
  'GROUP@',
  'EVERYONE@',
  'ANONYMOUS@',
  'AUTHENTICATED@',
])

/** Values of dCache's enumeration `Who` beside USER and GROUP. */
const whoOfName: ReadonlyMap<string, SpecialWho> = new Map([
  ['OWNER', 'OWNER@'],
  ['OWNER_GROUP', 'GROUP@'],
  ['EVERYONE', 'EVERYONE@'],
  ['ANONYMOUS', 'ANONYMOUS@'],
  ['AUTHENTICATED', 'AUTHENTICATED@'],
])

/** An entry without one holds for every address. */
const anyAddress = /^f{32}$/i

/** Reads entries, one a line; a first line FILE or DIR is the kind of object. Throws `invalid` with the line, from 1. */
export function parseDcacheText(text: string): Ace[] {
  const lines = text.split('\n')
  if (lines.length > maxAces + 2) throw new StorageError('invalid', `more than ${maxAces} entries`)
  const aces: Ace[] = []
  for (const [index, line] of lines.entries()) {
    const entry = line.trim()
    if (entry === '' || (index === 0 && /^(FILE|DIR)$/.test(entry))) continue
    aces.push(parseDcacheEntry(entry, `line ${index + 1}: `))
  }
  return aces
}

/** Reads one entry, for example `USER:1000:+rx:fd`. `at` begins the message of the error, `invalid`. */
export function parseDcacheEntry(text: string, at = ''): Ace {
  const fail = (what: string) => new StorageError('invalid', `${at}${what}`)
  const parts = text.split(':', 6)
  const subject = parts.shift() ?? ''
  const who = subject === 'USER' || subject === 'GROUP' ? named(subject, parts.shift() ?? '') : special(subject)
  if (!who) throw fail('the subject is USER:ID, GROUP:ID or a special name')
  const [access = '', flagText = '', ...more] = parts
  // An entry for some addresses only cannot be told to those who decide without one.
  if (more.length > 0) throw fail('an entry is SUBJECT:±MASK[:FLAGS]')
  const sign = access.slice(0, 1)
  if (sign !== '+' && sign !== '-') throw fail('the mask begins with + or -')
  const mask = sumOf(access.slice(1), rightOf)
  const flags = sumOf(flagText, flagOf)
  if (mask === undefined) throw fail('the mask holds an unknown letter')
  if (flags === undefined) throw fail('the flags hold an unknown letter')
  return makeAce(sign === '+' ? 'allow' : 'deny', flags, mask, who)
}

/** One entry a line. Throws `unsupported` for what this syntax has no letter for. */
export function formatDcacheText(aces: readonly Ace[], kind: 'file' | 'directory'): string {
  return aces.map((ace) => `${formatEntry(ace, kind)}\n`).join('')
}

/**
 * Reads what the REST frontend gives as `acl`: text, a list of texts, or an object whose `list` holds entries with
 * `type`, `flags`, `accessMsk`, `who` and `whoID`. Throws `invalid` for anything else.
 */
export function parseDcacheJson(value: unknown): Ace[] {
  if (typeof value === 'string') return parseDcacheText(value)
  const list = Array.isArray(value) ? value : isRecord(value) ? value.list : undefined
  if (!Array.isArray(list)) throw new StorageError('invalid', 'the ACL is no list')
  if (list.length > maxAces) throw new StorageError('invalid', `more than ${maxAces} entries`)
  return list.map((entry: unknown, index) => {
    const at = `entry ${index + 1}: `
    return typeof entry === 'string' ? parseDcacheEntry(entry, at) : parseObject(entry, at)
  })
}

function parseObject(entry: unknown, at: string): Ace {
  const fail = (what: string) => new StorageError('invalid', `${at}${what}`)
  if (!isRecord(entry)) throw fail('no object')
  const { type, flags = 0, accessMsk, who: name, whoID, addressMsk } = entry
  if (type !== 'ACCESS_ALLOWED_ACE_TYPE' && type !== 'ACCESS_DENIED_ACE_TYPE') throw fail('an unknown type')
  if (!isBits(flags) || (flags & ~knownFlags) !== 0) throw fail('unknown flags')
  if (!isBits(accessMsk)) throw fail('no mask')
  if (addressMsk !== undefined && !(typeof addressMsk === 'string' && anyAddress.test(addressMsk))) {
    throw fail('an entry for some addresses only')
  }
  const who = name === 'USER' || name === 'GROUP' ? named(name, String(whoID)) : whoOfName.get(String(name))
  if (!who) throw fail('an unknown subject')
  return makeAce(type === 'ACCESS_ALLOWED_ACE_TYPE' ? 'allow' : 'deny', flags, accessMsk, who)
}

function formatEntry(ace: Ace, kind: 'file' | 'directory'): string {
  const { type, who } = ace
  const unsupported = () => new StorageError('unsupported', 'an entry of the ACL cannot be written as dCache ACL text')
  if (type !== 'allow' && type !== 'deny') throw unsupported()
  const subject = typeof who === 'string' ? who : `${'group' in who ? 'GROUP' : 'USER'}:${whoName(who)}`
  if (typeof who === 'object' && numericId(whoName(who)) === undefined) throw unsupported()
  const unlike: ReadonlySet<string> = new Set(kind === 'directory' ? 'rwa' : 'lfs')
  let rest = ace.mask
  let letters = ''
  for (const [letter, bit] of rightLetters) {
    if ((ace.mask & bit) === 0 || unlike.has(letter)) continue
    letters += letter
    rest &= ~bit
  }
  if (rest !== 0 || (ace.flags & ~knownFlags) !== 0) throw unsupported()
  // That it is a group is said by the subject.
  const inherited = ace.flags & ~aceFlag.identifierGroup
  const flags = [...flagOf].filter(([, flag]) => (inherited & flag) !== 0).map(([letter]) => letter)
  return `${subject}:${type === 'allow' ? '+' : '-'}${letters}${flags.length > 0 ? `:${flags.join('')}` : ''}`
}

function named(kind: 'USER' | 'GROUP', id: string): Who | undefined {
  if (numericId(id) === undefined) return undefined
  return kind === 'GROUP' ? { group: id } : { user: id }
}

function special(name: string): Who | undefined {
  return specials.has(name) ? (name as SpecialWho) : undefined
}

function sumOf(letters: string, table: ReadonlyMap<string, number>): number | undefined {
  let sum = 0
  for (const letter of letters) {
    const bit = table.get(letter)
    if (bit === undefined) return undefined
    sum |= bit
  }
  return sum
}

function isBits(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffffffff
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
