/** mkdir, by MKCOL (RFC 4918, section 9.3). */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parentOf } from '../../gateway/core/path.ts'
import type { Entry, Pending } from '../backend.ts'
import { type Desk, refusalOf } from './desk.ts'
import { walk } from './looking.ts'
import { lookAfter, requirePlace, requireSame, scopeAround, underLease } from './requiring.ts'

/** Backend.mkdir */
export async function mkdir(desk: Desk, directory: Path, call: Call): Promise<Pending<Entry>> {
  const scope = scopeAround(desk, directory, ['MANAGE'])
  const trail = await walk(desk, directory, scope, call)
  const proceed = async () => {
    desk.requireAlive(call)
    requirePlace(desk, trail, directory)
    if (trail.entry) throw taken(directory)
    return underLease(desk, [directory], async () => {
      const parent = parentOf(directory)
      await requireSame(desk, parent, trail.ancestors.at(-1), scope, call)
      desk.requireAlive(call)
      const place = desk.inDcache(directory)
      const response = await desk.webdav.request({ method: 'MKCOL', path: place, call, ...scope, idempotent: false })
      if (response.status === 405) {
        response.discard()
        throw taken(directory)
      }
      if (response.status !== 201) throw await refusalOf(response, directory)
      response.discard()
      return lookAfter(desk, directory, scope, call)
    })
  }
  return { trail, proceed, release: async () => {} }
}

function taken(path: Path): StorageError {
  return new StorageError('exists', 'something of that name exists', { path })
}
