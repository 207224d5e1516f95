/** Byte-range locks of mounts (fcntl(2), flock(2)): advisory, kept by the gateway, the same for all its mounts. */

import type { Call } from '../call.ts'
import type { Path } from '../path.ts'

/** `end` is exclusive; undefined for the end of all files. */
export interface ByteRange {
  readonly start: number
  readonly end: number | undefined
}

export interface ByteLock extends ByteRange {
  readonly type: 'shared' | 'exclusive'
}

/** Whose it is. Locks of fcntl(2) and of flock(2) do not meet. */
export interface ByteLockOwner {
  /** All its locks end together, at the latest a few seconds after the process of the gateway that it lives in. */
  readonly session: string
  readonly owner: string
  /** Shown to those it is in the way of. */
  readonly pid: number
  readonly kind: 'posix' | 'flock'
}

/** A file that the caller has open: whoever opened it for reading may share it, for writing may have it alone. */
export interface LockedFile {
  /** Where it is as far as is known: WebDAV's locks of the place count too. */
  readonly path: Path
  /** `Entry.id` of what was opened. */
  readonly id: string
}

export interface ByteLockOperations {
  /** Whether locks can be had at all. */
  readonly available: boolean
  /** Calls `lost` when others may have what the sessions of this process had, since it seemed to be gone. */
  onLost(lost: () => void): void
  /** A lock that is in the way, or undefined. `pid` is 0 for WebDAV's. */
  test(
    call: Call,
    file: LockedFile,
    lock: ByteLock,
    owner: ByteLockOwner,
  ): Promise<(ByteLock & { readonly pid: number }) | undefined>
  /**
   * Takes a lock in place of what the owner has of the range. Without `wait` throws `busy` where another's is in the
   * way; with it waits in line until it can be had, and throws `busy` when `wait` aborts, or at once where all would
   * wait for each other. Throws LockedError for an exclusive lock where WebDAV's of somebody else covers the file.
   */
  acquire(call: Call, file: LockedFile, lock: ByteLock, owner: ByteLockOwner, wait?: AbortSignal): Promise<void>
  /** Gives back what the owner has of the range. */
  release(call: Call, file: LockedFile, range: ByteRange, owner: ByteLockOwner): Promise<void>
  /** Gives back everything of a session, or of those of its owners whose name begins with `owner`. */
  releaseAll(session: string, owner?: string): Promise<void>
  /**
   * Another session of the same principal goes on with the locks of one that is lost, as far as nobody has taken them
   * since its process was gone. How many there were.
   */
  adopt(call: Call, from: string, to: string): Promise<number>
}
