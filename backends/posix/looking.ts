/** Operations of an I/O thread that look: walks, opens, listings. */

import type { Path } from '../../gateway/core/path.ts'
import { type Stray, strayAt } from './emptying.ts'
import type { Seen } from './entries.ts'
import type { HandleRef } from './handles.ts'
import { type KeptValue, type LabelNames, readLabel } from './labelling.ts'
import * as sys from './native/sys.ts'
import type { Spot } from './walk.ts'
import type { EntryWire, Looked, Numbered } from './wire.ts'
import { closing, kindOf, type Workshop } from './workshop.ts'

export interface LookArgs {
  readonly path: Path
  /** A link as the last name is followed, where the mount follows links. */
  readonly follow: boolean
  /** What comes along open; `either`: the object, or where there is none the parent. */
  readonly keep?: 'parent' | 'object' | 'either'
  /** Tell everything in full. */
  readonly whole?: boolean
}

export interface OpenArgs {
  readonly path: Path
  readonly inlineUpTo: number
  /** What is kept with the file comes along, from these attributes. */
  readonly kept?: LabelNames
  readonly whole?: boolean
}

export interface Opened extends Looked {
  /** All bytes of a small file; then there is no descriptor. */
  readonly content?: Uint8Array
  /** Where it was asked for and could be read. */
  readonly kept?: KeptValue
  /** The file system refused to open what is there. */
  readonly refused?: boolean
}

export interface PageArgs {
  readonly directory: HandleRef
  readonly acls: boolean
}

export interface Page extends Numbered {
  readonly entries: readonly EntryWire[]
  /** Names that are not UTF-8. */
  readonly skipped: number
  /** Hidden names that nobody knows any more. */
  readonly strays: readonly Stray[]
  readonly done: boolean
}

/** Room for about a thousand names. */
const pageBytes = 32768
const readFlags = sys.O_RDONLY | sys.O_NONBLOCK

/** The way to a path and what is there. */
export function look(shop: Workshop, args: LookArgs): Looked {
  const { walker, maker } = shop
  maker.begin(args.whole === true)
  return walker.at(args.path, { follow: args.follow, visit: maker.directory }, (spot) => {
    const keepsObject = args.keep === 'object' || args.keep === 'either'
    if (keepsObject && spot.stat && !spot.foreign) return lookInto(shop, spot)
    const looked = maker.looked(spot, maker.ofSpot(spot))
    const keepsParent = args.keep === 'parent' || (args.keep === 'either' && !spot.stat)
    if (!keepsParent || !spot.parent) return looked
    const nfs4 = maker.acls.hasNfs4(spot.parent.fd, spot.parent.stat.dev)
    const way = maker.wayTo(spot)
    return { ...looked, nfs4, name: spot.name, way, parentFd: sys.dup(spot.parent.fd) }
  })
}

function lookInto({ walker, maker }: Workshop, spot: Spot<Seen>): Looked {
  const { parent, name } = spot
  const fd = parent
    ? walker.open(parent.fd, name, sys.O_PATH)
    : sys.openat(walker.rootFd, '.', sys.O_PATH | sys.O_DIRECTORY, 0)
  try {
    const stat = sys.fstat(fd)
    const nfs4 = maker.acls.hasNfs4(fd, stat.dev)
    return { ...maker.looked(spot, maker.ofOpen(name, fd, stat)), fd, nfs4 }
  } catch (error) {
    sys.close(fd)
    throw error
  }
}

/** Opens a regular file for reading; one up to `inlineUpTo` bytes is read and closed at once. */
export function open(shop: Workshop, { path, inlineUpTo, whole, kept: names }: OpenArgs): Opened {
  const { walker, maker } = shop
  maker.begin(whole === true)
  return walker.at(path, { follow: true, visit: maker.directory }, (spot) => {
    const { parent, stat, name } = spot
    // A device must not even be opened: that alone may move a tape.
    if (!parent || !stat || spot.foreign || kindOf(stat) !== sys.S_IFREG) {
      return maker.looked(spot, maker.ofSpot(spot))
    }
    let fd: number
    try {
      // Never waits, whatever took the name meanwhile.
      fd = walker.open(parent.fd, name, readFlags)
    } catch (error) {
      if (isRefusal(error)) return { ...maker.looked(spot, maker.ofSpot(spot)), refused: true }
      throw error
    }
    let stays = false
    try {
      const now = sys.fstat(fd)
      const seen = maker.looked(spot, maker.ofOpen(name, fd, now))
      if (kindOf(now) !== sys.S_IFREG) return seen
      const looked = names ? { ...seen, kept: readLabel(shop, fd, now, names) } : seen
      const content = now.size <= inlineUpTo ? readAll(fd, now.size) : undefined
      if (content) return { ...looked, content }
      stays = true
      return { ...looked, fd }
    } finally {
      if (!stays) sys.close(fd)
    }
  })
}

/** The bytes, unless there are fewer than announced. */
function readAll(fd: number, size: number): Uint8Array | undefined {
  // Of its own memory: a slice of a pool would be cloned with all of the pool.
  const bytes = Buffer.allocUnsafeSlow(size)
  let got = 0
  while (got < size) {
    const count = sys.pread(fd, got === 0 ? bytes : bytes.subarray(got), got)
    if (count === 0) return undefined
    got += count
  }
  return bytes
}

/** Opens a directory for listing. */
export function openDirectory(
  shop: Workshop,
  { path, whole }: { readonly path: Path; readonly whole?: boolean },
): Opened {
  const { walker, maker } = shop
  maker.begin(whole === true)
  return walker.at(path, { follow: true, visit: maker.directory }, (spot) => {
    const { parent, stat, name } = spot
    if (!stat || spot.foreign || kindOf(stat) !== sys.S_IFDIR) return maker.looked(spot, maker.ofSpot(spot))
    const flags = sys.O_RDONLY | sys.O_DIRECTORY
    let fd: number
    try {
      fd = parent ? walker.open(parent.fd, name, flags) : sys.openat(walker.rootFd, '.', flags, 0)
    } catch (error) {
      if (isRefusal(error)) return { ...maker.looked(spot, maker.ofSpot(spot)), refused: true }
      throw error
    }
    try {
      return { ...maker.looked(spot, maker.ofOpen(name, fd, sys.fstat(fd))), fd }
    } catch (error) {
      sys.close(fd)
      throw error
    }
  })
}

/** The next entries of an open directory, about a thousand. */
export function page(shop: Workshop, { directory, acls }: PageArgs): Page {
  const { maker, using } = shop
  maker.begin(true)
  return using(directory, (fd) => {
    const batch = sys.getdents(fd, pageBytes)
    const self = sys.fstat(fd)
    const entries: EntryWire[] = []
    const strays: Stray[] = []
    const { abandoned } = shop.setup
    let skipped = 0
    for (const { name, type } of batch) {
      if (name === undefined) skipped++
      else if (!shop.walker.isReserved(name)) {
        const entry = listed(shop, fd, self, name, type, acls)
        if (entry) entries.push(entry)
      } else if (abandoned !== undefined) {
        const stray = strayAt(fd, name, abandoned)
        if (stray) strays.push(stray)
      }
    }
    return { entries, skipped, strays, done: batch.length === 0, ...maker.teller.end() }
  })
}

/** One entry; undefined when the name has gone since it was read. */
function listed(
  { maker, walker }: Workshop,
  fd: number,
  self: sys.Stat,
  name: string,
  type: number,
  acls: boolean,
): EntryWire | undefined {
  try {
    const stat = sys.fstatat(fd, name, sys.AT_SYMLINK_NOFOLLOW)
    if (walker.isForeign(self, stat)) return maker.foreign(name, stat)
    return maker.below(fd, name, stat, acls)
  } catch (error) {
    if (sys.isErrno(error, 'ENOENT')) return undefined
    // One may read the names of a directory that one may not enter.
    if (sys.isErrno(error, 'EACCES')) return bare(name, type)
    throw error
  }
}

/** All that is known of an object that nobody may look at. */
function bare(name: string, type: number): EntryWire {
  const kind = type === sys.DT_REG ? 0 : type === sys.DT_DIR ? 1 : type === sys.DT_LNK ? 2 : 3
  return [name, kind, 0, 0n, 0n, '', '', 0, 1, 0]
}

/** What the caller may do with an object, by the kernel's word: R_OK, W_OK and X_OK bits. */
export interface Access {
  readonly object: number
  readonly parent: number
  readonly isDirectory: boolean
  readonly isOwner: boolean
  /** Only owners remove from the directory. */
  readonly sticky: boolean
}

/** Asks the kernel under the caller's identity; undefined for what is not there. */
export function access({ walker }: Workshop, { path }: { readonly path: Path }, uid: number): Access | undefined {
  return walker.at(path, { follow: true, visit: () => undefined }, ({ parent, name, stat }) => {
    if (!stat) return undefined
    const fd = parent
      ? walker.open(parent.fd, name, sys.O_PATH)
      : sys.openat(walker.rootFd, '.', sys.O_PATH | sys.O_DIRECTORY, 0)
    return closing(fd, () => ({
      object: allowed(fd),
      parent: parent ? allowed(parent.fd) : 0,
      isDirectory: kindOf(stat) === sys.S_IFDIR,
      isOwner: stat.uid === uid,
      sticky: parent !== undefined && (parent.stat.mode & 0o1000) !== 0 && parent.stat.uid !== uid && stat.uid !== uid,
    }))
  })
}

function allowed(fd: number): number {
  let bits = 0
  for (const bit of [sys.R_OK, sys.W_OK, sys.X_OK]) {
    try {
      if (sys.faccessat2(fd, '', bit, sys.AT_EACCESS | sys.AT_EMPTY_PATH)) bits |= bit
    } catch (error) {
      // A read-only file system or a running program: not now is no.
      if (!sys.isErrno(error, 'EROFS') && !sys.isErrno(error, 'ETXTBSY')) throw error
    }
  }
  return bits
}

function isRefusal(error: unknown): boolean {
  return sys.isErrno(error, 'EACCES') || sys.isErrno(error, 'EPERM')
}
