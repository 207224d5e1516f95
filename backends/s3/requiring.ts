/** What an act needs of what was seen, and the look again before it. */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, root } from '../../gateway/core/path.ts'
import type { CommitCondition, Entry, Pending, Trail } from '../backend.ts'
import { isCode } from './client.ts'
import type { Desk } from './desk.ts'
import type { Head } from './entries.ts'
import { headOf, look, type Seen, surely } from './looking.ts'

/** Looks now; `act` gets what was seen. */
export async function pending<T>(
  desk: Desk,
  path: Path,
  call: Call,
  act: (seen: Seen) => Promise<T>,
): Promise<Pending<T>> {
  const seen = await look(desk, path, call)
  return {
    trail: seen.trail,
    proceed: async () => {
      desk.check(call)
      return act(seen)
    },
    release: async () => {},
  }
}

/** The call without its caller's going away: for what must not stop halfway. Each request still has its deadline. */
export function unhurried({ id, principal, protocol, from }: Call): Call {
  return { id, principal, protocol, from, signal: new AbortController().signal }
}

export function stale(path: Path): StorageError {
  return new StorageError('stale', 'the object has changed since it was looked at', { path })
}

export function requireEntry({ entry }: Trail, path: Path): Entry {
  if (entry) return entry
  throw new StorageError('not-found', 'no such file or directory', { path })
}

export function requireFile(trail: Trail, path: Path): Entry {
  const entry = requireEntry(trail, path)
  if (entry.type === 'file') return entry
  throw new StorageError('is-directory', 'this is a directory', { path })
}

/** The file of a look, with what the store tells of it. */
export function requireHead({ trail, head }: Seen, path: Path): Head {
  requireFile(trail, path)
  if (head) return head
  throw new StorageError('internal', 'a file without attributes', { path })
}

/** A directory to hold the name, and a name that something can have. */
export function requirePlace(desk: Desk, { entry, parentExists }: Trail, path: Path): void {
  if (path === root) throw new StorageError('exists', 'the root is always there', { path })
  desk.keys.requireReach(path)
  if (!entry && !parentExists) throw new StorageError('no-parent', 'the parent directory does not exist', { path })
}

export function requireCondition(condition: CommitCondition, { entry }: Trail, path: Path): void {
  if (condition === 'any') return
  if (condition === 'absent') {
    if (entry) throw new StorageError('exists', 'the file exists', { path })
    return
  }
  if (entry && (condition === 'present' || condition.versions.includes(entry.version))) return
  throw new StorageError('precondition', 'the file is not the one that was meant', { path })
}

/** Throws `stale` unless both looks found the same bytes under the name, or both nothing. */
export function requireSame(now: Seen, seen: Seen, path: Path): void {
  const [a, b] = [now.trail.entry, seen.trail.entry]
  if (a?.id !== b?.id || a?.version !== b?.version || now.trail.parentExists !== seen.trail.parentExists) {
    throw stale(path)
  }
}

/**
 * Throws `stale` if what was looked at, with two requests, was not one file with its own ACL: attributes of one and the
 * sidecar of another, which had its name before or after. Bytes are read by the ETag that was seen, so that only those
 * that are here already need a look.
 */
export async function requireWhole(desk: Desk, path: Path, seen: Seen, call: Call): Promise<void> {
  const [kept, head] = await Promise.all([
    desk.sidecars.read(path, call.signal),
    seen.content ? headOf(desk, path, call).catch(missing) : seen.head,
  ])
  if (kept?.etag !== seen.kept?.etag || head?.etag !== seen.head?.etag) throw stale(path)
}

function missing(error: unknown): undefined {
  if (!isCode(error, 'not-found')) throw error
}

/** Looks again and throws `stale` if something else is there now. The caller holds the lease of the path. */
export async function lookAgain(desk: Desk, path: Path, seen: Seen, call: Call): Promise<Seen> {
  const now = await look(desk, path, call, surely)
  requireSame(now, seen, path)
  return now
}
