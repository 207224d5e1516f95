/** Operations of an I/O thread on what is in a directory: names alone, and many objects with one call. */

import { isUtf8 } from 'node:buffer'
import type { Path } from '../../gateway/core/path.ts'
import type { PackedEntries } from '../backend.ts'
import type { Seen } from './entries.ts'
import type { HandleRef } from './handles.ts'
import type { LabelNames } from './labelling.ts'
import { MemberLooker } from './member-looking.ts'
import { type PackedMembers, pack } from './member-wire.ts'
import * as sys from './native/sys.ts'
import type { Spot } from './walk.ts'
import type { Looked } from './wire.ts'
import { closing, kindOf, type Workshop } from './workshop.ts'

/** Names and what they are the names of. */
export interface Names extends PackedEntries {
  /** Names that are not UTF-8. */
  readonly skipped: number
  readonly done: boolean
}

export interface OpenNamesArgs {
  readonly path: Path
  /** Of this version no names are wanted. */
  readonly known?: string
  readonly whole?: boolean
}

/** Another text whenever the names may be others, by id and change time of the directory. */
export function versionOfNames(id: string, changed: bigint): string {
  return `${id}-${changed.toString(16)}`
}

export interface OpenedNames extends Looked {
  /** The first names; where these are all of them, there is no descriptor. */
  readonly first?: Names
  /** The file system refused to open what is there. */
  readonly refused?: boolean
}

export interface MembersArgs {
  readonly path: Path
  /** With a NUL between two. */
  readonly names: string
  readonly acls: boolean
  /** What is kept with files comes along, from these attributes. */
  readonly kept?: LabelNames
}

export interface MembersFound extends Looked {
  readonly members?: PackedMembers
  readonly refused?: boolean
}

/** Room for about 500 names that come along with the open, for a batch after that, and for one system call. */
const firstBytes = 16_384
const batchBytes = 65_536
const pieceBytes = 16_384
/** Names told at once. */
const most = 4000
const listing = sys.O_RDONLY | sys.O_DIRECTORY

/** Opens a directory for its names, and reads the first. */
export function openNames(shop: Workshop, { path, known }: OpenNamesArgs): OpenedNames {
  return atDirectory(shop, path, (fd, looked, self) => {
    if (known !== undefined && known === versionOfNames(shop.maker.id(self), self.ctimeNs)) {
      return { ...looked, first: { names: new Uint8Array(0), types: new Uint8Array(0), skipped: 0, done: true } }
    }
    const first = namesOf(shop, fd, firstBytes)
    return first.done ? { ...looked, first } : { ...looked, first, fd: sys.dup(fd) }
  })
}

/** The next names of an open directory. */
export function moreNames(shop: Workshop, { directory }: { readonly directory: HandleRef }): Names {
  return shop.using(directory, (fd) => namesOf(shop, fd, batchBytes))
}

/** Objects below a directory that the caller may list. What is told of one is true of one and the same object. */
export function members(shop: Workshop, { path, names, acls, kept }: MembersArgs): MembersFound {
  return atDirectory(shop, path, (fd, looked, self) => {
    const looker = new MemberLooker(shop, fd, self, acls, kept)
    const found = pack(names.split('\0').map((name) => (shop.walker.isReserved(name) ? undefined : looker.look(name))))
    return { ...looked, ...shop.maker.teller.end(), members: found }
  })
}

function atDirectory<T extends Looked>(
  shop: Workshop,
  path: Path,
  work: (fd: number, looked: Looked, self: sys.Stat) => T,
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
    return closing(fd, () => {
      const self = sys.fstat(fd)
      return work(fd, maker.looked(spot, maker.ofOpen(name, fd, self)), self)
    })
  })
}

function namesOf(shop: Workshop, fd: number, bytes: number): Names {
  const { walker, setup } = shop
  const self = setup.crossMounts ? undefined : sys.fstat(fd)
  const gathered = new Gathered()
  const visit: sys.VisitName = (from, start, end, type) => {
    // Most names need not be read: only some are hidden, and only directories may be of another file system.
    const isPlain = type === sys.DT_REG && from[start] !== dot && setup.reserved.length === 0
    if (isPlain && isAscii(from, start, end)) {
      gathered.add(from, start, end, 0)
      return
    }
    if (!isUtf8(from.subarray(start, end))) {
      gathered.skipped++
      return
    }
    const name = from.toString('utf8', start, end)
    const kind = walker.isReserved(name) ? undefined : kindAt(walker, fd, self, name, type)
    if (kind !== undefined) gathered.add(from, start, end, kind)
  }
  let done = false
  for (let read = 0; read < bytes && gathered.count < most && !done; read += pieceBytes) {
    done = !sys.visitNames(fd, pieceBytes, visit)
  }
  return { ...gathered.end(), done }
}

/** More than the records of one batch take, which are longer than the names in them. */
const room = new Uint8Array(batchBytes + pieceBytes)
const kinds = new Uint8Array(room.length >> 4)

/** Names as they are told: each with a NUL behind it. */
class Gathered {
  skipped = 0
  count = 0
  #used = 0

  add(from: Buffer, start: number, end: number, kind: number): void {
    for (let at = start; at <= end; at++) room[this.#used++] = from[at] ?? 0
    kinds[this.count++] = kind
  }

  end(): Omit<Names, 'done'> {
    // Of its own memory: a part of the room would be cloned with all of it.
    return { names: room.slice(0, this.#used), types: kinds.slice(0, this.count), skipped: this.skipped }
  }
}

const dot = 46

function isAscii(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if ((bytes[at] ?? 0) > 127) return false
  return true
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
