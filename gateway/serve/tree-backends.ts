/** Back ends on directory trees of this machine, as a configuration describes them. */

import type { Backend } from '../../backends/backend.ts'
import { DustBackend } from '../../backends/dust/dust.ts'
import { scaleByCommands } from '../../backends/gpfs/commands.ts'
import { GpfsBackend, type GpfsOptions } from '../../backends/gpfs/gpfs.ts'
import type { Scale } from '../../backends/gpfs/providers.ts'
import { scaleByRest } from '../../backends/gpfs/rest.ts'
import { PosixBackend } from '../../backends/posix/posix.ts'
import type { Config, MountConfig } from '../config.ts'
import { StorageError } from '../core/errors.ts'
import { readText } from './files.ts'
import { type Means, readWord, type Section } from './making.ts'

/** ms. */
const day = 24 * 3_600_000

type ScaleSection = Section<'gpfs'> | Section<'dust'>

/**
 * Resolves when its threads work, or when they took longer than the mount's deadline, which is logged. Throws where
 * they cannot work, as when identities do not switch.
 */
export async function makeTree(mount: MountConfig, config: Config, means: Means): Promise<Backend> {
  const { backend } = mount
  if (backend.type === 'posix') return ready(posix(mount, backend, config, means), mount, means)
  if (backend.type === 'gpfs') {
    const options = await gpfsOptions(mount, backend, backend.fileSystem, config, means)
    return ready(new GpfsBackend(options, means.services), mount, means)
  }
  if (backend.type === 'dust') return ready(await dust(mount, backend, config, means), mount, means)
  throw new StorageError('unsupported', `${backend.type} is no directory tree`)
}

function posix(mount: MountConfig, section: Section<'posix'>, config: Config, means: Means): PosixBackend {
  const { type, root, ...options } = section
  return new PosixBackend({ ...options, ...treeOptions(mount, section, config, means) }, means.services)
}

async function gpfsOptions(
  mount: MountConfig,
  section: ScaleSection,
  fileSystem: string,
  config: Config,
  means: Means,
): Promise<GpfsOptions> {
  const { acls, library, exclusive, snapshots, junctions, perFilesetQuotas } = section
  const scale = await scaleOf(section, fileSystem, config)
  return {
    ...dataPath(section),
    ...treeOptions(mount, section, config, means),
    path: section.root,
    snapshotDirectory: snapshots,
    ...{ exclusive, junctions, perFilesetQuotas },
    ...(acls === 'library' && { library }),
    ...(scale && { scale }),
  }
}

async function dust(mount: MountConfig, section: Section<'dust'>, config: Config, means: Means): Promise<DustBackend> {
  const { over, fileSystem, acl } = section
  if (over === 'gpfs') {
    if (fileSystem === undefined) throw new StorageError('invalid', 'fileSystem is missing')
    const options = await gpfsOptions(mount, section, fileSystem, config, means)
    return new DustBackend({ over, ...options }, means.services)
  }
  // Commands need the GPFS client, which is not here; the management API needs none.
  const isTold = section.rest !== undefined && fileSystem !== undefined && section.information !== 'none'
  const scale = isTold
    ? scaleByRest({ ...(await restOptions(section.rest)), fileSystem, mountPoint: section.mountPoint ?? section.root })
    : undefined
  const options = { ...dataPath(section), ...treeOptions(mount, section, config, means), path: section.root }
  return new DustBackend({ over, acl, ...options, ...(scale && { info: scale.info }) }, means.services)
}

/** Options that go to the POSIX back end as they are. */
function dataPath({ reserved, symlinks, sync, replace, threads, dataThreads }: ScaleSection) {
  return { reserved, symlinks, sync, replace, threads, dataThreads }
}

/** ACLs by one way and the rest perhaps by another. Undefined where neither is needed. */
async function scaleOf(section: ScaleSection, fileSystem: string, { domain }: Config): Promise<Scale | undefined> {
  const { acls, information, commands, rest, mountPoint } = section
  const ways = new Map<'commands' | 'rest', Scale>()
  const way = async (kind: 'commands' | 'rest'): Promise<Scale> => {
    const known = ways.get(kind)
    if (known) return known
    const { timeout, ...options } = commands
    const made =
      kind === 'commands'
        ? scaleByCommands({ ...options, deadline: timeout, fileSystem, mountPoint, domain })
        : scaleByRest({ ...(await restOptions(rest)), fileSystem, mountPoint: required(mountPoint), domain })
    ways.set(kind, made)
    return made
  }
  const one = acls === 'library' ? undefined : await way(acls)
  const other = information === 'none' ? undefined : await way(information)
  const any = one ?? other
  if (!any) return undefined
  const close = async () => void (await Promise.allSettled([...ways.values()].map((scale) => scale.close())))
  return { acls: (one ?? any).acls, info: (other ?? any).info, close }
}

/** Paths are told to the management API relative to it: a wrong one would be that of other objects. */
function required(mountPoint: string | undefined): string {
  if (mountPoint === undefined) throw new StorageError('invalid', 'mountPoint is missing')
  return mountPoint
}

async function restOptions(rest: ScaleSection['rest']) {
  if (!rest) throw new StorageError('invalid', 'the management API is not configured')
  const { url, ca, user, password } = rest
  return {
    url: new URL(url),
    user,
    password: () => readWord(password),
    ...(ca !== undefined && { ca: await readText(ca) }),
  }
}

/** What all of them get from the mount and from the process. */
function treeOptions(mount: MountConfig, section: { type: string; root: string }, config: Config, means: Means) {
  const { type, root } = section
  const { roots, log } = means
  const name = `${type}:${root}`
  const grade: 'native' | 'gateway' = mount.enforce === 'native' ? 'native' : 'gateway'
  return {
    name,
    root: (grade === 'native' ? roots.get(root) : undefined) ?? root,
    grade,
    deadline: mount.deadline,
    minUid: config.minUid,
    ...(!mount.readOnly && { abandoned: config.uploads.expire + day }),
    log: (message: string, cause?: unknown) => log.warn({ backend: name, err: cause }, message),
  }
}

/** A back end with threads of its own, that tells when they work. */
interface Threaded extends Backend {
  ready(): Promise<void>
}

async function ready(backend: Threaded, mount: MountConfig, { log }: Means): Promise<Backend> {
  try {
    if (!(await isReady(backend, mount)))
      log.warn({ backend: backend.name }, 'the threads of a mount are not ready yet')
    return backend
  } catch (cause) {
    await backend.close()
    throw new StorageError('unavailable', `${mount.path} cannot be served`, { cause })
  }
}

/** False when it takes longer than the mount's deadline; then the first calls will tell. */
async function isReady(backend: Threaded, { deadline }: MountConfig): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), deadline)
  try {
    return await Promise.race([backend.ready().then(() => true), promise])
  } finally {
    clearTimeout(timer)
  }
}
