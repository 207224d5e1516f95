/** The back ends that a configuration can name. */

import { makeDcache } from './dcache-backend.ts'
import type { Means } from './making.ts'
import type { MakeBackend } from './mounts.ts'
import { makeTree } from './tree-backends.ts'

/**
 * Makes back ends. A native mount whose threads cannot switch identities is an error; storage that does not answer is
 * none, since the mount may recover while the others serve.
 */
export function backendMaker(means: Means): MakeBackend {
  return async (mount, config) => {
    const { backend } = mount
    if (backend.type === 'dcache') return makeDcache(mount, backend, config, means)
    if (backend.type === 's3') {
      // Its client is large, and most gateways have no such mount.
      const { makeS3 } = await import('./s3-backend.ts')
      return makeS3(mount, backend, means)
    }
    return makeTree(mount, config, means)
  }
}
