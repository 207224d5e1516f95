/** What the journal is told, so that a sweep finds what a crash has left. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Desk } from './desk.ts'
import { isRefusal } from './errors.ts'

/** An upload in the journal; without an id, a sidecar that is being changed in two steps. */
export function placeOf(path: Path, id?: string): string {
  return JSON.stringify(id === undefined ? [path] : [path, id])
}

/**
 * Tells the journal of a sidecar that does not belong to what has the name if the process ends now, for the sweep to
 * settle.
 */
export async function withSidecar<T>(desk: Desk, path: Path, work: () => Promise<T>): Promise<T> {
  const place = placeOf(path)
  await desk.services.journal.add(desk.journal, place)
  let result: T
  try {
    result = await work()
  } catch (error) {
    if (error instanceof StorageError && isRefusal(error)) await desk.services.journal.remove(desk.journal, place)
    throw error
  }
  await desk.services.journal.remove(desk.journal, place)
  return result
}
