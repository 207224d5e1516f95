/**
 * remove: a file or an empty directory.
 *
 * By the frontend, which refuses a directory that holds something. The WebDAV door may delete a directory with all that
 * it holds, so without a frontend a directory is looked into first.
 */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parentOf, root } from '../../gateway/core/path.ts'
import type { Entry, Pending } from '../backend.ts'
import { type Desk, refusalOf, type Scope } from './desk.ts'
import { findIn } from './listing.ts'
import { walk } from './looking.ts'
import { requireEntry, requireSame, scopeAround, stale, underLease } from './requiring.ts'

/** Backend.remove */
export async function remove(desk: Desk, path: Path, call: Call): Promise<Pending<void>> {
  const scope = scopeAround(desk, path, ['DELETE', 'LIST'])
  const trail = await walk(desk, path, scope, call)
  const proceed = async () => {
    desk.requireAlive(call)
    const entry = requireEntry(trail, path)
    if (path === root) throw new StorageError('invalid', 'the root cannot be removed', { path })
    await underLease(desk, [path], async () => {
      await requireSame(desk, path, entry, scope, call)
      if (entry.type === 'directory' && !desk.frontend) await requireEmpty(desk, path, scope, call)
      desk.requireAlive(call)
      await removeObject(desk, path, entry, scope, call)
    })
  }
  return { trail, proceed, release: async () => {} }
}

/** Throws `not-empty` where the frontend says so, in whatever words. */
export async function removeObject(desk: Desk, path: Path, entry: Entry, scope: Scope, call: Call): Promise<void> {
  const place = desk.inDcache(path)
  const response = desk.frontend
    ? await desk.rest({ method: 'DELETE', path: `/namespace${place}`, idempotent: false }, scope, call)
    : await desk.webdav.request({ method: 'DELETE', path: place, call, ...scope, idempotent: false })
  const { status } = response
  if (status === 404) {
    response.discard()
    throw stale(path)
  }
  if (status >= 200 && status <= 299) {
    response.discard()
    return
  }
  const error = await refusalOf(response, path)
  // Releases differ in the status for a directory that holds something.
  if (entry.type === 'directory') await requireEmpty(desk, path, scope, call)
  throw error
}

/** Throws `not-empty`. What is hidden from everybody counts too: an upload may be under way. */
export async function requireEmpty(desk: Desk, path: Path, scope: Scope, call: Call): Promise<void> {
  if (await holdsAny(desk, path, scope, call)) {
    throw new StorageError('not-empty', 'the directory is not empty', { path })
  }
}

async function holdsAny(desk: Desk, path: Path, scope: Scope, call: Call): Promise<boolean> {
  if (desk.frontend) {
    const request = {
      method: 'GET',
      path: `/namespace${desk.inDcache(path)}`,
      query: { children: 'true', limit: '1', offset: '0' },
      idempotent: true,
    } as const
    const json = await desk.told(await desk.rest(request, scope, call), path)
    return Array.isArray(json.children) && json.children.length > 0
  }
  const place = desk.inDcache(path)
  for await (const found of findIn(desk, path, scope, call)) {
    if (found.some((one) => parentOf(one.path) === place && one.path !== place)) return true
  }
  return false
}
