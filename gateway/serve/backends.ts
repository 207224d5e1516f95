/** The back ends that a configuration can name. */

import type { Backend, BackendServices } from '../../backends/backend.ts'
import { PosixBackend } from '../../backends/posix/posix.ts'
import type { MountConfig } from '../config.ts'
import { StorageError } from '../core/errors.ts'
import type { Logger } from './log.ts'
import type { MakeBackend } from './mounts.ts'

/** What back ends are made with. */
export interface Means {
  /** Tops that root opened for native mounts, by path. */
  readonly roots: ReadonlyMap<string, number>
  readonly services: BackendServices
  readonly log: Logger
}

/**
 * Makes back ends. A native mount whose threads cannot switch identities is an error; storage that does not answer is
 * none, since the mount may recover while the others serve.
 */
export function backendMaker(means: Means): MakeBackend {
  return async (mount, { minUid }) => {
    const { type } = mount.backend
    if (type === 'posix') return ready(posix(mount, mount.backend, minUid, means), mount, means)
    throw new StorageError('unsupported', `there is no back end ${type}`)
  }
}

type Section<Type> = Extract<MountConfig['backend'], { type: Type }>

/** A back end with threads of its own, that tells when they work. */
interface Threaded extends Backend {
  ready(): Promise<void>
}

function posix(mount: MountConfig, section: Section<'posix'>, minUid: number, means: Means): PosixBackend {
  const { type, root, ...options } = section
  const name = `${type}:${root}`
  return new PosixBackend({ ...options, ...treeOptions(mount, root, name, minUid, means) }, means.services)
}

/** Options of all back ends on directory trees that the mount and the process give. */
function treeOptions(mount: MountConfig, root: string, name: string, minUid: number, { roots, log }: Means) {
  const grade: 'native' | 'gateway' = mount.enforce === 'native' ? 'native' : 'gateway'
  return {
    name,
    root: (grade === 'native' ? roots.get(root) : undefined) ?? root,
    grade,
    deadline: mount.deadline,
    minUid,
    log: (message: string, cause?: unknown) => log.warn({ backend: name, err: cause }, message),
  }
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
