/**
 * What a storage system must offer to be mounted, and what it may offer.
 *
 * Rules for implementers, checked by test/backends/conformance.ts:
 * - Paths are relative to the back end's own root and are already normalised.
 * - The caller has checked the credential's bounds. Unless it `enforces`, the back end checks no
 *   permission; it reports the ACLs it saw in the Trail and Storage decides.
 * - Every failure is a StorageError; anything else is a bug.
 * - A list entry equals what `walk` would say of that object.
 * - `call.signal` aborts promptly and leaves nothing behind.
 * - Names that are reserved (staging, snapshots) do not exist for any operation.
 */

import type { Readable, Writable } from 'node:stream'
import type { Acl, Rights } from '../acl/acl.ts'
import type { Principal } from '../acl/principal.ts'
import type { Call } from '../gateway/core/call.ts'
import type { Path } from '../gateway/core/path.ts'
import type { EditFacet, ExchangeFacet, LinkFacet, XattrFacet } from './editing.ts'
import type { Kept, MembersFacet, RecordFacet } from './kept.ts'
import type { ResumingFacet } from './resuming.ts'
import type { TapeFacet } from './tape.ts'

export type * from './editing.ts'
export type * from './kept.ts'
export type * from './resuming.ts'
export type * from './services.ts'
export type * from './tape.ts'

export interface Entry {
  readonly name: string
  readonly type: 'file' | 'directory' | 'symlink' | 'other'
  /** Bytes; 0 for what is not a file. */
  readonly size: number
  /** Nanoseconds since 1970. */
  readonly modified: bigint
  /** Nanoseconds since 1970 of the last change of bytes, attributes or ACL (ctime). */
  readonly changed: bigint
  /**
   * The content version: identifies the bytes by file id, size and mtime in ns. HTTP's ETag; checksums
   * and metadata are filed under it. Survives rename, chmod and ACL changes. ASCII without quotes.
   */
  readonly version: string
  /** Stays with the object over renames; where the storage can tell, no other object has it later. */
  readonly id: string
  /**
   * Differs between objects that have one `id` one after the other. Told along with `acl`, where that is remembered
   * by it; for the back end alone.
   */
  readonly generation?: string
  /** POSIX mode bits, low 12, where the back end has them. */
  readonly mode?: number
  readonly links?: number
  /** Nanoseconds since 1970 of the last read, where the back end keeps it. */
  readonly accessed?: bigint
  /** Bytes that it takes up, where that is told: less than `size` for a file with holes. */
  readonly allocated?: number
  /** As `Acl.owner` and `Acl.group`, where no `acl` tells them. */
  readonly owner?: string
  readonly group?: string
  /** Target of a symbolic link, as stored. */
  readonly target?: string
  /** Absent when it could not be read, or when the back end decides itself: absent means no. */
  readonly acl?: Acl
  /** Where the bytes are; absent where the back end knows no tape. */
  readonly locality?: Locality
}

/** Where the bytes of a file are. `unavailable`: somewhere that does not answer now; `none`: there are none. */
export type Locality = 'disk' | 'tape' | 'disk-and-tape' | 'unavailable' | 'lost' | 'none'

/** What a walk saw: each directory from the back end's root down, then the object. */
export interface Trail {
  /** As far as they exist; the back end's root first. Empty only when the object is the root. */
  readonly ancestors: readonly Entry[]
  readonly parentExists: boolean
  readonly entry: Entry | undefined
  /** Set where links were followed: the object's path without any link, in the back end's terms. */
  readonly resolved?: Path
}

/**
 * An operation that has looked and not yet acted, so that Storage can decide in between.
 *
 * `proceed` acts on the very objects the trail describes, or throws `stale`. A missing object or a
 * wrong type shows in the trail and is not thrown before `proceed`: what the caller may learn of it
 * is for Storage to say. A back end that `enforces` may look at nothing and do all in `proceed`.
 * `release` lets go of what was opened; it is called once, after `proceed` or instead of it.
 */
export interface Pending<T> {
  readonly trail: Trail
  proceed(): Promise<T>
  release(): Promise<void>
}

/** A file about to be opened. */
export interface PendingFile extends Pending<OpenFile> {
  /** Of what the trail shows, where `OpenOptions.kept` asked for it and it came along with the look. */
  readonly kept?: Kept
}

export interface PendingMove<T = void> extends Pending<T> {
  readonly target: Trail
}

/** Bytes from `start` to `end`, exclusive. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** Where a stream sends to: all that was written to the connection before is with the kernel. */
export interface SocketSink {
  readonly fd: number
  /** Resolves when the kernel has taken the bytes; undefined where it has already. */
  write(chunk: Uint8Array): Promise<void> | undefined
}

/** Bytes of a file. It may offer ways to save work; who does not use them reads it like every Readable. */
export interface FileStream extends Readable {
  /** Instead of reading: sends everything, and destroys the stream. Copies the descriptor before it returns. */
  sendTo?(sink: SocketSink): Promise<void>
  /** Takes a chunk back that nobody needs any more, to fill it again. */
  recycle?(chunk: Uint8Array): void
}

/** An open file: attributes and bytes of one and the same object. */
export interface OpenFile {
  readonly entry: Entry
  /** All the bytes, where the file is small and they came along with the open. */
  readonly content?: Uint8Array
  /**
   * For HTTP and S3: one forward pass. Fails with StorageError. `until`: the reader means to go on after the range, in
   * order, to here; a back end to which each stream is a request may fetch that with one.
   */
  stream(range: Range, until?: number): FileStream
  /** For NFS and FUSE: fills `into` from `offset` and returns how many bytes there were. */
  read(into: Uint8Array, offset: number): Promise<number>
  /** Attributes as they are now, also of a file that has no name any more. */
  stat?(): Promise<Entry>
  close(): Promise<void>
}

export type Digest = 'adler32' | 'crc32' | 'crc32c' | 'crc64nvme' | 'md5' | 'sha-1' | 'sha-256' | 'sha-512'
export type Digests = Readonly<Partial<Record<Digest, Uint8Array>>>

/** A file being written. Nobody sees it before commit; discarding leaves no trace. */
export interface Draft {
  readonly body: Writable
  /**
   * Makes the draft visible in one atomic step, if `condition` holds at that step and `decide`, given a look at the
   * target that is still true then, does not throw. `decide` may be asked more than once: the last time counts. Digests
   * and record given are filed under the new version.
   */
  commit(options: CommitOptions): Promise<Entry>
  discard(): Promise<void>
}

export interface CommitOptions {
  readonly condition: CommitCondition
  decide(trail: Trail): void
  readonly digests?: Digests
  /** Filed under the new version; see `Kept.record`. Storage bounds its length. */
  readonly record?: string
  /** Modification time in ns, instead of now. */
  readonly modified?: bigint
}

/** Checked in the same step that makes the draft visible. `version`: one of these content versions. */
export type CommitCondition = 'any' | 'absent' | 'present' | { readonly versions: readonly string[] }

export interface OpenOptions {
  /** Bytes up to this size may come along with the open as `content`. */
  readonly inlineUpTo?: number
  /** What is kept with the file is wanted too, where it can come along. */
  readonly kept?: boolean
}

export interface CreateOptions {
  /** Announced size in bytes, for quota and space checks before the body. */
  readonly size?: number
}

export interface MakeOptions {
  /** POSIX permission bits, low 9, of a directory whose own has nothing to inherit; not every storage keeps them. */
  readonly mode?: number
}

export interface ListOptions {
  /** Give each entry its ACL, for filtering and `rights`; costs a look at each object. */
  readonly acls?: boolean
  /** Only `name` and `type` of the entries are needed: the rest may be missing or 0 where it costs a look at each. */
  readonly names?: boolean
  /** Names of this `Listing.version` are known: where they still are of it, there may be no pages. */
  readonly known?: string
}

/** A directory open for listing. Pages come in the back end's own order, each name at most once. */
export interface Listing {
  /**
   * Another text whenever the names in the directory may be others, for whoever remembers them. Absent where that
   * cannot be told, or not yet: the clock has not moved on since the last change.
   */
  readonly version?: string
  pages(): AsyncIterable<readonly Entry[]>
  /** Instead of `pages`, where only names were asked for: the same, for millions of them. */
  packed?(): AsyncIterable<PackedEntries>
  /** For whoever does not want the pages. */
  close?(): void
}

/** Names and types of entries and nothing else. */
export interface PackedEntries {
  /** UTF-8, with a NUL behind each. */
  readonly names: Uint8Array
  /** Of each: 0 for a file, 1 for a directory, 2 for a link, 3 for all else. */
  readonly types: Uint8Array
}

export interface Changes {
  /** ns since 1970, or the server's clock. */
  readonly modified?: bigint | 'now'
  readonly accessed?: bigint | 'now'
  readonly mode?: number
  /** NFSv4 names or decimal ids. */
  readonly owner?: string
  readonly group?: string
  /** A link as the last name is meant itself, also where links are followed. */
  readonly ofLink?: true
}

export interface Backend {
  /** For logs and metrics: "posix:/gpfs/dust". */
  readonly name: string
  /** Whether the back end (or the kernel below it) decides on each call of `principal` itself, as that caller. */
  enforces(principal: Principal): boolean

  walk(path: Path, call: Call): Promise<Trail>
  list(directory: Path, options: ListOptions, call: Call): Promise<Pending<Listing>>
  open(file: Path, options: OpenOptions, call: Call): Promise<PendingFile>
  create(file: Path, options: CreateOptions, call: Call): Promise<Pending<Draft>>
  mkdir(directory: Path, call: Call, options?: MakeOptions): Promise<Pending<Entry>>
  /** A file, a link or an empty directory; `not-empty` otherwise. Recursion is Storage's, which decides per child. */
  remove(path: Path, call: Call): Promise<Pending<void>>
  rename(from: Path, to: Path, options: MoveOptions, call: Call): Promise<PendingMove<Entry>>
  setAttributes(path: Path, changes: Changes, call: Call): Promise<Pending<Entry>>
  /** Lets go of everything. Calls still running fail with `unavailable`. */
  close(): Promise<void>

  // Optional facets. Absent means unsupported; there is no flag that could disagree with the code.
  readonly acls?: AclFacet
  readonly rights?: RightsFacet
  readonly copying?: CopyFacet
  readonly checksums?: ChecksumFacet
  readonly quotas?: QuotaFacet
  readonly members?: MembersFacet
  readonly records?: RecordFacet
  readonly editing?: EditFacet
  readonly linking?: LinkFacet
  readonly exchanging?: ExchangeFacet
  readonly xattrs?: XattrFacet
  readonly properties?: PropertyFacet
  readonly redirects?: RedirectFacet
  readonly resuming?: ResumingFacet
  readonly tape?: TapeFacet
  readonly versions?: VersionFacet
  readonly checking?: CheckFacet
}

export interface MoveOptions {
  /** `absent`: fail with `exists` when the target is there, atomically. */
  readonly condition: 'any' | 'absent'
}

export interface AclFacet {
  /** Stores the list as given, or fails; owner and group of `acl` are not changed by it. */
  set(path: Path, acl: Acl, options: { readonly ifChanged?: bigint }, call: Call): Promise<Pending<Entry>>
  /**
   * The object with its ACL, where `walk` leaves the ACL out because it costs too much. It is read with rights that
   * the caller may not have, so it is Storage that decides, by the ACL itself, who is shown it.
   */
  get?(path: Path, call: Call): Promise<Pending<Entry>>
}

/** Of back ends that enforce. */
export interface RightsFacet {
  /** What the caller may do, asked of the one who decides; `unknown` when it cannot be told. */
  effective(path: Path, call: Call): Promise<Rights | 'unknown'>
}

export interface CopyFacet {
  /**
   * Copies a file inside the back end, without the bytes passing through the gateway; staged and committed like a Draft.
   * What is kept of its digests goes along.
   */
  copy(from: Path, to: Path, options: CopyingOptions, call: Call): Promise<PendingMove<Entry>>
  /** Whether copies for this caller come with the source's properties, by a decision of the back end's own; otherwise Storage copies them. */
  takesProperties?(principal: Principal): boolean
}

export interface CopyingOptions {
  readonly condition: CommitCondition
  decide(trail: Trail): void
  /** The content version that the source must be of; `precondition` if not. */
  readonly version?: string
  /** The copy's record, given what is kept with the source: its own, if this is absent. */
  record?(source: Kept): string | undefined
}

export interface ChecksumFacet {
  readonly kinds: readonly Digest[]
  /** Kept digests of this very version, none computed. */
  kept(path: Path, call: Call): Promise<Pending<Digests>>
  /** Kept or computed, and then kept. */
  compute(path: Path, kinds: readonly Digest[], call: Call): Promise<Pending<Digests>>
}

export interface Usage {
  /** Bytes. */
  readonly used: number
  readonly available: number | undefined
  readonly limit: number | undefined
  readonly files?: { readonly used: number; readonly limit: number | undefined }
}

export interface QuotaFacet {
  usage(path: Path, call: Call): Promise<Pending<Usage>>
}

/** One store for what goes with a file: tags, user metadata, dead properties. Values are UTF-8 text. */
export interface PropertyFacet {
  get(path: Path, call: Call): Promise<Pending<ReadonlyMap<string, string>>>
  /** All or nothing; undefined removes. */
  set(path: Path, changes: ReadonlyMap<string, string | undefined>, call: Call): Promise<Pending<void>>
}

export interface RedirectFacet {
  /**
   * A short-lived URL, good for many ranges of this one file, from which the caller at `call.from` may fetch the
   * bytes itself. Undefined: not for this caller or this file, which is then read through the gateway. `entry` is
   * what a walk has just said of the file; nothing that may be on tape alone is to be fetched.
   */
  readUrl(file: Path, entry: Entry, call: Call): Promise<URL | undefined>
}

/** Earlier states of files that the storage keeps, such as snapshots. */
export interface VersionFacet {
  /** Newest first. What is not there in a version is left out. */
  list(path: Path, call: Call): Promise<Pending<readonly FileVersion[]>>
  /**
   * Opens the file as it was. The trail shows the objects as they were, with the ACLs they had then; Storage asks
   * today's too.
   */
  open(file: Path, version: string, call: Call): Promise<Pending<OpenFile>>
}

export interface FileVersion {
  /** Names the version among those of its path; safe in a URL's query. */
  readonly version: string
  /** ns since 1970: when the storage kept it. */
  readonly kept: bigint
  readonly entry: Entry
  /** The way to it as it was then, for Storage to decide by. */
  readonly trail: Trail
}

/** For `portolan check`: tries the real thing and reports, changing nothing that stays. */
export interface CheckFacet {
  check(): Promise<readonly Finding[]>
}

export interface Finding {
  /** A stable word such as `xattr`, `o-tmpfile`, `hard-link`, `acl-kind`, `reachable`, `bad-names`. */
  readonly subject: string
  readonly level: 'ok' | 'warning' | 'error'
  readonly text: string
}
