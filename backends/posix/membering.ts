/** Operations of an I/O thread on what is in a directory: names alone, and many objects with one call. */

import type { Path } from '../../gateway/core/path.ts'
import type { Seen } from './entries.ts'
import type { HandleRef } from './handles.ts'
import { type LabelNames, readLabel } from './labelling.ts'
import * as sys from './native/sys.ts'
import type { Spot } from './walk.ts'
import type { EntryWire, Looked } from './wire.ts'
import { closing, kindOf, type Workshop } from './workshop.ts'

/** Names and what they are the names of. */
export interface Names {
  /** With a NUL between two. */
  readonly names: string
  /** A digit for each: index into the types of `Entry`. */
  readonly types: string
  /** Names that are not UTF-8. */
  readonly skipped: number
  readonly done: boolean
}

export interface OpenedNames extends Looked {
  /** The first names; where these are all of them, there is no descriptor. */
  readonly first?: Names
  /** The file system refused to open what is there. */
  readonly refused?: boolean
}

export interface MembersArgs {
  readonly path: Path
  readonly names: readonly string[]
  readonly acls: boolean
  /** What is kept with files comes along, from these attributes. */
  readonly kept?: LabelNames
}

export interface MembersFound extends Looked {
  /** In the order of the names. */
  readonly members?: readonly MemberWire[]
  readonly refused?: boolean
}

/** The text that is kept with a file, or the id under which it may be in the overflow store; undefined for nothing. */
export type KeptWire = string | { readonly overflow: string } | undefined
/** Undefined: there is no such name. */
export type MemberWire = readonly [EntryWire, KeptWire?] | undefined

/** Room for about 500 names that come along with the open, for a batch after that, and for one system call. */
const firstBytes = 16_384
const batchBytes = 65_536
const pieceBytes = 16_384
/** Names told at once. */
const most = 4000
const listing = sys.O_RDONLY | sys.O_DIRECTORY

/** Opens a directory for its names, and reads the first. */
export function openNames(shop: Workshop, { path }: { readonly path: Path; readonly whole?: boolean }): OpenedNames {
  return atDirectory(shop, path, (fd, looked) => {
    const first = namesOf(shop, fd, firstBytes)
    return first.done ? { ...looked, first } : { ...looked, first, fd: sys.dup(fd) }
  })
}

/** The next names of an open directory. */
export function moreNames(shop: Workshop, { directory }: { readonly directory: HandleRef }): Names {
  return shop.using(directory, (fd) => namesOf(shop, fd, batchBytes))
}

/** Objects below a directory that the caller may list, each opened so that all that is told is of one and the same. */
export function members(shop: Workshop, { path, names, acls, kept }: MembersArgs): MembersFound {
  return atDirectory(shop, path, (fd, looked) => {
    const found = names.map((name) => (shop.walker.isReserved(name) ? undefined : member(shop, fd, name, acls, kept)))
    return { ...looked, ...shop.maker.teller.end(), members: found }
  })
}

function atDirectory<T extends Looked>(
  shop: Workshop,
  path: Path,
  work: (fd: number, looked: Looked) => T,
): T | (Looked & { readonly refused?: boolean }) {
  const { walker, maker } = shop
  // Nothing is asked for twice, so everything is told in full.
  maker.begin(true)
  return walker.at(path, { follow: true, visit: maker.directory }, (spot: Spot<Seen>) => {
    const { parent, stat, name } = spot
    if (!stat || spot.foreign || kindOf(stat) !== sys.S_IFDIR) return maker.looked(spot, maker.ofSpot(spot))
    let fd: number
    try {
      fd = parent ? walker.open(parent.fd, name, listing) : sys.openat(walker.rootFd, '.', listing, 0)
    } catch (error) {
      if (!sys.isErrno(error, 'EACCES') && !sys.isErrno(error, 'EPERM')) throw error
      return { ...maker.looked(spot, maker.ofSpot(spot)), refused: true }
    }
    return closing(fd, () => work(fd, maker.looked(spot, maker.ofOpen(name, fd, sys.fstat(fd)))))
  })
}

function namesOf({ walker, setup }: Workshop, fd: number, bytes: number): Names {
  const names: string[] = []
  const types: number[] = []
  const self = setup.crossMounts ? undefined : sys.fstat(fd)
  let skipped = 0
  let read = 0
  let done = false
  while (read < bytes && names.length < most && !done) {
    const batch = sys.getdents(fd, pieceBytes)
    done = batch.length === 0
    read += pieceBytes
    for (const { name, type } of batch) {
      if (name === undefined) skipped++
      else if (!walker.isReserved(name)) {
        const kind = kindAt(walker, fd, self, name, type)
        if (kind === undefined) continue
        names.push(name)
        types.push(kind)
      }
    }
  }
  return { names: names.join('\0'), types: types.join(''), skipped, done }
}

/** Undefined when the name has gone since it was read. */
function kindAt(
  walker: Workshop['walker'],
  fd: number,
  self: sys.Stat | undefined,
  name: string,
  type: number,
): number | undefined {
  // Where another file system is mounted the directory tells what is under it.
  const isClear = type === sys.DT_DIR ? self === undefined : type !== sys.DT_UNKNOWN
  if (isClear) return typeOf(type)
  try {
    const stat = sys.fstatat(fd, name, sys.AT_SYMLINK_NOFOLLOW)
    if (self && walker.isForeign(self, stat)) return 3
    return ofMode(kindOf(stat))
  } catch (error) {
    if (sys.isErrno(error, 'ENOENT')) return undefined
    // One may read the names of a directory that one may not enter.
    if (sys.isErrno(error, 'EACCES')) return typeOf(type)
    throw error
  }
}

function typeOf(type: number): number {
  return type === sys.DT_REG ? 0 : type === sys.DT_DIR ? 1 : type === sys.DT_LNK ? 2 : 3
}

function ofMode(kind: number): number {
  return kind === sys.S_IFREG ? 0 : kind === sys.S_IFDIR ? 1 : kind === sys.S_IFLNK ? 2 : 3
}

function member(shop: Workshop, directory: number, name: string, acl: boolean, kept?: LabelNames): MemberWire {
  const { walker, maker } = shop
  let fd: number
  try {
    fd = walker.open(directory, name, sys.O_PATH)
  } catch (error) {
    // Gone, or one may read the names of a directory that one may not enter.
    if (sys.isErrno(error, 'ENOENT') || sys.isErrno(error, 'EACCES')) return undefined
    if (!sys.isErrno(error, 'EXDEV')) throw error
    return [maker.foreign(name, sys.fstatat(directory, name, sys.AT_SYMLINK_NOFOLLOW))]
  }
  return closing(fd, () => {
    const stat = sys.fstat(fd)
    const entry = acl || maker.readsAcls ? maker.ofOpen(name, fd, stat) : maker.below(directory, name, stat, false)
    return kept && kindOf(stat) === sys.S_IFREG ? [entry, labelOf(shop, fd, stat, kept)] : [entry]
  })
}

function labelOf(shop: Workshop, fd: number, stat: sys.Stat, names: LabelNames): KeptWire {
  try {
    const { value, overflow } = readLabel(shop, fd, stat, names)
    if (value) return Buffer.from(value.buffer, value.byteOffset, value.length).toString('utf8')
    return overflow === undefined ? undefined : { overflow }
  } catch (error) {
    // Attributes are for who may read the bytes.
    if (sys.isErrno(error, 'EACCES') || sys.isErrno(error, 'EPERM')) return undefined
    throw error
  }
}
