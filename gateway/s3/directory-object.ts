/** Keys that end in a slash: they are directories, empty objects that have other objects below them. */

import { Writable } from 'node:stream'
import type { Entry } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import { isWithin, type Path, parentOf } from '../core/path.ts'
import { failed, type WriteCondition } from './conditions.ts'
import { S3Error } from './error.ts'
import { emptyEtag, names } from './etags.ts'
import type { Description } from './metadata.ts'
import { receivePayload } from './receive.ts'
import { decodeRecord, encodeRecord, type ObjectRecord } from './record.ts'
import type { ObjectRequest } from './s3-request.ts'

/** The type that clients of S3 know directories by. */
export const directoryType = 'application/x-directory'
/** The name of the property that holds the record: directories have no bytes with which it could be kept. */
const property = 's3:record'

type Place = Pick<ObjectRequest, 'x' | 'call' | 'path' | 'bucket'>

/**
 * The directory of a request that puts one, with those above it below the bucket: all that are missing are made, each
 * under the caller's rights. Throws DirectoryObjectContainsData for a payload, and what `check` throws when it has ended.
 */
export async function storeDirectory(
  request: ObjectRequest,
  description: Description,
  condition: WriteCondition | undefined,
  check: () => void,
): Promise<Entry> {
  if ((request.body.length ?? 0) > 0) throw holdsData()
  const nothing = new Writable({ write: (_chunk, _encoding, done) => done(holdsData()) })
  await receivePayload(request, nothing, 0).catch((error: unknown) => {
    throw error instanceof S3Error && error.s3Code === 'EntityTooLarge' ? holdsData() : error
  })
  check()
  return putDirectory(request, description, condition)
}

function holdsData(): S3Error {
  return new S3Error('DirectoryObjectContainsData', 'A key that ends in a slash is a directory and holds no data.')
}

/** The same without a payload. */
export async function putDirectory(
  place: Place,
  description: Description,
  condition: WriteCondition | undefined,
): Promise<Entry> {
  const { entry, created } = await provide(place, condition)
  const isPlain = !isDescribed(description)
  if (created && isPlain) return entry
  try {
    await describeDirectory(place, description)
  } catch (error) {
    // The directory is there, which is what matters. Making it again is no change of it: that takes no right to describe it.
    const { code } = StorageError.from(error)
    if (code === 'unsupported' || (code === 'denied' && isPlain)) return entry
    if (created) await takeBack(place)
    throw error
  }
  return entry
}

/** What has just been made without what was to be said of it. Somebody may use it already: then it stays. */
async function takeBack({ x, call, path }: Place): Promise<void> {
  try {
    await x.door.storage.remove(call, path, { type: 'directory' })
  } catch {
    // What matters is why it was to go.
  }
}

async function provide(
  place: Place,
  condition: WriteCondition | undefined,
): Promise<{ readonly entry: Entry; readonly created: boolean }> {
  if (condition && 'match' in condition) {
    const entry = await directoryAt(place)
    if (!names(condition.match, emptyEtag)) throw failed('If-Match')
    return { entry, created: false }
  }
  try {
    return { entry: await make(place, place.path), created: true }
  } catch (error) {
    if (!(error instanceof StorageError) || error.code !== 'exists') throw error
  }
  const entry = await place.x.door.storage.stat(place.call, place.path)
  if (entry.type !== 'directory') throw new StorageError('not-directory', 'there is a file', { path: place.path })
  if (condition) throw failed('If-None-Match')
  return { entry, created: false }
}

async function make(place: Place, path: Path): Promise<Entry> {
  const { storage } = place.x.door
  try {
    return await storage.mkdir(place.call, path)
  } catch (error) {
    const parent = parentOf(path)
    const isOurs = parent !== path && isWithin(parent, place.bucket.path)
    if (!(error instanceof StorageError) || error.code !== 'no-parent' || !isOurs) throw error
    await make(place, parent).catch(unlessThere)
  }
  return storage.mkdir(place.call, path)
}

function unlessThere(error: unknown): void {
  if (!(error instanceof StorageError) || error.code !== 'exists') throw error
}

/** The directory of a key that ends in a slash. Throws `not-found` where there is none. */
export async function directoryAt({ x, call, path }: Pick<Place, 'x' | 'call' | 'path'>): Promise<Entry> {
  const entry = await x.door.storage.stat(call, path)
  if (entry.type !== 'directory') throw new StorageError('not-found', 'no such directory', { path })
  return entry
}

/** What is kept with a directory; undefined where nothing is, or nothing that the caller may see. */
export async function directoryRecord({
  x,
  call,
  path,
}: Pick<Place, 'x' | 'call' | 'path'>): Promise<ObjectRecord | undefined> {
  try {
    return decodeRecord((await x.door.storage.getProperties(call, path)).get(property))
  } catch (error) {
    const { code } = StorageError.from(error)
    if (code === 'unsupported' || code === 'denied') return undefined
    throw error
  }
}

/** Puts another description in its place. Throws `unsupported` where the mount keeps no properties. */
export async function describeDirectory(
  { x, call, path }: Pick<Place, 'x' | 'call' | 'path'>,
  description: Description,
): Promise<void> {
  const text = isDescribed(description) ? encodeRecord(description) : undefined
  await x.door.storage.setProperties(call, path, new Map([[property, text]]))
}

function isDescribed({ headers, meta, tags }: Description): boolean {
  const own = Object.keys(headers).filter((name) => name !== 'content-type' || headers[name] !== directoryType)
  return own.length > 0 || Object.keys(meta).length > 0 || tags.length > 0
}
