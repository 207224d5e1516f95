/** Byte-range locks, as the state store keeps them. */

import type { Path } from '../core/path.ts'
import type { Held } from './byte-ranges.ts'

export type { Held } from './byte-ranges.ts'

/** An object as byte locks know it. */
export interface LockedObject {
  /** The storage in which `object` and `at` mean something. */
  readonly realm: string
  readonly object: string
}

export interface LockHolder {
  /** `Principal.id`. */
  readonly principal: string
  /** Whose bounds it counts against: many credentials may be one principal's. */
  readonly counted: string
  readonly session: string
  readonly owner: string
  readonly pid: number
  /** Locks of the two kinds do not meet. */
  readonly kind: 'posix' | 'flock'
}

export interface StoredByteLock extends LockedObject, LockHolder {
  /** Where it was when it was locked. */
  readonly at: Path
  readonly start: number
  /** Exclusive; the largest safe integer stands for the end of all files. */
  readonly end: number
  readonly type: 'shared' | 'exclusive'
}

/** What became of a wish. `deadlock`: all of them would wait for each other. */
export type Taken =
  /** `before`: what the owner had of the range. */
  | { readonly kind: 'had'; readonly before: readonly Held[] }
  /** `before`: what the owner has of the range while it waits. */
  | { readonly kind: 'waits'; readonly ticket: string; readonly before: readonly Held[] }
  | { readonly kind: 'held' | 'deadlock'; readonly by: StoredByteLock }

/**
 * Locks of owners that live in a process of this gateway; those of a process that is gone are in nobody's way any
 * more. Who waits stands in a line, over all processes, and is given the lock by whoever gives it back.
 */
export interface ByteLockStore {
  /** Calls `moved` soon after some process has given a lock to one that waits. False when that cannot be heard. */
  listen(moved: () => void): boolean
  /** Calls `lost` when this process has counted as gone for a while, so that others may have what its owners had. */
  onLost(lost: () => void): void
  /** One that is in the way. */
  test(lock: StoredByteLock): Promise<StoredByteLock | undefined>
  /**
   * Takes it in place of what the owner has of the range, or with `wait` stands in line. Throws `busy` when the session
   * would have more than `most`, or all of whoever it counts against four times as many.
   */
  take(lock: StoredByteLock, wait: boolean, most: number): Promise<Taken>
  /** Those of these tickets that still wait. Locks of processes that are gone are seen to. */
  waiting(tickets: readonly string[]): Promise<ReadonlySet<string>>
  /** Out of the line; false when it did not wait any more, since it was given the lock. */
  leave(ticket: string): Promise<boolean>
  /** What the owner has of the range afterwards is `instead`: nothing, or what it had before. */
  release(lock: StoredByteLock, instead?: readonly Held[]): Promise<void>
  /** Everything of a session, or of its owners whose names begin so; who waits leaves. */
  releaseAll(session: string, owner?: string): Promise<void>
  /** What a session of the principal has goes to another one of his, in this process: the first one's may be gone. */
  adopt(principal: string, from: string, to: string): Promise<number>
  /** One of another principal on the object, or on something at or below `below`. */
  foreign(
    principal: string,
    spot: { readonly realm: string; readonly object: string | undefined; readonly below: Path | undefined },
    type: 'any' | 'exclusive',
  ): Promise<StoredByteLock | undefined>
}
