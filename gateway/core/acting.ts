/** Look, decide, act, let go: the one way in which anything is done to an object of a back end. */

import type { Entry, Pending, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { StorageError } from './errors.ts'
import type { Touch } from './lock-scope.ts'
import type { Locks, Passage, Touched } from './locks.ts'
import type { Task } from './task.ts'

/** How often an operation looks again when the object changed between its look and its act. */
const looks = 4

/** What a change is about. */
export interface Touching<T> {
  touched(pending: Pending<T>): readonly Touched[]
  /** What is at its place afterwards. */
  made?(result: T): Entry | undefined
  /** Nothing is visible yet when it is done: the locks are asked again by whoever makes it so. */
  readonly prepares?: true
}

/** One object, as a look sees it. */
export function touching<T>(place: Place, touch: Touch, made?: (result: T) => Entry | undefined): Touching<T> {
  return { touched: ({ trail }) => [{ place, trail, touch }], ...(made && { made }) }
}

/** New bytes for a file that is there, or a new name. */
export function touchOf({ entry }: Trail): Touch {
  return entry ? 'content' : 'name'
}

/** Throws LockedError before anything is begun. What is begun is asked again when it acts. */
export async function requireUnlocked(
  locks: Locks | undefined,
  task: Task,
  touched: readonly Touched[],
): Promise<void> {
  if (!locks) return
  for (const { place } of touched) await locks.fresh(place.mount.backend)
  locks.require(task, touched)
}

/** Again, the decision too, where the object was not what it had been; `locks` where it is a change. */
export async function attempt<T>(
  task: Task,
  place: Place,
  look: () => Promise<Pending<T>>,
  decide: (pending: Pending<T>) => void,
  locks: Locks | undefined,
  about: Touching<T> | undefined,
): Promise<T> {
  for (let left = looks - 1; ; left--) {
    try {
      const known = locks?.fresh(place.mount.backend)
      if (known) await known
      const pending = await look()
      try {
        task.requireAlive()
        decide(pending)
        if (!locks || !about) return await pending.proceed()
        return await changeBy(task, pending, locks, about)
      } finally {
        await pending.release()
      }
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'stale' || left === 0 || task.expired) throw error
    }
  }
}

async function changeBy<T>(task: Task, pending: Pending<T>, locks: Locks, about: Touching<T>): Promise<T> {
  const touched = about.touched(pending)
  if (about.prepares) {
    locks.require(task, touched)
    return pending.proceed()
  }
  const passage: Passage = locks.pass(task, touched)
  try {
    const result = await pending.proceed()
    await passage.done(about.made?.(result))
    return result
  } finally {
    passage.end()
  }
}
