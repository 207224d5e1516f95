/** Attributes of files (statx) and of file systems (fstatfs). */

import type { Name } from './library.ts'
import { cString, fail, libc } from './library.ts'

/** What statx said of an object. Times are nanoseconds since 1970. */
export interface Stat {
  /** The device, unique in this boot: major * 2^32 + minor. */
  readonly dev: number
  readonly ino: bigint
  /** Type and permission bits. */
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  /** In units of 512 bytes. */
  readonly blocks: number
  readonly atimeNs: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
  /** Of birth; undefined where the file system does not keep it. */
  readonly btimeNs: bigint | undefined
  /** The mount the object was reached through; undefined before Linux 5.8. */
  readonly mount: number | undefined
}

/** What fstatfs said. */
export interface FileSystem {
  /** The magic number; see `fileSystemTypes`. */
  readonly type: number
  /** Bytes of a block, the unit of the next three. */
  readonly blockSize: number
  readonly blocks: number
  readonly free: number
  /** What an ordinary account may still use. */
  readonly available: number
  readonly files: number
  readonly filesFree: number
  readonly nameMax: number
}

const statx = libc.func('int statx(int, const void *, int, unsigned int, void *)')
const statfs = libc.func('int fstatfs(int, void *)')

const emptyPath = 0x1000
const basicStats = 0x7ff
const birth = 0x800
const mountId = 0x1000
const wanted = basicStats | birth | mountId

// struct statx is the same on every processor.
const room = new ArrayBuffer(256)
const bytes = Buffer.from(room)
const u16 = new Uint16Array(room)
const u32 = new Uint32Array(room)
const i64 = new BigInt64Array(room)
const u64 = new BigUint64Array(room)
const empty = Buffer.alloc(1)

const fsRoom = new ArrayBuffer(120)
const fsBytes = Buffer.from(fsRoom)
const fsWords = new BigUint64Array(fsRoom)

/** Attributes of an open object; also of one opened with O_PATH. */
export function fstat(fd: number): Stat {
  if (statx(fd, empty, emptyPath, wanted, bytes) < 0) fail('statx')
  return record()
}

/** `flags`: AT_SYMLINK_NOFOLLOW and such. Not confined: give it one plain name, never a path from outside. */
export function fstatat(dirfd: number, name: Name, flags: number): Stat {
  if (statx(dirfd, cString(name), flags, wanted, bytes) < 0) fail('statx')
  return record()
}

/** The file system an open object lies on. */
export function fstatfs(fd: number): FileSystem {
  if (statfs(fd, fsBytes) < 0) fail('fstatfs')
  const word = (index: number): number => Number(fsWords[index] ?? 0n)
  return {
    type: word(0) % 2 ** 32,
    // Counts are in fragments where a file system tells their size (statvfs(3)).
    blockSize: word(9) || word(1),
    blocks: word(2),
    free: word(3),
    available: word(4),
    files: word(5),
    filesFree: word(6),
    nameMax: word(8),
  }
}

function record(): Stat {
  const mask = u32[0] ?? 0
  return {
    dev: (u32[34] ?? 0) * 0x1_0000_0000 + (u32[35] ?? 0),
    ino: u64[4] ?? 0n,
    mode: u16[14] ?? 0,
    nlink: u32[4] ?? 0,
    uid: u32[5] ?? 0,
    gid: u32[6] ?? 0,
    size: number(10),
    blocks: number(12),
    atimeNs: time(8),
    mtimeNs: time(14),
    ctimeNs: time(12),
    btimeNs: mask & birth ? time(10) : undefined,
    mount: mask & mountId ? number(36) : undefined,
  }
}

/** The u64 at this index of 32-bit words. */
function number(index: number): number {
  return (u32[index] ?? 0) + (u32[index + 1] ?? 0) * 0x1_0000_0000
}

/** A struct statx_timestamp whose seconds are at this index of 64-bit words. */
function time(index: number): bigint {
  return (i64[index] ?? 0n) * 1_000_000_000n + BigInt(u32[index * 2 + 2] ?? 0)
}
