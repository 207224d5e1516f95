/** What must hold before a method changes something, beyond what Storage checks with it. */

import { requireConditions } from '../core/conditions.ts'
import { StorageError } from '../core/errors.ts'
import { parseConditions } from '../http/conditions.ts'
import type { Exchange } from '../http/exchange.ts'

/**
 * For methods on what is there already: a final slash names a directory, and If-Match and its kin hold. There is no
 * look where nothing asks for one: who may not look may still be allowed to do it.
 */
export async function requirePreconditions(x: Exchange): Promise<void> {
  const conditions = parseConditions(x.request.headers, x.request.method ?? '')
  if (!x.slash && !conditions) return
  const entry = await x.door.storage.stat(x.call, x.path)
  if (x.slash && entry.type !== 'directory') throw new StorageError('not-found', 'this is not a directory')
  if (conditions) requireConditions(conditions, entry)
}
