/** mkdir, and the parents of what is about to be made. */

import type { Entry, MakeOptions } from '../../backends/backend.ts'
import { touching } from './acting.ts'
import type { Call } from './call.ts'
import { type Gate, requireParent } from './deciding.ts'
import { StorageError } from './errors.ts'
import type { Admission } from './limits.ts'
import type { MadeDirectory } from './new-parents.ts'
import { type Path, parentOf } from './path.ts'
import type { Task } from './task.ts'

/** StorageOperations.mkdir */
export function mkdir(gate: Gate, call: Call, path: Path, options: MakeOptions): Promise<Entry> {
  return gate.perform(call, 'mkdir', path, (task) => makeDirectory(gate, task, path, 'new', options))
}

/** Throws `exists` whatever it is that exists, and `no-parent`. */
export async function makeDirectory(
  gate: Gate,
  task: Task,
  path: Path,
  admission: Admission,
  options?: MakeOptions,
): Promise<Entry> {
  const place = gate.place(task, 'mkdir', path)
  gate.requireWritable(place)
  const { backend } = place.mount
  const making = gate.act(
    task,
    place,
    () => backend.mkdir(place.inner, task, options),
    ({ trail }) => {
      gate.allow(task, 'mkdir', place, trail)
      if (trail.entry) throw new StorageError('exists', 'something of that name exists', { path })
      if (!backend.enforces(task.principal)) requireParent(trail, path)
    },
    { admission, touching: touching(place, 'name', (made) => made) },
  )
  return making.catch((error) => {
    throw parentGone(error, path)
  })
}

/** What is about to be made cannot be missing itself: its parent was removed since the look. */
export function parentGone(error: unknown, path: Path): unknown {
  if (!(error instanceof StorageError) || error.code !== 'not-found') return error
  return new StorageError('no-parent', 'the parent directory does not exist any more', { path, cause: error })
}

/**
 * Makes the directories above `path` that are missing, each under the caller's rights, never above the mount point.
 * `made` is told of each at once, the upper ones first.
 */
export async function makeParents(
  gate: Gate,
  task: Task,
  path: Path,
  made: (directory: MadeDirectory) => void,
): Promise<void> {
  const parent = parentOf(path)
  if (task.namespace.isMountPoint(parent) || parent === path) {
    throw new StorageError('no-parent', 'the parent directory does not exist', { path })
  }
  for (let left = 1; ; left--) {
    try {
      made({ path: parent, entry: await makeDirectory(gate, task, parent, 'continues') })
      return
    } catch (error) {
      // Somebody else was faster, or a file is in the way.
      if (error instanceof StorageError && error.code === 'exists') return requireDirectory(gate, task, parent)
      if (!(error instanceof StorageError) || error.code !== 'no-parent' || left === 0) throw error
    }
    await makeParents(gate, task, parent, made)
  }
}

/** To be called after a decision that let `exists` be said. */
async function requireDirectory(gate: Gate, task: Task, path: Path): Promise<void> {
  const place = gate.place(task, 'mkdir', path)
  const { entry } = await gate.run(task, place, () => place.mount.backend.walk(place.inner, task), {
    admission: 'continues',
  })
  if (entry && entry.type !== 'directory') throw new StorageError('not-directory', 'not a directory', { path })
}
