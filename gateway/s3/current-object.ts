/** What is at a key now, and what is kept with it. */

import type { Entry } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import { describeDirectory, directoryAt, directoryRecord } from './directory-object.ts'
import { decodeRecord, encodeRecord, type ObjectRecord } from './record.ts'
import type { ObjectRequest } from './s3-request.ts'

export interface CurrentObject {
  readonly entry: Entry
  readonly record: ObjectRecord | undefined
}

type Place = Pick<ObjectRequest, 'x' | 'call' | 'path' | 'asDirectory'>

/** Throws `not-found` where there is no object of this key; whoever may read it may know. */
export async function currentObject(place: Place): Promise<CurrentObject> {
  const { x, call, path, asDirectory } = place
  if (asDirectory) {
    const entry = await directoryAt(place)
    return { entry, record: await directoryRecord(place) }
  }
  const { entry, kept } = await x.door.storage.getKept(call, path)
  if (entry.type === 'directory') throw new StorageError('not-found', 'there is a directory', { path })
  return { entry, record: decodeRecord(kept.record) }
}

/** Changes that are tried again when the bytes have changed meanwhile. */
const attempts = 5

/** Puts another record in the place of the one that is there. What is decided is decided again for every new content. */
export async function changeRecord(
  place: Place,
  change: (current: CurrentObject) => ObjectRecord,
): Promise<CurrentObject> {
  const { x, call, path, asDirectory } = place
  for (let left = attempts; ; left--) {
    const current = await currentObject(place)
    const record = change(current)
    try {
      if (asDirectory) await describeDirectory(place, record)
      else await x.door.storage.setRecord(call, path, encodeRecord(record), { version: current.entry.version })
      return { entry: current.entry, record }
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'stale' || left === 0) throw error
    }
  }
}
