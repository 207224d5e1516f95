/**
 * Looking: the object, whether keys lie below it, and the sidecars of the whole way, all at once. A key that is both an
 * object and the beginning of others is a directory.
 */

import type { Readable } from 'node:stream'
import { GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3'
import type { Acl } from '../../acl/acl.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { join, namesOf, type Path, root } from '../../gateway/core/path.ts'
import type { Entry, Trail } from '../backend.ts'
import { collect } from './body.ts'
import { isCode } from './client.ts'
import type { Desk } from './desk.ts'
import { aclOf, directoryEntry, fileEntry, type Head, makeHead } from './entries.ts'
import { unavailable } from './errors.ts'
import { pagesOf } from './pages.ts'
import type { Kept } from './sidecars.ts'

/** What a look found. */
export interface Seen {
  readonly trail: Trail
  /** Of a file. */
  readonly head: Head | undefined
  /** The object's own sidecar; one may be left over where there is no object. */
  readonly kept: Kept | undefined
  /** What lies above, from the top, with its sidecars. */
  readonly above: ReadonlyArray<readonly [Path, Kept | undefined]>
  /** The ACL of the directory that the name is in. */
  readonly parentAcl: Acl | undefined
  /** All the bytes, where they were asked for and are few. */
  readonly content: Uint8Array | undefined
  /** Why bytes that were asked for did not come. Who may know is not decided yet. */
  readonly failure: StorageError | undefined
}

/** What is at a key. */
interface Found {
  readonly head: Head
  readonly content?: Uint8Array
  readonly failure?: StorageError
}

/** For a look before a change. That an object is missing is known from GET alone: HEAD may be answered by anybody. */
export const surely = 1

/** `inlineUpTo`: the bytes of a file of this size come along. */
export async function look(desk: Desk, path: Path, call: Call, inlineUpTo = -1): Promise<Seen> {
  desk.check(call)
  const names = namesOf(path)
  const reach = desk.keys.reach(path)
  const levels: Path[] = [root]
  for (const name of names.slice(0, reach)) levels.push(join(levels.at(-1) ?? root, name))
  const isWhole = reach === names.length
  const [kept, file, isDirectory] = await Promise.all([
    Promise.all(levels.map((level) => desk.sidecars.read(level, call.signal))),
    isWhole && path !== root ? lookAtFile(desk, path, call, inlineUpTo) : undefined,
    isWhole && (path === root || holds(desk, path, call)),
  ])
  const isThere = file !== undefined || isDirectory
  const depth = isThere ? names.length : await lastDirectory(desk, levels.slice(0, names.length), call)
  const way = acls(desk, levels, kept)
  // The top is always there; what lies above the object is a directory because the object is there.
  const ancestors = levels
    .slice(0, isThere ? names.length : depth + 1)
    .map((level, index) => directoryEntry(desk, level, kept[index], way[index]))
  const own = kept[names.length]
  const parentAcl = way[names.length - 1]
  const entry = isDirectory
    ? directoryEntry(desk, path, own, way[names.length])
    : file && fileEntry(desk, path, file.head, own, aclOf(own, 'file', parentAcl))
  return {
    trail: { ancestors, parentExists: isThere || depth === names.length - 1, entry },
    head: isDirectory ? undefined : file?.head,
    kept: own,
    above: levels.slice(0, names.length).map((level, index) => [level, kept[index]] as const),
    parentAcl,
    content: isDirectory ? undefined : file?.content,
    failure: isDirectory ? undefined : file?.failure,
  }
}

/** What is at `path` by now, a file whose directory has been looked at just before; undefined where there is none. */
export async function lookAtNew(
  desk: Desk,
  path: Path,
  parentAcl: Acl | undefined,
  call: Call,
): Promise<{ readonly entry: Entry; readonly head: Head; readonly kept: Kept | undefined } | undefined> {
  const [kept, file] = await Promise.all([desk.sidecars.read(path, call.signal), lookAtFile(desk, path, call, -1)])
  if (!file) return undefined
  return { entry: fileEntry(desk, path, file.head, kept, aclOf(kept, 'file', parentAcl)), head: file.head, kept }
}

/** Whether any key lies in the directory, its marker included. */
export async function holds(desk: Desk, directory: Path, call: Pick<Call, 'signal'>): Promise<boolean> {
  return (await firstKeys(desk, directory, 1, call)).length > 0
}

/** The first keys in the directory, without its own: that of its marker is empty, undefined is one that is not UTF-8. */
export async function firstKeys(
  desk: Desk,
  directory: Path,
  limit: number,
  call: Pick<Call, 'signal'>,
): Promise<ReadonlyArray<string | undefined>> {
  const found: Array<string | undefined> = []
  for await (const items of pagesOf(desk, directory, desk.keys.directory(directory), { limit }, call)) {
    found.push(...items.map(({ rest }) => rest))
    if (found.length >= limit) break
  }
  return found
}

/** Index of the last of the levels that is a directory. The lowest is asked first: most often only the name is missing. */
async function lastDirectory(desk: Desk, levels: readonly Path[], call: Call): Promise<number> {
  const last = levels.length - 1
  const lowest = levels[last]
  if (lowest === undefined || lowest === root || (await holds(desk, lowest, call))) return last
  const found = await Promise.all(levels.slice(0, last).map((level) => level === root || holds(desk, level, call)))
  return found.lastIndexOf(true)
}

/** The ACL of each level as a directory. */
function acls(desk: Desk, levels: readonly Path[], kept: ReadonlyArray<Kept | undefined>): Array<Acl | undefined> {
  const result: Array<Acl | undefined> = []
  for (const index of levels.keys()) {
    const own = kept[index]
    if (index > 0) result.push(aclOf(own, 'directory', result[index - 1]))
    else result.push(own?.content === 'unreadable' ? undefined : (own?.content.acl ?? desk.options.rootAcl))
  }
  return result
}

export async function lookAtFile(
  desk: Desk,
  path: Path,
  call: Pick<Call, 'signal'>,
  inlineUpTo: number,
): Promise<Found | undefined> {
  let failure: StorageError | undefined
  try {
    if (inlineUpTo > 0) return await getStart(desk, path, call, inlineUpTo)
  } catch (error) {
    // An empty object has no first byte, and one in an archive none that can be had.
    if (!isCode(error, 'range', 'nearline')) return whereMissing(error)
    if (isCode(error, 'nearline')) failure = StorageError.from(error)
  }
  try {
    const head = await headOf(desk, path, call)
    const isEmpty = inlineUpTo >= 0 && head.size === 0
    return { head, ...(isEmpty && { content: new Uint8Array(0) }), ...(failure && { failure }) }
  } catch (error) {
    return whereMissing(error)
  }
}

function whereMissing(error: unknown): undefined {
  if (isCode(error, 'not-found')) return undefined
  throw error
}

/** What the store tells of the object. Throws `not-found`. */
export function headOf(desk: Desk, path: Path, call: Pick<Call, 'signal'>): Promise<Head> {
  return headOfKey(desk, desk.keys.object(path), path, call)
}

/** As `headOf`, for any key. */
export async function headOfKey(desk: Desk, Key: string, path: Path, call: Pick<Call, 'signal'>): Promise<Head> {
  const input = { Bucket: desk.store.bucket, Key }
  const answer = await desk.store.request({ signal: call.signal, path, again: true }, (client, options) =>
    client.send(new HeadObjectCommand(input), options),
  )
  return makeHead(answer.ETag, answer.ContentLength, answer.LastModified)
}

/** One request for attributes and the first bytes: all of them, if there are few. */
async function getStart(desk: Desk, path: Path, call: Pick<Call, 'signal'>, limit: number): Promise<Found> {
  const input = { Bucket: desk.store.bucket, Key: desk.keys.object(path), Range: `bytes=0-${limit - 1}` }
  return desk.store.request({ signal: call.signal, path, again: true }, async (client, options) => {
    const answer = await client.send(new GetObjectCommand(input), options)
    const body = answer.Body as Readable
    const size = sizeOf(answer.ContentRange) ?? answer.ContentLength
    // Read in any case: that costs less than a new connection.
    const content = await collect(body, limit, options.abortSignal)
    const head = makeHead(answer.ETag, size, answer.LastModified)
    if (content.length !== Math.min(head.size, limit)) throw unavailable('the storage cut an object off')
    return { head, ...(head.size <= limit && { content }) }
  })
}

/** The whole size in a Content-Range field (RFC 9110, section 14.4). */
function sizeOf(range: string | undefined): number | undefined {
  const size = /^bytes \d+-\d+\/(\d{1,16})$/.exec(range ?? '')?.[1]
  return size === undefined ? undefined : Number(size)
}
