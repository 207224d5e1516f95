/**
 * Renames. S3 has none: a file is copied, then deleted, and for a moment it is at both places; a directory is
 * `cross-mount`, so that each thing in it is copied and removed with rights of its own.
 */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { isWithin, type Path, root } from '../../gateway/core/path.ts'
import type { Entry, MoveOptions } from '../backend.ts'
import { isCode } from './client.ts'
import { keptAs } from './committing.ts'
import { copyObject, keptOf } from './copying.ts'
import type { Desk } from './desk.ts'
import { type Head, versionOf } from './entries.ts'
import { isRefusal } from './errors.ts'
import { withSidecar } from './journal.ts'
import { headOf, lookAtNew, type Seen } from './looking.ts'
import { isEmpty, notEmpty, removeFile } from './removing.ts'
import { lookAgain, requireEntry, requireHead, requirePlace, stale, unhurried } from './requiring.ts'
import type { Moving, Sidecar } from './sidecar.ts'
import { closed, contentOf } from './sidecars.ts'

/** The rules of rename(2), `exists` for the condition, `cross-mount` for a directory that could move. */
export async function renameSeen(
  desk: Desk,
  [from, to]: readonly [Path, Path],
  [source, target]: readonly [Seen, Seen],
  options: MoveOptions,
  call: Call,
): Promise<Entry> {
  const entry = requireEntry(source.trail, from)
  if (from === root) throw new StorageError('invalid', 'the root cannot be moved', { path: from })
  requirePlace(desk, target.trail, to)
  if (isWithin(to, from) && to !== from) {
    throw new StorageError('invalid', 'a directory cannot move into itself', { path: to })
  }
  const old = target.trail.entry
  if (old && options.condition === 'absent') throw new StorageError('exists', 'the target exists', { path: to })
  if (from === to) return entry
  if (isWithin(from, to)) throw notEmpty(to)
  if (old) requireReplaceable(entry, old, to)
  if (entry.type === 'directory') {
    if (old && !(await isEmpty(desk, to, call))) throw notEmpty(to)
    throw new StorageError('cross-mount', 'this storage moves no directories', { path: from })
  }
  return desk.underLeases([from, to], async () => {
    const now = await lookAgain(desk, from, source, call)
    const there = await lookAgain(desk, to, target, call)
    await endEarlier(desk, from, now)
    await endEarlier(desk, to, there)
    // Stopped halfway it would leave the target closed.
    return moveFile(desk, [from, to], [now, there], unhurried(call))
  })
}

/**
 * A target that is there is closed to everyone until it has the source's bytes and ACL: otherwise one of both would
 * be seen with the ACL of the other.
 */
async function moveFile(
  desk: Desk,
  [from, to]: readonly [Path, Path],
  [source, target]: readonly [Seen, Seen],
  call: Call,
): Promise<Entry> {
  const head = requireHead(source, from)
  const { acl, modified } = requireEntry(source.trail, from)
  if (!acl || source.kept?.content === 'unreadable') {
    const reason = { rule: 'no-acl', text: 'the ACL of the file could not be read', path: from }
    throw new StorageError('denied', 'the file has no ACL', { path: from, reason })
  }
  const properties = source.kept?.content.properties
  const goal: Sidecar = { acl, ...(properties && { properties }) }
  const kept = keptOf(source)
  await withSidecar(desk, to, async () => {
    const first = target.head ? closedFor(target.head, target, goal) : goal
    await desk.sidecars.write(to, first, target.kept, call.signal).catch((error: unknown) => {
      // Another gateway, of another state store, changes the target.
      throw isCode(error, 'precondition') ? stale(to) : error
    })
    try {
      await copyObject(desk, from, head, to, call)
    } catch (error) {
      if (error instanceof StorageError && isRefusal(error)) await putBack(desk, to, target)
      throw error
    }
    const copy = await headOf(desk, to, call)
    const version = versionOf(copy)
    await desk.sidecars.update(to, call.signal, () => ({
      ...goal,
      ...keptAs(version, kept),
      modified: { version, at: copy.modified, time: modified },
    }))
  })
  // What somebody outside our state store has put there since is not what was moved.
  const still = await headOf(desk, from, call).catch(missing)
  if (!still || still.etag === head.etag) await removeFile(desk, from, source, call)
  const made = await lookAtNew(desk, to, target.parentAcl, call)
  if (!made) throw stale(to)
  return made.entry
}

function missing(error: unknown): undefined {
  if (!isCode(error, 'not-found')) throw error
}

/** What the target has until it is the source; with what ends the rename if we do not. */
function closedFor(head: Head, { kept }: Seen, after: Sidecar): Sidecar {
  const before = contentOf(kept)
  return { acl: closed, moving: { version: versionOf(head), ...(before && { before }), after } }
}

/** A rename that was stopped has closed the file: what it is to be is looked at again. */
async function endEarlier(desk: Desk, path: Path, { head, kept }: Seen): Promise<void> {
  const moving = kept?.content === 'unreadable' ? undefined : kept?.content.moving
  if (!head || !moving) return
  await endMove(desk, path, head, moving)
  throw stale(path)
}

/** Ends a rename that was stopped; `head` is what the target is now. The caller holds its lease. */
export async function endMove(desk: Desk, to: Path, head: Head, { version, before, after }: Moving): Promise<void> {
  const goal = versionOf(head) === version ? before : after
  if (goal) await desk.sidecars.update(to, undefined, () => goal)
  else await desk.sidecars.remove(to, undefined)
}

/** The sidecar of the target as it was before a copy that was refused. */
async function putBack(desk: Desk, to: Path, { kept }: Seen): Promise<void> {
  const before = contentOf(kept)
  if (before) await desk.sidecars.update(to, undefined, () => before)
  else await desk.sidecars.remove(to, undefined)
}

/** The rules of rename(2): a directory replaces only a directory, a file only a file. */
function requireReplaceable(entry: Entry, old: Entry, path: Path): void {
  if (entry.type === old.type) return
  if (entry.type === 'directory') throw new StorageError('not-directory', 'the target is not a directory', { path })
  throw new StorageError('is-directory', 'the target is a directory', { path })
}
