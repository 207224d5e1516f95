/** Errors of the token service (AWS Security Token Service API Reference, "AssumeRoleWithWebIdentity" and "Common Errors"). */

import { StorageError } from '../core/errors.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import { respond } from '../http/respond.ts'
import { S3Error, type S3ErrorCode } from './error.ts'
import { leaf, tag } from './xml.ts'

/** Every code that is sent, with its status. */
const statuses = {
  AccessDenied: 403,
  ExpiredToken: 403,
  ExpiredTokenException: 400,
  IDPCommunicationError: 400,
  IDPRejectedClaim: 403,
  IncompleteSignature: 400,
  InternalFailure: 500,
  InvalidAction: 400,
  InvalidClientTokenId: 403,
  InvalidIdentityToken: 400,
  InvalidParameterValue: 400,
  MalformedPolicyDocument: 400,
  MissingAuthenticationToken: 403,
  MissingParameter: 400,
  PackedPolicyTooLarge: 400,
  RequestEntityTooLarge: 413,
  RequestExpired: 400,
  ServiceUnavailable: 503,
  SignatureDoesNotMatch: 403,
} as const satisfies Readonly<Record<string, number>>

export type StsErrorCode = keyof typeof statuses

export const stsNamespace = 'https://sts.amazonaws.com/doc/2011-06-15/'
const type = 'text/xml'

/** `message` is sent to the caller and holds no secret. */
export class StsError extends StorageError {
  readonly stsCode: StsErrorCode
  readonly status: number

  constructor(stsCode: StsErrorCode, message: string, cause?: unknown) {
    const status = statuses[stsCode]
    const reason = cause === undefined ? undefined : StorageError.reasonOf(StorageError.from(cause))
    const code = status >= 500 ? 'unavailable' : status === 403 ? 'denied' : 'invalid'
    super(code, message, { cause, ...(reason && { reason }) })
    this.name = 'StsError'
    this.stsCode = stsCode
    this.status = status
  }
}

/** Answers with a document: `content` is the XML of the result. */
export function sendSts(x: Exchange, action: string, content: string): Promise<void> {
  const result = tag(`${action}Result`, content)
  const text = `${open(`${action}Response`)}${result}<ResponseMetadata>${leaf('RequestId', x.id)}</ResponseMetadata></${action}Response>`
  return respond(x, 200, ['Content-Type', type, 'Cache-Control', 'no-store'], text)
}

/** Answers with what went wrong and gives it, for the log. */
export async function sendStsError(x: Exchange, thrown: unknown): Promise<StorageError> {
  const failure = x.failureOf(thrown)
  const { response, request } = x
  if (response.headersSent || response.destroyed || request.socket.destroyed) {
    if (!response.writableEnded) request.socket.destroy()
    return failure
  }
  const { stsCode, status, message } = stsErrorOf(failure)
  const { retryAfter } = failure
  const headers = retryAfter === undefined ? [] : ['Retry-After', String(Math.max(1, Math.ceil(retryAfter)))]
  const kind = status >= 500 ? 'Receiver' : 'Sender'
  const error = tag('Error', leaf('Type', kind) + leaf('Code', stsCode) + leaf('Message', message))
  const text = `${open('ErrorResponse')}${error}${leaf('RequestId', x.id)}</ErrorResponse>`
  await respond(x, status, ['Content-Type', type, ...headers], text)
  return failure
}

/** What has become of a token that somebody came with, in the words of the token service. */
export function tokenErrorOf(thrown: unknown): StsError {
  const error = StorageError.from(thrown)
  const rule = StorageError.reasonOf(error)?.rule
  switch (error.code) {
    case 'unauthenticated':
      if (rule === 'token-expired')
        return new StsError('ExpiredTokenException', 'The web identity token has expired.', error)
      return new StsError('InvalidIdentityToken', 'The web identity token could not be validated.', error)
    case 'denied':
      return new StsError(
        'IDPRejectedClaim',
        'The web identity token belongs to nobody who has an account here.',
        error,
      )
    case 'unavailable':
      return new StsError('IDPCommunicationError', 'The identity provider could not be reached.', error)
    default:
      return stsErrorOf(error)
  }
}

/** Of S3's errors those that a signature may have. */
const ofSignatures: Readonly<Partial<Record<S3ErrorCode, StsErrorCode>>> = {
  AuthorizationHeaderMalformed: 'IncompleteSignature',
  AuthorizationQueryParametersError: 'IncompleteSignature',
  ExpiredToken: 'ExpiredToken',
  InvalidAccessKeyId: 'InvalidClientTokenId',
  InvalidToken: 'InvalidClientTokenId',
  RequestTimeTooSkewed: 'RequestExpired',
  SignatureDoesNotMatch: 'SignatureDoesNotMatch',
}

function stsErrorOf(error: StorageError): StsError {
  if (error instanceof StsError) return error
  if (error instanceof S3Error) {
    const code = ofSignatures[error.s3Code] ?? (error.status === 403 ? 'AccessDenied' : 'InvalidParameterValue')
    return new StsError(code, error.message, error)
  }
  switch (error.code) {
    case 'unauthenticated':
    case 'denied':
      return new StsError('AccessDenied', 'Access Denied', error)
    case 'too-large':
      return new StsError('RequestEntityTooLarge', 'The request is too large.', error)
    case 'busy':
    case 'unavailable':
      return new StsError('ServiceUnavailable', 'The request failed due to a temporary failure of the server.', error)
    case 'timeout':
    case 'cancelled':
    case 'invalid':
      return new StsError(
        'InvalidParameterValue',
        error instanceof HttpError ? 'The request was not complete.' : error.message,
        error,
      )
    default:
      return new StsError('InternalFailure', 'The request processing has failed because of an unknown error.', error)
  }
}

function open(root: string): string {
  return `<${root} xmlns="${stsNamespace}">`
}
