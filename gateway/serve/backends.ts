/** The back ends that a configuration can name. */

import type { BackendServices } from '../../backends/backend.ts'
import { PosixBackend } from '../../backends/posix/posix.ts'
import type { MountConfig } from '../config.ts'
import { StorageError } from '../core/errors.ts'
import type { Logger } from './log.ts'
import type { MakeBackend } from './mounts.ts'

/**
 * Makes back ends over directory trees. `roots`: tops that root opened for native mounts, by path. A
 * native mount whose threads cannot switch identities is an error; a file system that does not answer
 * is none, since the mount may recover while the others serve.
 */
export function posixMaker(roots: ReadonlyMap<string, number>, services: BackendServices, log: Logger): MakeBackend {
  return async (mount, minUid) => {
    const { type, root, ...options } = mount.backend
    const name = `${type}:${root}`
    const backend = new PosixBackend(
      {
        ...options,
        name,
        root: (mount.enforce === 'native' ? roots.get(root) : undefined) ?? root,
        grade: mount.enforce,
        deadline: mount.deadline,
        minUid,
        log: (message, cause) => log.warn({ backend: name, err: cause }, message),
      },
      services,
    )
    try {
      if (!(await isReady(backend, mount))) log.warn({ backend: name }, 'the threads of a mount are not ready yet')
      return backend
    } catch (cause) {
      await backend.close()
      throw new StorageError('unavailable', `${mount.path} cannot be served`, { cause })
    }
  }
}

/** False when it takes longer than the mount's deadline; then the first calls will tell. */
async function isReady(backend: PosixBackend, { deadline }: MountConfig): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), deadline)
  try {
    return await Promise.race([backend.ready().then(() => true), promise])
  } finally {
    clearTimeout(timer)
  }
}
