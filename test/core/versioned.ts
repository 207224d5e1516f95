/** A back end that keeps one earlier state, "v1": another tree in memory, with the ACLs of then. */

import type { Backend, VersionFacet } from '../../backends/backend.ts'
import type { MemoryBackend } from '../../backends/memory/memory.ts'
import { StorageError } from '../../gateway/core/errors.ts'

export function versioned(now: MemoryBackend, then: MemoryBackend): Backend {
  const versions: VersionFacet = {
    list: async (path, call) => {
      const trail = await now.walk(path, call)
      const proceed = async () => {
        const old = await then.walk(path, call)
        return old.entry ? [{ version: 'v1', kept: 1_000_000_000n, entry: old.entry, trail: old }] : []
      }
      return { trail, proceed, release: async () => {} }
    },
    open: (path, version, call) => {
      if (version !== 'v1') throw new StorageError('not-found', 'no such version', { path })
      return then.open(path, {}, call)
    },
  }
  return new Proxy<Backend>(now, {
    get(target, key) {
      if (key === 'versions') return versions
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
