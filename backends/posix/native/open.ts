/** Opening and closing. Every descriptor is made close-on-exec. */

import { O_CLOEXEC, RESOLVE_CACHED, SYS_openat2 } from './constants.ts'
import { isErrno } from './errno.ts'
import type { Name } from './library.ts'
import { cString, fail, libc } from './library.ts'

const syscall = libc.func('long syscall(long, long, const void *, const void *, long)')
const c = {
  openat: libc.func('int openat(int, const void *, int, unsigned int)'),
  close: libc.func('int close(int)'),
  dup: libc.func('int fcntl(int, int, int)'),
}

const F_DUPFD_CLOEXEC = 1030
/** The kernel answers EAGAIN when a rename elsewhere made it lose its way; trying again helps. */
const attempts = 32

// struct open_how: flags, mode, resolve, each 64 bits; all values fit the lower 32.
const how = new ArrayBuffer(24)
const howBytes = Buffer.from(how)
const howWords = new Uint32Array(how)

/**
 * Opens `path` below `dirfd` under the rules of `resolve` (RESOLVE_BENEATH and its kin, openat2(2)).
 * `mode` counts only with O_CREAT or O_TMPFILE. A violation is EXDEV, a symbolic link refused ELOOP.
 */
export function openat2(dirfd: number, path: Name, flags: number, mode: number, resolve: number): number {
  const name = cString(path)
  howWords[0] = flags | O_CLOEXEC
  howWords[2] = mode
  howWords[4] = resolve
  for (let attempt = 1; ; attempt++) {
    const fd: number = syscall(SYS_openat2, dirfd, name, howBytes, 24)
    if (fd >= 0) return fd
    try {
      fail('openat2')
    } catch (error) {
      if (!isErrno(error, 'EAGAIN') || attempt === attempts || resolve & RESOLVE_CACHED) throw error
    }
  }
}

/** Not confined: for trusted paths and for one plain name below a directory with O_NOFOLLOW. */
export function openat(dirfd: number, path: Name, flags: number, mode: number): number {
  const fd: number = c.openat(dirfd, cString(path), flags | O_CLOEXEC, mode)
  if (fd < 0) fail('openat')
  return fd
}

/** After an error the descriptor is gone all the same; EIO, ENOSPC and EDQUOT tell of lost writes. */
export function close(fd: number): void {
  if (c.close(fd) < 0) fail('close')
}

/** A second descriptor of the same open file, close-on-exec. */
export function dup(fd: number): number {
  const copy: number = c.dup(fd, F_DUPFD_CLOEXEC, 0)
  if (copy < 0) fail('fcntl')
  return copy
}
