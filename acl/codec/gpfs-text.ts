/** The NFSv4 ACL text of IBM Storage Scale: what mmgetacl -k nfs4 prints and mmputacl reads. */

import { StorageError } from '../../gateway/core/errors.ts'
import { type Ace, type AceType, type Acl, aceFlag, maxAces, type Rights, right, type Who } from '../acl.ts'
import { makeAce, whoName } from '../who.ts'
import { type GpfsKind, type GpfsOptions, plainName, whoOfKind, whoText } from './gpfs-names.ts'

export type { GpfsOptions } from './gpfs-names.ts'

export interface GpfsAcl {
  readonly acl: Acl
  /** Why it must not be written back: things in it that would be lost. Empty when it may. */
  readonly readOnly: readonly string[]
}

/** Longest text read, in characters. */
export const maxGpfsTextLength = 1024 * 1024

const header = '#NFSv4 ACL'

type Cell = readonly [name: string, bit: Rights]

/** The two detail lines of an entry, in the order they are printed. */
const firstCells: readonly Cell[] = [
  ['READ/LIST', right.readData],
  ['WRITE/CREATE', right.writeData],
  ['APPEND/MKDIR', right.appendData],
  ['SYNCHRONIZE', right.synchronize],
  ['READ_ACL', right.readAcl],
  ['READ_ATTR', right.readAttributes],
  ['READ_NAMED', right.readNamedAttributes],
]
const secondCells: readonly Cell[] = [
  ['DELETE', right.delete],
  ['DELETE_CHILD', right.deleteChild],
  ['CHOWN', right.writeOwner],
  ['EXEC/SEARCH', right.execute],
  ['WRITE_ACL', right.writeAcl],
  ['WRITE_ATTR', right.writeAttributes],
  ['WRITE_NAMED', right.writeNamedAttributes],
]
const cells: ReadonlyMap<string, Rights> = new Map([...firstCells, ...secondCells])
const allCells: Rights = [...cells.values()].reduce((sum, bit) => sum | bit, 0)

const flagNames: ReadonlyArray<readonly [string, number]> = [
  ['FileInherit', aceFlag.fileInherit],
  ['DirInherit', aceFlag.directoryInherit],
  ['NoPropagateInherit', aceFlag.noPropagateInherit],
  ['InheritOnly', aceFlag.inheritOnly],
  ['Inherited', aceFlag.inherited],
]
const flagOf: ReadonlyMap<string, number> = new Map(flagNames)
const summaryBits: ReadonlyArray<readonly [string, Rights]> = [
  ['r', right.readData],
  ['w', right.writeData],
  ['x', right.execute],
  ['c', right.writeAcl],
]

const entryLine = /^(special|user|group):([^:]+):[r-][w-][x-][c-]:(allow|deny|audit|alarm)((?::[A-Za-z]+)*)$/
const cellPattern = /\(([X-])\)\s*([A-Z_]+(?:\/[A-Z]+)?)/g

/**
 * Reads a list. The detail lines carry the truth, the four-letter summary is not looked at. Unknown
 * flags and cells make the list read-only. Throws `invalid`, with the line from 1, for the traditional
 * format (no "#NFSv4 ACL" on the first line) and for anything that is not an entry with its 14 cells; `too-large` for
 * a list of more entries than are read.
 */
export function parseGpfsText(text: string, options: GpfsOptions = {}): GpfsAcl {
  if (text.length > maxGpfsTextLength) throw new StorageError('too-large', 'the ACL text is too long')
  const lines = text.split(/\r?\n/)
  if (lines[0]?.trimEnd() !== header) throw new StorageError('invalid', `line 1: an NFSv4 ACL begins with "${header}"`)
  const found: Found = { owner: undefined, group: undefined, drafts: [], readOnly: new Set() }
  for (const [index, line] of lines.entries()) {
    if (index > 0) readLine(found, line.trim(), index + 1, options)
  }
  const aces = found.drafts.map((draft) => {
    if ((draft.seen & allCells) !== allCells) throw fault(draft.line, 'not all cells of the entry are there')
    return makeAce(draft.type, draft.flags, draft.mask, draft.who)
  })
  const acl: Acl = { owner: found.owner, group: found.group, aces, dialect: 'gpfs' }
  return { acl, readOnly: [...found.readOnly] }
}

/** The text for mmputacl, summary and details consistent. Throws `unsupported` for what GPFS has no word for. */
export function formatGpfsText(acl: Acl, options: GpfsOptions = {}): string {
  const blocks = acl.aces.map((ace) => formatEntry(ace, options))
  const head = [header, ...nameLine('owner', acl.owner, options), ...nameLine('group', acl.group, options)]
  return `${[...head, blocks.join('\n\n')].join('\n')}\n`
}

interface Draft {
  readonly line: number
  readonly type: AceType
  readonly flags: number
  readonly who: Who
  mask: Rights
  seen: Rights
}

interface Found {
  owner: string | undefined
  group: string | undefined
  readonly drafts: Draft[]
  readonly readOnly: Set<string>
}

function readLine(found: Found, line: string, at: number, options: GpfsOptions): void {
  if (line === '') return
  if (line.startsWith('#')) readHeader(found, line, at, options)
  else if (line.startsWith('(')) readCells(found, line, at)
  else readEntry(found, line, at, options)
}

function readHeader(found: Found, line: string, at: number, options: GpfsOptions): void {
  const [, what, name] = /^#(owner|group):(.+)$/.exec(line) ?? []
  if (what !== undefined && name !== undefined) {
    const kind = what === 'owner' ? 'user' : 'group'
    const full = whoName(located(at, () => whoOfKind(kind, name.trim(), options)))
    if (what === 'owner') found.owner = full
    else found.group = full
  } else if (line.startsWith('#ACL flags:')) {
    found.readOnly.add('flags of the list')
  }
}

function readEntry(found: Found, line: string, at: number, options: GpfsOptions): void {
  const [, kind, name, type, flagText] = entryLine.exec(line) ?? []
  if (kind === undefined || name === undefined || type === undefined) throw fault(at, 'this is no entry of an ACL')
  if (found.drafts.length >= maxAces) throw new StorageError('too-large', `line ${at}: more than ${maxAces} entries`)
  let flags = 0
  for (const word of (flagText ?? '').split(':')) {
    if (word === '') continue
    const flag = flagOf.get(word)
    if (flag === undefined) found.readOnly.add('an unknown flag')
    flags |= flag ?? 0
  }
  const who = located(at, () => whoOfKind(kind as GpfsKind, name, options))
  found.drafts.push({ line: at, type: type as AceType, flags, who, mask: 0, seen: 0 })
}

function readCells(found: Found, line: string, at: number): void {
  const draft = found.drafts.at(-1)
  if (!draft) throw fault(at, 'rights without an entry')
  if (line.replace(cellPattern, '').trim() !== '') throw fault(at, 'this is no line of rights')
  for (const [, mark, name] of line.matchAll(cellPattern)) {
    const bit = cells.get(name ?? '')
    if (bit === undefined) {
      found.readOnly.add('an unknown right')
      continue
    }
    if ((draft.seen & bit) !== 0) throw fault(at, 'a right is there twice')
    draft.seen |= bit
    if (mark === 'X') draft.mask |= bit
  }
}

/** Says in which line what was thrown is. */
function located<T>(at: number, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof StorageError) throw fault(at, error.message)
    throw error
  }
}

function nameLine(what: 'owner' | 'group', name: string | undefined, options: GpfsOptions): string[] {
  return name === undefined ? [] : [`#${what}:${plainName(name, options)}`]
}

function formatEntry(ace: Ace, options: GpfsOptions): string {
  const knownFlags = flagNames.reduce<number>((sum, [, bit]) => sum | bit, aceFlag.identifierGroup)
  if ((ace.mask & ~allCells) !== 0 || (ace.flags & ~knownFlags) !== 0) {
    throw new StorageError('unsupported', 'an entry of the ACL holds a right or flag that GPFS has no word for')
  }
  const summary = summaryBits.map(([letter, bit]) => ((ace.mask & bit) !== 0 ? letter : '-')).join('')
  const flags = flagNames.map(([name, bit]) => ((ace.flags & bit) !== 0 ? `:${name}` : '')).join('')
  const row = (list: readonly Cell[], widths: readonly number[]) =>
    list.map(([name, bit], i) => `(${(ace.mask & bit) !== 0 ? 'X' : '-'})${name.padEnd(widths[i] ?? 0)}`).join(' ')
  const widths = firstCells.map(([name], i) => Math.max(name.length, secondCells[i]?.[0].length ?? 0))
  return [
    `${whoText(ace.who, options)}:${summary}:${ace.type}${flags}`,
    ` ${row(firstCells, widths).trimEnd()}`,
    ` ${row(secondCells, widths).trimEnd()}`,
  ].join('\n')
}

function fault(line: number, what: string): StorageError {
  return new StorageError('invalid', `line ${line}: ${what}`)
}
