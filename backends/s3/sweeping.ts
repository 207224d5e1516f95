/** What a crash leaves: parts of uploads that nobody will complete, and the sidecar of an object that never came. */

import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parsePath } from '../../gateway/core/path.ts'
import { isCode } from './client.ts'
import type { Desk } from './desk.ts'
import { headOf } from './looking.ts'
import { abortUpload } from './parts.ts'

/** Clears uploads told to the journal more than `age` ms ago by processes that are gone. Returns how many. */
export async function sweep(desk: Desk, age: number): Promise<number> {
  const places = await desk.services.journal.stale(desk.journal, age)
  let count = 0
  for (const place of places) {
    try {
      const upload = uploadOf(place)
      if (upload) await clear(desk, upload.path, upload.id)
      await desk.services.journal.remove(desk.journal, place)
      count++
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      desk.log('an upload could not be cleared and stays in the journal', error)
    }
  }
  return count
}

async function clear(desk: Desk, path: Path, id: string): Promise<void> {
  await abortUpload(desk, path, id)
  await desk.underLeases([path], async () => {
    try {
      await headOf(desk, path, { signal: desk.store.alive(undefined) })
    } catch (error) {
      if (!isCode(error, 'not-found')) throw error
      await desk.sidecars.remove(path, undefined)
    }
  })
}

/** Undefined for what is none of ours. */
function uploadOf(place: string): { readonly path: Path; readonly id: string } | undefined {
  try {
    const [path, id] = JSON.parse(place) as readonly unknown[]
    return typeof path === 'string' && typeof id === 'string' ? { path: parsePath(path), id } : undefined
  } catch {
    return undefined
  }
}
