/** CompleteMultipartUpload (Amazon S3 API Reference): the parts named become the object, or nothing happens. */

import { StorageError } from '../core/errors.ts'
import { maxParts, PartError, type PartState } from '../core/parts.ts'
import type { Written } from '../core/storage.ts'
import { type Checksum, checksumElements } from './checksums.ts'
import { type ListedPart, maxCompleteXml, parseComplete } from './complete-xml.ts'
import { conditionsOf, writeCondition } from './conditions.ts'
import { S3Error } from './error.ts'
import { quoted } from './etags.ts'
import { answerLasting } from './keep-alive.ts'
import { fieldsOf } from './metadata.ts'
import {
  checksumOfParts,
  checksumsAlong,
  etagOfPart,
  etagOfParts,
  isListedRight,
  requirePlan,
  requireWhole,
} from './multipart-checksums.ts'
import { type FoundUpload, knowing, uploadIdOf, uploadOf } from './multipart-note.ts'
import { decodeRecord, encodeRecord, type ObjectRecord, runsOf } from './record.ts'
import type { ObjectRequest, Operation } from './s3-request.ts'
import { leaf } from './xml.ts'

/** Bytes of every part but the last (Amazon S3 User Guide, "Amazon S3 multipart upload limits"). */
export const smallestPart = 5 * 1024 ** 2

interface Completed {
  /** Without quotes. */
  readonly etag: string
  readonly checksum: Checksum | undefined
}

export const completeMultipartUpload: Operation<ObjectRequest> = async (request) => {
  const listed = parseComplete(await request.body.whole(maxCompleteXml))
  const size = announcedSize(request)
  await answerLasting(request, 'CompleteMultipartUploadResult', async () => {
    const { etag, checksum } = await completeOrRepeat(request, listed, size)
    return [
      leaf('Location', locationOf(request)),
      leaf('Bucket', request.bucket.name),
      leaf('Key', request.key),
      leaf('ETag', quoted(etag)),
      ...(checksum ? checksumElements(checksum).map(([name, value]) => leaf(name, value)) : []),
    ].join('')
  })
}

/** Senders repeat what they have not seen answered: the same is said again of an upload that is complete. */
async function completeOrRepeat(
  request: ObjectRequest,
  listed: readonly ListedPart[],
  size: number | undefined,
): Promise<Completed> {
  try {
    return await complete(request, await uploadOf(request), listed, size)
  } catch (error) {
    if (!mayBeDone(error)) throw error
    const before = await repeated(request, listed)
    if (!before) throw error
    return before
  }
}

/** Also where what is in the way is the object that this upload has become meanwhile. */
function mayBeDone(error: unknown): boolean {
  if (error instanceof S3Error) return error.s3Code === 'NoSuchUpload' || error.s3Code === 'PreconditionFailed'
  return StorageError.from(error).code === 'precondition'
}

async function complete(
  request: ObjectRequest,
  upload: FoundUpload,
  listed: readonly ListedPart[],
  size: number | undefined,
): Promise<Completed> {
  const { x, call } = request
  const { state, plan, description } = upload
  const { parts: operations } = x.door.storage
  requirePlan(request, plan)
  const there = await knowing(state.id, operations.list(call, state.id, { limit: maxParts }))
  const parts = chosenOf(state.id, listed, there)
  requireSize(parts, size)
  const checksum = checksumOfParts(plan, parts)
  requireWhole(request, checksum)
  const etag = etagOfParts(parts.map(etagOfPart))
  const record: ObjectRecord = {
    etag,
    ...description,
    ...(checksum && { checksum }),
    parts: recordedParts(upload, parts),
  }
  const conditions = await conditionsOf(request, writeCondition(fieldsOf(request)))
  const joining = operations.complete(
    call,
    state.id,
    parts.map(({ number, modified }) => ({ number, modified })),
    { record: () => encodeRecord(record), ...(conditions && { conditions }) },
  )
  try {
    await knowing(state.id, joining)
  } catch (error) {
    if (error instanceof PartError)
      throw invalidPart(
        state.id,
        listed.find(({ number }) => number === error.number),
      )
    throw error
  }
  return { etag, checksum }
}

function recordedParts({ plan }: FoundUpload, parts: readonly PartState[]): NonNullable<ObjectRecord['parts']> {
  const checksums = checksumsAlong(plan, parts)
  return { sizes: runsOf(parts.map((part) => part.size)), ...(checksums && { checksums }) }
}

/** The parts meant. Throws InvalidPart where one is not there or another one is, and EntityTooSmall. */
function chosenOf(id: string, listed: readonly ListedPart[], there: readonly PartState[]): PartState[] {
  const byNumber = new Map(there.map((part) => [part.number, part]))
  const chosen = listed.map((one) => {
    const part = byNumber.get(one.number)
    if (!part || etagOfPart(part) !== one.etag.toLowerCase() || !isListedRight(one.checksums, part)) {
      throw invalidPart(id, one)
    }
    return part
  })
  const small = chosen.slice(0, -1).find(({ size }) => size < smallestPart)
  if (!small) return chosen
  throw new S3Error('EntityTooSmall', 'Your proposed upload is smaller than the minimum allowed size', {
    elements: {
      ProposedSize: String(small.size),
      MinSizeAllowed: String(smallestPart),
      PartNumber: String(small.number),
      ETag: etagOfPart(small),
    },
  })
}

function invalidPart(id: string, part: ListedPart | undefined): S3Error {
  return new S3Error(
    'InvalidPart',
    "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
    { elements: { UploadId: id, PartNumber: String(part?.number ?? ''), ETag: part?.etag ?? '' } },
  )
}

/** x-amz-mp-object-size. Throws InvalidRequest. */
function announcedSize(request: ObjectRequest): number | undefined {
  const text = request.header('x-amz-mp-object-size')
  if (text === undefined) return undefined
  if (/^\d{1,15}$/.test(text.trim())) return Number(text)
  throw new S3Error('InvalidRequest', "Value for 'x-amz-mp-object-size' header is invalid.")
}

function requireSize(parts: readonly PartState[], announced: number | undefined): void {
  const size = parts.reduce((sum, part) => sum + part.size, 0)
  if (announced === undefined || announced === size) return
  throw new S3Error(
    'InvalidRequest',
    `The provided 'x-amz-mp-object-size' header value ${announced} does not match what was computed: ${size}`,
  )
}

/** What a completion before came to, where this is the same one; undefined where there was none. */
async function repeated(request: ObjectRequest, listed: readonly ListedPart[]): Promise<Completed | undefined> {
  const { x, call, path } = request
  const id = uploadIdOf(request)
  const written = await knowing(id, x.door.storage.parts.completed(call, id, path))
  if (!written || request.asDirectory) return undefined
  const etags = listed.map((part) => part.etag.toLowerCase())
  if (!etags.every((etag) => /^[0-9a-f]{32}$/.test(etag))) throw invalidPart(id, listed[0])
  const etag = etagOfParts(etags)
  const record = await recordOf(request, written)
  // Without a record the object is another one by now; whoever completed this upload has been done justice before.
  if (record?.etag !== undefined && record.etag !== etag) throw invalidPart(id, listed[0])
  return { etag, checksum: record?.checksum }
}

/** Of the object as the completion made it; undefined where it is not there any more. */
async function recordOf({ x, call, path }: ObjectRequest, { entry }: Written): Promise<ObjectRecord | undefined> {
  try {
    const now = await x.door.storage.getKept(call, path)
    return now.entry.version === entry.version ? decodeRecord(now.kept.record) : undefined
  } catch (error) {
    // Who may write need not be allowed to read.
    if (['not-found', 'denied', 'is-directory', 'not-directory'].includes(StorageError.from(error).code))
      return undefined
    throw error
  }
}

/** As the caller reached it. */
function locationOf({ x }: ObjectRequest): string {
  const { url = '/', headers } = x.request
  const forwarded = headers['x-forwarded-proto']
  const encrypted = x.connection.isEncrypted(typeof forwarded === 'string' ? forwarded : forwarded?.join(','))
  return `${encrypted ? 'https' : 'http'}://${headers.host ?? ''}${url.split('?', 1)[0]}`
}
