/**
 * The one way to the data. Every front end calls Storage; only Storage calls back ends.
 *
 * Each operation takes the same steps: check the credential's bounds (no I/O), find the place, make
 * one call to the back end within the mount's limit and deadline, check the ACLs that the call saw,
 * act on the same object. Audit covers all of them.
 */

import type { Acl } from '../../acl/acl.ts'
import { permitsPath } from '../../acl/authorizer.ts'
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
import type { Namespace } from '../../mounts/namespace.ts'
import type { ByteLockStore, LockStore } from '../state/state.ts'
import * as attributes from './attributes.ts'
import type { AuditLog } from './audit.ts'
import { ByteLocks } from './byte-locks/byte-locks.ts'
import { noByteLocks } from './byte-locks/none.ts'
import type { ByteLockOperations } from './byte-locks/operations.ts'
import type { Call } from './call.ts'
import { type Copied, type CopyOptions, copy } from './copying.ts'
import { Gate } from './deciding.ts'
import { type EditRequest, edit } from './editing.ts'
import { effective } from './effective.ts'
import type { StorageError } from './errors.ts'
import { explain } from './explaining.ts'
import { type Change, type ChangeLine, Feed } from './feed.ts'
import { glance } from './glancing.ts'
import { getKept, setRecord } from './kept.ts'
import { type LimitOptions, Limits } from './limits.ts'
import { exchange, link, symlink } from './linking.ts'
import { type Listed, list } from './listing.ts'
import { locality } from './locality.ts'
import { Locking, type LockOperations, noLocking } from './locking.ts'
import { Locks } from './locks.ts'
import { mkdir } from './making.ts'
import { mayList } from './may-list.ts'
import type { Metrics } from './metrics.ts'
import { type MountView, mounts } from './mounts.ts'
import { rename } from './moving.ts'
import { type OpenOptions, openForReads } from './opened.ts'
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
import type { StagingState } from './orders.ts'
import { PartedUploads } from './part-uploads.ts'
import { noParts, type PartOperations } from './parts.ts'
import type { Path } from './path.ts'
import * as properties from './properties.ts'
import { type Recall, read, stat } from './reading.ts'
import { type Removed, type RemoveOptions, remove } from './removing.ts'
import { Resumable, type UploadKeeping } from './resumable.ts'
import { noStaging, Staging, type StagingOperations } from './staging.ts'
import type { StorageOperations } from './storage-operations.ts'
import { noUploads, type UploadOperations } from './uploads.ts'
import { type ShownVersion, versions } from './versions.ts'
import { type Walked, Walking, type WalkOptions } from './walking.ts'
import { write } from './writing.ts'
import type { XattrCondition } from './xattrs.ts'
import * as xattrs from './xattrs.ts'

export type * from './byte-locks/operations.ts'
export type { Change } from './feed.ts'
export type * from './operations.ts'
export type { StorageOperations } from './storage-operations.ts'

export interface StorageOptions {
  readonly namespace: Namespace
  readonly audit: AuditLog
  /** An existing directory, writable for this process alone, for listings that must be sorted and do not fit into memory. */
  readonly spillDirectory: string
  /** What is not named has the value of `defaultLimits`. */
  readonly limits?: Partial<LimitOptions>
  readonly metrics?: Metrics
  /** Where staging requests are kept; without it there is no staging. */
  readonly state?: StagingState
  /** Where locks are kept; without it there are none. It is followed until it is closed. */
  readonly locks?: LockStore
  /** Where byte-range locks are kept; without it, or without `locks`, there are none. */
  readonly byteLocks?: ByteLockStore
  /** Where uploads are kept that go on after a connection has broken down; without it there are none. */
  readonly uploads?: UploadKeeping
  /** The way to other processes of this gateway, for those that watch; without it there are none. */
  readonly changes?: ChangeLine | undefined
}

/** The operations, by way of a Gate that every one of them passes. Closing back ends and audit log is its maker's. */
export class Storage implements StorageOperations {
  readonly staging: StagingOperations
  readonly locks: LockOperations
  readonly uploads: UploadOperations
  readonly parts: PartOperations
  readonly byteLocks: ByteLockOperations
  readonly #gate: Gate
  readonly #walking: Walking
  readonly #recall: Recall | undefined
  readonly #resumable: Resumable | undefined

  constructor(options: StorageOptions) {
    const { namespace, audit, spillDirectory, limits, metrics, state, locks, byteLocks, uploads, changes } = options
    const known = locks && new Locks(locks, byteLocks)
    this.#gate = new Gate({
      ...{ namespace, audit, spillDirectory, limits: new Limits(limits), metrics, locks: known },
      feed: new Feed(changes),
    })
    this.#walking = new Walking(this.#gate)
    this.locks = known ? new Locking(this.#gate, known) : noLocking
    this.byteLocks = known && byteLocks ? new ByteLocks(this.#gate, known, byteLocks) : noByteLocks
    this.#resumable = uploads && new Resumable(this.#gate, uploads)
    this.uploads = this.#resumable ?? noUploads
    this.parts = this.#resumable ? new PartedUploads(this.#gate, this.#resumable.sharing) : noParts
    const staging = state && new Staging(this.#gate, state)
    this.staging = staging ?? noStaging
    this.#recall = staging && ((call, path) => staging.recall(call, path))
    metrics?.watch({
      mounts: () => this.#lanes(),
      audit: () => audit,
    })
  }

  /** Counters of calls in flight. */
  get limits(): Limits {
    return this.#gate.limits
  }

  get namespace(): Namespace {
    return this.#gate.namespace
  }

  /**
   * For a new configuration: calls that begin from now on use it, running ones end where they began. Resolves
   * when those have ended; what only they used can be closed then.
   */
  useNamespace(namespace: Namespace): Promise<void> {
    return this.#gate.useNamespace(namespace)
  }

  /** Takes away uploads that nobody has finished in time; one process at a time does. Returns how many. */
  async sweepUploads(): Promise<number> {
    return (await this.#resumable?.sweep()) ?? 0
  }

  stat(call: Call, path: Path, options?: StatOptions): Promise<Entry> {
    return options?.closedToo ? glance(this.#gate, call, path) : stat(this.#gate, call, path)
  }

  read(call: Call, path: Path, options: ReadOptions = {}): Promise<Reading> {
    return read(this.#gate, call, path, options, this.#recall)
  }

  write(call: Call, path: Path, options: WriteOptions = {}): Promise<Writing> {
    return write(this.#gate, call, path, options)
  }

  open(call: Call, path: Path, options: OpenOptions = {}): Promise<OpenFile> {
    return openForReads(this.#gate, call, path, options)
  }

  edit(call: Call, path: Path, options: EditRequest = {}): Promise<EditableFile> {
    return edit(this.#gate, call, path, options)
  }

  list(call: Call, path: Path, options: ListingOptions = {}): Promise<Listed> {
    return list(this.#gate, call, path, options)
  }

  walk(call: Call, path: Path, options: WalkOptions): Promise<Walked> {
    return this.#walking.walk(call, path, options)
  }

  mkdir(call: Call, path: Path, options: MakeOptions = {}): Promise<Entry> {
    return mkdir(this.#gate, call, path, options)
  }

  symlink(call: Call, path: Path, target: string): Promise<Entry> {
    return symlink(this.#gate, call, path, target)
  }

  link(call: Call, from: Path, to: Path): Promise<Entry> {
    return link(this.#gate, call, from, to)
  }

  exchange(call: Call, one: Path, other: Path): Promise<void> {
    return exchange(this.#gate, call, one, other)
  }

  remove(call: Call, path: Path, options: RemoveOptions = {}): Promise<Removed> {
    return remove(this.#gate, call, path, options)
  }

  rename(call: Call, from: Path, to: Path, options: MoveOptions = {}): Promise<Copied> {
    return rename(this.#gate, call, from, to, options)
  }

  copy(call: Call, from: Path, to: Path, options: CopyOptions = {}): Promise<Copied> {
    return copy(this.#gate, call, from, to, options)
  }

  setAttributes(call: Call, path: Path, changes: Changes): Promise<Entry> {
    return attributes.setAttributes(this.#gate, call, path, changes)
  }

  getAcl(call: Call, path: Path): Promise<AclView> {
    return attributes.getAcl(this.#gate, call, path)
  }

  setAcl(call: Call, path: Path, acl: Acl, options: { readonly ifChanged?: bigint } = {}): Promise<AclView> {
    return attributes.setAcl(this.#gate, call, path, acl, options)
  }

  rights(call: Call, path: Path, options?: StatOptions): Promise<attributes.HeldRights> {
    return attributes.rights(this.#gate, call, path, options)
  }

  checksum(
    call: Call,
    path: Path,
    kinds: readonly Digest[],
    options: { readonly keptOnly?: boolean } = {},
  ): Promise<Digests> {
    return properties.checksum(this.#gate, call, path, kinds, options)
  }

  getProperties(call: Call, path: Path): Promise<ReadonlyMap<string, string>> {
    return properties.getProperties(this.#gate, call, path)
  }

  setProperties(call: Call, path: Path, changes: ReadonlyMap<string, string | undefined>): Promise<void> {
    return properties.setProperties(this.#gate, call, path, changes)
  }

  getXattr(call: Call, path: Path, name: string): Promise<Uint8Array | undefined> {
    return xattrs.getXattr(this.#gate, call, path, name)
  }

  listXattrs(call: Call, path: Path): Promise<readonly string[]> {
    return xattrs.listXattrs(this.#gate, call, path)
  }

  setXattr(
    call: Call,
    path: Path,
    name: string,
    value: Uint8Array | undefined,
    condition: XattrCondition,
  ): Promise<void> {
    return xattrs.setXattr(this.#gate, call, path, name, value, condition)
  }

  watch(changed: (change: Change) => void): () => void {
    return this.#gate.feed.watch(() => this.#gate.namespace, changed)
  }

  mayList(call: Call, directory: Path): Promise<boolean> {
    return mayList(this.#gate, call, directory)
  }

  mayName({ principal }: Call, path: Path): boolean {
    return permitsPath(principal, 'stat', path).allowed
  }

  getKept(call: Call, path: Path): Promise<{ readonly entry: Entry; readonly kept: Kept }> {
    return getKept(this.#gate, call, path)
  }

  setRecord(call: Call, path: Path, record: string | undefined, options: RecordOptions): Promise<void> {
    return setRecord(this.#gate, call, path, record, options)
  }

  usage(call: Call, path: Path): Promise<Usage> {
    return properties.usage(this.#gate, call, path)
  }

  mounts(call: Call): readonly MountView[] {
    return mounts(this.#gate, call)
  }

  versions(call: Call, path: Path): Promise<readonly ShownVersion[]> {
    return versions(this.#gate, call, path)
  }

  locality(call: Call, paths: readonly Path[]): Promise<ReadonlyArray<Locality | StorageError>> {
    return locality(this.#gate, call, paths)
  }

  explain(call: Call, action: Action, path: Path, subject?: Principal): Promise<Explanation> {
    return explain(this.#gate, call, action, path, subject)
  }

  effective(call: Call, action: Action, path: Path): Promise<Effective> {
    return effective(this.#gate, call, action, path)
  }

  #lanes() {
    const { namespace, limits } = this.#gate
    return namespace.mounts.map((mount) => {
      const { inFlight, expired, refused } = limits.laneOf(mount)
      return { mount: mount.at, inFlight, expired, refused }
    })
  }
}
