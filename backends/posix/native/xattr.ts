/** Extended attributes of open objects, those opened with O_PATH included. */

import { Errno } from './errno.ts'
import { cString, fail, lastErrno, libc, otherCString } from './library.ts'

const c = {
  fget: libc.func('long fgetxattr(int, const void *, void *, size_t)'),
  get: libc.func('long getxattr(const void *, const void *, void *, size_t)'),
  fset: libc.func('int fsetxattr(int, const void *, const void *, size_t, int)'),
  set: libc.func('int setxattr(const void *, const void *, const void *, size_t, int)'),
  flist: libc.func('long flistxattr(int, void *, size_t)'),
  list: libc.func('long listxattr(const void *, void *, size_t)'),
  lget: libc.func('long lgetxattr(const void *, const void *, void *, size_t)'),
  llist: libc.func('long llistxattr(const void *, void *, size_t)'),
  fremove: libc.func('int fremovexattr(int, const void *)'),
  remove: libc.func('int removexattr(const void *, const void *)'),
}

const EBADF = 9
const ERANGE = 34
const ENAMETOOLONG = 36
const ENODATA = 61
const ENOTSUP = 95
/** The kernel's own limit for a value and for a list of names (XATTR_SIZE_MAX, XATTR_LIST_MAX). */
const most = 65536
/** Tried first: the kernel clears as much memory as it is offered. */
const usual = 1024
const room = Buffer.allocUnsafeSlow(most)

/** Where /proc shows an open object: the way to it for calls that refuse an O_PATH descriptor. */
export function procPath(fd: number): string {
  return `/proc/self/fd/${fd}`
}

/** A copy of the value, or undefined when there is none of that name. ENOTSUP where the file system has none at all. */
export function fgetxattr(fd: number, name: string): Buffer | undefined {
  let size = get(fd, name, usual)
  if (size < 0 && lastErrno() === ERANGE) size = get(fd, name, most)
  if (size < 0) return lastErrno() === ENODATA ? undefined : fail('fgetxattr')
  return Buffer.from(room.subarray(0, size))
}

/** `flags`: 0, XATTR_CREATE (EEXIST when there) or XATTR_REPLACE (ENODATA when not). */
export function fsetxattr(fd: number, name: string, value: Uint8Array, flags: number): void {
  const result = viaProc(fd, c.fset(fd, cString(name), value, value.length, flags), (path) =>
    c.set(path, cString(name), value, value.length, flags),
  )
  if (result < 0) fail('fsetxattr')
}

/** The names of all attributes that the caller may know of. */
export function flistxattr(fd: number): string[] {
  const size = viaProc(fd, c.flist(fd, room, most), (path) => c.list(path, room, most))
  if (size < 0) fail('flistxattr')
  return size === 0 ? [] : room.toString('utf8', 0, size - 1).split('\0')
}

/** The names of the attributes of an open object, O_PATH included, each with a NUL behind it; "" where there can be none. */
export function attributeNames(fd: number): string {
  return namesIn(c.list(otherCString(procPath(fd)), room, most))
}

/** What an object below a directory has, without opening it. `name` is one plain name; a link is not followed. */
export class MemberAttributes {
  /** "/proc/self/fd/N/" and room for a name. */
  readonly #path = Buffer.alloc(512)
  readonly #start: number

  constructor(directory: number) {
    this.#start = this.#path.write(`${procPath(directory)}/`)
  }

  /** The names, each with a NUL behind it; "" where there are none, or this file system has none at all. */
  names(name: string): string {
    return namesIn(c.llist(this.#at(name), room, most))
  }

  /** As text; undefined when there is none of that name. */
  text(name: string, attribute: string): string | undefined {
    const path = this.#at(name)
    let size: number = c.lget(path, cString(attribute), room, usual)
    if (size < 0 && lastErrno() === ERANGE) size = c.lget(path, cString(attribute), room, most)
    if (size < 0) return lastErrno() === ENODATA || lastErrno() === ENOTSUP ? undefined : fail('lgetxattr')
    return room.toString('utf8', 0, size)
  }

  #at(name: string): Buffer {
    const end = this.#start + this.#path.write(name, this.#start)
    if (end >= this.#path.length) throw new Errno(ENAMETOOLONG, 'name')
    this.#path[end] = 0
    return this.#path
  }
}

/** Returns whether there was one to remove. */
export function fremovexattr(fd: number, name: string): boolean {
  const result = viaProc(fd, c.fremove(fd, cString(name)), (path) => c.remove(path, cString(name)))
  if (result < 0) return lastErrno() === ENODATA ? false : fail('fremovexattr')
  return true
}

function namesIn(size: number): string {
  if (size < 0) return lastErrno() === ENOTSUP ? '' : fail('listxattr')
  return size === 0 ? '' : room.toString('latin1', 0, size)
}

function get(fd: number, name: string, limit: number): number {
  return viaProc(fd, c.fget(fd, cString(name), room, limit), (path) => c.get(path, cString(name), room, limit))
}

/** An O_PATH descriptor gives EBADF; then the same is tried on its path below /proc. */
function viaProc(fd: number, result: number, again: (path: Buffer) => number): number {
  if (result >= 0 || lastErrno() !== EBADF) return result
  return again(otherCString(procPath(fd)))
}
