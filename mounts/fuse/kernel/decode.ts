/** Reads what the kernel sends. Nothing outside of the request is ever looked at: what is too short throws EIO. */

import { isUtf8 } from 'node:buffer'
import { Errno } from '../errno.ts'
import type { KernelLock, SetAttributes } from '../operations.ts'
import { longestName, setattrBit, size } from './protocol.ts'

/** fuse_in_header. */
export interface Header {
  readonly length: number
  readonly opcode: number
  /** A number of its own for each pending request, without the bit that marks one as sent again. */
  readonly key: number
  /** Sent again, after it was read and not answered. */
  readonly isRepeated: boolean
  /** To be echoed byte for byte. */
  readonly uniqueLow: number
  readonly uniqueHigh: number
  readonly nodeid: number
  readonly uid: number
  readonly gid: number
  readonly pid: number
}

/** The header of the `length` bytes that were read; undefined for what is no request. */
export function readHeader(buffer: Buffer, length: number): Header | undefined {
  if (length < size.inHeader || length > buffer.length || buffer.readUInt32LE(0) !== length) return undefined
  const uniqueLow = buffer.readUInt32LE(8)
  const uniqueHigh = buffer.readUInt32LE(12)
  return {
    length,
    opcode: buffer.readUInt32LE(4),
    key: keyOf(uniqueLow, uniqueHigh),
    isRepeated: uniqueHigh >>> 31 === 1,
    uniqueLow,
    uniqueHigh,
    nodeid: buffer.readUInt32LE(16) + buffer.readUInt32LE(20) * 0x1_0000_0000,
    uid: buffer.readUInt32LE(24),
    gid: buffer.readUInt32LE(28),
    pid: buffer.readUInt32LE(32),
  }
}

/** FUSE_UNIQUE_RESEND is bit 63. */
function keyOf(low: number, high: number): number {
  return (high & 0x7fff_ffff) * 0x1_0000_0000 + low
}

/** The bytes behind the header, read from front to end. */
export class Body {
  readonly #buffer: Buffer
  readonly #end: number
  #at: number = size.inHeader

  /** Extensions that follow a request (`total_extlen`, in units of 8 bytes) are no part of it. */
  constructor(buffer: Buffer, length: number) {
    this.#buffer = buffer
    const extensions = buffer.readUInt16LE(36) * 8
    if (extensions > length - size.inHeader) throw new Errno('EIO')
    this.#end = length - extensions
  }

  get left(): number {
    return this.#end - this.#at
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#take(4))
  }

  /** Skips what has no meaning for us. */
  skip(bytes: number): undefined {
    this.#take(bytes)
  }

  bits(): bigint {
    return this.#buffer.readBigUInt64LE(this.#take(8))
  }

  signed(): bigint {
    return this.#buffer.readBigInt64LE(this.#take(8))
  }

  /** A number that has to be exact here: file handles and node ids, which are ours, sizes and offsets. */
  u64(refusal: 'EINVAL' | 'EFBIG' | 'EOVERFLOW' = 'EINVAL'): number {
    const at = this.#take(8)
    const value = this.#buffer.readUInt32LE(at) + this.#buffer.readUInt32LE(at + 4) * 0x1_0000_0000
    if (value > Number.MAX_SAFE_INTEGER) throw new Errno(refusal)
    return value
  }

  /** The same for what may be shortened. */
  u64AtMost(limit: number): number {
    const at = this.#take(8)
    return Math.min(limit, this.#buffer.readUInt32LE(at) + this.#buffer.readUInt32LE(at + 4) * 0x1_0000_0000)
  }

  /** A name of a directory. `unknown` is thrown for one that no storage of ours can have. */
  name(unknown: 'ENOENT' | 'EILSEQ' | 'ENODATA' = 'ENOENT'): string {
    const bytes = this.#text()
    if (bytes.length > longestName) throw new Errno('ENAMETOOLONG')
    if (bytes.length === 0 || bytes.includes(0x2f)) throw new Errno('EINVAL')
    if (!isUtf8(bytes)) throw new Errno(unknown)
    const name = bytes.toString('utf8')
    if (name === '.' || name === '..') throw new Errno('EINVAL')
    return name
  }

  /** Any other text, as the name of an attribute or the target of a link. */
  text(longest: number, refusal: 'EILSEQ' | 'ENODATA' | 'EOPNOTSUPP' = 'EILSEQ'): string {
    const bytes = this.#text()
    if (bytes.length > longest) throw new Errno('ENAMETOOLONG')
    if (bytes.length === 0) throw new Errno('EINVAL')
    if (!isUtf8(bytes)) throw new Errno(refusal)
    return bytes.toString('utf8')
  }

  /** Exactly so many bytes, still in the request's buffer. */
  data(length: number): Buffer {
    const at = this.#take(length)
    return this.#buffer.subarray(at, at + length)
  }

  #text(): Buffer {
    const end = this.#buffer.indexOf(0, this.#at)
    if (end < 0 || end >= this.#end) throw new Errno('EIO')
    const bytes = this.#buffer.subarray(this.#at, end)
    this.#at = end + 1
    return bytes
  }

  #take(bytes: number): number {
    const at = this.#at
    if (bytes < 0 || bytes > this.#end - at) throw new Errno('EIO')
    this.#at = at + bytes
    return at
  }
}

/** fuse_setattr_in. */
export function readSetattr(body: Body): SetAttributes {
  const valid = body.u32()
  body.skip(4)
  const has = (bit: number) => (valid & bit) !== 0
  const fh = has(setattrBit.fh) ? body.u64() : body.skip(8)
  const length = has(setattrBit.size) ? body.u64('EFBIG') : body.skip(8)
  body.skip(8)
  const [atime, mtime] = [body.signed(), body.signed()]
  body.skip(8)
  const [atimeNs, mtimeNs] = [body.u32(), body.u32()]
  body.skip(4)
  const mode = body.u32()
  body.skip(4)
  const [uid, gid] = [body.u32(), body.u32()]
  return {
    ...(fh !== undefined && { fh }),
    ...(length !== undefined && { size: length }),
    ...(has(setattrBit.mode) && { mode }),
    ...(has(setattrBit.uid) && { uid }),
    ...(has(setattrBit.gid) && { gid }),
    ...(has(setattrBit.atime) && { atime: has(setattrBit.atimeNow) ? 'now' : nanoseconds(atime, atimeNs) }),
    ...(has(setattrBit.mtime) && { mtime: has(setattrBit.mtimeNow) ? 'now' : nanoseconds(mtime, mtimeNs) }),
    killSuidGid: has(setattrBit.killSuidGid),
  }
}

function nanoseconds(seconds: bigint, rest: number): bigint {
  return seconds * 1_000_000_000n + BigInt(rest)
}

export interface LockRequest {
  readonly fh: number
  readonly owner: bigint
  readonly lock: KernelLock
  readonly flock: boolean
}

/** fuse_lk_in. */
export function readLock(body: Body): LockRequest {
  const fh = body.u64()
  const owner = body.bits()
  const start = body.bits()
  const end = body.bits()
  const type = (['read', 'write', 'unlock'] as const)[body.u32()]
  const pid = body.u32()
  const flock = (body.u32() & 1) !== 0
  if (type === undefined || end < start) throw new Errno('EINVAL')
  return { fh, owner, lock: { start, end, type, pid }, flock }
}
