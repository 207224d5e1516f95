/** The operations of the namespace, as front ends know them. */

import type { Acl, Rights } from '../../acl/acl.ts'
import type { Action } from '../../acl/needs.ts'
import type { Principal } from '../../acl/principal.ts'
import type {
  Changes,
  Digest,
  Digests,
  EditableFile,
  Entry,
  Kept,
  Locality,
  MakeOptions,
  OpenFile,
  RecordOptions,
  Usage,
} from '../../backends/backend.ts'
import type { ByteLockOperations } from './byte-locks/operations.ts'
import type { Call } from './call.ts'
import type { Copied, CopyOptions } from './copying.ts'
import type { EditRequest } from './editing.ts'
import type { StorageError } from './errors.ts'
import type { Change } from './feed.ts'
import type { Listed } from './listing.ts'
import type { LockOperations } from './locking.ts'
import type { MountView } from './mounts.ts'
import type { OpenOptions } from './opened.ts'
import type {
  AclView,
  Effective,
  Explanation,
  ListingOptions,
  MoveOptions,
  Reading,
  ReadOptions,
  StatOptions,
  WriteOptions,
  Writing,
} from './operations.ts'
import type { PartOperations } from './parts.ts'
import type { Path } from './path.ts'
import type { RemoveOptions } from './removing.ts'
import type { StagingOperations } from './staging.ts'
import type { UploadOperations } from './uploads.ts'
import type { ShownVersion } from './versions.ts'
import type { Walked, WalkOptions } from './walking.ts'
import type { XattrCondition } from './xattrs.ts'

/** The operations of the namespace. Implemented by Storage; front ends depend on this. */
export interface StorageOperations {
  /** Attributes. Directories between mounts and ancestors of a path-bound token's grants included. */
  stat(call: Call, path: Path, options?: StatOptions): Promise<Entry>
  read(call: Call, path: Path, options?: ReadOptions): Promise<Reading>
  /** Resolves once the caller may write, so a front end can answer 100 Continue only then. */
  write(call: Call, path: Path, options?: WriteOptions): Promise<Writing>
  /** Opens for reads at any place, several at once and as long as the caller likes (NFS, FUSE). Close it. */
  open(call: Call, path: Path, options?: OpenOptions): Promise<OpenFile>
  /** Opens for writing in place (NFS, FUSE), and makes the file if that is wanted. Close it. */
  edit(call: Call, path: Path, options?: EditRequest): Promise<EditableFile>
  /** Pages of entries; the decision is made before the promise resolves. Mount points are merged in. */
  list(call: Call, path: Path, options?: ListingOptions): Promise<Listed>
  /** Files below a directory as keys in the order of their UTF-8 bytes, one page; decided as `list` of each directory. */
  walk(call: Call, path: Path, options: WalkOptions): Promise<Walked>
  mkdir(call: Call, path: Path, options?: MakeOptions): Promise<Entry>
  /** `target` is stored as it is and never followed by this call; `exists` whatever is there. */
  symlink(call: Call, path: Path, target: string): Promise<Entry>
  /** A second name of a file within one mount; `exists` whatever is there. */
  link(call: Call, from: Path, to: Path): Promise<Entry>
  /** Two objects of one mount change places in one step. */
  exchange(call: Call, one: Path, other: Path): Promise<void>
  /** `recursive` decides per child; what may not go stays, with its ancestors, and is named in `failed`. */
  remove(
    call: Call,
    path: Path,
    options?: RemoveOptions,
  ): Promise<{ readonly failed: ReadonlyArray<{ readonly path: Path; readonly error: unknown }> }>
  /** Within one mount atomic; across mounts copy, verify, remove. */
  rename(
    call: Call,
    from: Path,
    to: Path,
    options?: MoveOptions,
  ): Promise<{ readonly entry: Entry; readonly created: boolean }>
  /** Files and directories, as far as `CopyOptions` go. */
  copy(call: Call, from: Path, to: Path, options?: CopyOptions): Promise<Copied>
  setAttributes(call: Call, path: Path, changes: Changes): Promise<Entry>
  getAcl(call: Call, path: Path): Promise<AclView>
  /** `ifChanged`: the `changed` time the caller saw; otherwise `precondition`. */
  setAcl(call: Call, path: Path, acl: Acl, options?: { readonly ifChanged?: bigint }): Promise<AclView>
  /** Effective rights of the caller: ACL and credential together. */
  rights(
    call: Call,
    path: Path,
    options?: StatOptions,
  ): Promise<{ readonly rights: Rights | 'unknown'; readonly actions: readonly Action[] }>
  checksum(
    call: Call,
    path: Path,
    kinds: readonly Digest[],
    options?: { readonly keptOnly?: boolean },
  ): Promise<Digests>
  getProperties(call: Call, path: Path): Promise<ReadonlyMap<string, string>>
  setProperties(call: Call, path: Path, changes: ReadonlyMap<string, string | undefined>): Promise<void>
  /** Extended attributes: names are without `user.`. Undefined where there is none of that name. */
  getXattr(call: Call, path: Path, name: string): Promise<Uint8Array | undefined>
  listXattrs(call: Call, path: Path): Promise<readonly string[]>
  /** Undefined removes. `condition`: `exists` for `absent`, `not-found` for `present` and for a removal. */
  setXattr(
    call: Call,
    path: Path,
    name: string,
    value: Uint8Array | undefined,
    condition: XattrCondition,
  ): Promise<void>
  /**
   * Calls `changed` for every change that any process of this gateway makes, wherever it is and whoever may see it,
   * until the returned function is called.
   */
  watch(changed: (change: Change) => void): () => void
  /**
   * Whether the caller may list a directory, by one look and without an audit line. What of its names a credential
   * bound to paths may see is for `mayName` to say.
   */
  mayList(call: Call, directory: Path): Promise<boolean>
  /** Whether the credential's bounds leave the caller a sight of the name; asks nobody. */
  mayName(call: Call, path: Path): boolean
  /** What is kept with a file as it is; whoever may read the bytes may know. Nothing where the mount keeps nothing. */
  getKept(call: Call, path: Path): Promise<{ readonly entry: Entry; readonly kept: Kept }>
  /** Changes the record of a file that still is what `options` say, `stale` if not. Takes the right to write properties. */
  setRecord(call: Call, path: Path, record: string | undefined, options: RecordOptions): Promise<void>
  usage(call: Call, path: Path): Promise<Usage>
  /** The parts of the namespace that the caller can see. */
  mounts(call: Call): readonly MountView[]
  /** Earlier states that the storage keeps, newest first, as far as the caller may see them today and might see them then. */
  versions(call: Call, path: Path): Promise<readonly ShownVersion[]>
  /** In the order asked: where the bytes are, or why that cannot be told. Never makes a tape move. */
  locality(call: Call, paths: readonly Path[]): Promise<ReadonlyArray<Locality | StorageError>>
  /** Bringing files from tape. */
  readonly staging: StagingOperations
  /** WebDAV's write locks, which every change honours, through whatever door. */
  readonly locks: LockOperations
  /** Byte-range locks of mounts, which hinder nobody but each other and WebDAV's. */
  readonly byteLocks: ByteLockOperations
  /** Uploads that go on after a connection, or the gateway, has broken down. */
  readonly uploads: UploadOperations
  /** Uploads in numbered parts that are joined at the end. */
  readonly parts: PartOperations
  /** What would be answered to `subject` (default: the caller) and why. Asking about another takes an administrator. */
  explain(call: Call, action: Action, path: Path, subject?: Principal): Promise<Explanation>
  /** What everybody may do with an object, by one look; for administrators, and whoever may read its ACL. */
  effective(call: Call, action: Action, path: Path): Promise<Effective>
}
