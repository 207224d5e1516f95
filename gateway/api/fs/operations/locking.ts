/** Locks of byte ranges: fcntl(2) and flock(2). */

import { StorageError } from '../../../core/errors.ts'
import type { ByteLock, ByteLockOwner, ByteRange, LockedFile } from '../../../core/storage.ts'
import { HttpError } from '../../../http/errors.ts'
import type { Handle } from '../handles.ts'
import type { Members } from '../members.ts'
import { handleOf } from './files.ts'
import type { Doing, Operation } from './operation.ts'

/** Milliseconds that one request waits; then the client asks anew. */
const patience = 20_000
const maxOwner = 64
const maxWish = 64

export const testLock: Operation = {
  prepare(members, doing) {
    const { handle, owner, range } = asked(members, doing)
    const type = members.word('type', ['shared', 'exclusive'])
    return async () => {
      const { byteLocks } = doing.context.storage
      const found = await byteLocks.test(doing.call, fileOf(handle), { ...range, type }, owner)
      return { lock: found ? { ...found, end: found.end ?? null } : null }
    }
  },
}

export const lock: Operation = {
  prepare(members, doing) {
    const { handle, owner, range } = asked(members, doing)
    const type = members.word('type', ['shared', 'exclusive'])
    const wait = members.flag('wait')
    const wish = members.has('wish') ? members.text('wish', maxWish) : undefined
    return async () => {
      if (type === 'exclusive') await requireWriter(doing, handle)
      const take = (signal: AbortSignal) =>
        handle.use(() => acquire(doing, handle, { ...range, type }, owner, { wait, signal }))
      await (wish === undefined ? take(doing.call.signal) : doing.session.wishes.run(wish, take))
      return {}
    }
  },
}

export const unlock: Operation = {
  prepare(members, doing) {
    const { handle, owner, range } = asked(members, doing)
    return async () => {
      await doing.context.storage.byteLocks.release(doing.call, fileOf(handle), range, owner)
      return {}
    }
  },
}

/** For whoever did not wait for the answer to `lock`: afterwards the request is over, and it is known what there is to unlock. */
export const cancelLock: Operation = {
  prepare(members, doing) {
    const wish = members.text('wish', maxWish)
    return async () => {
      await doing.session.wishes.cancel(wish)
      return {}
    }
  },
}

interface AskedLock {
  readonly handle: Handle
  readonly owner: ByteLockOwner
  readonly range: ByteRange
}

function asked(members: Members, doing: Doing): AskedLock {
  const handle = handleOf(doing, members, 'handle')
  const start = members.whole('start')
  const end = members.any('end') === null ? undefined : members.whole('end')
  if (end !== undefined && end <= start) throw new StorageError('invalid', 'the range is empty')
  const owner = {
    session: doing.session.lockName,
    owner: members.text('owner', maxOwner),
    pid: members.whole('pid', 2 ** 31),
    kind: members.word('kind', ['posix', 'flock']),
  }
  return { handle, owner, range: { start, end } }
}

/** What nobody else sees yet has no locks. */
function fileOf({ content, path }: Handle): LockedFile {
  if (content.kind === 'draft') throw new StorageError('unsupported', 'what is being written anew has no locks')
  return { path, id: content.file.entry.id }
}

/** Whoever may only read keeps no writer out: fcntl(2) says so, flock(2) over a network too. */
async function requireWriter({ context, call }: Doing, { content, path }: Handle): Promise<void> {
  if (content.kind !== 'read') return
  const { actions } = await context.storage.rights(call, path)
  // Where it was may be another file now.
  const { id } = await context.storage.stat(call, path)
  if (id === content.file.entry.id && actions.includes('edit')) return
  throw new StorageError('denied', 'an exclusive lock takes the right to write', { path })
}

async function acquire(
  { context, call: { signal, ...call }, session }: Doing,
  handle: Handle,
  lock: ByteLock,
  owner: ByteLockOwner,
  terms: { readonly wait: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const { wait } = terms
  session.hasLocked = true
  const patient = AbortSignal.timeout(patience)
  // Of no use to a session that is over, and of those nobody gives anything back any more.
  const asked = { ...call, signal: AbortSignal.any([signal, session.signal, terms.signal]) }
  try {
    await context.storage.byteLocks.acquire(asked, fileOf(handle), lock, owner, wait ? patient : undefined)
  } catch (error) {
    if (StorageError.from(error).code !== 'busy') throw error
    if (!wait) throw new HttpError(409, 'busy', 'somebody else has the lock')
    const members = { again: true }
    if (patient.aborted) throw new HttpError(409, 'busy', 'somebody else still has the lock', { members })
    throw new HttpError(409, 'locked', 'all of these would wait for each other', { members: { deadlock: true } })
  }
}
