/** Conditions on ETags and times (RFC 9110, section 13, as S3 has it): looked at here, pinned by content version in the core. */

import type { Entry } from '../../backends/backend.ts'
import type { Conditions } from '../core/storage.ts'
import { parseHttpDate, secondsOf } from '../http/dates.ts'
import type { Fields } from './checksums.ts'
import { S3Error } from './error.ts'
import { etagOf, names, parseEtags } from './etags.ts'
import { decodeRecord } from './record.ts'
import type { ObjectRequest } from './s3-request.ts'

type Tags = readonly string[] | '*'

/** Of a read, or of the source of a copy. Times are whole seconds since 1970. */
export interface ReadConditions {
  readonly match?: Tags
  readonly noneMatch?: Tags
  readonly modifiedSince?: number
  readonly unmodifiedSince?: number
}

/** By the headers; undefined where there are none. `prefix`: of those about a copy's source. Throws InvalidArgument. */
export function readConditions(fields: Fields, prefix: '' | 'x-amz-copy-source-' = ''): ReadConditions | undefined {
  const tags = (name: string) => {
    const text = fields.get(`${prefix}${name}`)
    return text === undefined ? undefined : parseEtags(text)
  }
  const time = (name: string) => parseHttpDate(fields.get(`${prefix}${name}`) ?? '')
  const match = tags('if-match')
  const noneMatch = tags('if-none-match')
  const unmodifiedSince = match === undefined ? time('if-unmodified-since') : undefined
  const modifiedSince = noneMatch === undefined ? time('if-modified-since') : undefined
  if ([match, noneMatch, unmodifiedSince, modifiedSince].every((each) => each === undefined)) return undefined
  return {
    ...(match !== undefined && { match }),
    ...(noneMatch !== undefined && { noneMatch }),
    ...(unmodifiedSince !== undefined && { unmodifiedSince }),
    ...(modifiedSince !== undefined && { modifiedSince }),
  }
}

/** Whether the caller has it already. Throws PreconditionFailed where it is not what was meant. */
export function isUnmodified(conditions: ReadConditions, entry: Entry, etag: string, now = Date.now()): boolean {
  const { match, noneMatch, modifiedSince, unmodifiedSince } = conditions
  const modified = secondsOf(entry.modified)
  if (match !== undefined && !names(match, etag)) throw failed('If-Match')
  if (unmodifiedSince !== undefined && modified > unmodifiedSince) throw failed('If-Unmodified-Since')
  if (noneMatch !== undefined) return names(noneMatch, etag)
  // A time that has not come yet says nothing (RFC 9110, section 13.1.3).
  return modifiedSince !== undefined && modifiedSince * 1000 <= now && modified <= modifiedSince
}

/** Of the source of a copy, where nothing is answered by 304. Throws PreconditionFailed. */
export function requireSource(conditions: ReadConditions | undefined, entry: Entry, etag: string): void {
  if (!conditions || !isUnmodified(conditions, entry, etag)) return
  throw failed(
    conditions.noneMatch === undefined ? 'x-amz-copy-source-If-Modified-Since' : 'x-amz-copy-source-If-None-Match',
  )
}

/** What must be at the key for it to be written. */
export type WriteCondition = { readonly absent: true } | { readonly match: Tags }

/** By the headers. Throws NotImplemented for what S3 does not do, and InvalidArgument. */
export function writeCondition(fields: Fields): WriteCondition | undefined {
  const match = fields.get('if-match')
  const none = fields.get('if-none-match')
  if (none !== undefined && (match !== undefined || none.trim() !== '*')) {
    throw new S3Error('NotImplemented', 'A header you provided implies functionality that is not implemented', {
      elements: { Header: 'If-None-Match' },
    })
  }
  if (none !== undefined) return { absent: true }
  return match === undefined ? undefined : { match: parseEtags(match) }
}

/**
 * The condition in the words of the core, which holds it in the very step in which it writes. Throws NoSuchKey and
 * PreconditionFailed as things are now.
 */
export async function conditionsOf(
  { x, call, path }: Pick<ObjectRequest, 'x' | 'call' | 'path'>,
  condition: WriteCondition | undefined,
): Promise<Conditions | undefined> {
  if (!condition) return undefined
  if ('absent' in condition) return { ifNoneMatch: '*' }
  if (condition.match === '*') return { ifMatch: '*' }
  const { entry, kept } = await x.door.storage.getKept(call, path)
  if (!names(condition.match, etagOf(entry, decodeRecord(kept.record)))) throw failed('If-Match')
  return { ifMatch: [entry.version] }
}

/** A PreconditionFailed error. */
export function failed(condition: string): S3Error {
  return new S3Error('PreconditionFailed', 'At least one of the pre-conditions you specified did not hold', {
    elements: { Condition: condition },
  })
}
