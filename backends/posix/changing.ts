/** Operations of an I/O thread that change what is there: each acts on descriptors that a look has left open. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { Changes } from '../backend.ts'
import { removeDirectory } from './emptying.ts'
import type { HandleRef } from './handles.ts'
import * as sys from './native/sys.ts'
import type { AclBytes, EntryWire, Expected, Numbered } from './wire.ts'
import { closing, kindOf, syncDirectory, type Workshop } from './workshop.ts'

/** An object after a change. */
export interface Changed extends Numbered {
  readonly entry: EntryWire
}

export interface MkdirArgs {
  readonly parent: HandleRef
  readonly name: string
  /** Made under this name first, so that it is never seen without its ACL. */
  readonly hidden?: string
  readonly acl?: AclBytes
  /** Permission bits where nothing is inherited. */
  readonly mode?: number
}

/** A directory that was made, and its descriptor. */
export interface MadeHidden extends Changed {
  readonly fd: number
}

export interface RemoveArgs {
  readonly parent: HandleRef
  readonly name: string
  readonly expected: Expected
  /** Name of the attribute that tells of properties kept elsewhere. */
  readonly marker: string
}

export interface RenameArgs {
  readonly from: { readonly parent: HandleRef; readonly name: string; readonly expected: Expected }
  readonly to: { readonly parent: HandleRef; readonly name: string; readonly expected: Expected | undefined }
  readonly marker: string
}

/** What has lost its last name and kept properties elsewhere, by id. */
export interface Gone {
  readonly overflow?: string
}

export interface SetArgs {
  readonly object: HandleRef
  readonly name: string
  /** The object must not have changed since: its ACL was computed from what was seen. */
  readonly unchanged?: bigint
  readonly acl?: AclBytes
  readonly posixAcl?: { readonly access: Uint8Array; readonly standard?: Uint8Array | undefined }
  /** Real mode bits; of files the low nine only. */
  readonly mode?: number
  /** Of a directory: setuid, setgid and sticky bits alone. */
  readonly special?: number
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  readonly modified?: Changes['modified']
  readonly accessed?: Changes['accessed']
}

const nfs4Name = 'system.nfs4_acl'
const accessName = 'system.posix_acl_access'
const defaultName = 'system.posix_acl_default'

export function mkdir(shop: Workshop, { parent, name, hidden, acl, mode: asked }: MkdirArgs): Changed {
  const { maker, using, setup } = shop
  maker.begin(true)
  return using(parent, (directory) => {
    const mode = inheritsMode(directory) ? 0o777 : (asked ?? 0o777 & ~setup.umask)
    if (hidden !== undefined && acl) makeHidden(shop, directory, name, hidden, acl, mode)
    else sys.mkdirat(directory, name, mode)
    shop.step('published')
    const fd = shop.walker.open(directory, name, sys.O_PATH | sys.O_DIRECTORY)
    return closing(fd, () => {
      if (acl && hidden === undefined) storeAcl(shop, fd, acl)
      if (setup.sync) syncDirectory(directory)
      return told(shop, name, fd)
    })
  })
}

/** ns. Between making a directory and opening it. */
const moment = 2_000_000_000n

/**
 * Makes a directory under a hidden name and keeps it open. Throws `stale` where what is opened is older than that: a
 * directory that was put in its place.
 */
export function mkdirHidden(
  shop: Workshop,
  { parent, name }: { readonly parent: HandleRef; readonly name: string },
): MadeHidden {
  const { maker, using, setup, walker } = shop
  maker.begin(true)
  return using(parent, (directory) => {
    sys.mkdirat(directory, name, inheritsMode(directory) ? 0o777 : 0o777 & ~setup.umask)
    shop.step('staged')
    const fd = walker.open(directory, name, sys.O_PATH | sys.O_DIRECTORY)
    try {
      const { btimeNs, ctimeNs } = sys.fstat(fd)
      // A rename moves the ctime to now and leaves the birth where it was.
      if (btimeNs !== undefined && ctimeNs - btimeNs > moment) throw stale()
      return { ...told(shop, name, fd), fd }
    } catch (error) {
      sys.close(fd)
      throw error
    }
  })
}

function makeHidden(
  shop: Workshop,
  directory: number,
  name: string,
  hidden: string,
  acl: AclBytes,
  mode: number,
): void {
  sys.mkdirat(directory, hidden, mode)
  shop.step('staged')
  try {
    const fd = shop.walker.open(directory, hidden, sys.O_PATH | sys.O_DIRECTORY)
    closing(fd, () => storeAcl(shop, fd, acl))
    if (shop.setup.sync) closing(shop.walker.open(directory, hidden, sys.O_RDONLY | sys.O_DIRECTORY), sys.fsync)
    shop.step('renaming')
    renameTo(directory, hidden, directory, name)
  } catch (error) {
    sys.unlinkat(directory, hidden, sys.AT_REMOVEDIR)
    throw error
  }
}

/** A file, a link, or an empty directory, if it still is what was seen. */
export function remove(shop: Workshop, { parent, name, expected, marker }: RemoveArgs): Gone {
  return shop.using(parent, (directory) => {
    const stat = requireExpected(shop, directory, name, expected)
    const isDirectory = kindOf(stat) === sys.S_IFDIR
    const gone = goneOf(shop, directory, name, stat, marker)
    if (isDirectory) removeDirectory(shop, directory, name)
    else sys.unlinkat(directory, name, 0)
    if (shop.setup.sync) syncDirectory(directory)
    return gone
  })
}

/** Replaces the target only if it still is what was seen, and makes a new name only if it still is free. */
export function rename(shop: Workshop, { from, to, marker }: RenameArgs): Changed & Gone {
  const { maker, using, setup, walker } = shop
  maker.begin(true)
  return using(from.parent, (fromDirectory) =>
    withOther(shop, from.parent, to.parent, fromDirectory, (toDirectory) => {
      const source = requireExpected(shop, fromDirectory, from.name, from.expected)
      let gone: Gone = {}
      if (to.expected) {
        const old = requireExpected(shop, toDirectory, to.name, to.expected)
        gone = goneOf(shop, toDirectory, to.name, old, marker)
        if (kindOf(source) === sys.S_IFDIR && kindOf(old) !== sys.S_IFDIR) {
          throw new StorageError('not-directory', 'a directory replaces directories only')
        }
        shop.step('renaming')
        sys.renameat2(fromDirectory, from.name, toDirectory, to.name, 0)
      } else {
        renameTo(fromDirectory, from.name, toDirectory, to.name)
      }
      if (setup.sync) {
        syncDirectory(toDirectory)
        if (toDirectory !== fromDirectory) syncDirectory(fromDirectory)
      }
      const fd = walker.open(toDirectory, to.name, sys.O_PATH)
      return closing(fd, () => ({ ...told(shop, to.name, fd), ...gone }))
    }),
  )
}

/** Works with a second descriptor too. The two may be one, which can be claimed once only. */
export function withOther<T>(
  { using }: Workshop,
  first: HandleRef,
  second: HandleRef,
  fd: number,
  work: (fd: number) => T,
): T {
  return first.slot === second.slot ? work(fd) : using(second, work)
}

/** Attributes and ACL of an open object. */
export function set(shop: Workshop, args: SetArgs): Changed {
  const { maker, using } = shop
  maker.begin(true)
  return using(args.object, (fd) => {
    const before = sys.fstat(fd)
    if (args.unchanged !== undefined && before.ctimeNs !== args.unchanged) throw stale()
    if (before.nlink === 0) throw stale()
    if (args.uid !== undefined || args.gid !== undefined) sys.fchown(fd, args.uid, args.gid)
    if (args.mode !== undefined) {
      const bits = kindOf(before) === sys.S_IFDIR ? 0o7777 : 0o777
      sys.fchmod(fd, args.mode & bits)
    }
    if (args.special !== undefined) sys.fchmod(fd, (before.mode & 0o777) | args.special)
    if (args.acl) storeAcl(shop, fd, args.acl)
    if (args.posixAcl) storePosixAcl(fd, args.posixAcl, before)
    if (args.modified !== undefined || args.accessed !== undefined) {
      sys.futimens(fd, args.accessed ?? 'omit', args.modified ?? 'omit')
    }
    // What was replaced meanwhile has kept its old ACL where people see it.
    if (sys.fstat(fd).nlink === 0) throw stale()
    const kind = kindOf(before)
    const rights = args.acl ?? args.posixAcl ?? args.mode
    if (shop.setup.sync && rights !== undefined && (kind === sys.S_IFREG || kind === sys.S_IFDIR)) syncObject(fd)
    return told(shop, args.name, fd)
  })
}

function storePosixAcl(fd: number, acl: NonNullable<SetArgs['posixAcl']>, stat: sys.Stat): void {
  sys.fsetxattr(fd, accessName, acl.access, 0)
  if (kindOf(stat) !== sys.S_IFDIR) return
  if (acl.standard) sys.fsetxattr(fd, defaultName, acl.standard, 0)
  else sys.fremovexattr(fd, defaultName)
}

/** Where the file system keeps NFSv4 ACLs it gets the list, elsewhere our own attribute does. */
export function storeAcl({ maker, setup }: Workshop, fd: number, acl: AclBytes): void {
  const { library } = maker.acls
  if (library && acl.list) library.write(fd, acl.list)
  else if (maker.acls.hasNfs4(fd, sys.fstat(fd).dev)) sys.fsetxattr(fd, nfs4Name, acl.nfs4, 0)
  else if (!setup.native && maker.acls.usesOwn()) sys.fsetxattr(fd, maker.acls.ownName, acl.stored, 0)
  else throw new StorageError('unsupported', 'this mount has no place for such an ACL')
}

/** The id of what a name in an open directory means; undefined when it means nothing. Knows hidden names too. */
export function identify(
  { using, maker }: Workshop,
  { parent, name }: { readonly parent: HandleRef; readonly name: string },
): string | undefined {
  return using(parent, (directory) => {
    try {
      return maker.id(sys.fstatat(directory, name, sys.AT_SYMLINK_NOFOLLOW))
    } catch (error) {
      if (sys.isErrno(error, 'ENOENT')) return undefined
      throw error
    }
  })
}

/** Throws `stale` unless the name still means what was seen. */
export function requireExpected(shop: Workshop, directory: number, name: string, expected: Expected): sys.Stat {
  let stat: sys.Stat
  try {
    stat = sys.fstatat(directory, name, sys.AT_SYMLINK_NOFOLLOW)
  } catch (error) {
    if (sys.isErrno(error, 'ENOENT')) throw stale()
    throw error
  }
  if (!shop.maker.isExpected(stat, expected)) throw stale()
  return stat
}

/** Whether new objects get their group and other bits from the directory's default ACL, which a umask would cut. */
export function inheritsMode(directory: number): boolean {
  try {
    return sys.fgetxattr(directory, defaultName) !== undefined
  } catch (error) {
    if (sys.isErrno(error, 'ENOTSUP')) return false
    throw error
  }
}

/** The entry of an open object. */
export function told({ maker }: Workshop, name: string, fd: number): Changed {
  const entry = maker.ofOpen(name, fd, sys.fstat(fd))
  return { entry, ...maker.teller.end() }
}

/** Gives an only name, which must be free: EEXIST otherwise. */
export function renameTo(fromDirectory: number, from: string, toDirectory: number, to: string): void {
  try {
    sys.renameat2(fromDirectory, from, toDirectory, to, sys.RENAME_NOREPLACE)
  } catch (error) {
    if (!sys.isErrno(error, 'EINVAL')) throw error
    renamePlainly(fromDirectory, from, toDirectory, to)
  }
}

/**
 * For file systems that cannot refuse to replace, such as NFS: a file gets a second name first, which can. Where that
 * is impossible the name is looked for: should it be taken in between, which nothing of ours does under its lease,
 * a file or an empty directory that has it is lost.
 */
function renamePlainly(fromDirectory: number, from: string, toDirectory: number, to: string): void {
  const stat = sys.fstatat(fromDirectory, from, sys.AT_SYMLINK_NOFOLLOW)
  if (kindOf(stat) === sys.S_IFREG && hasSecondName(fromDirectory, from, toDirectory, to)) {
    sys.unlinkat(fromDirectory, from, 0)
    return
  }
  try {
    sys.fstatat(toDirectory, to, sys.AT_SYMLINK_NOFOLLOW)
  } catch (error) {
    if (!sys.isErrno(error, 'ENOENT')) throw error
    sys.renameat2(fromDirectory, from, toDirectory, to, 0)
    return
  }
  throw new StorageError('exists', 'the target exists')
}

/** False where the kernel gives no second name to a file of somebody else (fs.protected_hardlinks). */
function hasSecondName(fromDirectory: number, from: string, toDirectory: number, to: string): boolean {
  try {
    sys.linkat(fromDirectory, from, toDirectory, to, 0)
    return true
  } catch (error) {
    if (sys.isErrno(error, 'EPERM')) return false
    throw error
  }
}

/** Whether an object about to lose a name has properties elsewhere that go with it. */
function goneOf({ maker, walker }: Workshop, directory: number, name: string, stat: sys.Stat, marker: string): Gone {
  const kind = kindOf(stat)
  const isLast = kind === sys.S_IFDIR || (kind === sys.S_IFREG && stat.nlink === 1)
  if (!isLast) return {}
  const fd = walker.open(directory, name, sys.O_PATH)
  return closing(fd, () => (keepsElsewhere(fd, marker) ? { overflow: maker.id(stat) } : {}))
}

/** Properties of this object may be elsewhere: it says so, or it cannot hold any. */
export function keepsElsewhere(fd: number, marker: string): boolean {
  try {
    return sys.fgetxattr(fd, marker) !== undefined
  } catch (error) {
    // Unreadable is not known, and asking elsewhere for nothing does no harm.
    if (error instanceof sys.Errno) return true
    throw error
  }
}

function syncObject(fd: number): void {
  let open: number
  try {
    open = sys.openat(sys.AT_FDCWD, sys.procPath(fd), sys.O_RDONLY | sys.O_NONBLOCK, 0)
  } catch (error) {
    // What the caller may not read he cannot sync; the file system does it in its time.
    if (error instanceof sys.Errno) return
    throw error
  }
  closing(open, sys.fsync)
}

export function stale(): StorageError {
  return new StorageError('stale', 'the object has changed since it was looked at')
}
