/** Advisory locks of fcntl(2) and flock(2), kept by the gateway; and the freshness that programs take from them. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { LockOwner, LockRange } from '../client/fs/remote.ts'
import type { Parts } from './common.ts'
import { Errno } from './errno.ts'
import type { OpenFile } from './open-files.ts'
import type { KernelLock, Operations } from './operations.ts'
import { settle } from './settling.ts'

/** What the kernel says for the end of all files. */
const endOfFiles = 0x7fff_ffff_ffff_ffffn
const noSignal = new AbortController().signal

export interface LockReleases {
  /** A process has closed a descriptor of the file, so all its locks of fcntl(2) on it end. */
  releasePosix(file: OpenFile, owner: bigint): Promise<void>
  /** The last descriptor of an open file is gone. */
  releaseFlock(file: OpenFile, owner: bigint): Promise<void>
}

export function lockOperations(parts: Parts): Pick<Operations, 'getlk' | 'setlk'> & LockReleases {
  const { open } = parts
  return {
    async getlk(context, fh, owner, lock, flock) {
      if (lock.type === 'unlock') return lock
      const { data } = open.get(fh)
      const range = { ...rangeOf(lock), type: typeOf(lock.type) }
      const found = await data.remote.testLock(range, ownerOf(owner, lock.pid, flock), context.signal)
      if (!found) return { ...lock, type: 'unlock' }
      const end = found.end === undefined ? endOfFiles : BigInt(found.end) - 1n
      const type = found.type === 'shared' ? 'read' : 'write'
      return { start: BigInt(found.start), end, type, pid: found.pid }
    },
    async setlk(context, fh, owner, lock, flock, wait) {
      const file = open.get(fh)
      const who = ownerOf(owner, lock.pid, flock)
      if (lock.type === 'unlock') {
        // Who takes the lock next sees what was written under it.
        await settle(parts, file.view, file.node, context.signal)
        await file.data.remote.unlock(rangeOf(lock), who, context.signal)
        return
      }
      if (wait) context.mayTakeLong?.()
      // Told before the answer: a lock that was had although nobody heard of it must go with the file.
      open.note(file, 'h')
      if (!flock) file.state.lockers.add(who.owner)
      const range = rangeOf(lock)
      await lockNow(file, { ...range, type: typeOf(lock.type) }, who, wait, context.signal)
      try {
        await refresh(parts, file, context.signal)
      } catch (error) {
        // The caller is told that he has it not.
        await file.data.remote.unlock(range, who, noSignal).catch(() => {})
        throw error
      }
    },
    async releasePosix(file, owner) {
      const who = ownerOf(owner, 0, false)
      if (!file.state.lockers.delete(who.owner)) return
      await file.data.remote.unlock({ start: 0, end: undefined }, who, noSignal)
    },
    async releaseFlock(file, owner) {
      await file.data.remote.unlock({ start: 0, end: undefined }, ownerOf(owner, 0, true), noSignal)
    },
  }
}

async function lockNow(file: OpenFile, range: LockRange, who: LockOwner, wait: boolean, signal: AbortSignal) {
  try {
    await file.data.remote.lock(range, who, wait, signal)
  } catch (error) {
    // fcntl(2): EAGAIN where another has it; to a caller who waits it is a question asked in vain.
    const isHeld = error instanceof StorageError && (error.code === 'busy' || error.code === 'locked')
    if (isHeld) throw new Errno('EAGAIN')
    throw error
  }
}

/** What others wrote while they had the lock is seen by whoever has it now. */
async function refresh(parts: Parts, file: OpenFile, signal: AbortSignal): Promise<void> {
  const { notifier, nodes, recent } = parts
  const { state, view, node } = file
  await settle(parts, view, node, signal)
  const moment = recent.moment()
  const mend = view.files.looking(node.nodeid)
  const attributes = mend(await file.data.remote.stat(signal))
  const isSame = state.version !== undefined && attributes.version === state.version
  if (!isSame) {
    state.version = attributes.version === '' ? undefined : attributes.version
    view.files.changed(node.nodeid)
    notifier.invalidateNode(node.nodeid, true)
    await notifier.settled?.()
  }
  if (nodes.hasPath(node)) view.learn(node, attributes, moment)
}

function ownerOf(owner: bigint, pid: number, flock: boolean): LockOwner {
  return { owner: BigInt.asUintN(64, owner).toString(16), pid, kind: flock ? 'flock' : 'posix' }
}

function typeOf(type: 'read' | 'write'): 'shared' | 'exclusive' {
  return type === 'read' ? 'shared' : 'exclusive'
}

/** EOVERFLOW for bytes that no file of ours has. */
function rangeOf({ start, end }: KernelLock): Omit<LockRange, 'type'> {
  const first = Number(start)
  if (!Number.isSafeInteger(first) || start < 0n) throw new Errno('EOVERFLOW')
  const last = Number(end)
  if (end >= endOfFiles) return { start: first, end: undefined }
  if (end < start) throw new Errno('EINVAL')
  if (!Number.isSafeInteger(last + 1)) throw new Errno('EOVERFLOW')
  return { start: first, end: last + 1 }
}
