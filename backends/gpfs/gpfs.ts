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
  BackendServices,
  CheckFacet,
  Entry,
  ExchangeFacet,
  LinkFacet,
  MoveOptions,
  Pending,
  PendingMove,
  QuotaFacet,
  Usage,
} from '../backend.ts'
import { Forwarding } from '../posix/forwarding.ts'
import type { PosixBackend } from '../posix/posix.ts'
import { checkScale } from './checking.ts'
import { Filesets } from './filesets.ts'
import type { GpfsOptions } from './options.ts'
import type { QuotaSubject } from './providers.ts'
import { Quotas, tightest } from './quotas.ts'
import { Snapshots } from './snapshots.ts'
import { Trees } from './trees.ts'

export type { GpfsOptions } from './options.ts'

export class GpfsBackend extends Forwarding {
  readonly #options: GpfsOptions
  readonly #tree: PosixBackend
  readonly #rootPath: string
  readonly #filesets: Filesets
  readonly #quotas: Quotas | undefined
  readonly #snapshots: Snapshots | undefined
  readonly #trees: Trees

  /**
   * Starts the I/O threads at once; `ready` tells when they work. Throws `invalid` for options that exclude each other.
   * Without `scale` there are no versions, and without `library` too no ACLs: nobody knows them.
   */
  constructor(options: GpfsOptions, services: BackendServices) {
    const { scale, library, junctions = [] } = options
    const rootPath = rootPathOf(options)
    const name = options.name ?? `gpfs:${rootPath}`
    const trees = new Trees({ ...options, name, path: rootPath }, services)
    const tree = trees.live()
    const log = (message: string, cause?: unknown) => options.log?.(`${name}: ${message}`, cause)
    const filesets = new Filesets(scale?.info, junctions, log)
    const { directory, reserved } = trees
    const open = (top?: string) => trees.ofSnapshots(top)
    const snapshots =
      scale && new Snapshots({ info: scale.info, filesets, rootPath, directory, live: tree, reserved, open })
    const acls = scale || library !== undefined ? tree.acls : undefined
    super(tree, { acls, rights: tree.rights, versions: snapshots })
    this.#options = options
    this.#rootPath = rootPath
    this.#trees = trees
    this.#tree = tree
    this.#filesets = filesets
    this.#snapshots = snapshots
    this.#quotas = scale && new Quotas(scale.info, log)
  }

  override async remove(path: Path, call: Call): Promise<Pending<void>> {
    const pending = await this.#tree.remove(path, call)
    const proceed = async () => {
      if (pending.trail.entry?.type === 'directory') await this.#requireNoJunction(path, call)
      return pending.proceed()
    }
    return { ...pending, proceed }
  }

  override async rename(from: Path, to: Path, options: MoveOptions, call: Call): Promise<PendingMove<Entry>> {
    const pending = await this.#tree.rename(from, to, options, call)
    const proceed = async () => {
      const { entry } = pending.trail
      if (entry?.type === 'directory') await this.#requireNoJunction(from, call)
      if (entry) await this.#requireOneFileset(from, to, call)
      return pending.proceed()
    }
    return { ...pending, proceed }
  }

  override readonly linking: LinkFacet = {
    symlink: (link, target, call) => this.#tree.linking.symlink(link, target, call),
    link: async (file, name, call) => {
      const pending = await this.#tree.linking.link(file, name, call)
      const proceed = async () => {
        if (pending.trail.entry) await this.#requireOneFileset(file, name, call)
        return pending.proceed()
      }
      return { ...pending, proceed }
    },
  }

  override readonly exchanging: ExchangeFacet = {
    exchange: async (one, other, call) => {
      const pending = await this.#tree.exchanging.exchange(one, other, call)
      const proceed = async () => {
        await this.#requireNoJunction(one, call)
        await this.#requireNoJunction(other, call)
        await this.#requireOneFileset(one, other, call)
        return pending.proceed()
      }
      return { ...pending, proceed }
    },
  }

  override async close(): Promise<void> {
    await Promise.all([this.#tree.close(), this.#snapshots?.close(), this.#options.scale?.close()])
  }

  override readonly quotas: QuotaFacet = {
    usage: async (path, call) => {
      const pending = await this.#tree.quotas.usage(path, call)
      return { ...pending, proceed: async () => this.#usage(path, await pending.proceed(), call) }
    },
  }

  /** The file system as a whole, whoever asks. */
  get wholeUsage(): QuotaFacet {
    return this.#tree.quotas
  }

  override readonly checking: CheckFacet = {
    check: async () => [
      ...(await this.#tree.checking.check()),
      ...(await checkScale({
        options: this.#options,
        rootPath: this.#rootPath,
        settings: this.#trees.settings,
        filesets: this.#filesets,
        trouble: this.#trees.trouble,
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
    throw new StorageError('cross-mount', 'neither names nor files lead into another fileset', { path: to })
  }

  #absolute(path: Path): string {
    if (path === root) return this.#rootPath
    return this.#rootPath === '/' ? path : `${this.#rootPath}${path}`
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
