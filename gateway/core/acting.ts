/** Look, decide, act, let go: the one way in which anything is done to an object of a back end. */

import type { Entry, Pending, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { type ErrorCode, StorageError } from './errors.ts'
import type { Feed } from './feed.ts'
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

/** One object, of which the bytes stay as they are. */
export function touchingAttributes<T>(place: Place): Touching<T> {
  return { touched: ({ trail }) => [{ place, trail, touch: 'content', told: 'attributes' }] }
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

/** Who has a say in changes, and who is told of them. */
export interface Witnesses {
  readonly locks: Locks | undefined
  readonly feed: Feed
}

/** Again, the decision too, where the object was not what it had been; `about` where it is a change. */
export async function attempt<T>(
  task: Task,
  place: Place,
  look: () => Promise<Pending<T>>,
  decide: (pending: Pending<T>) => void,
  witnesses: Witnesses,
  about: Touching<T> | undefined,
): Promise<T> {
  for (let left = looks - 1; ; left--) {
    try {
      const known = about && witnesses.locks?.fresh(place.mount.backend)
      if (known) await known
      const pending = await look()
      try {
        task.requireAlive()
        decide(pending)
        if (!about) return await pending.proceed()
        return await changeBy(task, pending, witnesses, about)
      } finally {
        await pending.release()
      }
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'stale' || left === 0 || task.expired) throw error
    }
  }
}

async function changeBy<T>(
  task: Task,
  pending: Pending<T>,
  { locks, feed }: Witnesses,
  about: Touching<T>,
): Promise<T> {
  const touched = about.touched(pending)
  if (about.prepares) {
    locks?.require(task, touched)
    return pending.proceed()
  }
  const passage: Passage | undefined = locks?.pass(task, touched)
  try {
    const result = await pending.proceed()
    const made = about.made?.(result)
    feed.publish(task.namespace, touched, made)
    await passage?.done(made)
    return result
  } catch (error) {
    // Whether it went anywhere is not known.
    if (mayBeDone(error))
      feed.publish(
        task.namespace,
        touched.map(({ goes: _, ...rest }) => rest),
      )
    throw error
  } finally {
    passage?.end()
  }
}

/** What failed so may have been done all the same. */
const unclear: ReadonlySet<ErrorCode> = new Set(['unavailable', 'timeout', 'cancelled', 'internal'])

/** Whether it may have been done all the same. */
export function mayBeDone(error: unknown): boolean {
  return unclear.has(StorageError.from(error).code)
}
