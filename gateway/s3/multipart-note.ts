/** An upload in parts as S3 sees it: found by its id, with what CreateMultipartUpload said, which is kept as its note. */

import { StorageError } from '../core/errors.ts'
import type { PartedState } from '../core/parts.ts'
import { maxUploadNote } from '../core/uploads.ts'
import { checksumAlgorithms, checksumTypes } from './checksums.ts'
import { S3Error } from './error.ts'
import type { Description } from './metadata.ts'
import type { ChecksumPlan } from './multipart-checksums.ts'
import { decodeRecord, encodeRecord } from './record.ts'
import type { ObjectRequest, S3Query } from './s3-request.ts'

/** What the upload will have besides bytes. */
export interface Note {
  readonly plan: ChecksumPlan | undefined
  readonly description: Description
}

export interface FoundUpload extends Note {
  readonly state: PartedState
}

const nothing: Description = { headers: {}, meta: {}, tags: [] }

/** For `NewParted.note`. Throws MetadataTooLarge. */
export function writeNote({ plan, description }: Note): string {
  const note = JSON.stringify([plan?.algorithm ?? null, plan?.type ?? null, encodeRecord(description) ?? null])
  const size = Buffer.byteLength(note)
  if (size <= maxUploadNote) return note
  throw new S3Error('MetadataTooLarge', 'Your metadata headers exceed the maximum allowed metadata size', {
    elements: { Size: String(size), MaxSizeAllowed: String(maxUploadNote) },
  })
}

/** Nothing is known of an upload that was begun in another way. */
export function readNote({ note }: Pick<PartedState, 'note'>): Note {
  const [algorithmName, typeName, text] = fieldsOf(note)
  const algorithm = checksumAlgorithms.find((each) => each === algorithmName)
  const type = checksumTypes.find((each) => each === typeName)
  const { headers, meta, tags } = decodeRecord(typeof text === 'string' ? text : undefined) ?? nothing
  return { plan: algorithm && type && { algorithm, type }, description: { headers, meta, tags } }
}

function fieldsOf(note: string | undefined): readonly unknown[] {
  try {
    const fields: unknown = JSON.parse(note ?? '[]')
    return Array.isArray(fields) ? fields : []
  } catch {
    return []
  }
}

/** The unfinished upload that the request names. Throws NoSuchUpload, also for one of another key or principal. */
export async function uploadOf(request: ObjectRequest): Promise<FoundUpload> {
  const id = uploadIdOf(request)
  const state = await knowing(id, request.x.door.storage.parts.state(request.call, id))
  if (state.path !== request.path || request.asDirectory) throw noSuchUpload(id)
  return { state, ...readNote(state) }
}

/** Of a request that only comes here because it has one. */
export function uploadIdOf({ query }: Pick<ObjectRequest, 'query'>): string {
  return query.get('uploadId') ?? ''
}

/** The result, where the upload may have ended meanwhile: NoSuchUpload then. */
export async function knowing<T>(id: string, result: Promise<T>): Promise<T> {
  try {
    return await result
  } catch (error) {
    if (error instanceof S3Error || StorageError.from(error).code !== 'not-found') throw error
    throw noSuchUpload(id, error)
  }
}

export function noSuchUpload(id: string, cause?: unknown): S3Error {
  return new S3Error(
    'NoSuchUpload',
    'The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.',
    { elements: { UploadId: id }, cause },
  )
}

/** A number of things to be told, `most` by default and at most. Throws InvalidArgument. */
export function limitOf(query: S3Query, name: string, most: number): number {
  return Math.min(most, countOf(query, name) ?? most)
}

/** A number of 0 or more. Throws InvalidArgument. */
export function countOf(query: S3Query, name: string): number | undefined {
  const text = query.get(name)
  if (text === undefined || text === '') return undefined
  if (/^\d{1,10}$/.test(text) && Number(text) < 2 ** 31) return Number(text)
  throw new S3Error('InvalidArgument', `Provided ${name} not an integer or within integer range`, {
    elements: { ArgumentName: name, ArgumentValue: text },
  })
}
