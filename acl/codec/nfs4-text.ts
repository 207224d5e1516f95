/**
 * The text form of nfs4_getfacl and nfs4_setfacl, nfs4_acl(5): `type:flags:principal:permissions`,
 * entries separated by newlines, blanks or commas.
 */

import { StorageError } from '../../gateway/core/errors.ts'
import { type Ace, aceFlag, maxAces, type Rights, right } from '../acl.ts'
import type { ObjectKind } from '../dialects.ts'
import { makeAce, whoName, whoOf } from '../who.ts'
import { flagOfLetter, lettersOfFlags, lettersOfRights, rightOfLetter, typeLetter, typeOfLetter } from './letters.ts'

/** Longest text read, in characters: more than maxAces entries of the longest kind need. */
export const maxTextLength = 1024 * 512

const readAlias = right.readData | right.readNamedAttributes | right.readAttributes | right.readAcl | right.synchronize
const writeAlias =
  right.writeData |
  right.appendData |
  right.readAttributes |
  right.writeAttributes |
  right.writeNamedAttributes |
  right.readAcl |
  right.writeAcl |
  right.synchronize
const executeAlias = right.execute | right.readAttributes | right.readAcl | right.synchronize

/**
 * Reads a whole list. Lines that begin with "#" are comments. The aliases R, W and X are expanded, `D`
 * is dropped on files, and both forms of GROUP@, with and without the flag g, are the same.
 * Throws `invalid` with the line, from 1, and what is wrong there.
 */
export function parseNfs4Text(text: string, kind: ObjectKind): Ace[] {
  if (text.length > maxTextLength) throw new StorageError('invalid', 'the ACL text is too long')
  const aces: Ace[] = []
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trimStart().startsWith('#')) continue
    for (const word of line.split(/[\s,]+/)) {
      if (word === '') continue
      if (aces.length >= maxAces) throw new StorageError('invalid', `line ${index + 1}: more than ${maxAces} entries`)
      aces.push(parseEntry(word, kind, `line ${index + 1}: `))
    }
  }
  return aces
}

/** Reads one entry. `at` begins the message of the error, `invalid`. */
export function parseEntry(text: string, kind: ObjectKind, at = ''): Ace {
  const fail = (what: string) => new StorageError('invalid', `${at}${what}`)
  const [typeText, flagText, name, rightText, more] = text.split(':', 5)
  if (typeText === undefined || flagText === undefined || name === undefined || rightText === undefined) {
    throw fail('an entry is type:flags:principal:permissions')
  }
  if (more !== undefined) throw fail('an entry has three colons')
  const type = typeOfLetter(typeText)
  if (type === undefined) throw fail('the type of an entry is A, D, U or L')
  let flags = 0
  for (const letter of flagText) {
    const flag = flagOfLetter(letter)
    if (flag === undefined) throw fail(`"${shown(letter)}" is not a flag`)
    flags |= flag
  }
  let mask = 0
  for (const letter of rightText) {
    const rights = aliasOf(letter, kind) ?? rightOfLetter(letter)
    if (rights === undefined) throw fail(`"${shown(letter)}" is not a permission`)
    mask |= rights
  }
  if (kind === 'file') mask &= ~right.deleteChild
  try {
    return makeAce(type, flags, mask, whoOf(name, (flags & aceFlag.identifierGroup) !== 0 ? 'group' : 'user'))
  } catch (error) {
    if (error instanceof StorageError) throw fail(error.message)
    throw error
  }
}

/** One entry as nfs4_getfacl prints it. Throws `unsupported` for what this syntax has no letter or place for. */
export function formatEntry(ace: Ace): string {
  const flags = lettersOfFlags(ace.flags)
  const rights = lettersOfRights(ace.mask)
  const name = whoName(ace.who)
  if (flags.rest !== 0 || rights.rest !== 0 || /[\s:,]/.test(name)) {
    throw new StorageError('unsupported', 'an entry of the ACL cannot be written as NFSv4 ACL text')
  }
  return `${typeLetter(ace.type)}:${flags.letters}:${name}:${rights.letters}`
}

/** One entry a line, each ended by a newline. Throws `unsupported` as `formatEntry` does. */
export function formatNfs4Text(aces: readonly Ace[]): string {
  return aces.map((ace) => `${formatEntry(ace)}\n`).join('')
}

function aliasOf(letter: string, kind: ObjectKind): Rights | undefined {
  if (letter === 'R') return readAlias
  if (letter === 'W') return kind === 'directory' ? writeAlias | right.deleteChild : writeAlias
  return letter === 'X' ? executeAlias : undefined
}

/** A hostile letter must not reach a terminal as it is. */
function shown(letter: string): string {
  return /^[\u0021-\u007e]$/.test(letter) ? letter : `U+${(letter.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`
}
