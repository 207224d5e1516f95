/** What the sender of an object says of it besides its bytes (Amazon S3 API Reference, PutObject). */

import type { Fields } from './checksums.ts'
import { S3Error } from './error.ts'
import { type ContentHeader, contentHeaders, isFieldValue, isMetaName, type ObjectRecord, type Tag } from './record.ts'
import type { S3Request } from './s3-request.ts'
import { parseTagging } from './tag-set.ts'

/** All that is kept in the record as the sender says it. */
export type Description = Pick<ObjectRecord, 'headers' | 'meta' | 'tags'>

/** Bytes of all names and values of user metadata together (Amazon S3 User Guide, "Working with object metadata"). */
const maxMeta = 2048
/** Bytes of all other kept headers together. */
const maxHeaders = 8192
const metaPrefix = 'x-amz-meta-'
/** Ways of saying that the bucket's owner, and nobody else, owns the object: here the ACL says who. */
const plainAcls: ReadonlySet<string> = new Set(['private', 'bucket-owner-full-control', 'bucket-owner-read'])
const grants = ['full-control', 'read', 'read-acp', 'write', 'write-acp'].map((name) => `x-amz-grant-${name}`)
/** What would be promised by taking them, and is not kept here. */
const refused = [
  'x-amz-object-lock-mode',
  'x-amz-object-lock-retain-until-date',
  'x-amz-object-lock-legal-hold',
  'x-amz-server-side-encryption',
  'x-amz-server-side-encryption-aws-kms-key-id',
  'x-amz-server-side-encryption-customer-algorithm',
  'x-amz-server-side-encryption-customer-key',
  'x-amz-copy-source-server-side-encryption-customer-algorithm',
  'x-amz-write-offset-bytes',
]

/** The headers of a request by names in lower case, as it is asked for them one by one. */
export function fieldsOf(request: Pick<S3Request, 'header' | 'headerNames'>): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  for (const name of request.headerNames()) fields.set(name, request.header(name) ?? '')
  return fields
}

/**
 * What is to be kept with a new object. Throws MetadataTooLarge, InvalidTag, InvalidArgument, and for what is not done here
 * AccessControlListNotSupported, InvalidStorageClass and NotImplemented.
 */
export function describe(fields: ReadonlyMap<string, string>): Description {
  requireUnderstood(fields)
  return { headers: headersIn(fields), meta: metaIn(fields), tags: parseTagging(fields.get('x-amz-tagging')) }
}

/** Throws as `describe` for what changes how an object is stored. */
export function requireUnderstood(fields: Fields): void {
  const acl = fields.get('x-amz-acl') ?? fields.get('acl')
  if ((acl !== undefined && !plainAcls.has(acl)) || grants.some((name) => fields.get(name) !== undefined)) {
    throw new S3Error('AccessControlListNotSupported', 'The bucket does not allow ACLs')
  }
  const storage = fields.get('x-amz-storage-class')
  if (storage !== undefined && storage !== 'STANDARD') {
    throw new S3Error('InvalidStorageClass', 'The storage class you specified is not valid', {
      elements: { StorageClassRequested: storage },
    })
  }
  const header = refused.find((name) => fields.get(name) !== undefined)
  if (header === undefined) return
  const elements = { Header: header }
  throw new S3Error('NotImplemented', 'A header you provided implies functionality that is not implemented.', {
    elements,
  })
}

function headersIn(fields: Fields): Description['headers'] {
  const headers: Partial<Record<ContentHeader, string>> = {}
  let bytes = 0
  for (const name of contentHeaders) {
    const sent = fields.get(name)
    const value = name === 'content-encoding' && sent !== undefined ? withoutChunking(sent) : sent
    if (value === undefined || value === '') continue
    headers[name] = fieldValue(name, value)
    bytes += value.length
  }
  if (bytes > maxHeaders) throw tooLarge(bytes, maxHeaders)
  return headers
}

/** `aws-chunked` is about the way here, and nothing about the object. */
function withoutChunking(codings: string): string {
  return codings
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '' && each.toLowerCase() !== 'aws-chunked')
    .join(',')
}

function metaIn(fields: ReadonlyMap<string, string>): Readonly<Record<string, string>> {
  const found: [string, string][] = []
  let bytes = 0
  for (const [name, sent] of fields) {
    if (!name.startsWith(metaPrefix)) continue
    const short = name.slice(metaPrefix.length)
    // Those of forms and addresses may be anything.
    if (!isMetaName(short)) throw new S3Error('InvalidArgument', 'A name of user metadata cannot be sent as a header.')
    const value = fieldValue(name, sent)
    bytes += short.length + value.length
    found.push([short, value])
  }
  if (bytes > maxMeta) throw tooLarge(bytes, maxMeta)
  return Object.fromEntries(found)
}

/** Octets as latin-1: forms come in Unicode. */
export function fieldValue(name: string, text: string): string {
  const value = /[^\x00-\xff]/.test(text) ? Buffer.from(text).toString('latin1') : text
  if (isFieldValue(value)) return value
  throw new S3Error('InvalidArgument', 'A value cannot be sent as a header.', { elements: { ArgumentName: name } })
}

/** Headers with which the description is told again: name, value, name, value. */
export function descriptionHeaders({ headers, meta, tags }: Description): string[] {
  const told = Object.entries(headers).flat()
  for (const [name, value] of Object.entries(meta)) told.push(`${metaPrefix}${name}`, value)
  if (tags.length > 0) told.push('x-amz-tagging-count', String(tags.length))
  return told
}

/** The tags of an object with others in their place. */
export function withTags(record: ObjectRecord | undefined, tags: readonly Tag[]): ObjectRecord {
  return { headers: {}, meta: {}, ...record, tags }
}

function tooLarge(bytes: number, most: number): S3Error {
  return new S3Error('MetadataTooLarge', 'Your metadata headers exceed the maximum allowed metadata size', {
    elements: { Size: String(bytes), MaxSizeAllowed: String(most) },
  })
}
