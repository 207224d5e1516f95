/** What must hold before a method changes something, beyond what Storage checks with it. */

import type { Entry } from '../../backends/backend.ts'
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
  const entry = x.slash ? await requireDirectory(x) : await x.door.storage.stat(x.call, x.path)
  if (conditions) requireConditions(conditions, entry)
}

/** "file/" is not "file". */
export async function requireDirectory(x: Exchange): Promise<Entry> {
  const entry = await x.door.storage.stat(x.call, x.path)
  if (entry.type === 'directory') return entry
  throw new StorageError('not-found', 'this is not a directory')
}
