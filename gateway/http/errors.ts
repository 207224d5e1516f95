/** HTTP's answer to every error code, and the one way for a handler to ask for another status. */

import { type ErrorCode, type ErrorDetails, type ErrorTable, StorageError } from '../core/errors.ts'

/** HTTP and WebDAV status codes (RFC 9110, section 15; RFC 4918, section 11). */
export const httpStatus = {
  invalid: 400,
  unauthenticated: 401,
  denied: 403,
  'not-owner': 403,
  'not-found': 404,
  'no-parent': 409,
  exists: 412,
  'not-directory': 409,
  'is-directory': 405,
  'not-empty': 409,
  locked: 423,
  precondition: 412,
  range: 416,
  quota: 507,
  'no-space': 507,
  'too-large': 413,
  'name-too-long': 414,
  'read-only': 403,
  'cross-mount': 409,
  nearline: 424,
  busy: 503,
  stale: 404,
  'bad-checksum': 400,
  unsupported: 501,
  unavailable: 503,
  timeout: 504,
  cancelled: 499,
  internal: 500,
} satisfies ErrorTable<number>

/** What a problem document calls each code. Says nothing about one object in particular. */
export const titles = {
  invalid: 'The request makes no sense as sent',
  unauthenticated: 'A valid credential is needed',
  denied: 'You may not do this',
  'not-owner': 'Only the owner may do this',
  'not-found': 'There is nothing at this path',
  'no-parent': 'The parent directory does not exist',
  exists: 'There is something at this path already',
  'not-directory': 'This is not a directory',
  'is-directory': 'This is a directory',
  'not-empty': 'The directory is not empty',
  locked: 'Someone else holds a lock',
  precondition: 'A condition of the request does not hold',
  range: 'The range lies outside the file',
  quota: 'The quota is used up',
  'no-space': 'The storage is full',
  'too-large': 'This is too large',
  'name-too-long': 'The path or a name in it is too long',
  'read-only': 'This part of the namespace is read-only',
  'cross-mount': 'This cannot be done across mounts',
  nearline: 'The file is on tape only',
  busy: 'Too much is going on; try again later',
  stale: 'The object has changed meanwhile',
  'bad-checksum': 'The bytes do not match the announced checksum',
  unsupported: 'This is not supported here',
  unavailable: 'The storage does not answer; the outcome is unknown',
  timeout: 'The request took too long',
  cancelled: 'The request was cancelled',
  internal: 'Something went wrong in the gateway',
} satisfies ErrorTable<string>

export interface HttpErrorDetails extends ErrorDetails {
  /** Sent with the answer, such as `Allow` or `Content-Range`; name, value, name, value. */
  readonly headers?: readonly string[]
  /** Members added to the problem document. */
  readonly members?: Readonly<Record<string, unknown>>
}

/** A StorageError whose status is not the one of the table, or that brings headers of its own. */
export class HttpError extends StorageError {
  readonly status: number
  readonly headers: readonly string[]
  readonly members: Readonly<Record<string, unknown>>

  constructor(status: number, code: ErrorCode, message: string, details: HttpErrorDetails = {}) {
    super(code, message, details)
    this.name = 'HttpError'
    this.status = status
    this.headers = details.headers ?? []
    this.members = details.members ?? {}
  }
}
