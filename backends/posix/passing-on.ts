/** What a file on its way has besides its bytes: that of the file it replaces, or what any new file there gets. */

import { randomBytes } from 'node:crypto'
import { StorageError } from '../../gateway/core/errors.ts'
import type { ThreadAclSource } from './acl-reading.ts'
import { inheritsMode, storeAcl } from './changing.ts'
import * as sys from './native/sys.ts'
import { stagingPrefix } from './options.ts'
import type { AclBytes } from './wire.ts'
import type { Workshop } from './workshop.ts'

/** The mode that new files are made with: a umask would cut what a default ACL gives. */
export function modeForNew({ setup }: Workshop, directory: number): number {
  return inheritsMode(directory) ? 0o666 : 0o666 & ~setup.umask
}

/** Undefined where the file system has no files without a name. */
export function openUnnamed(directory: number, mode: number): number | undefined {
  try {
    return sys.openat(directory, '.', sys.O_TMPFILE | sys.O_RDWR, mode)
  } catch (error) {
    // Kernels and file systems without it say so in different ways (open(2)).
    if (['ENOTSUP', 'EISDIR', 'EINVAL', 'ENOSYS'].some((code) => sys.isErrno(error, code))) return undefined
    if (isRemoved(directory, error)) throw new StorageError('no-parent', 'the directory was removed meanwhile')
    throw error
  }
}

/** Of a directory that has gone since it was opened ext4 says EPERM, where others say ENOENT. */
function isRemoved(directory: number, error: unknown): boolean {
  if (sys.isErrno(error, 'ENOENT')) return true
  return sys.isErrno(error, 'EPERM') && sys.fstat(directory).nlink === 0
}

/** A file that is made under this name. */
export function openHidden({ walker }: Workshop, directory: number, hidden: string, mode: number): number {
  return walker.open(directory, hidden, sys.O_CREAT | sys.O_EXCL | sys.O_RDWR, mode)
}

/** GPFS has ACLs that no attribute shows, so without its library a new file could not be given them. */
export function hidesAcl({ maker }: Workshop, fd: number): boolean {
  return !maker.acls.library && sys.fstatfs(fd).type === sys.fileSystemTypes.gpfs
}

/** Gives the draft owner, group, mode, ACL and attributes of another file. False: the caller cannot. */
export function passOn({ maker }: Workshop, old: number, stat: sys.Stat, draft: number, dropped: string): boolean {
  try {
    const mine = sys.fstat(draft)
    const uid = mine.uid === stat.uid ? undefined : stat.uid
    const gid = mine.gid === stat.gid ? undefined : stat.gid
    if (uid !== undefined || gid !== undefined) sys.fchown(draft, uid, gid)
    copyAttributes(old, stat, draft, dropped)
    return !maker.acls.library || passOnList(maker.acls.library, old, draft)
  } catch (error) {
    if (error instanceof StorageError && error.code === 'denied') return false
    // Not his to give away or to read: then the old file must stay.
    if (sys.isErrno(error, 'EPERM') || sys.isErrno(error, 'EACCES')) return false
    throw error
  }
}

/** False where the old file has mode bits alone and the draft has inherited a list, which can be replaced and not taken away. */
function passOnList(library: ThreadAclSource, old: number, draft: number): boolean {
  const list = library.read(old)
  if (!list) return library.read(draft) === undefined
  library.write(draft, list)
  return true
}

const systemAttributes = new Set(['system.posix_acl_access', 'system.nfs4_acl'])

function copyAttributes(old: number, stat: sys.Stat, draft: number, dropped: string): void {
  const names = attributesOf(old).filter((name) => name !== dropped)
  const wanted = new Set(names)
  for (const name of attributesOf(draft)) if (!wanted.has(name)) sys.fremovexattr(draft, name)
  // Between the two: an ACL that is gone has left its mask in the mode, and one that comes must not be cut by it.
  // Files get no setuid, setgid and sticky bits.
  sys.fchmod(draft, stat.mode & 0o777)
  for (const name of names) {
    const value = sys.fgetxattr(old, name)
    if (value) sys.fsetxattr(draft, name, value, 0)
  }
}

/** The attributes that go with a file's content. Others, such as security labels, are the system's to set. */
function attributesOf(fd: number): string[] {
  try {
    return sys
      .flistxattr(fd)
      .filter((name) => name.startsWith('user.') || name.startsWith('trusted.') || systemAttributes.has(name))
  } catch (error) {
    if (sys.isErrno(error, 'ENOTSUP')) return []
    throw error
  }
}

/**
 * Gives a draft what a file made now would get: it may be older than the rights that its directory passes on, or have
 * got those of a file that it was to replace and that is gone.
 */
export function becomeNew(shop: Workshop, draft: number, directory: number, acl: AclBytes | undefined): void {
  if (hidesAcl(shop, draft)) return
  const mode = modeForNew(shop, directory)
  const name = `${stagingPrefix}${randomBytes(12).toString('hex')}`
  const unnamed = openUnnamed(directory, mode)
  const sample = unnamed ?? openHidden(shop, directory, name, mode)
  try {
    if (!passOn(shop, sample, sys.fstat(sample), draft, '') && !acl) {
      throw new StorageError('denied', 'the new file could not be given what new files get')
    }
  } finally {
    sys.close(sample)
    if (unnamed === undefined) sys.unlinkat(directory, name, 0)
  }
  if (acl) storeAcl(shop, draft, acl)
}
