/** The object that CopyObject and UploadPartCopy copy from (Amazon S3 API Reference, CopyObject). */

import type { Entry } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import { noSuchBucket } from './buckets.ts'
import type { Fields } from './checksums.ts'
import { readConditions, requireSource } from './conditions.ts'
import { S3Error } from './error.ts'
import { etagOf } from './etags.ts'
import { type Place, placeOf } from './keys.ts'
import { decodeRecord, type ObjectRecord } from './record.ts'
import type { S3Request } from './s3-request.ts'

export interface CopySource extends Place {
  readonly entry: Entry
  readonly record: ObjectRecord | undefined
  /** Without quotes. */
  readonly etag: string
}

/**
 * What x-amz-copy-source names, as it is now and as the conditions on it want it. Throws InvalidArgument, NoSuchVersion,
 * NoSuchBucket, NoSuchKey, PreconditionFailed and what reading it throws.
 */
export async function copySourceOf(request: S3Request, fields: Fields): Promise<CopySource> {
  const { bucket: name, key } = parseCopySource(fields.get('x-amz-copy-source') ?? '')
  const bucket = await request.settings.bucket(request.call, name)
  if (!bucket) throw noSuchBucket(name)
  const place = placeOf(bucket, key)
  const conditions = readConditions(fields, 'x-amz-copy-source-')
  const { entry, kept } = await lookAt(request, place)
  if ((entry.type === 'directory') !== place.asDirectory) throw noSuchKey(key)
  const record = decodeRecord(kept.record)
  const etag = etagOf(entry, record)
  requireSource(conditions, entry, etag)
  return { ...place, entry, record, etag }
}

async function lookAt({ x, call }: S3Request, { key, path }: Place) {
  try {
    return await x.door.storage.getKept(call, path)
  } catch (error) {
    throw sourceError(key, error)
  }
}

/** What reading the source has thrown, said of the source. */
export function sourceError(key: string, thrown: unknown): unknown {
  const { code } = StorageError.from(thrown)
  if (code === 'not-found' || code === 'not-directory') return noSuchKey(key, thrown)
  if (code !== 'nearline') return thrown
  const message = 'The source object of the COPY action is not in the active tier'
  return new S3Error('ObjectNotInActiveTierError', message, { cause: thrown })
}

/** `[/]bucket/key[?versionId=null]`, percent-encoded, slashes too by some. Throws InvalidArgument and NoSuchVersion. */
export function parseCopySource(header: string): { readonly bucket: string; readonly key: string } {
  const [, encoded = '', version] = /^(.*?)(?:\?versionId=([^?]*))?$/s.exec(header.trim()) ?? []
  const path = decode(encoded).replace(/^\//, '')
  const slash = path.indexOf('/')
  if (slash < 1 || slash === path.length - 1) {
    throw invalid('You must specify the source bucket and key: x-amz-copy-source is bucket/key')
  }
  if (version !== undefined && version !== '' && version !== 'null') {
    throw new S3Error('NoSuchVersion', 'The specified version does not exist.', { elements: { VersionId: version } })
  }
  return { bucket: path.slice(0, slash), key: path.slice(slash + 1) }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Headers are latin-1: octets that came unescaped count as they are. */
function decode(text: string): string {
  const octets = text.replace(/%([0-9a-f]{2})/gi, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  )
  try {
    return utf8.decode(Buffer.from(octets, 'latin1'))
  } catch (cause) {
    throw invalid('The x-amz-copy-source header is not percent-encoded UTF-8', cause)
  }
}

function noSuchKey(key: string, cause?: unknown): S3Error {
  return new S3Error('NoSuchKey', 'The specified key does not exist.', { elements: { Key: key }, cause })
}

function invalid(text: string, cause?: unknown): S3Error {
  return new S3Error('InvalidArgument', text, { elements: { ArgumentName: 'x-amz-copy-source' }, cause })
}
