/**
 * IBM Storage Scale (GPFS): the data path and the grades of the POSIX back end, with the ACLs, filesets, quotas and
 * snapshots that only GPFS has.
 *
 * ACLs come from libgpfs by descriptor on the I/O threads, or by path from the commands or the management API. By path
 * they are fetched for the `gateway` grade to decide by; in the `native` grade GPFS decides itself as the user, and
 * they are only shown: set by path it would be the gateway that sets them.
 */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, root } from '../../gateway/core/path.ts'
import type {
  AclFacet,
  Backend,
  BackendServices,
  Changes,
  CheckFacet,
  CopyFacet,
  CreateOptions,
  Draft,
  EditFacet,
  Entry,
  Listing,
  ListOptions,
  MoveOptions,
  OpenFile,
  OpenOptions,
  Pending,
  PendingMove,
  QuotaFacet,
  ResumingFacet,
  RightsFacet,
  Trail,
  Usage,
  VersionFacet,
} from '../backend.ts'
import type { FileChecksums } from '../posix/checksums.ts'
import type { PosixOptions } from '../posix/options.ts'
import { PosixBackend } from '../posix/posix.ts'
import type { FileProperties } from '../posix/properties.ts'
import { checkScale } from './checking.ts'
import { FetchedAcls, type FetchedAclsOptions } from './fetched-acls.ts'
import { Filesets } from './filesets.ts'
import { Fresh } from './fresh.ts'
import { libgpfsModule } from './library-module.ts'
import type { GpfsOptions } from './options.ts'
import type { FileSystemSettings, QuotaSubject } from './providers.ts'
import { Quotas, tightest } from './quotas.ts'
import { Snapshots } from './snapshots.ts'

export type { GpfsOptions } from './options.ts'

/** ms that the settings of a file system are believed. */
const believed = 10 * 60_000

export class GpfsBackend implements Backend {
  readonly name: string
  /** Absent where nothing is configured that knows the ACLs. */
  readonly acls?: AclFacet
  readonly rights?: RightsFacet
  readonly checksums: FileChecksums
  readonly properties: FileProperties
  readonly copying: CopyFacet
  readonly editing: EditFacet
  readonly resuming: ResumingFacet
  /** Absent without `scale`, which alone knows the snapshots. */
  readonly versions?: VersionFacet
  readonly #options: GpfsOptions
  readonly #tree: PosixBackend
  readonly #rootPath: string
  readonly #filesets: Filesets
  readonly #quotas: Quotas | undefined
  readonly #snapshots: Snapshots | undefined
  readonly #settings: Fresh<FileSystemSettings> | undefined
  /** What went wrong with ACLs by path, and how often. */
  readonly #trouble = new Map<string, number>()

  /** Starts the I/O threads at once; `ready` tells when they work. Throws `invalid` for options that exclude each other. */
  constructor(options: GpfsOptions, services: BackendServices) {
    const { scale, library, junctions = [], snapshotDirectory = '.snapshots' } = options
    this.#options = options
    this.#rootPath = rootPathOf(options)
    this.name = options.name ?? `gpfs:${this.#rootPath}`
    const log = (message: string, cause?: unknown) => options.log?.(`${this.name}: ${message}`, cause)
    this.#settings = scale && new Fresh(believed, (signal) => scale.info.settings(signal))
    const reserved = [...(options.reserved ?? []), snapshotDirectory]
    const writing = options.exclusive ? 'by-name' : 'held'
    this.#tree = new PosixBackend(this.#treeOptions(options.root, this.#rootPath, reserved, writing), services)
    this.#filesets = new Filesets(scale?.info, junctions, log)
    this.#quotas = scale && new Quotas(scale.info, log)
    if (scale) {
      this.#snapshots = new Snapshots({
        info: scale.info,
        filesets: this.#filesets,
        rootPath: this.#rootPath,
        directory: snapshotDirectory,
        live: this.#tree,
        reserved: new Set(reserved),
        open: (top) => this.#openSnapshots(top, services),
      })
      this.versions = this.#snapshots
    }
    if (scale || library !== undefined) this.acls = this.#tree.acls
    if (this.#tree.rights) this.rights = this.#tree.rights
    this.checksums = this.#tree.checksums
    this.properties = this.#tree.properties
    this.copying = this.#tree.copying
    this.editing = this.#tree.editing
    this.resuming = this.#tree.resuming
  }

  /** As of the POSIX back end. */
  ready(): Promise<void> {
    return this.#tree.ready()
  }

  /** As of the POSIX back end. */
  sweep(age?: number): Promise<number> {
    return this.#tree.sweep(age)
  }

  enforces(): boolean {
    return this.#tree.enforces()
  }

  walk(path: Path, call: Call): Promise<Trail> {
    return this.#tree.walk(path, call)
  }

  list(directory: Path, options: ListOptions, call: Call): Promise<Pending<Listing>> {
    return this.#tree.list(directory, options, call)
  }

  open(file: Path, options: OpenOptions, call: Call): Promise<Pending<OpenFile>> {
    return this.#tree.open(file, options, call)
  }

  create(file: Path, options: CreateOptions, call: Call): Promise<Pending<Draft>> {
    return this.#tree.create(file, options, call)
  }

  mkdir(directory: Path, call: Call): Promise<Pending<Entry>> {
    return this.#tree.mkdir(directory, call)
  }

  async remove(path: Path, call: Call): Promise<Pending<void>> {
    const pending = await this.#tree.remove(path, call)
    const proceed = async () => {
      if (pending.trail.entry?.type === 'directory') await this.#requireNoJunction(path, call)
      return pending.proceed()
    }
    return { ...pending, proceed }
  }

  async rename(from: Path, to: Path, options: MoveOptions, call: Call): Promise<PendingMove<Entry>> {
    const pending = await this.#tree.rename(from, to, options, call)
    const proceed = async () => {
      const { entry } = pending.trail
      if (entry?.type === 'directory') await this.#requireNoJunction(from, call)
      if (entry) await this.#requireOneFileset(from, to, call)
      return pending.proceed()
    }
    return { ...pending, proceed }
  }

  setAttributes(path: Path, changes: Changes, call: Call): Promise<Pending<Entry>> {
    return this.#tree.setAttributes(path, changes, call)
  }

  async close(): Promise<void> {
    await Promise.all([this.#tree.close(), this.#snapshots?.close(), this.#options.scale?.close()])
  }

  readonly quotas: QuotaFacet = {
    usage: async (path, call) => {
      const pending = await this.#tree.quotas.usage(path, call)
      return { ...pending, proceed: async () => this.#usage(path, await pending.proceed(), call) }
    },
  }

  /** The file system as a whole, whoever asks. */
  get wholeUsage(): QuotaFacet {
    return this.#tree.quotas
  }

  readonly checking: CheckFacet = {
    check: async () => [
      ...(await this.#tree.checking.check()),
      ...(await checkScale({
        options: this.#options,
        rootPath: this.#rootPath,
        settings: this.#settings,
        filesets: this.#filesets,
        trouble: this.#trouble,
      })),
    ],
  }

  async #usage(path: Path, whole: Usage, { principal, signal }: Call): Promise<Usage> {
    if (!this.#quotas) return whole
    const fileset = (await this.#filesets.at(this.#absolute(path), signal))?.fileset?.name
    const within = this.#options.perFilesetQuotas && fileset !== undefined ? { fileset } : {}
    const subjects: QuotaSubject[] = fileset === undefined ? [] : [{ type: 'fileset', name: fileset }]
    // In the `gateway` grade files belong to the account of the gateway. Nothing limits root.
    const { uid = 0, gid = 0 } = this.enforces() ? (principal.posix ?? {}) : gatewayIds()
    if (uid !== 0) subjects.push({ type: 'user', name: String(uid), ...within })
    if (gid !== 0) subjects.push({ type: 'group', name: String(gid), ...within })
    return tightest(await this.#quotas.of(subjects, signal), whole)
  }

  /** Only mmunlinkfileset takes a junction away. */
  async #requireNoJunction(path: Path, { signal }: Call): Promise<void> {
    const absolute = this.#absolute(path)
    if ((await this.#filesets.at(absolute, signal))?.path !== absolute) return
    const reason = { rule: 'fileset', text: 'the root of a fileset is moved and removed by its administrators', path }
    throw new StorageError('denied', 'this is the root of a fileset', { path, reason })
  }

  /** GPFS has no links and renames from one fileset to another. */
  async #requireOneFileset(from: Path, to: Path, { signal }: Call): Promise<void> {
    const source = await this.#filesets.at(this.#absolute(from), signal)
    const target = await this.#filesets.at(this.#absolute(to), signal)
    if (source?.path === target?.path) return
    throw new StorageError('cross-mount', 'a rename does not lead into another fileset', { path: to })
  }

  #absolute(path: Path): string {
    if (path === root) return this.#rootPath
    return this.#rootPath === '/' ? path : `${this.#rootPath}${path}`
  }

  #treeOptions(
    top: string | number,
    path: string,
    reserved: readonly string[],
    writing: FetchedAclsOptions['writing'],
  ): PosixOptions {
    const { scale, library, exclusive, ...options } = this.#options
    const base = { ...options, name: this.name, root: top, reserved }
    if (library !== undefined) return { ...base, acl: [], aclModule: libgpfsModule(library).href }
    if (!scale) return { ...base, acl: [] }
    const pathAcls = new FetchedAcls({
      provider: scale.acls,
      root: path,
      snapshotDirectory: this.#options.snapshotDirectory ?? '.snapshots',
      remembered: this.#options.remembered ?? 100_000,
      writing,
      clockTolerance: this.#options.clockTolerance ?? 2000,
      requireWritable: (signal) => this.#requireWritable(signal),
      trouble: (word) => void this.#trouble.set(word, (this.#trouble.get(word) ?? 0) + 1),
    })
    return { ...base, acl: ['path'], pathAcls }
  }

  /** Throws `unsupported` where the file system stores no NFSv4 ACLs; what cannot be told is tried. */
  async #requireWritable(signal: AbortSignal): Promise<void> {
    let semantics: FileSystemSettings['aclSemantics']
    try {
      semantics = (await this.#settings?.get(signal))?.aclSemantics
    } catch (error) {
      if (StorageError.from(error).code === 'cancelled') throw error
      return
    }
    if (semantics === 'posix') throw new StorageError('unsupported', 'this file system stores no NFSv4 ACLs (-k posix)')
  }

  #openSnapshots(top: string | undefined, services: BackendServices): PosixBackend {
    const [at, path] = top === undefined ? [this.#options.root, this.#rootPath] : [top, top]
    // By another name, since what the journal holds of the mount itself is not for these trees to sweep.
    const name = `${this.name}, snapshots`
    const base = this.#treeOptions(at, path, [], 'never')
    return new PosixBackend({ ...base, name, symlinks: 'none', threads: 1, dataThreads: 2 }, services)
  }
}

/** Throws `invalid` for options that exclude each other. */
function rootPathOf({ root: top, path, grade, scale, library, symlinks }: GpfsOptions): string {
  const at = typeof top === 'string' ? top : path
  if (at === undefined || !at.startsWith('/')) throw new StorageError('invalid', 'the path of the root is not known')
  if (grade === 'gateway' && !scale && library === undefined) {
    throw new StorageError('invalid', 'without libgpfs or Storage Scale nobody knows the ACLs to decide by')
  }
  if (symlinks === 'within' && library === undefined) {
    throw new StorageError('invalid', 'links are followed only where ACLs are read by libgpfs')
  }
  return at.length > 1 && at.endsWith('/') ? at.slice(0, -1) : at
}

function gatewayIds(): { readonly uid?: number; readonly gid?: number } {
  const { geteuid, getegid } = process
  return geteuid && getegid ? { uid: geteuid(), gid: getegid() } : {}
}
