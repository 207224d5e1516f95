/** Where a file on its way is to appear. */

import { StorageError } from '../../gateway/core/errors.ts'
import { nameOf, type Path } from '../../gateway/core/path.ts'
import type { CommitOptions, Entry, Trail } from '../backend.ts'
import type { Changed } from './changing.ts'
import type { Caller, Desk, Sight } from './desk.ts'
import type { Handle } from './handles.ts'
import { UnknownNumber } from './interning.ts'
import { requireParent } from './requiring.ts'
import type { Seen } from './staging.ts'
import { withoutList } from './wire.ts'

/** Where a file is to appear, as it was seen when that was allowed. */
export interface Target {
  readonly path: Path
  readonly caller: Caller
  /** The directory, kept open. */
  readonly parent: Handle
  readonly sight: Sight
}

/** Its last name, with links followed. */
export function nameAt({ sight, path }: Target): string {
  return sight.looked.name ?? nameOf(path)
}

/** Whether it makes a new name, as far as can be told by now. */
export function mayBeNew({ sight }: Target, { condition }: CommitOptions): boolean {
  return sight.trail.entry === undefined && (condition === 'any' || condition === 'absent')
}

/**
 * What was seen first, where that is allowed now, for the thread that gives the name to find it unchanged. Undefined where
 * it cannot tell, and where it is not allowed: that is for a fresh look to say.
 */
export function stillAllowed({ path, sight }: Target, { decide }: CommitOptions): Seen | undefined {
  const { way } = sight.looked
  if (way === undefined) return undefined
  try {
    decide(sight.trail)
    return { path, way }
  } catch {
    return undefined
  }
}

/** The target as it is now, in the directory that the draft is in. */
export async function lookAgain(desk: Desk, { caller, sight, path }: Target): Promise<Trail> {
  const { trail } = await desk.see('look', { path, follow: true }, caller)
  requireParent(trail, path)
  const sameName = trail.resolved === sight.trail.resolved
  if (!sameName || trail.ancestors.at(-1)?.id !== sight.trail.ancestors.at(-1)?.id) {
    throw new StorageError('stale', 'the parent directory has changed', { path })
  }
  return trail
}

/** What was made there, where that was told by numbers. */
export async function entryOf(desk: Desk, target: Target, made: Changed): Promise<Entry> {
  try {
    return desk.entry(made.entry, made)
  } catch (error) {
    if (!(error instanceof UnknownNumber)) throw error
  }
  const plain = desk.entry(withoutList(made.entry), made)
  try {
    const { entry } = await lookAgain(desk, target)
    return entry?.id === plain.id ? entry : plain
  } catch {
    // It is there for everybody; what cannot be looked at any more is told as it was made.
    return plain
  }
}
