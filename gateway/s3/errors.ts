/** S3's answer to every error (Amazon S3 API Reference, "Error responses"), and the one way to send it. */

import { type ErrorCode, type ErrorTable, StorageError } from '../core/errors.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Refusal, Unreadable } from '../http/options.ts'
import { respond } from '../http/respond.ts'
import { S3Error, type S3ErrorCode } from './error.ts'
import { explainLink } from './explain-link.ts'
import { leaf, xmlHead, xmlType } from './xml.ts'

/** What an error is about. */
export interface Subject {
  readonly bucket?: string | undefined
  readonly key?: string | undefined
}

type Answer = readonly [code: S3ErrorCode, message: string]

/** The messages say nothing about one object in particular. */
const answers = {
  invalid: ['InvalidRequest', 'The request makes no sense as sent.'],
  unauthenticated: ['AccessDenied', 'Access Denied'],
  denied: ['AccessDenied', 'Access Denied'],
  'not-owner': ['AccessDenied', 'Access Denied'],
  'not-found': ['NoSuchKey', 'The specified key does not exist.'],
  'no-parent': ['SlowDown', 'The directory of the key was removed meanwhile. Please try again.'],
  exists: ['ConditionalRequestConflict', 'Something was made at this key meanwhile.'],
  'not-directory': ['ObjectParentIsFile', 'A part of the key before its last slash is an object.'],
  'is-directory': ['ExistingObjectIsDirectory', 'There is a directory at this key.'],
  'not-empty': ['BucketNotEmpty', 'It is not empty.'],
  locked: ['OperationAborted', 'Somebody else holds a lock on it. Try again later.'],
  precondition: ['PreconditionFailed', 'At least one of the pre-conditions you specified did not hold.'],
  range: ['InvalidRange', 'The requested range is not satisfiable.'],
  quota: ['QuotaExceeded', 'The quota is used up.'],
  'no-space': ['InsufficientStorage', 'The storage is full.'],
  'too-large': ['EntityTooLarge', 'Your proposed upload exceeds the maximum allowed object size.'],
  'name-too-long': ['KeyTooLongError', 'Your key, or a name in it, is too long.'],
  'read-only': ['AccessDenied', 'This part of the namespace is read-only.'],
  'cross-mount': ['InvalidRequest', 'This cannot be done across mounts.'],
  nearline: ['InvalidObjectState', "The operation is not valid for the object's storage class."],
  busy: ['SlowDown', 'Please reduce your request rate.'],
  stale: ['ConditionalRequestConflict', 'The object has changed meanwhile.'],
  'bad-checksum': ['BadDigest', 'The checksum you specified did not match what we received.'],
  unsupported: ['NotImplemented', 'This is not implemented here.'],
  unavailable: ['ServiceUnavailable', 'The storage does not answer; the outcome is unknown.'],
  timeout: ['RequestTimeout', 'Your socket connection to the server was not read from or written to in time.'],
  cancelled: ['RequestTimeout', 'The request was cancelled.'],
  internal: ['InternalError', 'We encountered an internal error. Please try again.'],
} as const satisfies ErrorTable<Answer>

/** Of these the message speaks of the request, not of what is stored: it may be told to anybody. */
const detailed: ReadonlySet<ErrorCode> = new Set([
  'invalid',
  'bad-checksum',
  'name-too-long',
  'too-large',
  'unsupported',
])
const looking: ReadonlySet<string | undefined> = new Set(['GET', 'HEAD', 'DELETE'])

/** Anything thrown, in the words of S3. `method`: below a file there is nothing to find, and no place to put something. */
export function s3ErrorOf(thrown: unknown, { bucket, key }: Subject = {}, method?: string): S3Error {
  const error = StorageError.from(thrown)
  if (error instanceof S3Error) return error
  const [code, text] = answerTo(error.code, key === undefined && bucket !== undefined, method)
  const message = detailed.has(error.code) ? error.message : text
  const { retryAfter } = error
  const headers = retryAfter === undefined ? [] : ['Retry-After', String(Math.max(1, Math.ceil(retryAfter)))]
  if (error instanceof HttpError) headers.push(...error.headers)
  const elements = code === 'NoSuchBucket' && bucket !== undefined ? { BucketName: bucket } : {}
  return new S3Error(code, message, { cause: error, headers, elements })
}

function answerTo(code: ErrorCode, ofBucket: boolean, method: string | undefined): Answer {
  const isMissing = code === 'not-found' || (code === 'not-directory' && looking.has(method))
  if (isMissing && ofBucket) return ['NoSuchBucket', 'The specified bucket does not exist.']
  if (isMissing || (code === 'is-directory' && (method === 'GET' || method === 'HEAD'))) return answers['not-found']
  return answers[code]
}

/** The element Error with everything in it; `explain`: where a person can ask why. */
export function errorElement(
  x: Pick<Exchange, 'id'>,
  error: S3Error,
  { bucket, key }: Subject,
  explain?: string,
): string {
  const { s3Code, message, elements } = error
  const named = { ...(s3Code === 'NoSuchKey' && key !== undefined && { Key: key }), ...elements }
  const more = Object.entries(named).map(([name, value]) => leaf(name, value))
  const resource = `/${bucket ?? ''}${key === undefined ? '' : `/${key}`}`
  const ids = leaf('ExplainUrl', explain) + leaf('Resource', resource) + leaf('RequestId', x.id) + leaf('HostId', x.id)
  return `<Error>${leaf('Code', s3Code)}${leaf('Message', message)}${more.join('')}${ids}</Error>`
}

const refusals: Readonly<Record<Unreadable, Answer>> = {
  malformed: ['BadRequest', 'The request is no sound HTTP/1.1.'],
  'too-large': ['RequestHeaderSectionTooLarge', 'Your request header section exceeds the maximum allowed size.'],
  'too-slow': ['RequestTimeout', answers.timeout[1]],
  connect: ['MethodNotAllowed', 'The specified method is not allowed against this resource.'],
}

/** S3Front.refusal */
export function refusalOf(call: string, why: Unreadable): Refusal {
  const error = new S3Error(...refusals[why])
  return { status: error.status, type: xmlType, body: xmlHead + errorElement({ id: call }, error, {}) }
}

/**
 * Answers with the error of an operation and gives what it was, for the log. Once the response has begun there is nothing honest left
 * to say, and the connection is cut. A caller that is gone gets nothing.
 */
export async function sendS3Error(
  x: Exchange,
  thrown: unknown,
  subject: Subject,
  operation = '',
): Promise<StorageError> {
  const failure = x.failureOf(thrown)
  const { response, request } = x
  if (response.headersSent || response.destroyed || request.socket.destroyed) {
    if (!response.writableEnded) request.socket.destroy()
    return failure
  }
  const error = s3ErrorOf(failure, subject, request.method)
  if (error.s3Code === 'RequestTimeout') response.shouldKeepAlive = false
  const body = xmlHead + errorElement(x, error, subject, explainLink(x, failure, operation))
  await respond(x, error.status, ['Content-Type', xmlType, ...error.headers], body)
  return failure
}
