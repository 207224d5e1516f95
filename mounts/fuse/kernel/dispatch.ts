/** Which operation a request is, how its body is read and its answer written. */

import { Errno } from '../errno.ts'
import type { Context, EntryReply, Operations } from '../operations.ts'
import { type Body, readLock, readSetattr } from './decode.ts'
import { Listing, putAttributesReply, putEntry, putLock, putOpen, putSpace, putU64 } from './encode.ts'
import { opcode, openFlag, size } from './protocol.ts'

/** What the kernel is told. */
export interface Answer {
  /** The body. In one piece it begins behind room for the header; chunks are sent as they are. */
  readonly bytes: Buffer | readonly Uint8Array[]
  /** Takes back what the kernel never learned of: a look-up to be forgotten, a handle to be released. */
  readonly undo?: () => void
}

/** What a handler knows of the session. */
export interface Surroundings {
  readonly operations: Operations
  readonly extendedSetxattr: boolean
  readonly readOnly: boolean
}

/** The data of a WRITE stays in the buffer that it was read into, when `keep` is called, until what it returns is. */
export type Handler = (
  around: Surroundings,
  context: Context,
  body: Body,
  keep: () => () => void,
) => Promise<Answer | undefined>

/** A READ's longest answer; the kernel asks for at most as many pages as were agreed on. */
const longestRead = 16 * 1024 * 1024
/** XATTR_SIZE_MAX and XATTR_LIST_MAX of Linux. */
const longestXattr = 65_536
const longestPath = 4095
/** Copying a megabyte of small writes costs less than a megabyte of buffer for each. */
const copiedWrite = 64 * 1024
const accessMode = 3
const truncateFlag = 0x200

/** A body of `length` bytes behind room for the header. */
function packed(length: number, put: (into: Buffer, at: number) => void, undo?: () => void): Answer {
  const bytes = Buffer.allocUnsafe(size.outHeader + length)
  put(bytes, size.outHeader)
  return undo ? { bytes, undo } : { bytes }
}

function entryAnswer({ operations }: Surroundings, entry: EntryReply): Answer {
  const undo = entry.nodeid === 0 ? undefined : () => operations.forget(entry.nodeid, 1)
  return packed(size.entry, (into, at) => putEntry(into, entry, at), undo)
}

function writes({ readOnly }: Surroundings): void {
  if (readOnly) throw new Errno('EROFS')
}

/** What was made for a request that nobody waits for any more is closed; there is no one to tell of a failure. */
function abandon(closing: Promise<void>): void {
  closing.catch(() => undefined)
}

const names: Readonly<Record<number, Handler>> = {
  [opcode.lookup]: async (around, context, body) =>
    entryAnswer(around, await around.operations.lookup(context, body.name())),
  [opcode.symlink]: async (around, context, body) => {
    writes(around)
    const name = body.name('EILSEQ')
    return entryAnswer(around, await around.operations.symlink(context, name, body.text(longestPath)))
  },
  [opcode.mknod]: async (around, context, body) => {
    writes(around)
    const [mode, device, umask] = [body.u32(), body.u32(), body.u32()]
    body.skip(4)
    return entryAnswer(around, await around.operations.mknod(context, body.name('EILSEQ'), mode, device, umask))
  },
  [opcode.mkdir]: async (around, context, body) => {
    writes(around)
    const [mode, umask] = [body.u32(), body.u32()]
    return entryAnswer(around, await around.operations.mkdir(context, body.name('EILSEQ'), mode, umask))
  },
  [opcode.unlink]: async (around, context, body) => {
    writes(around)
    await around.operations.unlink(context, body.name())
    return undefined
  },
  [opcode.rmdir]: async (around, context, body) => {
    writes(around)
    await around.operations.rmdir(context, body.name())
    return undefined
  },
  [opcode.rename]: async (around, context, body) => rename(around, context, body, body.u64(), 0),
  [opcode.rename2]: async (around, context, body) => {
    const [directory, flags] = [body.u64(), body.u32()]
    body.skip(4)
    // Either of RENAME_NOREPLACE and RENAME_EXCHANGE; there are no whiteouts here.
    if (flags > 2) throw new Errno('EINVAL')
    return rename(around, context, body, directory, flags)
  },
  [opcode.link]: async (around, context, body) => {
    writes(around)
    const nodeid = body.u64()
    return entryAnswer(around, await around.operations.link(context, nodeid, body.name('EILSEQ')))
  },
  [opcode.create]: async (around, context, body) => {
    writes(around)
    const [flags, mode, umask] = [body.u32(), body.u32(), body.u32()]
    body.skip(4)
    const { operations } = around
    const made = await operations.create(context, body.name('EILSEQ'), flags, mode, umask)
    const put = (into: Buffer, at: number) => {
      putEntry(into, made, at)
      putOpen(into, made, at + size.entry)
    }
    return packed(size.entry + size.openReply, put, () => {
      abandon(operations.release(context, made.fh, undefined))
      operations.forget(made.nodeid, 1)
    })
  },
}

async function rename(around: Surroundings, context: Context, body: Body, directory: number, flags: number) {
  writes(around)
  const [from, to] = [body.name(), body.name('EILSEQ')]
  await around.operations.rename(context, from, directory, to, flags)
  return undefined
}

const objects: Readonly<Record<number, Handler>> = {
  [opcode.getattr]: async ({ operations }, context, body) => {
    const hasHandle = (body.u32() & 1) !== 0
    body.skip(4)
    const reply = await operations.getattr(context, hasHandle ? body.u64() : undefined)
    return packed(size.attributesReply, (into, at) => putAttributesReply(into, reply, at))
  },
  [opcode.setattr]: async (around, context, body) => {
    writes(around)
    const reply = await around.operations.setattr(context, readSetattr(body))
    return packed(size.attributesReply, (into, at) => putAttributesReply(into, reply, at))
  },
  [opcode.readlink]: async ({ operations }, context) => ({
    bytes: [Buffer.from(await operations.readlink(context)).subarray(0, longestPath)],
  }),
  [opcode.statfs]: async ({ operations }, context) => {
    const space = await operations.statfs(context)
    return packed(size.statfsReply, (into, at) => putSpace(into, space, at))
  },
  [opcode.access]: async (around, context, body) => {
    const mask = body.u32()
    if ((mask & 2) !== 0) writes(around)
    await around.operations.access(context, mask)
    return undefined
  },
  [opcode.getxattr]: async ({ operations }, context, body) => {
    const room = body.u32()
    body.skip(4)
    return sized(room, await operations.getxattr(context, body.text(255, 'ENODATA')), longestXattr)
  },
  [opcode.listxattr]: async ({ operations }, context, body) => {
    const room = body.u32()
    const list = await operations.listxattr(context)
    return sized(room, Buffer.from(list.map((name) => `${name}\0`).join('')), longestXattr)
  },
  [opcode.setxattr]: async (around, context, body) => {
    writes(around)
    const [length, flags] = [body.u32(), body.u32()]
    if (around.extendedSetxattr) body.skip(8)
    const name = body.text(255, 'EOPNOTSUPP')
    if (length > longestXattr) throw new Errno('E2BIG')
    await around.operations.setxattr(context, name, Buffer.from(body.data(length)), flags)
    return undefined
  },
  [opcode.removexattr]: async (around, context, body) => {
    writes(around)
    await around.operations.removexattr(context, body.text(255, 'ENODATA'))
    return undefined
  },
}

/** GETXATTR and LISTXATTR: without room only the length is asked for. */
function sized(room: number, value: Uint8Array, longest: number): Answer {
  if (value.length > longest) throw new Errno('E2BIG')
  if (room === 0) {
    return packed(8, (into, at) => putU64(into, value.length, at))
  }
  if (value.length > room) throw new Errno('ERANGE')
  return { bytes: [value] }
}

const files: Readonly<Record<number, Handler>> = {
  [opcode.open]: async (around, context, body) => {
    const flags = body.u32()
    if ((flags & accessMode) !== 0 || (flags & truncateFlag) !== 0) writes(around)
    const { operations } = around
    const reply = await operations.open(context, flags)
    const undo = () => abandon(operations.release(context, reply.fh, undefined))
    return packed(size.openReply, (into, at) => putOpen(into, reply, at), undo)
  },
  [opcode.read]: async ({ operations }, context, body) => {
    const [fh, offset, length] = [body.u64(), body.u64('EOVERFLOW'), body.u32()]
    if (length > longestRead) throw new Errno('EINVAL')
    const bytes = await operations.read(context, fh, offset, length)
    let sum = 0
    for (const chunk of bytes) sum += chunk.length
    // The kernel would take nothing of it.
    if (sum > length) throw new Errno('EIO')
    return { bytes }
  },
  [opcode.write]: async (around, context, body, keep) => {
    writes(around)
    const [fh, offset, length, bits] = [body.u64(), body.u64('EFBIG'), body.u32(), body.u32()]
    body.skip(8)
    const flags = body.u32()
    body.skip(4)
    const sent = body.data(length)
    if (offset + length > Number.MAX_SAFE_INTEGER) throw new Errno('EFBIG')
    const whole = length >= copiedWrite ? { data: sent, done: keep() } : { data: Buffer.from(sent) }
    const killSuidGid = (bits & 4) !== 0
    const written = await around.operations.write(context, { fh, offset, ...whole, flags, killSuidGid })
    return packed(8, (into, at) => putU64(into, written, at))
  },
  [opcode.flush]: async ({ operations }, context, body) => {
    const fh = body.u64()
    body.skip(8)
    await operations.flush(context, fh, body.bits())
    return undefined
  },
  [opcode.fsync]: async ({ operations }, context, body) => {
    const fh = body.u64()
    await operations.fsync(context, fh, (body.u32() & 1) !== 0)
    return undefined
  },
  [opcode.release]: async ({ operations }, context, body) => {
    const fh = body.u64()
    body.skip(4)
    const unlocks = (body.u32() & 2) !== 0
    const owner = body.bits()
    await operations.release(context, fh, unlocks ? owner : undefined)
    return undefined
  },
  [opcode.getlk]: async ({ operations }, context, body) => {
    const { fh, owner, lock, flock } = readLock(body)
    const found = await operations.getlk(context, fh, owner, lock, flock)
    return packed(size.lock, (into, at) => putLock(into, found, at))
  },
  [opcode.setlk]: async ({ operations }, context, body) => setLock(operations, context, body, false),
  [opcode.setlkw]: async ({ operations }, context, body) => setLock(operations, context, body, true),
  [opcode.fallocate]: async (around, context, body) => {
    writes(around)
    const [fh, offset, length, mode] = [body.u64(), body.u64('EFBIG'), body.u64('EFBIG'), body.u32()]
    if (offset + length > Number.MAX_SAFE_INTEGER) throw new Errno('EFBIG')
    await around.operations.fallocate(context, fh, offset, length, mode)
    return undefined
  },
  [opcode.lseek]: async ({ operations }, context, body) => {
    const [fh, offset, whence] = [body.u64(), body.u64(), body.u32()]
    if (whence !== 3 && whence !== 4) throw new Errno('EINVAL')
    const found = await operations.lseek(context, fh, offset, whence)
    return packed(8, (into, at) => putU64(into, found, at))
  },
  // Its answer has 32 bits for what was copied, of which the kernel takes whole pages.
  [opcode.copyFileRange]: async (around, context, body) => copy(around, context, body, 0xffff_f000),
  [opcode.copyFileRange64]: async (around, context, body) => copy(around, context, body, Number.MAX_SAFE_INTEGER),
}

async function setLock(operations: Operations, context: Context, body: Body, wait: boolean): Promise<undefined> {
  const { fh, owner, lock, flock } = readLock(body)
  await operations.setlk(context, fh, owner, lock, flock, wait)
}

async function copy(around: Surroundings, context: Context, body: Body, longest: number): Promise<Answer> {
  writes(around)
  const from = { fh: body.u64(), offset: body.u64('EFBIG') }
  const to = { nodeid: body.u64(), fh: body.u64(), offset: body.u64('EFBIG') }
  const length = body.u64AtMost(longest)
  if (body.bits() !== 0n) throw new Errno('EINVAL')
  const copied = await around.operations.copyFileRange(context, from, to, length)
  return packed(8, (into, at) => putU64(into, copied, at))
}

const directories: Readonly<Record<number, Handler>> = {
  [opcode.opendir]: async ({ operations }, context) => {
    const reply = await operations.opendir(context)
    const undo = () => abandon(operations.releasedir(context, reply.fh))
    // Bits that mean something to files only would be refused.
    const flags = reply.flags & (openFlag.keepCache | openFlag.cacheDirectory)
    return packed(size.openReply, (into, at) => putOpen(into, { fh: reply.fh, flags }, at), undo)
  },
  [opcode.readdir]: async (around, context, body) => list(around, context, body, false),
  [opcode.readdirplus]: async (around, context, body) => list(around, context, body, true),
  [opcode.releasedir]: async ({ operations }, context, body) => {
    await operations.releasedir(context, body.u64())
    return undefined
  },
  [opcode.fsyncdir]: async ({ operations }, context, body) => {
    await operations.fsyncdir(context, body.u64())
    return undefined
  },
}

async function list({ operations }: Surroundings, context: Context, body: Body, plus: boolean): Promise<Answer> {
  const [fh, cookie, room] = [body.u64(), body.bits(), body.u32()]
  if (room > longestRead) throw new Errno('EINVAL')
  const listing = new Listing(room, plus)
  await operations.readdir(context, fh, cookie, listing, plus)
  return {
    bytes: [listing.bytes],
    undo: () => {
      for (const nodeid of listing.lookups) operations.forget(nodeid, 1)
    },
  }
}

/** What is answered with one number whatever is in the request. ENOSYS switches an operation off for good. */
const refused: Readonly<Record<number, 'ENOTTY' | 'ENOSYS'>> = { [opcode.ioctl]: 'ENOTTY' }

const handlers: ReadonlyMap<number, Handler> = new Map(
  Object.entries({ ...names, ...objects, ...files, ...directories }).map(([code, handler]) => [Number(code), handler]),
)

/** Throws ENOSYS where nothing is offered: the kernel asks for it no more and does it in another way, or not. */
export function handlerOf(code: number): Handler {
  const handler = handlers.get(code)
  if (!handler) throw new Errno(refused[code] ?? 'ENOSYS')
  return handler
}
