/**
 * A gateway's namespace as a mount works with it: by path, with files that stay open. One of these speaks for one
 * credential. Every failure is a StorageError; what could not be had within the time limit is `unavailable` or `timeout`.
 */

import type { Acl, Rights } from '../../../acl/acl.ts'
import type { Path } from '../../../gateway/core/path.ts'

export type ObjectType = 'file' | 'directory' | 'symlink' | 'other'

/** What is known of an object. Times are nanoseconds since 1970. */
export interface Attributes {
  readonly type: ObjectType
  /** Bytes; 0 for what is not a file. */
  readonly size: number
  readonly modified: bigint
  readonly changed: bigint
  readonly accessed?: bigint
  /** Low 12 bits, where the storage has them. */
  readonly mode?: number
  readonly links?: number
  /** Bytes that it takes up. */
  readonly allocated?: number
  /** NFSv4 names, or decimal ids. */
  readonly owner?: string
  readonly group?: string
  /** Whether the caller owns it. */
  readonly mine: boolean
  /** Another text whenever the bytes are others. Empty where attributes are closed to the caller. */
  readonly version: string
  /** Stays with the object over renames; differs between all objects of the namespace. */
  readonly id: string
  /** Of a symbolic link. */
  readonly target?: string
  readonly locality?: string
}

export interface ListedEntry {
  readonly name: string
  readonly attributes: Attributes
}

/** ACCESS and its kin: bits of an ACE mask, or `unknown` where the storage decides and does not tell. */
export interface HeldRights {
  readonly rights: Rights | 'unknown'
  /** Actions (`read`, `edit`, `create` ...) that are open to the caller. */
  readonly actions: readonly string[]
}

export interface OpenOptions {
  readonly write?: boolean
  /** Who writes wants to read as well: `denied` where that is closed to the caller. */
  readonly read?: boolean
  readonly truncate?: boolean
  readonly create?: { readonly exclusive: boolean; readonly mode: number }
}

export interface Changes {
  readonly modified?: bigint | 'now'
  readonly accessed?: bigint | 'now'
  readonly mode?: number
  readonly owner?: string
  readonly group?: string
  /** Bytes: truncates, or makes longer by zeros. */
  readonly size?: number
}

export interface Space {
  /** Bytes. */
  readonly used: number
  readonly available: number | undefined
  readonly limit: number | undefined
  readonly files?: { readonly used: number; readonly limit: number | undefined }
}

/** Something has changed, by whatever door. */
export interface Change {
  readonly path: Path
  /**
   * `content`, `attributes`: of the object at the path. `entry`: something came to the path or left it. `tree`: the same,
   * and all below. `all`: events were lost, or the connection was; whatever is remembered may be wrong.
   */
  readonly kind: 'content' | 'attributes' | 'entry' | 'tree' | 'all'
}

/** Of fcntl(2) or flock(2); `end` is exclusive, undefined for the end of all files. */
export interface LockRange {
  readonly start: number
  readonly end: number | undefined
  readonly type: 'shared' | 'exclusive'
}

/** Whose lock it is, within this mount: lock owners of the kernel are opaque numbers. */
export interface LockOwner {
  readonly owner: string
  /** Shown to those it is in the way of. */
  readonly pid: number
  /** Locks of flock(2) and of fcntl(2) do not meet. */
  readonly kind: 'posix' | 'flock'
}

/**
 * A file that stays open. It outlives renames, removals by this client, and the gateway's process: it is opened anew by
 * path and version where that is possible, and is `stale` where not.
 */
export interface RemoteFile {
  /** As it was when it was opened. */
  readonly attributes: Attributes
  /** `edit` is written in place; a `draft` is a whole new file, written in order and seen by others after `commit`. */
  readonly kind: 'read' | 'edit' | 'draft'
  readonly created: boolean
  /** Where it is now; told by whoever renames. */
  path: Path
  /** Fills `into` and tells how many bytes there were; fewer only at the end of the file. */
  read(into: Uint8Array, offset: number, signal?: AbortSignal): Promise<number>
  /**
   * All of it, or an error. May be called several times at once for ranges that do not meet. A draft: `unsupported` unless in
   * order. `told` asks for what the object is like right after it: it is called before this resolves, where the gateway
   * tells that in the same answer and closing the file changes nothing of it.
   */
  write(from: Uint8Array, offset: number, signal?: AbortSignal, told?: (seen: Attributes) => void): Promise<void>
  truncate(size: number, signal?: AbortSignal): Promise<void>
  /**
   * What was written is durable; of a draft `commit`. `stale`, once, where the machine of the gateway was started anew and
   * bytes that it had may be lost; the next `write` or `commit` tells it as well.
   */
  sync(signal?: AbortSignal): Promise<void>
  /** A draft becomes the file; of others what their storage refuses late. Errors of quota and space come here at the latest. */
  commit(signal?: AbortSignal): Promise<Attributes | undefined>
  stat(signal?: AbortSignal): Promise<Attributes>
  allocate(start: number, end: number, how: 'extend' | 'keep' | 'punch' | 'zero', signal?: AbortSignal): Promise<void>
  seek(offset: number, what: 'data' | 'hole', signal?: AbortSignal): Promise<number | undefined>
  /** Inside the gateway: how many bytes were copied. */
  copyFrom(source: RemoteFile, start: number, length: number, offset: number, signal?: AbortSignal): Promise<number>
  /** Who is in the way, or undefined. */
  testLock(
    range: LockRange,
    owner: LockOwner,
    signal?: AbortSignal,
  ): Promise<(LockRange & { readonly pid: number }) | undefined>
  /** `busy` where another has it and `wait` is false; otherwise waits until `signal` aborts. */
  lock(range: LockRange, owner: LockOwner, wait: boolean, signal?: AbortSignal): Promise<void>
  /** Gives back this part of what the owner has. */
  unlock(range: Omit<LockRange, 'type'>, owner: LockOwner, signal?: AbortSignal): Promise<void>
  /** A draft that was not committed leaves no trace. Never fails. */
  close(): Promise<void>
}

export interface RemoteFs {
  /** Who the gateway says we are. */
  readonly user: string | undefined
  /** Longest read and write of one request in bytes. */
  readonly largest: { readonly read: number; readonly write: number }
  stat(path: Path, signal?: AbortSignal): Promise<Attributes>
  /** Pages in the storage's own order, each name once. */
  list(path: Path, signal?: AbortSignal): AsyncIterable<readonly ListedEntry[]>
  open(path: Path, options: OpenOptions, signal?: AbortSignal): Promise<RemoteFile>
  mkdir(path: Path, mode: number, signal?: AbortSignal): Promise<Attributes>
  /** `type`: what it must be, otherwise `not-directory` or `is-directory`. */
  remove(path: Path, type: 'file' | 'directory', signal?: AbortSignal): Promise<void>
  rename(from: Path, to: Path, how: 'replace' | 'absent' | 'exchange', signal?: AbortSignal): Promise<Attributes>
  symlink(path: Path, target: string, signal?: AbortSignal): Promise<Attributes>
  link(from: Path, to: Path, signal?: AbortSignal): Promise<Attributes>
  change(path: Path, changes: Changes, signal?: AbortSignal): Promise<Attributes>
  rights(path: Path, signal?: AbortSignal): Promise<HeldRights>
  space(path: Path, signal?: AbortSignal): Promise<Space>
  /** Names without `user.`. */
  listXattrs(path: Path, signal?: AbortSignal): Promise<readonly string[]>
  getXattr(path: Path, name: string, signal?: AbortSignal): Promise<Uint8Array | undefined>
  /** Undefined removes. */
  setXattr(
    path: Path,
    name: string,
    value: Uint8Array | undefined,
    condition: 'any' | 'absent' | 'present',
    signal?: AbortSignal,
  ): Promise<void>
  getAcl(path: Path, signal?: AbortSignal): Promise<Acl>
  setAcl(path: Path, acl: Acl, signal?: AbortSignal): Promise<void>
  /** Kept ones by name (`adler32`, `md5` ...) in hexadecimal digits. */
  checksums(path: Path, signal?: AbortSignal): Promise<ReadonlyMap<string, string>>
  /** Why the caller may or may not, for a person to read. */
  explain(path: Path, signal?: AbortSignal): Promise<string>
  /** Asks for a file to be brought from tape. */
  stage(path: Path, signal?: AbortSignal): Promise<void>
  /** Until `close`. Its own changes are told too. */
  watch(changed: (change: Change) => void): void
  /** Whether changes are told at present: the stream of events is open and has spoken lately. */
  readonly live?: boolean
  /** Ends the session with its open files and locks. */
  close(): Promise<void>
}
