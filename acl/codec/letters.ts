/** The letters of nfs4_acl(5) for rights and flags, as one table for every text form that uses them. */

import { type AceType, aceFlag, type Rights, right } from '../acl.ts'

/** In the order the NFSv4 tools print them. */
const rightLetters: ReadonlyArray<readonly [string, Rights]> = [
  ['r', right.readData],
  ['w', right.writeData],
  ['a', right.appendData],
  ['D', right.deleteChild],
  ['d', right.delete],
  ['x', right.execute],
  ['t', right.readAttributes],
  ['T', right.writeAttributes],
  ['n', right.readNamedAttributes],
  ['N', right.writeNamedAttributes],
  ['c', right.readAcl],
  ['C', right.writeAcl],
  ['o', right.writeOwner],
  ['y', right.synchronize],
]

/** `g` is left out: it follows from the name. */
const flagLetters: ReadonlyArray<readonly [string, number]> = [
  ['f', aceFlag.fileInherit],
  ['d', aceFlag.directoryInherit],
  ['n', aceFlag.noPropagateInherit],
  ['i', aceFlag.inheritOnly],
  ['S', aceFlag.successfulAccess],
  ['F', aceFlag.failedAccess],
  ['g', aceFlag.identifierGroup],
  ['I', aceFlag.inherited],
]

const rightOf: ReadonlyMap<string, Rights> = new Map(rightLetters)
const flagOf: ReadonlyMap<string, number> = new Map(flagLetters)
const typeLetters: Readonly<Record<AceType, string>> = { allow: 'A', deny: 'D', audit: 'U', alarm: 'L' }
const typeOf: ReadonlyMap<string, AceType> = new Map(
  Object.entries(typeLetters).map(([type, letter]) => [letter, type as AceType]),
)

/** Letters of a set, and the bits that have none. */
export interface Lettered {
  readonly letters: string
  readonly rest: number
}

export function typeLetter(type: AceType): string {
  return typeLetters[type]
}

/** The type of a letter; undefined for another letter. */
export function typeOfLetter(letter: string): AceType | undefined {
  return typeOf.get(letter)
}

export function lettersOfRights(mask: Rights): Lettered {
  return write(rightLetters, mask)
}

export function lettersOfFlags(flags: number): Lettered {
  return write(flagLetters, flags)
}

/** The rights of one letter; undefined for another letter. Aliases are not letters. */
export function rightOfLetter(letter: string): Rights | undefined {
  return rightOf.get(letter)
}

/** The flag of one letter; undefined for another letter. */
export function flagOfLetter(letter: string): number | undefined {
  return flagOf.get(letter)
}

/**
 * Letters as for people and for JSON: bits without a letter follow as a number, "rw+0x600", so that
 * nothing is lost or hidden.
 */
export function inFull({ letters, rest }: Lettered): string {
  return rest === 0 ? letters : `${letters}+0x${rest.toString(16)}`
}

/** Reads what `inFull` writes; the first letter that is none is returned instead of a number. */
export function fromFull(text: string, letterValue: (letter: string) => number | undefined): number | string {
  const plus = text.indexOf('+')
  const letters = plus < 0 ? text : text.slice(0, plus)
  let bits = 0
  for (const letter of letters) {
    const bit = letterValue(letter)
    if (bit === undefined) return letter
    bits |= bit
  }
  if (plus < 0) return bits >>> 0
  const rest = text.slice(plus)
  return /^\+0x[0-9a-f]{1,8}$/.test(rest) ? (bits | Number.parseInt(rest.slice(3), 16)) >>> 0 : rest
}

function write(table: ReadonlyArray<readonly [string, number]>, bits: number): Lettered {
  let letters = ''
  let rest = bits
  for (const [letter, bit] of table) {
    if ((bits & bit) === 0) continue
    letters += letter
    rest &= ~bit
  }
  return { letters, rest: rest >>> 0 }
}
