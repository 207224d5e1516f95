/** remove: one object, or a tree with a decision for each object in it. */

import type { Entry } from '../../backends/backend.ts'
import { touching } from './acting.ts'
import type { Call } from './call.ts'
import { requireConditions } from './conditions.ts'
import { type Gate, missing } from './deciding.ts'
import { StorageError } from './errors.ts'
import type { Admission } from './limits.ts'
import { openListing } from './listing.ts'
import { join, type Path } from './path.ts'
import { persevere } from './persevering.ts'
import type { Conditions } from './storage.ts'
import type { Task } from './task.ts'

export interface RemoveOptions {
  readonly recursive?: boolean
  readonly conditions?: Conditions
  /** `directory`: throws `not-directory` for everything else. `other`: throws `is-directory` for directories. */
  readonly type?: 'directory' | 'other'
}

export interface Removed {
  /** The causes, not their ancestors. At most `mostFailures`; then the operation has stopped. */
  readonly failed: ReadonlyArray<{ readonly path: Path; readonly error: unknown }>
}

/** A tree in which more than this fails is left alone from there on. */
const mostFailures = 1000
/** Directories of one parent remembered at a time; there may be more, then the parent is listed again. */
const mostPending = 10_000

/** StorageOperations.remove */
export function remove(gate: Gate, call: Call, path: Path, options: RemoveOptions): Promise<Removed> {
  return gate.perform(call, 'remove', path, async (task) => {
    try {
      await removeOne(gate, task, path, options.conditions, 'new', 'remove', options.type)
      return { failed: [] }
    } catch (error) {
      if (!options.recursive || !(error instanceof StorageError) || error.code !== 'not-empty') throw error
    }
    return { failed: await removeTree(gate, task, path) }
  })
}

/**
 * Removes a tree whose top the caller may remove, as far as the caller's rights go. `only` may throw to keep
 * a file, or say which version of it is meant.
 */
export async function removeTree(
  gate: Gate,
  task: Task,
  path: Path,
  only?: (file: Path) => Promise<Conditions>,
): Promise<Removed['failed']> {
  const removal: Removal = { gate, task, only, failed: [] }
  task.items = 0
  await removeDirectory(removal, path)
  return removal.failed
}

/**
 * A file, a link or an empty directory; `not-empty` otherwise. Of whoever replaces it at the same time one was first:
 * what is there now is decided upon again.
 */
export function removeOne(
  gate: Gate,
  task: Task,
  path: Path,
  conditions: Conditions | undefined,
  admission: Admission,
  action: 'remove' | 'move-away' = 'remove',
  type?: RemoveOptions['type'],
): Promise<void> {
  return persevere(
    (attempt) => removeNow(gate, task, path, conditions, attempt === 1 ? admission : 'continues', action, type),
    () => task.requireAlive(),
  )
}

async function removeNow(
  gate: Gate,
  task: Task,
  path: Path,
  conditions: Conditions | undefined,
  admission: Admission,
  action: 'remove' | 'move-away',
  type: RemoveOptions['type'],
): Promise<void> {
  const place = gate.place(task, action, path)
  gate.requireWritable(place)
  gate.requireMovable(task, path)
  const { backend } = place.mount
  if ((conditions || type) && backend.enforces(task.principal)) {
    // A back end that enforces may look at nothing before it acts.
    const { entry } = await gate.run(task, place, () => backend.walk(place.inner, task), { admission })
    if (!entry) throw missing(path)
    requireType(type, entry, path)
    if (conditions) requireConditions(conditions, entry)
  }
  return gate.act(
    task,
    place,
    () => backend.remove(place.inner, task),
    ({ trail }) => {
      gate.allow(task, action, place, trail)
      if (trail.entry === undefined && !backend.enforces(task.principal)) throw missing(path)
      if (trail.entry) requireType(type, trail.entry, path)
      if (conditions && (trail.entry || !backend.enforces(task.principal))) requireConditions(conditions, trail.entry)
    },
    { admission, touching: touching(place, 'tree') },
  )
}

/** To be called after a decision that lets the type be known. */
function requireType(wanted: RemoveOptions['type'], { type }: Entry, path: Path): void {
  if (wanted === 'directory' && type !== 'directory') {
    throw new StorageError('not-directory', 'this is no directory', { path })
  }
  if (wanted === 'other' && type === 'directory')
    throw new StorageError('is-directory', 'this is a directory', { path })
}

interface Removal {
  readonly gate: Gate
  readonly task: Task
  readonly only: ((file: Path) => Promise<Conditions>) | undefined
  readonly failed: { path: Path; error: unknown }[]
}

/** Whether it is gone. What fails stays, and so do its ancestors. */
async function removeDirectory(removal: Removal, path: Path): Promise<boolean> {
  const { gate, task, failed } = removal
  for (let first = true; ; first = false) {
    const before = failed.length
    const { removed, more } = await removeChildren(removal, path)
    if (failed.length > before) return false
    try {
      await removeOne(gate, task, path, undefined, 'continues')
      task.items = (task.items ?? 0) + 1
      return true
    } catch (error) {
      // Somebody else puts files into it, or there were more than fit into one pass.
      const again = error instanceof StorageError && error.code === 'not-empty' && (more || (removed > 0 && first))
      if (!again) return note(removal, path, error)
    }
  }
}

async function removeChildren(
  removal: Removal,
  path: Path,
): Promise<{ readonly removed: number; readonly more: boolean }> {
  const directories: Path[] = []
  let removed = 0
  let more = false
  try {
    const { pages } = await openListing(removal.gate, removal.task, path, { names: true }, 'continues')
    for await (const page of pages()) {
      for (const entry of page) {
        if (isFull(removal)) break
        const child = join(path, entry.name)
        if (entry.type !== 'directory') removed += (await removeChild(removal, child)) ? 1 : 0
        else if (directories.length < mostPending) directories.push(child)
        else more = true
      }
    }
  } catch (error) {
    note(removal, path, error)
  }
  // One listing open at a time, however deep the tree is.
  for (const directory of directories) {
    if (isFull(removal)) break
    removed += (await removeChildDirectory(removal, directory)) ? 1 : 0
  }
  return { removed, more }
}

async function removeChildDirectory(removal: Removal, path: Path): Promise<boolean> {
  // What may not go itself keeps its contents.
  try {
    removal.gate.requireMovable(removal.task, path)
    await requireRemovable(removal, path)
  } catch (error) {
    return note(removal, path, error)
  }
  return removeDirectory(removal, path)
}

async function removeChild(removal: Removal, path: Path): Promise<boolean> {
  try {
    const conditions = await removal.only?.(path)
    await removeOne(removal.gate, removal.task, path, conditions, 'continues')
    removal.task.items = (removal.task.items ?? 0) + 1
    return true
  } catch (error) {
    return note(removal, path, error)
  }
}

/** Decides on a directory before anything below it is touched. A back end that enforces decides when it acts. */
async function requireRemovable({ gate, task }: Removal, path: Path): Promise<Entry | undefined> {
  const place = gate.place(task, 'remove', path)
  const trail = await gate.run(task, place, () => place.mount.backend.walk(place.inner, task), {
    admission: 'continues',
  })
  gate.allow(task, 'remove', place, trail)
  return trail.entry
}

/** Somebody else has removed it: that is what was wanted. Throws when nothing more can be done for anybody. */
function note({ task, failed }: Removal, path: Path, error: unknown): boolean {
  if (error instanceof StorageError && error.code === 'not-found') return true
  if (task.expired) throw task.expired
  if (error instanceof StorageError && error.code === 'cancelled') throw error
  failed.push({ path, error: StorageError.from(error) })
  return false
}

function isFull({ failed }: Removal): boolean {
  return failed.length >= mostFailures
}
