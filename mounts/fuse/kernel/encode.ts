/** Writes what the kernel is answered, into buffers whose place the caller has made sure of. */

import { Errno } from '../errno.ts'
import type {
  AttributesReply,
  DirectoryEntry,
  DirectoryFiller,
  EntryReply,
  FileSystemSpace,
  KernelLock,
  NodeAttributes,
  OpenReply,
} from '../operations.ts'
import { size } from './protocol.ts'

const lockTypes = { read: 0, write: 1, unlock: 2 } as const

export function putU64(into: Buffer, value: number, at: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new Errno('EOVERFLOW')
  into.writeUInt32LE(value % 0x1_0000_0000, at)
  into.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4)
}

/** fuse_attr. */
export function putAttributes(into: Buffer, attributes: NodeAttributes, at: number): void {
  into.writeBigUInt64LE(BigInt.asUintN(64, attributes.ino), at)
  putU64(into, attributes.size, at + 8)
  putU64(into, attributes.blocks, at + 16)
  putTime(into, attributes.atime, at + 24, at + 48)
  putTime(into, attributes.mtime, at + 32, at + 52)
  putTime(into, attributes.ctime, at + 40, at + 56)
  into.writeUInt32LE(attributes.mode >>> 0, at + 60)
  into.writeUInt32LE(attributes.nlink >>> 0, at + 64)
  into.writeUInt32LE(attributes.uid >>> 0, at + 68)
  into.writeUInt32LE(attributes.gid >>> 0, at + 72)
  into.writeUInt32LE(0, at + 76)
  into.writeUInt32LE(attributes.blksize >>> 0, at + 80)
  into.writeUInt32LE(0, at + 84)
}

/** Nanoseconds are below 10^9 also before 1970, where seconds are negative; the kernel takes nothing else. */
function putTime(into: Buffer, time: bigint, secondsAt: number, restAt: number): void {
  let seconds = time / 1_000_000_000n
  let rest = time - seconds * 1_000_000_000n
  if (rest < 0n) {
    seconds -= 1n
    rest += 1_000_000_000n
  }
  into.writeBigInt64LE(BigInt.asIntN(64, seconds), secondsAt)
  into.writeUInt32LE(Number(rest), restAt)
}

function putLifetime(into: Buffer, milliseconds: number, secondsAt: number, restAt: number): void {
  const lifetime = Math.max(0, Math.min(milliseconds, 0xffff_ffff))
  putU64(into, Math.floor(lifetime / 1000), secondsAt)
  into.writeUInt32LE(Math.floor((lifetime % 1000) * 1e6), restAt)
}

/** fuse_entry_out. */
export function putEntry(into: Buffer, entry: EntryReply, at: number): void {
  putU64(into, entry.nodeid, at)
  putU64(into, entry.generation, at + 8)
  putLifetime(into, entry.entryValid, at + 16, at + 32)
  putLifetime(into, entry.attrValid, at + 24, at + 36)
  // A negative entry has no object that anything could be said of.
  if (entry.nodeid === 0) into.fill(0, at + 40, at + size.entry)
  else putAttributes(into, entry.attributes, at + 40)
}

/** fuse_attr_out. */
export function putAttributesReply(into: Buffer, reply: AttributesReply, at: number): void {
  putLifetime(into, reply.attrValid, at, at + 8)
  into.writeUInt32LE(0, at + 12)
  putAttributes(into, reply.attributes, at + 16)
}

/** fuse_open_out. */
export function putOpen(into: Buffer, reply: OpenReply, at: number): void {
  putU64(into, reply.fh, at)
  into.writeUInt32LE(reply.flags >>> 0, at + 8)
  into.writeUInt32LE(0, at + 12)
}

/** fuse_kstatfs. */
export function putSpace(into: Buffer, space: FileSystemSpace, at: number): void {
  into.fill(0, at, at + size.statfsReply)
  for (const [index, value] of [space.blocks, space.bfree, space.bavail, space.files, space.ffree].entries()) {
    putU64(into, value, at + index * 8)
  }
  into.writeUInt32LE(space.bsize >>> 0, at + 40)
  into.writeUInt32LE(space.namelen >>> 0, at + 44)
  into.writeUInt32LE(space.frsize >>> 0, at + 48)
}

/** fuse_file_lock. */
export function putLock(into: Buffer, lock: KernelLock, at: number): void {
  into.writeBigUInt64LE(BigInt.asUintN(64, lock.start), at)
  into.writeBigUInt64LE(BigInt.asUintN(64, lock.end), at + 8)
  into.writeUInt32LE(lockTypes[lock.type], at + 16)
  into.writeUInt32LE(lock.pid >>> 0, at + 20)
}

/** Packs fuse_dirent or fuse_direntplus records into one answer. */
export class Listing implements DirectoryFiller {
  readonly #buffer: Buffer
  readonly #plus: boolean
  readonly #lookups: number[] = []
  #length = 0

  constructor(room: number, plus: boolean) {
    this.#buffer = Buffer.allocUnsafe(room)
    this.#plus = plus
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  /** Nodes that the kernel counts a look-up of when it gets this answer. */
  get lookups(): readonly number[] {
    return this.#lookups
  }

  add(entry: DirectoryEntry): boolean {
    const length = Buffer.byteLength(entry.name)
    const head = this.#plus ? size.entry : 0
    const end = this.#length + head + size.directoryEntry + Math.ceil(length / 8) * 8
    if (end > this.#buffer.length) return false
    const at = this.#length + head
    if (this.#plus) {
      if (entry.entry) putEntry(this.#buffer, entry.entry, this.#length)
      else this.#buffer.fill(0, this.#length, at)
      if (entry.entry && entry.entry.nodeid !== 0) this.#lookups.push(entry.entry.nodeid)
    }
    this.#buffer.writeBigUInt64LE(BigInt.asUintN(64, entry.ino), at)
    this.#buffer.writeBigUInt64LE(BigInt.asUintN(64, entry.cookie), at + 8)
    this.#buffer.writeUInt32LE(length, at + 16)
    this.#buffer.writeUInt32LE(entry.type >>> 0, at + 20)
    this.#buffer.write(entry.name, at + size.directoryEntry)
    this.#buffer.fill(0, at + size.directoryEntry + length, end)
    this.#length = end
    return true
  }
}
