/** What an operation needs to find, and the errors where it does not. */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { nameOf, type Path, parentOf, root } from '../../gateway/core/path.ts'
import type { Entry, Trail } from '../backend.ts'
import type { Desk, Scope } from './desk.ts'
import { unavailable } from './errors.ts'
import { lookAt } from './looking.ts'
import { requireUnreserved } from './names.ts'
import { isPathId } from './propfind.ts'

export function missing(path: Path): StorageError {
  return new StorageError('not-found', 'no such file or directory', { path })
}

export function stale(path: Path): StorageError {
  return new StorageError('stale', 'the object has changed since it was looked at', { path })
}

export function requireEntry({ entry }: Trail, path: Path): Entry {
  if (!entry) throw missing(path)
  return entry
}

/** A file whose bytes can be had. */
export function requireFile(trail: Trail, path: Path): Entry {
  const entry = requireEntry(trail, path)
  if (entry.type === 'directory') throw new StorageError('is-directory', 'this is a directory', { path })
  if (entry.type !== 'file') throw notPlain(entry, path)
  return entry
}

/**
 * For those who only look at bytes: throws where getting at them would make a tape move, or could. Without a frontend
 * no tape is known of.
 */
export function requireOnDisk(desk: Desk, { locality }: Entry, path: Path): void {
  if (locality === 'tape') throw new StorageError('nearline', 'the file is on tape', { path })
  if (locality === undefined && desk.frontend) throw unavailable('the storage does not tell where the file is')
}

function notPlain({ type }: Entry, path: Path): StorageError {
  const reason =
    type === 'symlink'
      ? { rule: 'symlink', text: 'links are not followed here', path }
      : { rule: 'special-file', text: 'not a file or directory', path }
  return new StorageError('denied', 'not allowed', { path, reason })
}

/** For what makes a name: a directory to hold it, and a name that may be made. */
export function requirePlace(desk: Desk, { ancestors, parentExists, entry }: Trail, path: Path): void {
  if (path === root) throw new StorageError('exists', 'the root is always there', { path })
  requireUnreserved(path, desk.inDcache(path))
  if (entry || parentExists) return
  const last = ancestors.at(-1)
  if (last && last.type !== 'directory') throw new StorageError('not-directory', 'the parent is no directory', { path })
  throw new StorageError('no-parent', 'the parent directory does not exist', { path })
}

/**
 * Looks again and throws `stale` unless the very same object, or still nothing, is at `path`. What follows is not one
 * step with this look: dCache has no request that names the object it is meant for.
 */
export async function requireSame(
  desk: Desk,
  path: Path,
  seen: Entry | undefined,
  scope: Scope,
  call: Call,
): Promise<void> {
  const now = await lookAt(desk, path, scope, call)
  if (now?.entry.id !== seen?.id) throw stale(path)
}

/** The entry after a change. Throws `stale` where it is gone already. */
export async function lookAfter(desk: Desk, path: Path, scope: Scope, call: Call): Promise<Entry> {
  const seen = await lookAt(desk, path, scope, call)
  if (!seen) throw stale(path)
  return seen.entry
}

/** The entry of an object that has just got its name. Where nobody can look now it is as it was before. */
export async function lookAfterMove(desk: Desk, path: Path, before: Entry, scope: Scope, call: Call): Promise<Entry> {
  try {
    return await lookAfter(desk, path, scope, call)
  } catch (error) {
    // Ids made of a path do not move along.
    if (isPathId(before.id)) throw error
    return { ...before, name: nameOf(path) }
  }
}

/** Down from where a change of `path` needs its credential: the directory that holds the name. */
export function scopeAround(desk: Desk, path: Path, activities: Scope['activities']): Scope {
  return { activities, object: desk.inDcache(parentOf(path)) }
}

/** Changes of one name, one after the other in all processes of a state store. What was known of it is forgotten. */
export async function underLease<T>(desk: Desk, paths: readonly Path[], work: () => Promise<T>): Promise<T> {
  const keys = [...new Set(paths.map((path) => `${desk.name} ${desk.inDcache(path)}`))].sort()
  // In one order everywhere, so that two callers never wait for each other.
  const ordered = keys.reduceRight<() => Promise<T>>(
    (inner, key) => () => desk.services.leases.withLease(key, leaseWait, inner),
    work,
  )
  try {
    return await ordered()
  } finally {
    for (const path of paths) desk.memory?.changed(path)
  }
}

/** Milliseconds. */
const leaseWait = 10_000
