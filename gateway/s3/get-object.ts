/** GetObject and HeadObject (Amazon S3 API Reference). */

import type { Range } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import { maxParts } from '../core/parts.ts'
import { respond } from '../http/respond.ts'
import { type BytesReading, type FileHeaders, sendReading } from '../http/send.ts'
import { base64, type Checksum, checksumHeaders, lengthOf } from './checksums.ts'
import { isUnmodified, readConditions } from './conditions.ts'
import { directoryAt, directoryRecord } from './directory-object.ts'
import { S3Error } from './error.ts'
import { etagOf, quoted } from './etags.ts'
import { behindLength, objectHeaders, validators } from './object-headers.ts'
import { requireOnlyVersion } from './object-version.ts'
import { overridesOf } from './overrides.ts'
import { hintOf, rangeOf } from './ranges.ts'
import { countParts, decodeRecord, type ObjectRecord, type RecordedParts, spanOf } from './record.ts'
import { tapeClass } from './restore-status.ts'
import type { ObjectRequest, Operation } from './s3-request.ts'

export const getObject: Operation<ObjectRequest> = show
export const headObject: Operation<ObjectRequest> = show

async function show(request: ObjectRequest): Promise<void> {
  requireOnlyVersion(request.query)
  const overrides = overridesOf(request)
  const part = partNumberOf(request)
  if (request.asDirectory) return showDirectory(request, overrides)
  const reading = await open(request)
  let answer: Answer | undefined
  try {
    const { entry } = reading
    const record = decodeRecord(reading.kept?.record)
    if (isCurrent(request, reading, record)) {
      await respond(request.x, 304, validators(entry, record))
    } else {
      const { type, others } = await objectHeaders(request, entry, record, overrides)
      const headers = { type, others: behindLength(others) }
      answer = answerOf(request, reading, record, part, headers)
    }
  } catch (error) {
    await reading.close({ bytes: 0, error })
    throw error
  }
  if (!answer) return reading.close()
  const { range, headers } = answer
  const isBare = request.method === 'HEAD' || (range !== undefined && range.start === range.end)
  if (!isBare) return sendReading(request.x, chosen(reading, range), headers)
  sendHead(request, reading.entry.size, answer)
  await reading.close()
}

/** `undefined`: all of it. */
interface Answer {
  readonly range: Range | undefined
  readonly headers: FileHeaders
}

async function open({ x, call, path, method, header }: ObjectRequest): Promise<BytesReading> {
  const headOnly = method === 'HEAD'
  const range = headOnly ? undefined : header('range')
  try {
    const reading = await x.door.storage.read(call, path, {
      kept: true,
      ...(headOnly && { headOnly }),
      ...(range !== undefined && { ranges: ({ size }) => hintOf(range, size) }),
    })
    if (reading.kind === 'bytes') return reading
  } catch (error) {
    if (!(error instanceof StorageError) || error.code !== 'nearline') throw error
    throw new S3Error('InvalidObjectState', "The operation is not valid for the object's storage class", {
      cause: error,
      elements: { StorageClass: tapeClass },
    })
  }
  // A directory is no object but under its own key, which ends in a slash.
  throw new StorageError('not-found', 'there is a directory', { path })
}

function isCurrent(request: ObjectRequest, { entry }: BytesReading, record: ObjectRecord | undefined): boolean {
  const conditions = readConditions({ get: request.header })
  return conditions !== undefined && isUnmodified(conditions, entry, etagOf(entry, record))
}

/** partNumber. Throws InvalidArgument, and InvalidRequest where there is a Range too. */
function partNumberOf({ query, header }: ObjectRequest): number | undefined {
  const text = query.get('partNumber')
  if (text === undefined) return undefined
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (number < 1 || number > maxParts) {
    throw new S3Error('InvalidArgument', `Part number must be an integer between 1 and ${maxParts}, inclusive`, {
      elements: { ArgumentName: 'partNumber', ArgumentValue: text },
    })
  }
  if (header('range') === undefined) return number
  throw new S3Error('InvalidRequest', 'Cannot specify both Range header and partNumber query parameter.')
}

function answerOf(
  request: ObjectRequest,
  { entry }: BytesReading,
  record: ObjectRecord | undefined,
  part: number | undefined,
  { type, others }: FileHeaders,
): Answer {
  const { size } = entry
  if (part !== undefined) {
    const { range, headers } = partOf(request, size, record, part)
    return { range, headers: { type, others: [...others, ...headers] } }
  }
  const header = request.header('range')
  const counts = ifRangeHolds(request, quoted(etagOf(entry, record)), others)
  const range = header === undefined || !counts ? undefined : rangeOf(header, size)
  const sum = range ? undefined : checksumFor(request, record)
  return { range, headers: { type, others: sum ? [...others, ...checksumHeaders(sum)] : others } }
}

/** If-Range (RFC 9110, section 13.1.5): the tag or the date that we send ourselves, or no range. */
function ifRangeHolds({ header }: ObjectRequest, etag: string, others: readonly string[]): boolean {
  const text = header('if-range')?.trim()
  return text === undefined || text === etag || text === others[others.indexOf('Last-Modified') + 1]
}

/** An object that came in one piece is its own first part. */
function partOf(request: ObjectRequest, size: number, record: ObjectRecord | undefined, number: number) {
  const parts = record?.parts && bytesIn(record.parts) === size ? record.parts : undefined
  const span = parts ? spanOf(parts, number) : { start: 0, end: size }
  if (!span || (!parts && number > 1)) {
    throw new S3Error('InvalidPartNumber', 'The requested partnumber is not satisfiable', {
      elements: { ActualPartCount: String(parts ? countParts(parts) : 1), PartNumberRequested: String(number) },
    })
  }
  const range = size > 0 ? span : undefined
  if (!parts) {
    const sum = checksumFor(request, record)
    return { range, headers: sum ? checksumHeaders(sum) : [] }
  }
  const sum = checksumFor(request, record, number)
  const headers = ['x-amz-mp-parts-count', String(countParts(parts)), ...(sum ? checksumHeaders(sum) : [])]
  return { range, headers }
}

function bytesIn({ sizes }: RecordedParts): number {
  return sizes.reduce((sum, { size, count }) => sum + size * count, 0)
}

/** Where the caller wants to know it: of the whole, or of one of its parts. */
function checksumFor({ header }: ObjectRequest, record: ObjectRecord | undefined, part?: number): Checksum | undefined {
  const { checksum, parts } = record ?? {}
  if (!checksum || header('x-amz-checksum-mode')?.toUpperCase() !== 'ENABLED') return undefined
  if (part === undefined) return checksum
  const length = lengthOf(checksum.algorithm)
  const bytes = parts?.checksums?.subarray((part - 1) * length, part * length)
  return bytes && { ...checksum, value: base64(bytes) }
}

/** The reading with the range that was chosen once everything about the object was known. */
function chosen(reading: BytesReading, range: Range | undefined): BytesReading {
  const { kind, entry, content, kept } = reading
  return {
    kind,
    entry,
    content,
    kept,
    ranges: range && [range],
    stream: (part, until) => reading.stream(part, until),
    close: (outcome) => reading.close(outcome),
  }
}

/** All of an answer without bytes: a part may have none, for which Content-Range has no words. */
function sendHead({ x }: ObjectRequest, size: number, { range, headers: { type, others } }: Answer): void {
  const head = ['Content-Type', type, 'Content-Length', String(range ? range.end - range.start : size), ...others]
  if (range && range.end > range.start) head.push('Content-Range', `bytes ${range.start}-${range.end - 1}/${size}`)
  x.response.writeHead(range ? 206 : 200, head)
  x.response.end()
}

async function showDirectory(request: ObjectRequest, overrides: ReturnType<typeof overridesOf>): Promise<void> {
  const entry = await directoryAt(request)
  const conditions = readConditions({ get: request.header })
  if (conditions && isUnmodified(conditions, entry, etagOf(entry, undefined))) {
    return respond(request.x, 304, validators(entry, undefined))
  }
  const record = await directoryRecord(request)
  const { type, others } = await objectHeaders(request, entry, record, overrides)
  await respond(request.x, 200, ['Content-Type', type, ...others])
}
