/** Making way for a copy or move that replaces what is at its target as a whole. */

import type { Entry, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { requireUnlocked } from './acting.ts'
import type { Gate } from './deciding.ts'
import { StorageError } from './errors.ts'
import { isWithin, type Path } from './path.ts'
import { removeOne, removeTree } from './removing.ts'
import type { MoveOptions } from './storage.ts'
import type { Task } from './task.ts'

/**
 * Removes what is at `to`, with everything in it, unless one file simply replaces another. `source` is what the caller
 * was allowed to take from `from`. Whether anything was removed; throws the first failure, with its path, and then
 * nothing is to be put there.
 */
export async function clearTarget(
  gate: Gate,
  task: Task,
  source: Entry,
  from: Path,
  to: Path,
  { overwrite }: MoveOptions,
): Promise<boolean> {
  const place = gate.admit(task, to)
  const trail = await walk(gate, task, place)
  const { entry } = trail
  // Whether the caller may put something there is decided when it is put there.
  if (!entry || (entry.type !== 'directory' && source.type !== 'directory')) return false
  gate.place(task, 'remove', to)
  gate.allow(task, 'remove', place, trail)
  gate.allow(task, source.type === 'directory' ? 'mkdir' : 'create', place, trail)
  if (overwrite === false) throw new StorageError('exists', 'the target exists', { path: to })
  gate.requireWritable(place)
  gate.requireMovable(task, to)
  await requireOutside(gate, task, from, place, entry)
  await requireUnlocked(gate.locks, task, [{ place, trail, touch: 'tree' }])
  if (entry.type !== 'directory') {
    await removeOne(gate, task, to, undefined, 'continues')
    return true
  }
  const items = task.items
  const [failure] = await removeTree(gate, task, to)
  task.items = items
  if (!failure) return true
  const { code, message, retryAfter } = StorageError.from(failure.error)
  throw new StorageError(code, message, {
    path: failure.path,
    cause: failure.error,
    ...(retryAfter !== undefined && { retryAfter }),
  })
}

function walk(gate: Gate, task: Task, place: Place): Promise<Trail> {
  return gate.run(task, place, () => place.mount.backend.walk(place.inner, task), { admission: 'continues' })
}

/** Throws `invalid` where the source would go with the target, also where two mounts or back ends show one tree. */
async function requireOutside(gate: Gate, task: Task, from: Path, target: Place, entry: Entry): Promise<void> {
  const source = task.namespace.resolve(from)
  const refusal = new StorageError('invalid', 'the source lies in the target', { path: target.path })
  if (isWithin(from, target.path)) throw refusal
  if (source.mount.backend === target.mount.backend && isWithin(source.inner, target.inner)) throw refusal
  const trail = await walk(gate, task, source)
  const isTarget = ({ id, modified, changed }: Entry) =>
    id === entry.id && modified === entry.modified && changed === entry.changed
  if (trail.ancestors.some(isTarget) || (trail.entry && isTarget(trail.entry))) throw refusal
}
