/** Operations of an I/O thread on drafts that are left and opened again. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { HandleRef } from './handles.ts'
import * as sys from './native/sys.ts'
import { stagingPrefix } from './options.ts'
import { hidesAcl } from './passing-on.ts'
import { closing, kindOf, type Workshop } from './workshop.ts'

export interface OpenStagedArgs {
  readonly parent: HandleRef
  readonly hidden: string
  /** Which object it is. */
  readonly id: string
  /** Together with others who share it. */
  readonly shared?: boolean | undefined
}

export interface OpenStaged {
  readonly fd: number
  readonly overflow: string
  readonly size: number
}

/** Opens a draft that was left. Throws `not-found` for anything else under its name. */
export function openStaged(shop: Workshop, { parent, hidden, id, shared }: OpenStagedArgs): OpenStaged {
  if (!hidden.startsWith(stagingPrefix)) throw new StorageError('internal', 'not a name of ours')
  return shop.using(parent, (directory) => {
    const fd = openAgain(shop, directory, hidden, id)
    try {
      claim(fd, shared)
      const stat = sys.fstat(fd)
      if (!isSame(shop, stat, id) || !isThere(shop, directory, hidden, id)) {
        throw new StorageError('not-found', 'the draft is gone')
      }
      return { fd, size: stat.size, overflow: id }
    } catch (error) {
      sys.close(fd)
      throw error
    }
  })
}

/** A second name is that under which it became visible, before its process died. */
function isSame({ maker }: Workshop, stat: sys.Stat, id: string): boolean {
  return kindOf(stat) === sys.S_IFREG && maker.id(stat) === id && stat.nlink === 1
}

/** Whoever had it open alone may have given it its own name while we waited to have it. */
function isThere({ maker }: Workshop, directory: number, hidden: string, id: string): boolean {
  try {
    return maker.id(sys.fstatat(directory, hidden, sys.AT_SYMLINK_NOFOLLOW)) === id
  } catch (error) {
    if (sys.isErrno(error, 'ENOENT')) return false
    throw error
  }
}

const flags = sys.O_RDWR | sys.O_NONBLOCK
const readWrite = 0o600

/** Also what has got a mode that keeps its owner out, by a default ACL or of a file that it could not replace. */
function openAgain(shop: Workshop, directory: number, hidden: string, id: string): number {
  const { walker, maker } = shop
  try {
    return walker.open(directory, hidden, flags)
  } catch (error) {
    if (!sys.isErrno(error, 'EACCES')) throw error
    return closing(walker.open(directory, hidden, sys.O_PATH), (path) => {
      const stat = sys.fstat(path)
      const keepsOut = (stat.mode & readWrite) !== readWrite && isSame(shop, stat, id)
      // There a mode is made of a list and changes it.
      if (!keepsOut || maker.acls.hasNfs4(path, stat.dev) || hidesAcl(shop, path)) throw error
      sys.fchmod(path, (stat.mode & 0o777) | readWrite)
      try {
        return sys.openat(sys.AT_FDCWD, sys.procPath(path), flags, 0)
      } finally {
        sys.fchmod(path, stat.mode & 0o777)
      }
    })
  }
}

/**
 * Takes the draft for whoever has this descriptor, until it is closed: also a process that was stopped for so long
 * that others take it for dead writes to no file that another one has gone on with. `shared`: together with others who
 * share it. Throws EAGAIN.
 */
export function claim(fd: number, shared = false): void {
  try {
    sys.flock(fd, (shared ? sys.LOCK_SH : sys.LOCK_EX) | sys.LOCK_NB)
  } catch (error) {
    // Where the file system knows no such locks, there is the lease in the state store alone.
    if (['ENOLCK', 'ENOTSUP', 'ENOSYS', 'EINVAL'].some((code) => sys.isErrno(error, code))) return
    throw error
  }
}

/** Makes a draft end after `size` bytes. Throws `stale` where there are not as many. */
export function cutStaged(shop: Workshop, { file, size }: { readonly file: HandleRef; readonly size: number }): void {
  shop.using(file, (fd) => {
    const stat = sys.fstat(fd)
    if (stat.size < size) throw new StorageError('stale', 'bytes of the draft are missing')
    if (stat.size > size) sys.ftruncate(fd, size)
  })
}
