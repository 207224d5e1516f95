/** Byte-range locks that an open file has, so that they can be taken again in another session. */

import type { LockOwner, LockRange } from './remote.ts'

export type HeldLock = LockRange & LockOwner
export type ByteRange = Omit<LockRange, 'type'>

export class HeldLocks {
  #locks: readonly HeldLock[] = []

  get all(): readonly HeldLock[] {
    return this.#locks
  }

  /** The owner has this now, whatever of it he had before (fcntl(2): a lock replaces those that it meets). */
  add(range: LockRange, owner: LockOwner): void {
    this.#locks = [...this.#without(range, owner), { ...range, ...owner }]
  }

  remove(range: ByteRange, owner: LockOwner): void {
    this.#locks = this.#without(range, owner)
  }

  /** What the owner has of a range, and what is left of it. */
  within(
    { start, end }: ByteRange,
    { owner, kind }: LockOwner,
  ): { held: readonly HeldLock[]; free: readonly ByteRange[] } {
    const last = end ?? Number.POSITIVE_INFINITY
    const held = this.#locks
      .filter((lock) => lock.owner === owner && lock.kind === kind && lock.start < last && endOf(lock) > start)
      .map((lock) => ({ ...lock, start: Math.max(lock.start, start), end: endOf(lock) > last ? end : lock.end }))
      .toSorted((one, other) => one.start - other.start)
    const free: ByteRange[] = []
    let at = start
    for (const lock of held) {
      if (lock.start > at) free.push({ start: at, end: lock.start })
      at = endOf(lock)
    }
    if (at < last) free.push({ start: at, end })
    return { held, free }
  }

  #without({ start, end = Number.POSITIVE_INFINITY }: ByteRange, { owner, kind }: LockOwner): HeldLock[] {
    return this.#locks.flatMap((lock) => {
      const lockEnd = endOf(lock)
      if (lock.owner !== owner || lock.kind !== kind || lock.start >= end || lockEnd <= start) return [lock]
      const parts: HeldLock[] = []
      if (lock.start < start) parts.push({ ...lock, end: start })
      if (lockEnd > end) parts.push({ ...lock, start: end })
      return parts
    })
  }
}

function endOf({ end }: ByteRange): number {
  return end ?? Number.POSITIVE_INFINITY
}
