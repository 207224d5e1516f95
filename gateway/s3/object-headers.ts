/** What is told of an object in the headers of an answer. */

import type { Entry } from '../../backends/backend.ts'
import { contentGuards, kindOf } from '../http/content-type.ts'
import { lastModified } from '../http/dates.ts'
import type { FileHeaders } from '../http/send.ts'
import { directoryType } from './directory-object.ts'
import { etagOf, quoted } from './etags.ts'
import { descriptionHeaders } from './metadata.ts'
import type { ContentHeaders, ObjectRecord } from './record.ts'
import { restoreHeaders, restoreStatus } from './restore-status.ts'
import type { ObjectRequest } from './s3-request.ts'

/** What objects have that nobody gave a type (Amazon S3 API Reference, GetObject). */
const unknownType = 'binary/octet-stream'
const octets = 'application/octet-stream'

/** ETag and Last-Modified: name, value, name, value. */
export function validators(entry: Entry, record: ObjectRecord | undefined): string[] {
  return ['ETag', quoted(etagOf(entry, record)), 'Last-Modified', lastModified(entry.modified)]
}

/** All that does not depend on which part of the bytes is sent. */
export async function objectHeaders(
  request: ObjectRequest,
  entry: Entry,
  record: ObjectRecord | undefined,
  overrides: ContentHeaders,
): Promise<FileHeaders> {
  const { headers = {}, meta = {}, tags = [] } = record ?? {}
  const { 'content-type': _, ...told } = { ...headers, ...overrides }
  const others = [
    ...validators(entry, record),
    'Accept-Ranges',
    'bytes',
    ...contentGuards,
    ...descriptionHeaders({ headers: told, meta, tags }),
  ]
  if (entry.locality !== undefined && entry.locality !== 'disk') {
    others.push(...restoreHeaders(entry, await restoreStatus(request, request.path, entry)))
  }
  return { type: overrides['content-type'] ?? typeOf(entry, record), others }
}

/**
 * For heads in which Content-Length comes first: Node takes a Content-Disposition behind it for UTF-8 in latin-1, and
 * sends it in latin-1 (nodejs/node, pull request 46528). So it is given that way, and octets go out as they are.
 */
export function behindLength(headers: readonly string[]): readonly string[] {
  const at = headers.indexOf('content-disposition')
  const value = headers[at + 1] ?? ''
  if (at < 0 || /^[\x00-\x7f]*$/.test(value)) return headers
  return headers.with(at + 1, Buffer.from(value).toString('latin1'))
}

/** As its sender said; by its name where another door has written the file. */
function typeOf(entry: Entry, record: ObjectRecord | undefined): string {
  const own = record?.headers['content-type']
  if (own !== undefined) return own
  if (entry.type === 'directory') return directoryType
  if (record?.etag !== undefined) return unknownType
  const { type } = kindOf(entry.name)
  return type === octets ? unknownType : type
}
