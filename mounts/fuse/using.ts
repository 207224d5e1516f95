/** What is done with files that are open. */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { StorageError } from '../../gateway/core/errors.ts'
import { openFlag, type Parts } from './common.ts'
import { Errno } from './errno.ts'
import type { LockReleases } from './locking.ts'
import type { OpenFile } from './open-files.ts'
import { altering } from './opening.ts'
import type { Operations } from './operations.ts'
import { settle, settleBeside, wroteBeside } from './settling.ts'
import { presentTold } from './told.ts'

/** fallocate(2). */
const zeroKeepSize = 0x11
const allocation: ReadonlyMap<number, 'extend' | 'keep' | 'punch' | 'zero'> = new Map([
  [0, 'extend'],
  [1, 'keep'],
  [3, 'punch'],
  [0x10, 'zero'],
  [zeroKeepSize, 'zero'],
])
/** lseek(2). */
const seekData = 3
const seekHole = 4

type Using = Pick<
  Operations,
  'read' | 'write' | 'flush' | 'fsync' | 'release' | 'fallocate' | 'lseek' | 'copyFileRange'
>

export function usingOperations(parts: Parts, locks: LockReleases): Using {
  const { open, nodes, isShared } = parts
  return {
    async read(context, fh, offset, size) {
      const file = open.get(fh)
      const { failed } = file
      if (failed && failed.until > parts.now() && offset >= failed.start && offset < failed.end) throw failed.error
      if (isShared) await settleBeside(file, context.signal)
      // Nothing is awaited behind it: the chunks may be used until the event loop turns.
      return file.data.read(offset, size, context.signal).catch((error) => {
        if (isAway(error))
          file.failed = { error, start: offset, end: offset + size, until: parts.now() + repeatedWithin }
        throw error
      })
    },
    async write(context, { fh, offset, data, flags, done }) {
      const file = open.get(fh)
      open.checkLost(file)
      const size = endOf(file)
      // The kernel appends at the end that it knows; somebody else may have moved it.
      const isElsewhere = (flags & openFlag.append) !== 0 && size !== offset
      const at = isElsewhere ? size : offset
      await altering(parts, file, () => file.data.write(data, at, context.signal, done))
      if (isElsewhere) parts.notifier.invalidateNode(file.node.nodeid, true)
      return data.length
    },
    async flush(context, fh, lockOwner) {
      const file = open.get(fh)
      try {
        if (file.isWritable) {
          open.checkLost(file)
          await file.data.flush(isLastClose(parts, file, context.pid), context.signal)
          if (isUntold(file)) flushed(parts, file)
        }
      } finally {
        await locks.releasePosix(file, lockOwner)
      }
    },
    async fsync(context, fh) {
      const file = open.get(fh)
      if (!file.isWritable) return syncOthers(parts, file, context.signal)
      open.checkLost(file)
      await file.data.sync(context.signal)
      if (isUntold(file)) flushed(parts, file)
    },
    async release(_context, fh, lockOwner) {
      const file = open.find(fh)
      if (!file) return
      try {
        if (lockOwner !== undefined) await locks.releaseFlock(file, lockOwner)
      } finally {
        const told = presentTold(parts, file)
        open.remove(file)
        await file.data.release()
        const isDone = told !== undefined && told.altered === file.state.altered && !isUntold(file)
        if (file.isWritable && !isDone) {
          file.view.remembered.drop(file.node)
          if (isUntold(file) && nodes.hasPath(file.node)) flushed(parts, file)
        }
      }
    },
    fallocate: async (context, fh, offset, length, mode) =>
      allocate(parts, open.get(fh), { offset, length, mode }, context.signal),
    async lseek(context, fh, offset, whence) {
      if (whence !== seekData && whence !== seekHole) throw new Errno('EINVAL')
      const { data } = open.get(fh)
      const found = await data.seek(offset, whence === seekData ? 'data' : 'hole', context.signal)
      if (found === undefined) throw new Errno('ENXIO')
      return found
    },
    async copyFileRange(context, from, to, length) {
      const [source, target] = [open.get(from.fh), open.get(to.fh)]
      // Two identities have two sessions; the kernel copies by reading and writing then.
      if (source.view !== target.view) throw new Errno('EXDEV')
      const copying = () => target.data.copyFrom(source.data, from.offset, length, to.offset, context.signal)
      return altering(parts, target, copying)
    },
  }
}

/** Milliseconds: what the kernel has read ahead in vain it asks for once more, and the program has waited by then. */
const repeatedWithin = 1000

function isAway(error: unknown): boolean {
  return error instanceof StorageError && (error.code === 'unavailable' || error.code === 'timeout')
}

interface Allocating {
  readonly offset: number
  readonly length: number
  readonly mode: number
}

async function allocate(parts: Parts, file: OpenFile, { offset, length, mode }: Allocating, signal: AbortSignal) {
  const how = allocation.get(mode)
  if (how === undefined) throw new Errno('EOPNOTSUPP')
  if (!Number.isSafeInteger(offset + length)) throw new Errno('EFBIG')
  const end = offset + length
  await altering(parts, file, async () => {
    if (mode !== zeroKeepSize) return file.data.allocate(offset, end, how, signal)
    // Zeros within the file, and room behind it.
    const { size } = file.data
    if (offset < size) await file.data.allocate(offset, Math.min(end, size), 'zero', signal)
    if (end > size) await file.data.allocate(Math.max(offset, size), end, 'keep', signal)
  })
}

/** fsync(2) is about the file, whoever wrote it. What went wrong each file that is open is told for itself. */
async function syncOthers(parts: Parts, { view, node, data }: OpenFile, signal: AbortSignal): Promise<void> {
  await settle(parts, view, node, signal)
  await data.sync(signal)
  const writer = parts.open.anyOf(node, view, true)
  if (writer?.data.remote.kind === 'edit') await writer.data.remote.sync(signal)
}

/** Whether it has written what nobody was told to ask for anew. */
function isUntold({ isDirty, state }: OpenFile): boolean {
  return isDirty || state.isDirty
}

/** Where the next bytes go: several identities may append to one file, each of which knows what it wrote itself. */
function endOf({ data, state }: OpenFile): number {
  let end = data.size
  for (const file of state.open) if (file.data.remote.kind === 'edit') end = Math.max(end, file.data.size)
  return end
}

/** The gateway has it all. Times and version are to be asked for anew, unless they were told along with the last of it. */
function flushed(parts: Parts, file: OpenFile): void {
  const { nodes, open, recent, now } = parts
  const { state, view, node } = file
  open.note(file, 'k')
  file.isDirty = false
  state.isDirty = [...state.open].some((each) => each.isDirty)
  wroteBeside(view, state)
  const told = presentTold(parts, file)
  view.remembered.drop(node)
  if (!nodes.hasPath(node)) return
  view.changedHere(nodes.pathOf(node), node)
  if (!told) return
  state.told = { ...told, moment: recent.moment() }
  view.learn(node, told.attributes, recent.moment(), now() - told.time)
}

/**
 * Whether this close(2) is the one that the file was opened for: a shell that opens a file for a program closes its own
 * descriptor before anything is written, and the program's children close theirs whenever they end.
 */
function isLastClose({ nodes, localName }: Parts, { opener, data, node }: OpenFile, pid: number): boolean {
  if (!data.isDraft) return true
  if (data.size === 0) return false
  const isOpener = pid === opener || pid === 0 || opener === 0 || processOf(pid) === processOf(opener)
  return isOpener && !(pid !== 0 && nodes.hasPath(node) && hasOpen(pid, localName(nodes.pathOf(node))))
}

/**
 * Whether the process has another descriptor of it, as a shell that writes `echo … >&3`. Names alone are looked at: whatever
 * asks the file itself would wait for this mount. Who sees the mount elsewhere is taken to have none.
 */
function hasOpen(pid: number, name: string | undefined): boolean {
  const directory = `/proc/${pid}/fd`
  try {
    return readdirSync(directory).some((fd) => readlinkSync(`${directory}/${fd}`) === name)
  } catch {
    // It has ended, or /proc does not show it.
    return false
  }
}

/** The kernel tells the thread. Undefined for one that has ended. */
function processOf(thread: number): number | undefined {
  try {
    const found = /^Tgid:\s*(\d+)$/m.exec(readFileSync(`/proc/${thread}/status`, 'latin1'))
    return found ? Number(found[1]) : undefined
  } catch {
    // It has ended meanwhile, or /proc does not show it.
    return undefined
  }
}
