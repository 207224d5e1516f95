/** Reading directories, a batch of entries a call. */

import { isUtf8 } from 'node:buffer'
import { fail, libc } from './library.ts'

/** One name of a directory; never "." or "..". */
export interface DirectoryEntry {
  /** Undefined when the bytes are not UTF-8: such a name cannot be said in a path and is not shown. */
  readonly name: string | undefined
  /** DT_REG and so on, or DT_UNKNOWN. A hint: look at the object before relying on it. */
  readonly type: number
  readonly ino: bigint
}

const getdents64 = libc.func('long getdents64(int, void *, size_t)')

const room = Buffer.allocUnsafeSlow(65536)
const replacement = '\uFFFD'

/**
 * The next batch of a directory opened for reading: as many entries as fit into `bytes` (at most 64 KiB,
 * about 2,000 short names), none at the end. The descriptor's position moves past all of them.
 */
export function getdents(fd: number, bytes = room.length): DirectoryEntry[] {
  const entries: DirectoryEntry[] = []
  // A batch that holds only the dot entries is not the end.
  while (entries.length === 0) {
    const size: number = getdents64(fd, room, Math.min(bytes, room.length))
    if (size < 0) fail('getdents64')
    if (size === 0) break
    parse(size, entries)
  }
  return entries
}

/** Where a name is in the bytes that were read; they are good until the next read. */
export type VisitName = (bytes: Buffer, start: number, end: number, type: number) => void

/** As `getdents`, without making anything of the names, whatever their bytes. False at the end of the directory. */
export function visitNames(fd: number, bytes: number, visit: VisitName): boolean {
  const size: number = getdents64(fd, room, Math.min(bytes, room.length))
  if (size < 0) fail('getdents64')
  for (let at = 0; at < size; at += room.readUInt16LE(at + 16)) {
    const start = at + 19
    const end = room.indexOf(0, start)
    if (!isDots(start, end)) visit(room, start, end, room[at + 18] ?? 0)
  }
  return size > 0
}

function parse(size: number, entries: DirectoryEntry[]): void {
  // struct linux_dirent64: ino u64, off s64, reclen u16, type u8, name with NUL and padding.
  for (let at = 0; at < size; ) {
    const length = room.readUInt16LE(at + 16)
    const start = at + 19
    const end = room.indexOf(0, start)
    if (!isDots(start, end)) {
      entries.push({ name: decode(start, end), type: room[at + 18] ?? 0, ino: room.readBigUInt64LE(at) })
    }
    at += length
  }
}

function isDots(start: number, end: number): boolean {
  const length = end - start
  return length <= 2 && room[start] === 46 && (length === 1 || room[start + 1] === 46)
}

function decode(start: number, end: number): string | undefined {
  const name = room.toString('utf8', start, end)
  if (!name.includes(replacement)) return name
  return isUtf8(room.subarray(start, end)) ? name : undefined
}
