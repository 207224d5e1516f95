/** What is at a key now, and what is kept with it. */

import type { Entry } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import { persevere } from '../core/persevering.ts'
import { describeDirectory, directoryAt, directoryRecord } from './directory-object.ts'
import { decodeRecord, encodeRecord, type ObjectRecord } from './record.ts'
import type { ObjectRequest } from './s3-request.ts'

export interface CurrentObject {
  readonly entry: Entry
  readonly record: ObjectRecord | undefined
}

/** With the text that the record was read from. */
interface Seen extends CurrentObject {
  readonly text: string | undefined
}

type Place = Pick<ObjectRequest, 'x' | 'call' | 'path' | 'asDirectory'>

/** What is at the key, for whoever may look at it. Throws `not-found` where there is no object of this key. */
export async function objectEntry({ x, call, path, asDirectory }: Place): Promise<Entry> {
  const entry = await x.door.storage.stat(call, path)
  if ((entry.type === 'directory') === asDirectory) return entry
  throw new StorageError('not-found', 'no object of this key', { path })
}

/** Throws `not-found` where there is no object of this key; whoever may read it may know. */
export function currentObject(place: Place): Promise<CurrentObject> {
  return lookAt(place)
}

async function lookAt(place: Place): Promise<Seen> {
  const { x, call, path, asDirectory } = place
  if (asDirectory) {
    const entry = await directoryAt(place)
    return { entry, record: await directoryRecord(place), text: undefined }
  }
  const { entry, kept } = await x.door.storage.getKept(call, path)
  if (entry.type === 'directory') throw new StorageError('not-found', 'there is a directory', { path })
  return { entry, record: decodeRecord(kept.record), text: kept.record }
}

/**
 * Puts another record in the place of the one that is there. What is decided is decided again for every new content, and
 * for every new record: of several who change different things in it nobody undoes what another one has done.
 */
export function changeRecord(place: Place, change: (current: CurrentObject) => ObjectRecord): Promise<CurrentObject> {
  const { x, call, path, asDirectory } = place
  const once = async () => {
    const { text, ...current } = await lookAt(place)
    const { entry } = current
    const record = change(current)
    if (asDirectory) await describeDirectory(place, record)
    else
      await x.door.storage.setRecord(call, path, encodeRecord(record), {
        version: entry.version,
        before: { record: text },
      })
    return { entry, record }
  }
  return persevere(once, () => call.signal.throwIfAborted())
}
