/**
 * What must survive and be shared by all processes of one gateway installation: one small interface
 * over SQLite (one machine) and, later, PostgreSQL (several). All SQL is portable between both.
 *
 * Every method fails with StorageError: `busy` when other processes keep the store for seconds,
 * `no-space` when its disk is full, `unavailable` when it is closed or its disk fails.
 */

import type { BackendServices, StageState } from '../../backends/backend.ts'
import type { Path } from '../core/path.ts'
import type { ByteLockStore } from './byte-lock-store.ts'
import type { LinkStore } from './link-store.ts'
import type { ListPlace } from './list-part.ts'
import type { PartStore } from './part-store.ts'
import type { S3KeyStore } from './s3-key-store.ts'
import type { AppPasswordStore, AttemptStore, SessionStore } from './sign-in.ts'

export type * from './byte-lock-store.ts'
export type * from './link-store.ts'
export type { ListPlace } from './list-part.ts'
export type * from './part-store.ts'
export type * from './s3-key-store.ts'
export type * from './sign-in.ts'

export interface State extends BackendServices {
  /** Small values of the gateway itself, such as the key check of the master key. */
  getSetting(name: string): Promise<string | undefined>
  setSetting(name: string, value: string): Promise<void>
  /** Sets it where it is not set yet, and gives what it is: the same in all processes. */
  firstSetting(name: string, value: string): Promise<string>
  /** Values sealed with the master key, as they lie in the store; `gateway/state/secrets.ts` opens them. */
  readonly sealed: SealedValues
  readonly stagings: StagingStore
  readonly revocations: RevocationStore
  readonly shares: ShareStore
  readonly locks: LockStore
  readonly sessions: SessionStore
  readonly appPasswords: AppPasswordStore
  readonly s3Keys: S3KeyStore
  readonly links: LinkStore
  readonly attempts: AttemptStore
  readonly uploads: UploadStore
  readonly parts: PartStore
  readonly byteLocks: ByteLockStore
  close(): Promise<void>
}

/** Encrypted values by name. The store never sees what they hold. */
export interface SealedValues {
  get(name: string): Promise<string | undefined>
  set(name: string, sealed: string): Promise<void>
  remove(name: string): Promise<void>
  /** All names in order. */
  names(): Promise<readonly string[]>
  /** Replaces a value only where it still is `from`; tells whether it was. */
  exchange(name: string, from: string, to: string): Promise<boolean>
}

/** What one principal may have in the staging queue: as much again of it finished, of which the oldest goes first. */
export interface StagingBounds {
  /** Requests that are not finished. */
  readonly requests: number
  /** Files in them. */
  readonly files: number
}

/**
 * Requests to bring files from tape, with their files and what each back end was asked for. Safe with several
 * processes; times are milliseconds since 1970 on the clock of `now`.
 */
export interface StagingStore {
  now(): number
  /**
   * Adds a request, to disk, or gives the one of this principal that holds the claim already. Throws `busy` when
   * there would be more than `bounds`.
   */
  add(request: NewStaging, bounds: StagingBounds): Promise<{ readonly staging: Staging; readonly added: boolean }>
  /** The request of this principal that holds the claim. */
  claimed(principal: string, claim: string): Promise<Staging | undefined>
  get(id: string): Promise<Staging | undefined>
  /** In the order given to `add`; none for an unknown id. */
  files(id: string): Promise<readonly StagedFile[]>
  /** The back end is about to be asked; tells when it was asked first, if it was. */
  ask(id: string, mount: Path): Promise<number | undefined>
  /** The back end has answered with its own id. */
  place(id: string, mount: Path, order: string): Promise<void>
  /** Whether some request is known to have this id in that back end. */
  isOrder(backend: string, order: string): Promise<boolean>
  /** Takes the turn to look at the back end's progress: false if it is not yet `due`, or somebody else has just looked. */
  takePoll(id: string, mount: Path, due: number): Promise<boolean>
  /**
   * What has become of files, by their number. A final state stays as it is. When no file is left that waits, the
   * request is completed, and its claim is free again unless it is `lasting`.
   */
  update(id: string, changes: readonly FileChange[]): Promise<void>
  remove(id: string): Promise<void>
  /** Removes some requests completed before `completed`, and some created before `created`; false when none was left. */
  sweep(before: { readonly completed: number; readonly created: number }): Promise<boolean>
}

export interface NewStaging {
  readonly principal: string
  /** Whose bounds it counts for: all of one principal's credentials share them. */
  readonly counted: string
  /** What makes a repeated request the same one. */
  readonly claim: string
  /** The claim is held also when the request is completed, until it is removed. */
  readonly lasting: boolean
  /** Tells requests of one claim apart. */
  readonly fingerprint: string
  readonly files: readonly NewStagedFile[]
  /** The mounts whose back ends are to be asked, each with the name of its back end. */
  readonly orders: ReadonlyArray<{ readonly mount: Path; readonly backend: string }>
}

export interface NewStagedFile {
  readonly path: Path
  /** In the terms of the back end. */
  readonly inner: Path
  /** The mount whose back end has it. */
  readonly mount: Path
  /** Seconds. */
  readonly lifetime: number | undefined
  readonly state: StageState
  /** The credential did not reach as far as this file. */
  readonly outside: boolean
  readonly error: string | undefined
}

export interface StagedFile extends NewStagedFile {
  /** Its place in the request, from 0. */
  readonly number: number
  readonly started: number | undefined
  readonly finished: number | undefined
}

export interface FileChange {
  readonly number: number
  readonly state: StageState
  readonly started?: number | undefined
  readonly finished?: number | undefined
  readonly error?: string | undefined
}

export interface Staging {
  readonly id: string
  readonly principal: string
  readonly fingerprint: string
  readonly created: number
  readonly started: number | undefined
  readonly completed: number | undefined
  readonly orders: readonly StagingOrder[]
}

/** What the back end of one mount was asked for. */
export interface StagingOrder {
  readonly mount: Path
  readonly backend: string
  /** When it was asked first; without an `order` the outcome is not known. */
  readonly asked: number | undefined
  /** The back end's own id. */
  readonly order: string | undefined
}

/**
 * Locks on objects of back ends, as all gateway processes agree on them. Each process keeps them in memory and says
 * how far it has read; whoever adds one waits until every other process knows it, so that nobody needs to ask the
 * store before a write. Every change takes the next number of one series, the serial.
 */
export interface LockStore {
  now(): number
  /** Milliseconds that the others wait for this process after its last `beat`. */
  readonly life: number
  /** Calls `changed` now and then, and soon after any process has changed a lock, one call at a time, until the store is closed. */
  watch(changed: () => Promise<void>): void
  /**
   * From now on and for `life` ms the others wait for this process, which decides by everything up to `seen`. What is
   * read after it is not missed.
   */
  beat(seen: number): Promise<void>
  /** What has changed after `since`; -1 for all. */
  changes(since: number): Promise<LockChanges>
  /** This process decides by everything up to `serial`. */
  seen(serial: number): Promise<void>
  /** Waits until all other processes have seen `serial`; false when that took more than `patience` ms. */
  settled(serial: number, patience: number): Promise<boolean>
  /**
   * Adds a lock that is not confirmed, and that others may therefore still refuse. Undefined when something has
   * changed after `since`, by which it was decided. Throws `busy` when there are too many.
   */
  add(lock: StoredLock, since: number, bounds: LockBounds): Promise<number | undefined>
  /** The lock is good, with what is known of its object now; false when it was refused or is gone. */
  confirm(token: string, bound: LockBinding, expires: number): Promise<boolean>
  /** Another object is at its place now. */
  bind(token: string, bound: LockBinding): Promise<void>
  /** False when it is gone. */
  refresh(token: string, expires: number): Promise<boolean>
  remove(tokens: readonly string[]): Promise<void>
  /** Removes a lock that is not confirmed. */
  refuse(token: string): Promise<void>
  /** Removes all that have expired. */
  expire(): Promise<void>
}

export interface LockBounds {
  /** Of all that are counted for one principal. */
  readonly own: number
  readonly all: number
}

/** What identifies the object of a lock besides its place. */
export interface LockBinding {
  readonly object: string | undefined
  /** Ids of the directories on the way to it. */
  readonly above: readonly string[]
  /** The LOCK made the file, and it has been empty since. */
  readonly fresh: boolean
}

export interface StoredLock extends LockBinding {
  readonly token: string
  /** Its holder: nobody else submits the token. */
  readonly principal: string
  /** Whose bounds it counts for: all of one principal's credentials share them. */
  readonly counted: string
  readonly user: string | undefined
  /** The back end's name, in which ids mean something. */
  readonly backend: string
  /** The storage in which `at` means something: several back ends may show parts of one. */
  readonly realm: string
  readonly at: Path
  /** Where the client sees it: the lock root. */
  readonly path: Path
  readonly scope: 'exclusive' | 'shared'
  readonly depth: '0' | 'infinity'
  /** What the client says of the owner: XML, never interpreted. */
  readonly owner: string
  /** Milliseconds since 1970. */
  readonly created: number
  readonly expires: number
}

export interface LockChanges {
  readonly serial: number
  /** These are all there are, rather than what changed. */
  readonly whole: boolean
  readonly locks: readonly StoredLock[]
  /** Tokens of locks that are gone. */
  readonly gone: readonly string[]
}

/** What was banned or revoked. Times are milliseconds since 1970. */
export interface Revocation {
  /** "user:NAME", "principal:ID", "token:ISSUER|JTI", "macaroon:ID", "epoch:ID". */
  readonly name: string
  /** Who did it. */
  readonly principal: string
  readonly note: string
  readonly added: number
  /** Undefined: for good. */
  readonly until: number | undefined
}

export interface RevocationStore {
  now(): number
  /** Grows with every change. */
  serial(): Promise<number>
  /** All that are of account now, in order of their names; or a part of them. */
  list(part?: { readonly after: string; readonly most: number }): Promise<readonly Revocation[]>
  /** Adds to disk, or prolongs and never shortens. Throws `busy` when the principal would have more than `most`. */
  add(revocation: Omit<Revocation, 'added'>, most: number): Promise<void>
  /** Tells whether it was there. */
  remove(name: string): Promise<boolean>
}

/** A share link that was made. What opens it is not kept. */
export interface Share {
  readonly id: string
  /** `Principal.id` and `Principal.user` of its issuer. */
  readonly principal: string
  readonly user: string
  readonly path: Path
  /** Its caveats, as JSON. */
  readonly terms: string
  readonly created: number
  readonly expires: number
}

export interface ShareStore {
  /** Throws `busy` when the user would have more than `most`. Those that have ended go. */
  add(share: Omit<Share, 'created'>, most: number): Promise<Share>
  get(id: string): Promise<Share | undefined>
  /** Those of one user, or all, that have not ended; the newest first, `most` at most behind `after`. */
  list(user: string | undefined, most: number, after?: ListPlace): Promise<readonly Share[]>
  /** Tells whether it was there. */
  remove(id: string): Promise<boolean>
}

/**
 * Uploads that outlive their connections. Of all calls for one the turns are counted: who has an older turn than the
 * last is to stop, and only the one that has taken its turn changes anything. Times are milliseconds since 1970.
 */
export interface UploadStore {
  now(): number
  /** ms that a process may go on without a look at the store, before others may take it for dead. */
  readonly life: number
  /** To disk. Throws `busy` or `no-space` where that would be more than `bounds`. */
  add(upload: NewStoredUpload, bounds: UploadBounds): Promise<void>
  /** There is a draft, which is this object. */
  made(id: string, object: string): Promise<StoredUpload>
  get(id: string): Promise<StoredUpload | undefined>
  /** Those that have not expired and are not complete, of one principal or all; the newest first, `most` at most. */
  list(principal: string | undefined, most: number): Promise<readonly StoredUpload[]>
  /** The next turn; undefined where there is no such upload. */
  call(id: string): Promise<number | undefined>
  /** The last turns called of some uploads; those that are gone are left out. */
  called(ids: readonly string[]): Promise<ReadonlyMap<string, number>>
  /** Takes a turn, under the lease of the upload. Undefined: it is gone, or not the last turn any more. */
  take(id: string, turn: number): Promise<StoredUpload | undefined>
  /** To disk. False: another one has taken a turn. Throws as `add` where more is reserved than before. */
  progress(id: string, turn: number, progress: UploadProgress, bounds: UploadBounds): Promise<boolean>
  /** To disk: the draft in which parts are being joined, as a text of the core's. False: another turn. */
  attempt(id: string, turn: number, attempt: string | undefined): Promise<boolean>
  /**
   * Those that come in parts, have not expired and are not complete, of one principal, at or below a path: by path in
   * the order of bytes, then by creation, then by id.
   */
  parted(
    principal: string,
    below: Path,
    after: PartedMarker | undefined,
    most: number,
  ): Promise<readonly StoredUpload[]>
  /** To disk: it is complete, and known until `expires`. Nothing is reserved for it any more. */
  complete(id: string, result: string, expires: number): Promise<void>
  remove(id: string): Promise<void>
  /** Some that have expired, the oldest first. */
  expired(): Promise<readonly StoredUpload[]>
  /** Not to be told by `expired` before `until`. */
  postpone(id: string, until: number): Promise<void>
  /** Which of these places in the spool belong to an upload. */
  spooled(places: readonly string[]): Promise<ReadonlySet<string>>
}

export interface UploadBounds {
  /** Unfinished uploads of one principal, and bytes reserved for them. */
  readonly uploads: number
  readonly bytes: number
  /** Bytes in the spool, of all principals. */
  readonly spool: number
}

export interface NewStoredUpload {
  readonly id: string
  readonly principal: string
  readonly user: string | undefined
  readonly path: Path
  /** The back end's name, and the file in its terms. */
  readonly backend: string
  readonly inner: Path
  /** The draft's name in the back end, or in the spool. */
  readonly place: string
  readonly spooled: boolean
  /** JSON, of the core. */
  readonly terms: string
  readonly length: number | undefined
  /** Bytes that count for it: there, announced, or about to come. */
  readonly reserved: number
  readonly expires: number
  /** It comes in parts. */
  readonly parted?: boolean
}

/** Behind all uploads to this path, or behind this one of them. */
export interface PartedMarker {
  readonly path: Path
  readonly id?: string
}

export interface StoredUpload extends NewStoredUpload {
  /** What the back end calls the draft; undefined as long as none is known to be there. */
  readonly object: string | undefined
  readonly offset: number
  readonly created: number
  readonly parted: boolean
  /** The turn that was called last, and the one that was taken last. */
  readonly called: number
  readonly turn: number
  /** Text of the core's: the draft in which parts are being joined. */
  readonly attempt: string | undefined
  /** JSON, of the core; it is complete. */
  readonly result: string | undefined
}

export interface UploadProgress {
  readonly offset?: number
  readonly length?: number
  readonly reserved?: number
}
