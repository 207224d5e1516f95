/** What we know about files, in words for people. */

import { type Rights, right } from '../../acl/acl.ts'

/** Where bytes are: `Locality` of the back ends, in two or three words. */
const places: Readonly<Record<string, string>> = {
  disk: 'on disk',
  tape: 'on tape',
  'disk-and-tape': 'on disk and tape',
  unavailable: 'not reachable now',
  lost: 'lost',
  none: '',
}

/** '' for what has no bytes. */
export function localityWords(locality: string): string {
  return Object.hasOwn(places, locality) ? (places[locality] ?? '') : locality
}

export type Kind = 'file' | 'directory' | 'symlink' | 'other'

const kinds: Readonly<Record<Kind, string>> = {
  file: 'File',
  directory: 'Folder',
  symlink: 'Link',
  other: 'Special',
}

/** A file is called by its ending, if that is short: "TXT". */
export function kindWords(name: string, type: Kind): string {
  const ending = type === 'file' ? endingOf(name) : ''
  return ending === '' ? kinds[type] : ending.toUpperCase()
}

/** Letters and digits after the last dot, in small letters; '' for none, and for names that begin with it. */
export function endingOf(name: string): string {
  return /[^.]\.([A-Za-z0-9]{1,8})$/.exec(name)?.[1]?.toLowerCase() ?? ''
}

type RightWords = ReadonlyArray<readonly [Rights, string]>

const onFile: RightWords = [
  [right.readData, 'read'],
  [right.writeData, 'change'],
  [right.delete, 'delete'],
  [right.writeAcl, 'share'],
]
const onDirectory: RightWords = [
  [right.listDirectory, 'list'],
  [right.addFile, 'add files'],
  [right.addSubdirectory, 'add folders'],
  [right.delete, 'delete'],
  [right.writeAcl, 'share'],
]
/** Of links and special files, which nobody reads here. */
const onOther: RightWords = [[right.delete, 'delete']]
/** Of the directory that is being looked at. */
const here: RightWords = [
  [right.listDirectory, 'see what is in it'],
  [right.addFile, 'add files'],
  [right.addSubdirectory, 'add folders'],
  [right.deleteChild, 'delete what is in it'],
  [right.writeAcl, 'change who may do what'],
]

/** "read, change"; "nothing" where not one of the rights is held that people ask for. */
export function rightsWords(rights: Rights, kind: Kind): string {
  const table = kind === 'file' ? onFile : kind === 'directory' ? onDirectory : onOther
  const words = heldOf(table, rights)
  return words.length === 0 ? 'nothing' : words.join(', ')
}

/** A sentence about the directory that is being looked at. */
export function rightsSentence(rights: Rights | 'unknown'): string {
  if (rights === 'unknown') return 'What you may do here is decided by the storage itself, each time you try.'
  const words = heldOf(here, rights)
  if (words.length === 0) return 'You may do nothing here but pass through.'
  const last = words.pop()
  return `You may ${words.length === 0 ? last : `${words.join(', ')} and ${last}`}.`
}

function heldOf(table: RightWords, rights: Rights): string[] {
  return table.filter(([bit]) => (rights & bit) === bit).map(([, word]) => word)
}

const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']

/** 1536 is "1.5 KiB". */
export function readableSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  let value = bytes / 1024
  let unit = 0
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${value.toFixed(1)} ${units[unit]}`
}

/** "1 file", "2 files". */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}
