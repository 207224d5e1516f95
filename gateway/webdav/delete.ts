/** DELETE (RFC 4918, section 9.6): files, and directories with everything in them. */

import { StorageError } from '../core/errors.ts'
import type { StorageOperations } from '../core/storage.ts'
import { preferred } from '../http/accept.ts'
import { parseConditions } from '../http/conditions.ts'
import { HttpError } from '../http/errors.ts'
import type { Method } from '../http/options.ts'
import { respond } from '../http/respond.ts'
import { requireWholeDepth } from './headers.ts'
import { withIf } from './if-header.ts'
import { sendFailures } from './multistatus.ts'
import { requireDirectory } from './preconditions.ts'

/** Named in a problem document; what more there was is counted. */
const maxNamed = 100

export const remove: Method = {
  action: 'remove',
  async run(x) {
    await requireWholeDepth(x)
    if (x.slash) await requireDirectory(x)
    const conditions = withIf(x, parseConditions(x.request.headers, 'DELETE'))
    const { storage } = x.door
    const { failed } = await storage.remove(x.call, x.path, { recursive: true, ...(conditions && { conditions }) })
    if (failed.length === 0) return respond(x, 204, [])
    const form = preferred(x.request.headers.accept, [
      'application/xml',
      'application/problem+json',
      'application/json',
    ])
    if (form !== 'application/xml') throw incomplete(failed)
    return sendFailures(x, failed)
  },
}

type Failed = Awaited<ReturnType<StorageOperations['remove']>>['failed']

/** The directory is still there, with what may not go. 403 if that was all a matter of rights, otherwise 409. */
function incomplete(failed: Failed): HttpError {
  const named = failed.slice(0, maxNamed).map(({ path, error }) => ({ path, code: StorageError.from(error).code }))
  const denied = failed.every(({ error }) => StorageError.from(error).code === 'denied')
  return new HttpError(denied ? 403 : 409, denied ? 'denied' : 'not-empty', 'not everything could be removed', {
    members: { failed: named, failedCount: failed.length },
  })
}
