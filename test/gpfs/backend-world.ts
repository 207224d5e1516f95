/**
 * A directory tree that stands for GPFS, and a Storage Scale in memory that keeps its ACLs: for each inode, changed
 * together with its ctime, inherited by what is made below, as GPFS does it (Storage Scale Administration Guide,
 * "Managing GPFS access control lists").
 */

import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
} from 'node:fs'
import { chmod, chown } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join as joinPath } from 'node:path'
import type { Acl } from '../../acl/acl.ts'
import { aclFromMode, modeOf, withMode } from '../../acl/mode.ts'
import { GpfsBackend, type GpfsOptions } from '../../backends/gpfs/gpfs.ts'
import type {
  AclProvider,
  FileSystemInfo,
  FileSystemSettings,
  Fileset,
  Quota,
  QuotaSubject,
  Scale,
  Snapshot,
  StoredAcl,
} from '../../backends/gpfs/providers.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { TestServices } from '../posix/backend-world.ts'

/** Alice may do all, below too. */
export const openAcl: Acl = {
  owner: undefined,
  group: undefined,
  dialect: 'gpfs',
  aces: [
    { type: 'allow', flags: 0x3, mask: 0x1f01ff, who: 'OWNER@' },
    { type: 'allow', flags: 0x3, mask: 0x1f01ff, who: { user: 'alice@desy.de' } },
  ],
}

export class FakeAcls implements AclProvider {
  readonly kind = 'commands'
  /** Paths of all calls, in their order. */
  readonly reads: string[] = []
  readonly writes: string[] = []
  /** Called during a read, before the ACL is looked up and after. */
  before: (path: string) => void | Promise<void> = () => {}
  after: (path: string) => void | Promise<void> = () => {}
  beforeWrite: (path: string) => void = () => {}
  afterWrite: (path: string) => void = () => {}
  writable = true
  readonly #kept = new Map<string, { readonly acl: Acl; readonly mode: number }>()

  async read(path: string, signal: AbortSignal): Promise<StoredAcl> {
    this.reads.push(path)
    await this.before(path)
    signal.throwIfAborted()
    const acl = this.get(path)
    await this.after(path)
    return { acl, writable: this.writable }
  }

  /** By name, as the management API does. */
  async write(path: string, acl: Acl): Promise<void> {
    this.writes.push(path)
    this.beforeWrite(path)
    // Owner and group are the object's own.
    this.put(path, { ...acl, owner: undefined, group: undefined })
    this.afterWrite(path)
  }

  /** As mmputacl with a path below /proc. */
  writeHeld?: NonNullable<AclProvider['writeHeld']> = async ({ fd, release }, acl) => {
    const held = `/proc/self/fd/${fd}`
    const path = readlinkSync(held)
    try {
      // What the back end tries at its start has given its name away.
      if (path.endsWith(' (deleted)')) return this.put(held, acl)
      this.writes.push(path)
      this.beforeWrite(path)
      this.put(held, { ...acl, owner: undefined, group: undefined })
      this.afterWrite(path)
    } finally {
      release()
    }
  }

  /** As a local program would. */
  put(path: string, acl: Acl): void {
    // Setting the ACL rewrites the mode, and moves the ctime.
    const mode = modeOf(acl.aces)
    chmodSync(path, (statSync(path).mode & 0o7000) | mode)
    this.#kept.set(keyOf(path), { acl, mode })
  }

  get(path: string): Acl {
    const stat = lstatOf(path)
    const kept = this.#kept.get(keyOf(path))
    const mode = stat.mode & 0o777
    const kind = stat.isDirectory() ? 'directory' : 'file'
    // A chmod rewrites the special entries.
    if (kept) return kept.mode === mode ? kept.acl : withMode(kept.acl, mode, kind)
    const ids = { owner: String(stat.uid), group: String(stat.gid) }
    return aclFromMode(mode, kind, { ...ids, dialect: 'gpfs' })
  }
}

function lstatOf(path: string) {
  try {
    return lstatSync(path)
  } catch (cause) {
    throw new StorageError('not-found', 'no such object', { cause })
  }
}

function keyOf(path: string): string {
  const { ino, birthtimeNs } = statSync(path, { bigint: true })
  return `${ino}-${birthtimeNs}`
}

/** As the management API, to which no descriptor can be handed. */
export class NamedAcls extends FakeAcls {
  constructor() {
    super()
    delete this.writeHeld
  }
}

export class FakeInfo implements FileSystemInfo {
  list: Fileset[] = []
  readonly kept = new Map<string, Quota>()
  readonly asked: QuotaSubject[] = []
  snaps = new Map<string | undefined, Snapshot[]>()
  semantics: FileSystemSettings['aclSemantics'] = 'nfs4'
  mountPoint: string | undefined
  broken = false

  async settings(): Promise<FileSystemSettings> {
    this.#require()
    return { aclSemantics: this.semantics, mountPoint: this.mountPoint }
  }

  async filesets(): Promise<readonly Fileset[]> {
    this.#require()
    return this.list
  }

  async quotas(subject: QuotaSubject): Promise<Quota | undefined> {
    this.#require()
    this.asked.push(subject)
    return this.kept.get(`${subject.type}:${subject.name}`)
  }

  async snapshots(fileset: string | undefined): Promise<readonly Snapshot[]> {
    this.#require()
    return this.snaps.get(fileset) ?? []
  }

  #require(): void {
    if (this.broken) throw new StorageError('unavailable', 'Storage Scale does not answer')
  }
}

export interface Gpfs {
  readonly directory: string
  readonly services: TestServices
  readonly acls: FakeAcls
  readonly info: FakeInfo
  readonly scale: Scale
  readonly backend: GpfsBackend
  real(...names: string[]): string
  leftovers(): readonly string[]
  end(): Promise<void>
}

export interface Made extends Partial<GpfsOptions> {
  /** What keeps the lists, instead of one that a descriptor can be handed to. */
  readonly acls?: FakeAcls
  /** Called on the tree before the back end is made. */
  readonly prepare?: (world: Pick<Gpfs, 'directory' | 'acls' | 'info'>) => void
  /** The same, where it takes time. */
  readonly begin?: (world: Pick<Gpfs, 'directory'>) => Promise<void>
  /** The mount's root below the tree's. */
  readonly below?: string
}

export async function makeGpfs({ prepare, begin, below, acls = new FakeAcls(), ...options }: Made = {}): Promise<Gpfs> {
  const directory = mkdtempSync(joinPath(tmpdir(), 'portolan-gpfs-'))
  const services = new TestServices()
  const info = new FakeInfo()
  const scale: Scale = { acls, info, close: async () => {} }
  await chmod(directory, 0o755)
  if (options.grade === 'native') await chown(directory, 41001, 41001)
  acls.put(directory, openAcl)
  info.list = [{ name: 'root', junction: directory, independent: true }]
  prepare?.({ directory, acls, info })
  await begin?.({ directory })
  const backend = new GpfsBackend(
    {
      root: below === undefined ? directory : joinPath(directory, below),
      grade: 'gateway',
      threads: 2,
      sync: 'never',
      scale,
      ...options,
    },
    services,
  )
  await backend.ready()
  // Setting lists is tried at the start, in the top directory; a test begins when that is over.
  await backend.checking.check()
  for (const calls of [acls.reads, acls.writes]) calls.length = 0
  return {
    directory,
    services,
    acls,
    info,
    scale,
    backend,
    real: (...names) => joinPath(directory, ...names),
    leftovers: () => [...leftIn(directory), ...[...services.places].map((place) => `journal ${place}`)],
    end: async () => {
      await backend.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** A directory of the real tree, with a list. */
export function directoryWith(acls: FakeAcls, path: string, acl: Acl = openAcl): void {
  if (!existsSync(dirname(path))) directoryWith(acls, dirname(path), acl)
  mkdirSync(path)
  acls.put(path, acl)
}

function leftIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.includes('.portolan-stage-'),
  )
}
