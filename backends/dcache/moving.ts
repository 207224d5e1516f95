/**
 * rename, and how an upload takes its name.
 *
 * What is atomic: taking a free name (MOVE with `Overwrite: F`: the door refuses with 412 what is there when it looks,
 * and the namespace renames in one transaction), and, by the frontend's `mv`, replacing a file (one transaction too, so
 * that readers see the old file or the new one). What is not: the conditions are checked by a look just before, under a
 * lease that all gateways of one state store honour; somebody who goes to dCache directly can come in between, and in
 * the door between its own look and the rename. Replacing an empty directory is removing it first. Without a frontend
 * a file that is replaced is first moved aside, to a hidden name, and removed when the new one has its name: readers may
 * see nothing for a moment. MOVE with `Overwrite: T` is never sent: the door deletes what is there, a directory with all
 * that it holds, before it finds out whether it can rename. Should gateway or door die between the two moves the old
 * file stays under the hidden name, where nobody but an administrator removes it.
 */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { isWithin, join, nameOf, type Path, parentOf, root } from '../../gateway/core/path.ts'
import type { Entry, MoveOptions, PendingMove, Trail } from '../backend.ts'
import { type Desk, refusalOf, type Scope } from './desk.ts'
import { lookAt, lookAtHidden, walk } from './looking.ts'
import { encodePath, stagingName } from './names.ts'
import { isPathId } from './propfind.ts'
import { removeObject, requireEmpty } from './removing.ts'
import { lookAfterMove, requireEntry, requirePlace, requireSame, scopeAround, stale, underLease } from './requiring.ts'
import { StagingArea } from './staging.ts'

/** Backend.rename */
export async function rename(
  desk: Desk,
  from: Path,
  to: Path,
  { condition }: MoveOptions,
  call: Call,
): Promise<PendingMove<Entry>> {
  const scope = scopeOfMove(desk, from, to)
  const [trail, target] = await Promise.all([walk(desk, from, scope, call), walk(desk, to, scope, call)])
  const proceed = async () => {
    desk.requireAlive(call)
    const entry = requireEntry(trail, from)
    requireMovable(entry, from, to)
    requirePlace(desk, target, to)
    const old = target.entry
    if (old && condition === 'absent') throw new StorageError('exists', 'the target exists', { path: to })
    if (old && old.id === entry.id) return old
    return underLease(desk, [from, to], async () => {
      await Promise.all([requireSame(desk, from, entry, scope, call), requireSame(desk, to, old, scope, call)])
      if (old) await clear(desk, entry, old, to, scope, call)
      desk.requireAlive(call)
      await takeName(desk, from, to, { entry, replaced: old?.type === 'directory' ? undefined : old }, scope, call)
      return lookAfterMove(desk, to, entry, scope, call)
    })
  }
  return { trail, target, proceed, release: async () => {} }
}

/** A credential for both names: down from where their paths part. */
export function scopeOfMove(desk: Desk, from: Path, to: Path): Scope {
  // A directory is replaced only where a listing shows that it is empty.
  const own = scopeAround(desk, from, ['MANAGE', 'DELETE', 'LIST'])
  let object = own.object
  const other = scopeAround(desk, to, []).object
  while (!isWithin(other, object)) object = object.slice(0, Math.max(1, object.lastIndexOf('/'))) as Path
  return { ...own, object }
}

function requireMovable({ type }: Entry, from: Path, to: Path): void {
  if (from === root) throw new StorageError('invalid', 'the root cannot be moved', { path: from })
  if (type === 'directory' && isWithin(to, from) && to !== from) {
    throw new StorageError('invalid', 'a directory cannot move into itself', { path: to })
  }
}

/** Only like replaces like, and only an empty directory is replaced. */
async function clear(desk: Desk, entry: Entry, old: Entry, to: Path, scope: Scope, call: Call): Promise<void> {
  if (old.type === 'directory') {
    if (entry.type !== 'directory') throw new StorageError('is-directory', 'the target is a directory', { path: to })
    await requireEmpty(desk, to, scope, call)
    await removeObject(desk, to, old, scope, call)
  } else if (entry.type === 'directory') {
    throw new StorageError('not-directory', 'the target is no directory', { path: to })
  }
}

export interface Taking {
  /** What moves. */
  readonly entry: Entry
  /** The file that has the name now. */
  readonly replaced: Entry | undefined
}

/**
 * Moves an object over a free name or a file. Throws `exists` where the name was taken meanwhile and `stale` where the
 * object has gone. An answer that was lost is made up for by looking who has the name.
 */
export async function takeName(
  desk: Desk,
  from: Path,
  to: Path,
  { entry, replaced }: Taking,
  scope: Scope,
  call: Call,
): Promise<void> {
  try {
    if (!replaced) {
      await move(desk, from, to, scope, call)
    } else if (desk.frontend) {
      const json = { action: 'mv', destination: desk.inDcache(to) }
      await desk.change(from, json, scope, call, false)
    } else {
      await replace(desk, from, to, replaced, scope, call)
    }
  } catch (error) {
    const { code } = StorageError.from(error)
    if (code === 'not-found') throw stale(from)
    if (code !== 'unavailable' || call.signal.aborted) throw error
    const seen = await lookAt(desk, to, scope, call).catch(() => undefined)
    if (seen?.entry.id !== entry.id) throw error
  }
}

/** By the door alone. Throws `stale` where another object has the name, or takes it meanwhile. */
async function replace(desk: Desk, from: Path, to: Path, replaced: Entry, scope: Scope, call: Call): Promise<void> {
  const aside = join(parentOf(to), stagingName())
  const area = new StagingArea(desk)
  let isAside = false
  try {
    await move(desk, to, aside, scope, call)
    const old = await lookAtHidden(desk, aside, scope, call)
    isAside = old !== undefined && isSame(old.entry, replaced)
    if (!isAside) throw stale(to)
    await move(desk, from, to, scope, call)
  } catch (error) {
    const outcome = await putBack(desk, aside, to, scope, call)
    if (outcome === 'taken' && isAside) await area.discard(aside, scope, call)
    else if (outcome !== 'back') desk.log(`a file that was to be replaced is left as ${nameOf(aside)}`, error)
    throw StorageError.from(error).code === 'exists' ? stale(to) : error
  }
  await area.discard(aside, scope, call)
}

/** Ids of servers that are no dCache tell the path alone. */
function isSame(now: Entry, before: Entry): boolean {
  return now.type === before.type && (isPathId(before.id) ? now.version === before.version : now.id === before.id)
}

/** How often an old file is given its name again, and milliseconds for all of it. */
const tries = 3
const patience = 10_000

/** Also for a caller who has gone. `taken`: something else has the name. Never throws. */
async function putBack(
  desk: Desk,
  aside: Path,
  to: Path,
  scope: Scope,
  { id, principal, protocol, from }: Call,
): Promise<'back' | 'taken' | 'failed'> {
  const call: Call = { id, principal, protocol, from, signal: AbortSignal.timeout(patience) }
  for (let left = tries; left > 0; left--) {
    try {
      await move(desk, aside, to, scope, call)
      return 'back'
    } catch (error) {
      const { code } = StorageError.from(error)
      // It never went, or an answer was lost.
      if (code === 'not-found') return 'back'
      if (code === 'exists') return 'taken'
    }
  }
  return 'failed'
}

/** To a free name. */
async function move(desk: Desk, from: Path, to: Path, scope: Scope, call: Call): Promise<void> {
  const { webdav } = desk
  const response = await webdav.request({
    method: 'MOVE',
    path: desk.inDcache(from),
    // With scheme and host, as every client sends it: XRootD understands nothing else.
    headers: { Destination: webdav.urlOf(desk.inDcache(to)).href, Overwrite: 'F' },
    call,
    ...scope,
    idempotent: false,
  })
  const { status } = response
  if (status === 412) {
    response.discard()
    throw new StorageError('exists', 'the target exists', { path: to })
  }
  if (status !== 201 && status !== 204) throw await refusalOf(response, to)
  response.discard()
}

/** An absolute path (RFC 4918, section 8.3): with a host dCache takes a COPY for one to another server. */
export function destinationOf(desk: Desk, to: Path): string {
  return `${desk.webdav.url.pathname.replace(/\/$/, '')}${encodePath(desk.inDcache(to))}`
}

/** What has the target's name. Throws where nothing can take it. */
export function replacedIn(trail: Trail, path: Path): Entry | undefined {
  const { entry } = trail
  if (entry?.type === 'directory') throw new StorageError('is-directory', 'this is a directory', { path })
  return entry
}
