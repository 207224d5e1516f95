/** DeleteObject (Amazon S3 API Reference). */

import { StorageError } from '../core/errors.ts'
import { parseHttpDate, secondsOf } from '../http/dates.ts'
import { respond } from '../http/respond.ts'
import { failed } from './conditions.ts'
import { type CurrentObject, currentObject } from './current-object.ts'
import { S3Error } from './error.ts'
import { etagOf, names, parseEtags } from './etags.ts'
import { requireOnlyVersion } from './object-version.ts'
import type { ObjectRequest, Operation } from './s3-request.ts'

/** What the object must be like to be deleted. */
export interface DeleteConditions {
  readonly etags?: readonly string[] | '*'
  /** Bytes. */
  readonly size?: number
  /** Whole seconds since 1970. */
  readonly modified?: number
}

export const deleteObject: Operation<ObjectRequest> = async (request) => {
  requireOnlyVersion(request.query)
  const { header } = request
  const conditions = deleteConditions({
    etag: header('if-match'),
    size: header('x-amz-if-match-size'),
    modified: header('x-amz-if-match-last-modified-time'),
  })
  await deleteAt(request, conditions)
  await respond(request.x, 204, [])
}

/** By their texts; undefined where there are none. Throws InvalidArgument. */
export function deleteConditions(texts: {
  readonly etag: string | undefined
  readonly size: string | undefined
  readonly modified: string | undefined
}): DeleteConditions | undefined {
  const { etag, size, modified } = texts
  if (etag === undefined && size === undefined && modified === undefined) return undefined
  const bytes = size === undefined || !/^\d{1,16}$/.test(size) ? undefined : Number(size)
  const time = modified === undefined ? undefined : secondsIn(modified)
  if ((size !== undefined && bytes === undefined) || (modified !== undefined && time === undefined)) {
    throw new S3Error('InvalidArgument', 'A condition of the deletion cannot be read.')
  }
  return {
    ...(etag !== undefined && { etags: parseEtags(etag) }),
    ...(bytes !== undefined && { size: bytes }),
    ...(time !== undefined && { modified: time }),
  }
}

/** Of headers and of XML. */
function secondsIn(text: string): number | undefined {
  const ms = /^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(ms) ? parseHttpDate(text) : Math.floor(ms / 1000)
}

/**
 * Removes what is at the key. No object of that key is no error. A directory that holds anything stays, since what is
 * below it has keys of its own; so do directories above what was removed, which may be anybody's. Throws PreconditionFailed.
 */
export async function deleteAt(
  place: Pick<ObjectRequest, 'x' | 'call' | 'path' | 'asDirectory'>,
  conditions?: DeleteConditions,
): Promise<void> {
  const { x, call, path, asDirectory } = place
  const type = asDirectory ? 'directory' : 'other'
  try {
    const pinned = conditions && { ifMatch: [requireConditions(conditions, await currentObject(place))] }
    await x.door.storage.remove(call, path, { type, ...(pinned && { conditions: pinned }) })
  } catch (error) {
    if (!(error instanceof StorageError) || error instanceof S3Error) throw error
    const { code } = error
    const isAbsent = code === 'not-found' || code === 'no-parent' || code === 'not-directory'
    if (isAbsent || (code === 'is-directory' && !asDirectory) || (asDirectory && holdsAnything(error))) return
    throw error
  }
}

/** Also what is only about to be there. */
function holdsAnything(error: StorageError): boolean {
  return error.code === 'not-empty' || StorageError.reasonOf(error)?.rule === 'uploading'
}

/** Gives the content version that they hold for. */
function requireConditions({ etags, size, modified }: DeleteConditions, { entry, record }: CurrentObject): string {
  if (etags !== undefined && !names(etags, etagOf(entry, record))) throw failed('If-Match')
  if (size !== undefined && size !== entry.size) throw failed('x-amz-if-match-size')
  if (modified !== undefined && modified !== secondsOf(entry.modified))
    throw failed('x-amz-if-match-last-modified-time')
  return entry.version
}
