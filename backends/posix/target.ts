/** Where a file on its way is to appear. */

import { StorageError } from '../../gateway/core/errors.ts'
import { nameOf, type Path } from '../../gateway/core/path.ts'
import type { CommitOptions, Trail } from '../backend.ts'
import type { Caller, Desk, Sight } from './desk.ts'
import type { Handle } from './handles.ts'
import { requireParent } from './requiring.ts'
import type { Seen } from './staging.ts'

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
