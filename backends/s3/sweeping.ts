/**
 * What a crash leaves: parts of uploads that nobody will complete, sidecars of objects that never came or are gone, and
 * files that a rename has closed.
 */

import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parsePath } from '../../gateway/core/path.ts'
import type { Desk } from './desk.ts'
import { holds, lookAtFile, surely } from './looking.ts'
import { endMove } from './moving.ts'
import { abortUpload } from './parts.ts'

/** Clears what was told to the journal more than `age` ms ago by processes that are gone. Returns how many. */
export async function sweep(desk: Desk, age: number): Promise<number> {
  const places = await desk.services.journal.stale(desk.journal, age)
  let count = 0
  for (const place of places) {
    try {
      const left = leftOf(place)
      if (left) await clear(desk, left)
      await desk.services.journal.remove(desk.journal, place)
      count++
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      desk.log('what a crash has left could not be cleared and stays in the journal', error)
    }
  }
  return count
}

/** Aborts the upload, if there is one, and settles the sidecar of the path. */
async function clear(desk: Desk, { path, id }: Left): Promise<void> {
  if (id !== undefined) await abortUpload(desk, path, id)
  const call = { signal: desk.store.alive(undefined) }
  await desk.underLeases([path], async () => {
    const found = await lookAtFile(desk, path, call, surely)
    if (found) {
      const kept = await desk.sidecars.read(path, call.signal)
      const content = kept?.content
      const moving = id === undefined && content !== 'unreadable' ? content?.moving : undefined
      if (moving) await endMove(desk, path, found.head, moving)
    } else if (!(await holds(desk, path, call))) {
      // No directory has the name by now.
      await desk.sidecars.remove(path, undefined)
    }
  })
}

interface Left {
  readonly path: Path
  readonly id: string | undefined
}

/** Undefined for what is none of ours. */
function leftOf(place: string): Left | undefined {
  try {
    const [path, id] = JSON.parse(place) as readonly unknown[]
    if (typeof path !== 'string' || (id !== undefined && typeof id !== 'string')) return undefined
    return { path: parsePath(path), id }
  } catch {
    return undefined
  }
}
