/** ListObjects, ListObjectsV2 and ListObjectVersions: keys in the order of their UTF-8 bytes (Amazon S3 API Reference). */

import { eachOf } from '../core/deciding-many.ts'
import type { WalkPosition } from '../core/walking.ts'
import { foldBy } from './delimiter.ts'
import { S3Error } from './error.ts'
import { placeOf } from './keys.ts'
import { readToken, writeToken } from './list-tokens.ts'
import { isWritable, type ListedObject, type ListStyle, objectElement, prefixElement, shown } from './list-xml.ts'
import { limitOf } from './multipart-note.ts'
import { type RestoreStatus, restoreStatus } from './restore-status.ts'
import type { BucketRequest, Operation } from './s3-request.ts'
import { leaf, sendXml } from './xml.ts'

/** Objects of one page. */
const most = 1000
/** ms after which a page ends early, where its caller is told where to go on. */
const patience = 10_000
/** Restores asked for at once. */
const asking = 8

/** What all kinds of listings are asked. */
interface Asked {
  readonly prefix: string
  readonly delimiter: string
  readonly limit: number
  readonly style: ListStyle
}

/** A page of a listing, in XML. */
interface Page {
  readonly objects: readonly string[]
  readonly prefixes: readonly string[]
  /** Where to go on; undefined where there is nothing more. */
  readonly next: WalkPosition | undefined
}

export const listObjectsV2: Operation<BucketRequest> = async (request) => {
  const { x, query, bucket, settings } = request
  const asked = askedOf(request, { owner: query.get('fetch-owner') === 'true', versions: false })
  const token = query.get('continuation-token')
  const startAfter = query.get('start-after')
  const start = token ? readToken(settings.tokenKey, bucket.name, token) : behind(startAfter)
  const page = await pageOf(request, asked, start, patience)
  const next = page.next && writeToken(settings.tokenKey, bucket.name, page.next)
  await sendXml(
    x,
    'ListBucketResult',
    [
      ...commonElements(request, asked),
      startAfter === undefined ? '' : leaf('StartAfter', shown(startAfter, asked.style)),
      leaf('ContinuationToken', token),
      leaf('NextContinuationToken', next),
      leaf('KeyCount', page.objects.length + page.prefixes.length),
      leaf('IsTruncated', next !== undefined),
      ...page.objects,
      ...page.prefixes,
    ].join(''),
  )
}

export const listObjectsV1: Operation<BucketRequest> = async (request) => {
  const { x, query } = request
  const asked = askedOf(request, { owner: true, versions: false })
  const marker = query.get('marker') ?? ''
  const page = await pageOf(request, asked, behind(marker))
  await sendXml(
    x,
    'ListBucketResult',
    [
      ...commonElements(request, asked),
      leaf('Marker', shown(marker, asked.style)),
      page.next ? leaf('NextMarker', shown(page.next.after, asked.style)) : '',
      leaf('IsTruncated', page.next !== undefined),
      ...page.objects,
      ...page.prefixes,
    ].join(''),
  )
}

/** Objects as they are, each as the one version of itself: for tools that empty buckets. */
export const listObjectVersions: Operation<BucketRequest> = async (request) => {
  const { x, query } = request
  const asked = askedOf(request, { owner: true, versions: true })
  const marker = query.get('key-marker') ?? ''
  const version = query.get('version-id-marker') ?? ''
  if (version !== '' && marker === '') {
    throw invalid('version-id-marker', version, 'A version-id marker cannot be specified without a key marker.')
  }
  const page = await pageOf(request, asked, behind(marker))
  const next =
    page.next && leaf('NextKeyMarker', shown(page.next.after, asked.style)) + leaf('NextVersionIdMarker', 'null')
  await sendXml(
    x,
    'ListVersionsResult',
    [
      ...commonElements(request, asked),
      leaf('KeyMarker', shown(marker, asked.style)),
      leaf('VersionIdMarker', version),
      next ?? '',
      leaf('IsTruncated', page.next !== undefined),
      ...page.objects,
      ...page.prefixes,
    ].join(''),
  )
}

/** Throws InvalidArgument. */
function askedOf({ query }: BucketRequest, kind: Pick<ListStyle, 'owner' | 'versions'>): Asked {
  const encoding = query.get('encoding-type')
  if (encoding !== undefined && encoding !== 'url') {
    throw invalid('encoding-type', encoding, 'Invalid Encoding Method specified in Request')
  }
  return {
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    limit: limitOf(query, 'max-keys', most),
    style: { ...kind, encoded: encoding === 'url' },
  }
}

function invalid(name: string, value: string, message: string): S3Error {
  return new S3Error('InvalidArgument', message, { elements: { ArgumentName: name, ArgumentValue: value } })
}

function behind(key: string | undefined): WalkPosition | undefined {
  return key === undefined || key === '' ? undefined : { after: key }
}

function commonElements({ bucket }: BucketRequest, { prefix, delimiter, limit, style }: Asked): readonly string[] {
  return [
    leaf('Name', bucket.name),
    leaf('Prefix', shown(prefix, style)),
    delimiter === '' ? '' : leaf('Delimiter', shown(delimiter, style)),
    leaf('MaxKeys', limit),
    style.encoded ? leaf('EncodingType', 'url') : '',
  ]
}

async function pageOf(
  request: BucketRequest,
  { prefix, delimiter, limit, style }: Asked,
  resume: WalkPosition | undefined,
  patience?: number,
): Promise<Page> {
  const { x, call, bucket } = request
  const { items, next } = await x.door.storage.walk(call, bucket.path, {
    ...{ prefix, limit, kept: true, accepts: (key: string) => isWritable(key, style) },
    ...(resume && { resume }),
    ...(delimiter !== '' && { fold: foldBy(prefix, delimiter) }),
    ...(patience !== undefined && { patience }),
  })
  const statuses = await statusesOf(
    request,
    items.flatMap((item) => ('key' in item ? [item] : [])),
  )
  const objects: string[] = []
  const prefixes: string[] = []
  for (const item of items) {
    if ('folded' in item) prefixes.push(prefixElement(item.folded, style))
    else objects.push(objectElement(item, statuses.get(item.key), style))
  }
  return { objects, prefixes, next }
}

/** By key: of objects on tape, where the caller wants to know it. */
async function statusesOf(
  request: BucketRequest,
  objects: readonly ListedObject[],
): Promise<ReadonlyMap<string, RestoreStatus>> {
  const statuses = new Map<string, RestoreStatus>()
  const wanted = request.header('x-amz-optional-object-attributes')?.split(',') ?? []
  if (!wanted.some((name) => name.trim() === 'RestoreStatus')) return statuses
  const staged = objects.filter(({ entry }) => entry.locality === 'tape' || entry.locality === 'disk-and-tape')
  await eachOf(staged, asking, async ({ key, entry }) => {
    const status = await restoreStatus(request, placeOf(request.bucket, key).path, entry)
    if (status) statuses.set(key, status)
  })
  return statuses
}
