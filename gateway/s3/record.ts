/**
 * What S3 knows of an object besides its bytes, as one text that is kept with the very bytes. Users with a shell may
 * write there too: what is read is checked like a request.
 */

import type { Checksum } from './checksums.ts'
import { checksumAlgorithms, checksumTypes, lengthOf } from './checksums.ts'

/** Headers that come with the bytes as they were sent (Amazon S3 API Reference, PutObject). Values are latin-1. */
export const contentHeaders = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'expires',
  'x-amz-website-redirect-location',
] as const

export type ContentHeader = (typeof contentHeaders)[number]
export type ContentHeaders = Readonly<Partial<Record<ContentHeader, string>>>

export type Tag = readonly [key: string, value: string]

export interface PartRun {
  /** Bytes of each. */
  readonly size: number
  /** Parts of this size, one after the other. */
  readonly count: number
}

/** The parts an object was uploaded in. */
export interface RecordedParts {
  readonly sizes: readonly PartRun[]
  /** The checksums of the parts in their order, without anything between; not kept where there are too many. */
  readonly checksums?: Uint8Array
}

export interface ObjectRecord {
  /** Without quotes. Absent: another door has written the bytes. */
  readonly etag?: string
  readonly headers: ContentHeaders
  /** User metadata by names in lower case, without `x-amz-meta-`. Values are latin-1. */
  readonly meta: Readonly<Record<string, string>>
  readonly tags: readonly Tag[]
  readonly checksum?: Checksum
  readonly parts?: RecordedParts
}

/** Bytes of UTF-8 that the core keeps. */
const maxRecord = 65_536
/** Bytes for checksums of parts; what they leave is more than all the rest can take. */
const maxPartChecksums = 24 * 1024
const format = 1
export const maxTags = 10
const mostParts = 10_000
/** Bytes of one header's value: what a request can carry. */
const mostText = 16_384

interface Wire {
  readonly v: number
  readonly etag?: string
  readonly headers?: ContentHeaders
  readonly meta?: Readonly<Record<string, string>>
  readonly tags?: readonly Tag[]
  readonly sum?: readonly [algorithm: string, type: string, value: string]
  readonly parts?: ReadonlyArray<readonly [size: number, count: number]>
  /** Base64. */
  readonly partSums?: string
}

/** The text to keep; undefined where there is nothing to be kept. Leaves checksums of parts out where they are too many. */
export function encodeRecord(record: ObjectRecord): string | undefined {
  const { etag, headers, meta, tags, checksum, parts } = record
  const sums = parts?.checksums
  const wire: Wire = {
    v: format,
    ...(etag !== undefined && { etag }),
    ...(isFilled(headers) && { headers }),
    ...(isFilled(meta) && { meta }),
    ...(tags.length > 0 && { tags }),
    ...(checksum && { sum: [checksum.algorithm, checksum.type, checksum.value] as const }),
    ...(parts && { parts: parts.sizes.map(({ size, count }) => [size, count] as const) }),
    ...(sums && sums.length <= maxPartChecksums && { partSums: Buffer.from(sums).toString('base64') }),
  }
  if (Object.keys(wire).length === 1) return undefined
  const text = JSON.stringify(wire)
  if (Buffer.byteLength(text) <= maxRecord) return text
  // Ten thousand parts of as many sizes: reading one of them is what is given up.
  const { parts: _, partSums: __, ...rest } = wire
  return JSON.stringify(rest)
}

/** Undefined for what is no record of ours. */
export function decodeRecord(text: string | undefined): ObjectRecord | undefined {
  if (text === undefined || text.length > maxRecord) return undefined
  let wire: unknown
  try {
    wire = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isObject(wire) || wire.v !== format) return undefined
  const { etag, headers = {}, meta = {}, tags = [], sum, parts, partSums } = wire
  if (etag !== undefined && !isEtag(etag)) return undefined
  if (!isContentHeaders(headers) || !isMeta(meta) || !isTags(tags)) return undefined
  const checksum = sum === undefined ? undefined : checksumIn(sum)
  const sizes = parts === undefined ? undefined : sizesIn(parts)
  if ((sum !== undefined && !checksum) || (parts !== undefined && !sizes)) return undefined
  const sums = sizes && checksum && typeof partSums === 'string' ? partSumsIn(partSums, sizes, checksum) : undefined
  return {
    ...(etag !== undefined && { etag }),
    headers,
    meta,
    tags,
    ...(checksum && { checksum }),
    ...(sizes && { parts: { sizes, ...(sums && { checksums: sums }) } }),
  }
}

/** How many parts there are. */
export function countParts({ sizes }: RecordedParts): number {
  return sizes.reduce((sum, { count }) => sum + count, 0)
}

/** Where part `number`, from 1, begins and ends; undefined where there is none of that number. */
export function spanOf({ sizes }: RecordedParts, number: number): { start: number; end: number } | undefined {
  let before = 0
  let start = 0
  for (const { size, count } of sizes) {
    if (number <= before + count) {
      const begin = start + (number - before - 1) * size
      return { start: begin, end: begin + size }
    }
    before += count
    start += size * count
  }
  return undefined
}

/** Sizes of parts in their order, as runs. */
export function runsOf(sizes: Iterable<number>): readonly PartRun[] {
  const runs: { size: number; count: number }[] = []
  for (const size of sizes) {
    const last = runs.at(-1)
    if (last?.size === size) last.count++
    else runs.push({ size, count: 1 })
  }
  return runs
}

/** A name of user metadata, in lower case, that can be sent behind `x-amz-meta-` (RFC 9110, section 5.1). */
export function isMetaName(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9a-z-]{1,512}$/.test(name)
}

/** A field value that can be sent (RFC 9110, section 5.5), in latin-1. */
export function isFieldValue(value: unknown): value is string {
  return typeof value === 'string' && value.length <= mostText && /^[\t\x20-\x7e\x80-\xff]*$/.test(value)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isFilled(value: object): boolean {
  return Object.keys(value).length > 0
}

function isEtag(value: unknown): value is string {
  return typeof value === 'string' && /^[\x21\x23-\x7e]{1,128}$/.test(value)
}

function isContentHeaders(value: unknown): value is ContentHeaders {
  const names: readonly string[] = contentHeaders
  return isObject(value) && Object.entries(value).every(([name, text]) => names.includes(name) && isFieldValue(text))
}

function isMeta(value: unknown): value is Readonly<Record<string, string>> {
  if (!isObject(value)) return false
  return Object.entries(value).every(([name, text]) => isMetaName(name) && isFieldValue(text))
}

function isTags(value: unknown): value is readonly Tag[] {
  return Array.isArray(value) && value.length <= maxTags && value.every(isTag)
}

function isTag(value: unknown): value is Tag {
  return (
    Array.isArray(value) && value.length === 2 && value.every((each) => typeof each === 'string' && each.isWellFormed())
  )
}

function checksumIn(value: unknown): Checksum | undefined {
  if (!Array.isArray(value)) return undefined
  const algorithm = checksumAlgorithms.find((each) => each === value[0])
  const type = checksumTypes.find((each) => each === value[1])
  const text: unknown = value[2]
  if (!algorithm || !type || typeof text !== 'string' || !/^[A-Za-z0-9+/]{1,88}={0,2}(?:-\d{1,5})?$/.test(text))
    return undefined
  return { algorithm, type, value: text }
}

function sizesIn(value: unknown): readonly PartRun[] | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > mostParts) return undefined
  const runs: PartRun[] = []
  for (const each of value) {
    const [size, count]: unknown[] = Array.isArray(each) ? each : []
    if (!isCount(size, 0) || !isCount(count, 1)) return undefined
    runs.push({ size, count })
  }
  const bytes = runs.reduce((sum, { size, count }) => sum + size * count, 0)
  return countParts({ sizes: runs }) <= mostParts && Number.isSafeInteger(bytes) ? runs : undefined
}

function isCount(value: unknown, least: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least
}

function partSumsIn(text: string, sizes: readonly PartRun[], { algorithm }: Checksum): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.length === countParts({ sizes }) * lengthOf(algorithm) ? bytes : undefined
}
