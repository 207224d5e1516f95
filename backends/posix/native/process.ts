/** What a process does to itself once, at its start or end: ids, mounts of its own, the way out. Linux only. */

import { callNumbers } from './constants.ts'
import { Errno } from './errno.ts'
import type { Name } from './library.ts'
import { cString, fail, libc, otherCString } from './library.ts'

export interface AccountIds {
  readonly uid: number
  readonly gid: number
}

const c = {
  syscall: libc.func('long syscall(long, unsigned long, unsigned long, unsigned long)'),
  setgroups: libc.func('long syscall(long, unsigned long, const void *)'),
  prctl: libc.func('int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)'),
  unshare: libc.func('int unshare(int)'),
  mount: libc.func('int mount(const char *, const void *, const char *, unsigned long, const char *)'),
  umount2: libc.func('int umount2(const void *, int)'),
  fcntl: libc.func('int fcntl(int, int, int)'),
  exit: libc.func('void _exit(int)'),
}

const CLONE_NEWNS = 0x00020000
const MNT_DETACH = 2
const F_SETFD = 2
const FD_CLOEXEC = 1
const PR_SET_DUMPABLE = 4
const PR_SET_KEEPCAPS = 8

export const MS_RDONLY = 1
export const MS_NOSUID = 2
export const MS_NODEV = 4
export const MS_NOEXEC = 8
export const MS_REMOUNT = 32
export const MS_BIND = 4096
export const MS_REC = 16384
export const MS_SLAVE = 1 << 19

/**
 * Makes the calling thread this account for good, with its group alone. It keeps the capabilities it is permitted
 * until it executes a program, though none of them is effective. By raw calls: other threads stay what they are.
 */
export function becomeAccount({ uid, gid }: AccountIds): void {
  if (!callNumbers) throw new Errno(38, 'setresuid')
  if (c.setgroups(callNumbers.setgroups, 1, Uint32Array.of(gid)) < 0) fail('setgroups')
  if (c.syscall(callNumbers.setresgid, gid, gid, gid) < 0) fail('setresgid')
  if (c.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) fail('prctl')
  if (c.syscall(callNumbers.setresuid, uid, uid, uid) < 0) fail('setresuid')
}

/** Runs `work` with the file-system identity of an account, on the calling thread; needs to be root. Synchronous. */
export function asAccount<T>({ uid, gid }: AccountIds, work: () => T): T {
  if (!callNumbers || !process.getgroups) throw new Errno(38, 'setfsuid')
  const groups = Uint32Array.from(process.getgroups())
  if (c.setgroups(callNumbers.setgroups, 1, Uint32Array.of(gid)) < 0) fail('setgroups')
  c.syscall(callNumbers.setfsgid, gid, 0, 0)
  c.syscall(callNumbers.setfsuid, uid, 0, 0)
  try {
    return work()
  } finally {
    c.syscall(callNumbers.setfsuid, process.geteuid?.() ?? 0, 0, 0)
    c.syscall(callNumbers.setfsgid, process.getegid?.() ?? 0, 0, 0)
    c.setgroups(callNumbers.setgroups, groups.length, groups)
  }
}

/** A mount table of the calling thread's own, into which others' changes still come and from which none go out. */
export function leaveMountNamespace(): void {
  if (c.unshare(CLONE_NEWNS) < 0) fail('unshare')
  mount('none', '/', '', MS_REC | MS_SLAVE, '')
}

/** mount(2). */
export function mount(source: string, target: Name, type: string, flags: number, data: string): void {
  if (c.mount(source, otherCString(target), type, flags, data) < 0) fail('mount')
}

/** Takes a mount out of sight at once; it ends when nobody uses it any more. */
export function detachMount(target: Name): void {
  if (c.umount2(cString(target), MNT_DETACH) < 0) fail('umount2')
}

/** A descriptor that programs executed from here get too. */
export function keepOverExec(fd: number): void {
  if (c.fcntl(fd, F_SETFD, 0) < 0) fail('fcntl')
}

/** A descriptor that programs executed from here do not get. */
export function closeOnExec(fd: number): void {
  if (c.fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) fail('fcntl')
}

/** No core dumps, and no process of the same account may look into this one's memory. */
export function hideMemory(): void {
  if (c.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) fail('prctl')
}

/**
 * Ends the process without waiting for any thread. `process.exit` would wait for an I/O thread or a thread of
 * libuv that a hung file system holds. Nothing is flushed: do that before.
 */
export function exitNow(code: number): never {
  c.exit(code)
  throw new Errno(38, '_exit')
}
