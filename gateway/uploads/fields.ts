/**
 * Header fields of both protocols: plain numbers of tus, structured fields (RFC 9651) of the resumable uploads draft.
 * What cannot be read is refused rather than passed over: a part must not be taken for the whole.
 */

import type { IncomingHttpHeaders } from 'node:http'
import { StorageError } from '../core/errors.ts'
import type { UploadState } from '../core/uploads.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import { ownPrefix } from '../http/problem.ts'

/** Below it are uploads that are under way, and where tus makes them. */
export const uploadsPrefix = `${ownPrefix}/uploads`

/** RFC 9651, section 3.3.1: an Integer has at most fifteen digits. */
const longestInteger = 999_999_999_999_999

/** Characters of an Item that is looked at, with its parameters. */
const longestItem = 256

/** An Item and its parameters (RFC 9651, section 3.1.2), which mean nothing to the fields of the draft. */
const withParameters =
  /^([^;]*)(?:; *[a-z*][\w.*-]*(?:=(?:\?[01]|-?\d{1,15}(?:\.\d{1,3})?|"(?:[ !#-[\]-~]|\\["\\])*"|[A-Za-z*][\w!#$%&'*+.^`|~:/-]*|:[\w+/=]*:))?)*$/

/** The headers of the draft, without parameters. */
export function bareItems(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const names = ['upload-complete', 'upload-length', 'upload-offset'] as const
  return { ...headers, ...Object.fromEntries(names.map((name) => [name, bare(headers[name])])) }
}

function bare(text: string | string[] | undefined): string | string[] | undefined {
  if (typeof text !== 'string' || text.length > longestItem) return text
  return withParameters.exec(text)?.[1] ?? text
}

/** A number that is not negative; undefined where there is none. Throws `invalid`. */
export function integerField(headers: IncomingHttpHeaders, name: string): number | undefined {
  const text = headers[name]
  if (text === undefined) return undefined
  if (typeof text !== 'string' || !/^\d{1,15}$/.test(text)) {
    throw new StorageError('invalid', `${name} is not a number of bytes`)
  }
  return Number(text)
}

/** RFC 9651, section 3.3.6; undefined where there is none. Throws `invalid`. */
export function booleanField(headers: IncomingHttpHeaders, name: string): boolean | undefined {
  const text = headers[name]
  if (text === undefined) return undefined
  if (text !== '?1' && text !== '?0') throw new StorageError('invalid', `${name} is ?1 or ?0`)
  return text === '?1'
}

/** Content-Length; 0 where there is no body; undefined where only its end will tell. */
export function contentLength(x: Exchange): number | undefined {
  if (x.request.headers['transfer-encoding'] !== undefined) return undefined
  return Number(x.request.headers['content-length'] ?? 0)
}

/** Of what these say it is only the content of one message that they say it of (RFC 9530, section 2). */
const ofContent = ['content-digest', 'content-md5'] as const

/** What is said of the content of this request alone. */
export function ofThisContent(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(ofContent.map((name) => [name, headers[name]]))
}

/** What is said of the whole file by a request that may bring only a part of it. */
export function ofTheWhole(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return { ...headers, ...Object.fromEntries(ofContent.map((name) => [name, undefined])) }
}

/** Content-Type without parameters, lower case. */
export function mediaType({ request }: Exchange): string {
  return (request.headers['content-type']?.split(';')[0] ?? '').trim().toLowerCase()
}

/** Bytes that one upload of this caller may have. */
export function largestUpload({ door, call }: Exchange): number {
  return Math.min(door.maxUpload, door.storage.uploads.largest(call))
}

/** The dictionary Upload-Limit; for one upload also how long it stays, in seconds. */
export function uploadLimit(x: Exchange, state?: UploadState): string {
  const size = `max-size=${Math.min(largestUpload(x), longestInteger)}`
  if (!state || state.complete) return size
  return `${size}, max-age=${Math.max(0, Math.floor(state.expires - Date.now() / 1000))}`
}

/** An upload under way belongs to somebody: all the anonymous are one. */
export function isSomebody({ principal }: Exchange): boolean {
  return principal.user !== undefined
}

/** Where an upload is continued. */
export function uploadUrl({ door }: Pick<Exchange, 'door'>, id: string): string {
  return `${door.publicUrl}${uploadsPrefix}/${id}`
}

const problemTypes = 'https://iana.org/assignments/http-problem-types'

/** The draft's problem type for lengths that contradict each other. */
export function inconsistent(): HttpError {
  const title = 'The lengths told for the upload contradict each other'
  const members = { type: `${problemTypes}#inconsistent-upload-length`, title }
  return new HttpError(400, 'invalid', 'the lengths told for the upload contradict each other', { members })
}

/** The draft's problem type for bytes that do not begin where the upload ends, and where that is. */
export function mismatching(offset: number, provided: number): HttpError {
  const title = 'The upload does not end at this offset'
  const type = `${problemTypes}#mismatching-upload-offset`
  return new HttpError(409, 'precondition', 'the upload does not end at this offset', {
    headers: ['Upload-Offset', String(offset), 'Upload-Complete', '?0'],
    members: { type, title, 'expected-offset': offset, 'provided-offset': provided },
  })
}

/** The draft's problem type for an upload that takes nothing more. */
export function completed(): HttpError {
  const title = 'The upload is complete'
  return new HttpError(400, 'invalid', 'the upload is complete', {
    headers: ['Upload-Complete', '?1'],
    members: { type: `${problemTypes}#completed-upload`, title },
  })
}
