/** ListMultipartUploads: the caller's own unfinished ones below a bucket (Amazon S3 API Reference). */

import type { PartedState, UploadMarker } from '../core/parts.ts'
import { maxPathBytes, type Path, parsePath } from '../core/path.ts'
import { isoDate } from '../http/dates.ts'
import { S3Error } from './error.ts'
import { isWritable, shown } from './list-xml.ts'
import { planXml } from './multipart-checksums.ts'
import { limitOf, readNote } from './multipart-note.ts'
import { ownerElement } from './owner.ts'
import type { Bucket, BucketRequest, Operation } from './s3-request.ts'
import { leaf, sendXml, tag } from './xml.ts'

/** Uploads that are asked for at once. */
const pageSize = 1000

interface Asked {
  readonly prefix: string
  readonly delimiter: string
  readonly keyMarker: string
  /** Only with a key. */
  readonly idMarker: string
  readonly limit: number
  readonly encoded: boolean
}

interface Page {
  readonly uploads: string[]
  readonly prefixes: string[]
  truncated: boolean
  /** Of what was told last. */
  nextKey: string
  nextId: string
}

/** Those of other principals are not told: an upload is its maker's. */
export const listMultipartUploads: Operation<BucketRequest> = async (request) => {
  const asked = askedOf(request)
  const page: Page = { uploads: [], prefixes: [], truncated: false, nextKey: '', nextId: '' }
  if (asked.limit > 0) await fill(request, asked, page)
  const told = (text: string) => shown(text, asked)
  const given = (name: string, text: string) => (text === '' ? '' : leaf(name, told(text)))
  await sendXml(
    request.x,
    'ListMultipartUploadsResult',
    [
      leaf('Bucket', request.bucket.name),
      leaf('KeyMarker', told(asked.keyMarker)),
      leaf('UploadIdMarker', asked.idMarker),
      page.truncated ? leaf('NextKeyMarker', told(page.nextKey)) + leaf('NextUploadIdMarker', page.nextId) : '',
      leaf('Prefix', told(asked.prefix)),
      given('Delimiter', asked.delimiter),
      asked.encoded ? leaf('EncodingType', 'url') : '',
      leaf('MaxUploads', asked.limit),
      leaf('IsTruncated', page.truncated),
      ...page.uploads,
      ...page.prefixes.map((prefix) => tag('CommonPrefixes', leaf('Prefix', told(prefix)))),
    ].join(''),
  )
}

function askedOf({ query }: BucketRequest): Asked {
  const encoding = query.get('encoding-type')
  if (encoding !== undefined && encoding !== 'url') {
    throw new S3Error('InvalidArgument', 'Invalid Encoding Method specified in Request', {
      elements: { ArgumentName: 'encoding-type', ArgumentValue: encoding },
    })
  }
  const keyMarker = query.get('key-marker') ?? ''
  return {
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    keyMarker,
    idMarker: keyMarker === '' ? '' : (query.get('upload-id-marker') ?? ''),
    limit: limitOf(query, 'max-uploads', 1000),
    encoded: encoding === 'url',
  }
}

async function fill(request: BucketRequest, asked: Asked, page: Page): Promise<void> {
  const { bucket, call, x } = request
  const below = directoryOf(bucket, asked.prefix)
  if (below === undefined) return
  let after = markerOf(bucket, asked)
  for (;;) {
    const found = await x.door.storage.parts.uploads(call, below, { limit: pageSize, ...(after && { after }) })
    for (const upload of found) {
      if (!add(page, asked, upload, keyOf(bucket, upload.path))) return
    }
    const last = found.at(-1)
    if (!last || found.length < pageSize) return
    after = { path: last.path, id: last.id }
  }
}

/** False: nothing more is wanted. */
function add(page: Page, asked: Asked, upload: PartedState, key: string): boolean {
  const { prefix, keyMarker, idMarker } = asked
  // What is at the place of the bucket itself has no key in it, and one that cannot be told is no marker either.
  if (key === '' || !isWritable(key, asked)) return true
  if (!key.startsWith(prefix)) return byBytes(key, prefix) < 0
  // Uploads of the key of the marker that stand before its id were left out by the core.
  const behind = keyMarker === '' ? 1 : byBytes(key, keyMarker)
  if (behind < 0 || (behind === 0 && idMarker === '')) return true
  const common = commonOf(key, asked)
  if (common !== undefined && (page.prefixes.at(-1) === common || keyMarker.startsWith(common))) return true
  if (page.uploads.length + page.prefixes.length === asked.limit) {
    page.truncated = true
    return false
  }
  if (common === undefined) page.uploads.push(uploadXml(upload, shown(key, asked)))
  else page.prefixes.push(common)
  page.nextKey = common ?? key
  page.nextId = common === undefined ? upload.id : ''
  return true
}

function commonOf(key: string, { prefix, delimiter }: Asked): string | undefined {
  if (delimiter === '') return undefined
  const at = key.indexOf(delimiter, prefix.length)
  return at < 0 ? undefined : key.slice(0, at + delimiter.length)
}

function uploadXml(upload: PartedState, key: string): string {
  return tag(
    'Upload',
    [
      leaf('Key', key),
      leaf('UploadId', upload.id),
      ownerElement('Initiator'),
      ownerElement('Owner'),
      leaf('StorageClass', 'STANDARD'),
      leaf('Initiated', isoDate(BigInt(upload.created) * 1_000_000n)),
      planXml(readNote(upload).plan),
    ].join(''),
  )
}

/** The directory that all keys with this prefix are in; undefined where no key can begin so. */
function directoryOf({ path }: Bucket, prefix: string): Path | undefined {
  const cut = prefix.lastIndexOf('/')
  if (cut < 0) return path
  return pathOf(path, prefix.slice(0, cut))
}

/** Where the core may begin: never behind what the marker leaves to be told. */
function markerOf({ path }: Bucket, { keyMarker, idMarker }: Asked): UploadMarker | undefined {
  if (keyMarker === '') return undefined
  const key = keyMarker.endsWith('/') ? keyMarker.slice(0, -1) : keyMarker
  const at = pathOf(path, key)
  if (at === undefined) return undefined
  return idMarker === '' || key !== keyMarker ? { path: at } : { path: at, id: idMarker }
}

function pathOf(top: Path, names: string): Path | undefined {
  if (names === '' || names.length > maxPathBytes) return undefined
  try {
    return parsePath(top === '/' ? `/${names}` : `${top}/${names}`)
  } catch {
    return undefined
  }
}

function keyOf({ path }: Bucket, upload: Path): string {
  return path === '/' ? upload.slice(1) : upload.slice(path.length + 1)
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
