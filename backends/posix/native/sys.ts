/**
 * The system calls that Node lacks or makes slow: synchronous, for I/O threads. Each throws Errno.
 *
 * Names are strings (written as UTF-8, which must be well-formed) or bytes; one with a NUL is EINVAL.
 * Calls with a directory and a name are confined only as far as the name is: give them one plain name
 * below a descriptor, and paths to `openat2` alone.
 */

import { SYS_faccessat2 } from './constants.ts'
import type { Name } from './library.ts'
import { cString, fail, lastErrno, libc, otherCString } from './library.ts'
import { procPath } from './xattr.ts'

export * from './constants.ts'
export type { DirectoryEntry, VisitName } from './directory.ts'
export { getdents, visitNames } from './directory.ts'
export { Errno, errnoName, isErrno } from './errno.ts'
export { fileHandle } from './file-handle.ts'
export type { Name } from './library.ts'
export { close, dup, openat, openat2 } from './open.ts'
export type { FileSystem, Stat } from './stat.ts'
export { fstat, fstatat, fstatfs } from './stat.ts'
export { attributeNames, fgetxattr, flistxattr, fremovexattr, fsetxattr, MemberAttributes, procPath } from './xattr.ts'

/** A time in ns since 1970, the kernel's now, or left as it is. */
export type Time = bigint | 'now' | 'omit'

const c = {
  syscall: libc.func('long syscall(long, long, const void *, long, long)'),
  readlinkat: libc.func('long readlinkat(int, const void *, void *, size_t)'),
  mkdirat: libc.func('int mkdirat(int, const void *, unsigned int)'),
  symlinkat: libc.func('int symlinkat(const void *, int, const void *)'),
  unlinkat: libc.func('int unlinkat(int, const void *, int)'),
  renameat2: libc.func('int renameat2(int, const void *, int, const void *, unsigned int)'),
  linkat: libc.func('int linkat(int, const void *, int, const void *, int)'),
  pread: libc.func('long pread64(int, void *, size_t, int64_t)'),
  pwrite: libc.func('long pwrite64(int, const void *, size_t, int64_t)'),
  lseek: libc.func('int64_t lseek64(int, int64_t, int)'),
  ftruncate: libc.func('int ftruncate64(int, int64_t)'),
  fallocate: libc.func('int fallocate64(int, int, int64_t, int64_t)'),
  fsync: libc.func('int fsync(int)'),
  fdatasync: libc.func('int fdatasync(int)'),
  syncfs: libc.func('int syncfs(int)'),
  utimensat: libc.func('int utimensat(int, const void *, const void *, int)'),
  fchmod: libc.func('int fchmod(int, unsigned int)'),
  chmod: libc.func('int chmod(const void *, unsigned int)'),
  fchownat: libc.func('int fchownat(int, const void *, unsigned int, unsigned int, int)'),
  copyFileRange: libc.func('long copy_file_range(int, void *, int, void *, size_t, unsigned int)'),
  flock: libc.func('int flock(int, int)'),
}

const atCwd = -100
const atEmptyPath = 0x1000
const atSymlinkFollow = 0x400
const EBADF = 9
const EACCES = 13
const noId = 0xffff_ffff

const target = Buffer.allocUnsafeSlow(4096)
const times = new BigInt64Array(4)
const offsetIn = new BigInt64Array(1)
const offsetOut = new BigInt64Array(1)

/** The bytes of a link's target; with "" as name, of the link that `dirfd` was opened on with O_PATH and O_NOFOLLOW. */
export function readlinkat(dirfd: number, name: Name): Buffer {
  const size: number = c.readlinkat(dirfd, cString(name), target, target.length)
  if (size < 0) fail('readlinkat')
  return Buffer.from(target.subarray(0, size))
}

export function mkdirat(dirfd: number, name: Name, mode: number): void {
  if (c.mkdirat(dirfd, cString(name), mode) < 0) fail('mkdirat')
}

export function symlinkat(to: Name, dirfd: number, name: Name): void {
  if (c.symlinkat(cString(to), dirfd, otherCString(name)) < 0) fail('symlinkat')
}

/** `flags`: 0, or AT_REMOVEDIR for an empty directory. */
export function unlinkat(dirfd: number, name: Name, flags: number): void {
  if (c.unlinkat(dirfd, cString(name), flags) < 0) fail('unlinkat')
}

/** `flags`: 0, RENAME_NOREPLACE or RENAME_EXCHANGE; EINVAL where the file system knows no flags. */
export function renameat2(fromDir: number, from: Name, toDir: number, to: Name, flags: number): void {
  if (c.renameat2(fromDir, cString(from), toDir, otherCString(to), flags) < 0) fail('renameat2')
}

export function linkat(fromDir: number, from: Name, toDir: number, to: Name, flags: number): void {
  if (c.linkat(fromDir, cString(from), toDir, otherCString(to), flags) < 0) fail('linkat')
}

/** Gives an open file, one of O_TMPFILE too, a name. EEXIST when the name is taken: atomic. */
export function linkDescriptor(fd: number, toDir: number, to: Name): void {
  linkat(atCwd, procPath(fd), toDir, to, atSymlinkFollow)
}

/** How many bytes there were: fewer than asked only at the end of the file or by a signal. */
export function pread(fd: number, into: Uint8Array, position: number): number {
  const size: number = c.pread(fd, into, into.length, position)
  if (size < 0) fail('pread')
  return size
}

/** How many bytes were written, which may be fewer than given. */
export function pwrite(fd: number, from: Uint8Array, position: number): number {
  const size: number = c.pwrite(fd, from, from.length, position)
  if (size < 0) fail('pwrite')
  return size
}

/** `whence`: SEEK_SET and so on. Also rewinds a directory. */
export function lseek(fd: number, offset: number, whence: number): number {
  const position: number = c.lseek(fd, offset, whence)
  if (position < 0) fail('lseek')
  return position
}

export function ftruncate(fd: number, size: number): void {
  if (c.ftruncate(fd, size) < 0) fail('ftruncate')
}

/** `mode`: 0 or FALLOC_FL_ bits. ENOTSUP where the file system cannot. */
export function fallocate(fd: number, mode: number, offset: number, length: number): void {
  if (c.fallocate(fd, mode, offset, length) < 0) fail('fallocate')
}

export function fsync(fd: number): void {
  if (c.fsync(fd) < 0) fail('fsync')
}

export function fdatasync(fd: number): void {
  if (c.fdatasync(fd) < 0) fail('fdatasync')
}

/** Writes out the whole file system that `fd` lies on. */
export function syncfs(fd: number): void {
  if (c.syncfs(fd) < 0) fail('syncfs')
}

/** Sets the times of one plain name; `flags` as AT_SYMLINK_NOFOLLOW. */
export function utimensat(dirfd: number, name: Name, accessed: Time, modified: Time, flags: number): void {
  putTime(0, accessed)
  putTime(2, modified)
  if (c.utimensat(dirfd, cString(name), times, flags) < 0) fail('utimensat')
}

/** Sets the times of an open object, O_PATH included. */
export function futimens(fd: number, accessed: Time, modified: Time): void {
  utimensat(fd, '', accessed, modified, atEmptyPath)
}

/** Changes the permission bits of an open object, O_PATH included. */
export function fchmod(fd: number, mode: number): void {
  if (c.fchmod(fd, mode) === 0) return
  if (lastErrno() !== EBADF || c.chmod(cString(procPath(fd)), mode) < 0) fail('fchmod')
}

/** `uid` and `gid`: undefined leaves it. `flags`: AT_SYMLINK_NOFOLLOW; AT_EMPTY_PATH with "" for an open object. */
export function fchownat(
  dirfd: number,
  name: Name,
  uid: number | undefined,
  gid: number | undefined,
  flags: number,
): void {
  if (c.fchownat(dirfd, cString(name), uid ?? noId, gid ?? noId, flags) < 0) fail('fchownat')
}

/** Changes owner and group of an open object, O_PATH included. */
export function fchown(fd: number, uid: number | undefined, gid: number | undefined): void {
  fchownat(fd, '', uid, gid, atEmptyPath)
}

/** Bytes copied, 0 at the end of the source. EXDEV, EINVAL or ENOTSUP where it cannot be done inside the kernel. */
export function copyFileRange(fromFd: number, from: number, toFd: number, to: number, length: number): number {
  offsetIn[0] = BigInt(from)
  offsetOut[0] = BigInt(to)
  const size: number = c.copyFileRange(fromFd, offsetIn, toFd, offsetOut, length, 0)
  if (size < 0) fail('copy_file_range')
  return size
}

/**
 * Whether the thread's present identity may: `mode` of R_OK, W_OK, X_OK. `flags`: AT_EACCESS (without it the
 * process's own ids are asked, not the switched ones), AT_EMPTY_PATH with "", AT_SYMLINK_NOFOLLOW.
 */
export function faccessat2(dirfd: number, name: Name, mode: number, flags: number): boolean {
  if (c.syscall(SYS_faccessat2, dirfd, cString(name), mode, flags) === 0) return true
  return lastErrno() === EACCES ? false : fail('faccessat2')
}

/** `operation`: LOCK_SH, LOCK_EX or LOCK_UN, with LOCK_NB to get EAGAIN instead of waiting. */
export function flock(fd: number, operation: number): void {
  if (c.flock(fd, operation) < 0) fail('flock')
}

const nowMark = 0x3fff_ffffn
const omitMark = 0x3fff_fffen
const second = 1_000_000_000n

function putTime(index: number, time: Time): void {
  if (typeof time === 'bigint') {
    const below = ((time % second) + second) % second
    times[index] = (time - below) / second
    times[index + 1] = below
  } else {
    times[index] = 0n
    times[index + 1] = time === 'now' ? nowMark : omitMark
  }
}
