/** Byte-range locks: kept by the state store, and told from WebDAV's locks, which are of all bytes and of all doors. */

import type { ByteLockStore, Held, StoredByteLock } from '../../state/state.ts'
import type { Call } from '../call.ts'
import type { Gate } from '../deciding.ts'
import { StorageError } from '../errors.ts'
import { covers, type Spot, spotOf } from '../lock-scope.ts'
import { LockedError, type Locks } from '../locks.ts'
import type { ByteLock, ByteLockOperations, ByteLockOwner, ByteRange, LockedFile } from './operations.ts'
import { Waiters } from './waiters.ts'

/** Locks and wishes of one session. */
const mostOfSession = 10_000
/** Bytes of what a mount calls an owner. */
const maxOwner = 256
const endOfAll: number = Number.MAX_SAFE_INTEGER

export class ByteLocks implements ByteLockOperations {
  readonly available = true
  readonly #gate: Gate
  readonly #locks: Locks
  readonly #store: ByteLockStore
  readonly #waiters: Waiters

  constructor(gate: Gate, locks: Locks, store: ByteLockStore) {
    this.#gate = gate
    this.#locks = locks
    this.#store = store
    this.#waiters = new Waiters(store)
  }

  onLost(lost: () => void): void {
    this.#store.onLost(lost)
  }

  async test(
    call: Call,
    file: LockedFile,
    lock: ByteLock,
    owner: ByteLockOwner,
  ): Promise<(ByteLock & { readonly pid: number }) | undefined> {
    const spot = this.#spotOf(file)
    const found = await this.#store.test(stored(call, spot, lock, owner))
    if (found) {
      const { start, end, type, pid } = found
      return { start, end: end === endOfAll ? undefined : end, type, pid }
    }
    if (lock.type === 'shared' || !(await this.#ofOthers(call, file, spot))) return undefined
    return { start: 0, end: undefined, type: 'exclusive', pid: 0 }
  }

  async acquire(call: Call, file: LockedFile, lock: ByteLock, owner: ByteLockOwner, wait?: AbortSignal): Promise<void> {
    const spot = this.#spotOf(file)
    if (lock.type === 'exclusive') await this.#requireFree(call, file, spot)
    const wish = stored(call, spot, lock, owner)
    const before = await this.#take(call, file, wish, wait)
    try {
      // WebDAV's lock may have come in between; it was granted only if it saw none of ours.
      if (lock.type === 'exclusive') await this.#requireFree(call, file, spot)
      // Nobody will know that it was had.
      if (call.signal.aborted) throw gaveUp(call, file)
    } catch (error) {
      await this.#store.release(wish, before)
      throw error
    }
  }

  /** Gives what the owner had of the range before. */
  async #take(call: Call, file: LockedFile, wish: StoredByteLock, wait?: AbortSignal): Promise<readonly Held[]> {
    const ended = AbortSignal.any(wait ? [wait, call.signal] : [call.signal])
    let before: readonly Held[] | undefined
    for (;;) {
      const taken = await this.#store.take(wish, wait !== undefined && !ended.aborted, mostOfSession)
      if (taken.kind === 'had') return before ?? taken.before
      if (taken.kind !== 'waits') {
        const text = taken.kind === 'held' ? 'another process has a lock there' : 'all would wait for each other'
        throw new StorageError('busy', text, { path: file.path })
      }
      before ??= taken.before
      if (!(await this.#waiters.wait(taken.ticket, ended))) throw gaveUp(call, file)
    }
  }

  async release(call: Call, file: LockedFile, range: ByteRange, owner: ByteLockOwner): Promise<void> {
    await this.#store.release(stored(call, this.#spotOf(file), { ...range, type: 'shared' }, owner))
  }

  releaseAll(session: string, owner?: string): Promise<void> {
    return this.#store.releaseAll(session, owner)
  }

  adopt({ principal }: Call, from: string, to: string): Promise<number> {
    return this.#store.adopt(principal.id, from, to)
  }

  /** The object by its id, the way to it by its path. */
  #spotOf({ path, id }: LockedFile): Spot & { readonly id: string } {
    return { ...spotOf(this.#gate.namespace.resolve(path), undefined), id }
  }

  /** Where WebDAV's locks of somebody else cover the file. */
  async #ofOthers(
    { principal }: Call,
    { path }: LockedFile,
    spot: Spot,
  ): Promise<{ readonly holder: string } | undefined> {
    await this.#locks.fresh(this.#gate.namespace.resolve(path).mount.backend)
    for (const lock of this.#locks.near(spot)) {
      if (covers(lock, spot) && lock.principal !== principal.id) return { holder: lock.principal }
    }
    return undefined
  }

  async #requireFree(call: Call, file: LockedFile, spot: Spot): Promise<void> {
    const other = await this.#ofOthers(call, file, spot)
    if (!other) return
    const { path } = file
    const reason = { rule: 'lock', text: `a lock of ${other.holder} is in the way`, path }
    throw new LockedError('no-conflicting-lock', path, { path, reason })
  }
}

function stored(
  { principal }: Call,
  spot: Spot & { readonly id: string },
  lock: ByteLock,
  by: ByteLockOwner,
): StoredByteLock {
  const { start, end = endOfAll, type } = lock
  const { session, owner, pid, kind } = by
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end <= start) {
    throw new StorageError('invalid', 'this is no range of bytes')
  }
  if (Buffer.byteLength(owner) > maxOwner || Buffer.byteLength(session) > maxOwner || !Number.isSafeInteger(pid)) {
    throw new StorageError('invalid', 'this cannot be the owner of a lock')
  }
  const { realm, id: object, at } = spot
  const { id, counted = id } = principal
  return { realm, object, at, principal: id, counted, session, owner, pid, kind, start, end, type }
}

function gaveUp({ signal }: Call, { path }: LockedFile): StorageError {
  if (signal.aborted) return new StorageError('cancelled', 'the caller waits no more', { path })
  return new StorageError('busy', 'another process still has a lock there', { path })
}
