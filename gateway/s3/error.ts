/** Errors in the words of S3 (Amazon S3 API Reference, "Error responses"). */

import { type ErrorCode, type Reason, StorageError } from '../core/errors.ts'

/** Every code that is sent, with its status and what it means to the core. */
export const s3Errors = {
  AccessControlListNotSupported: [400, 'unsupported'],
  AccessDenied: [403, 'denied'],
  AccessForbidden: [403, 'denied'],
  AuthorizationHeaderMalformed: [400, 'invalid'],
  AuthorizationQueryParametersError: [400, 'invalid'],
  BadDigest: [400, 'bad-checksum'],
  BadRequest: [400, 'invalid'],
  BucketAlreadyExists: [409, 'exists'],
  BucketNotEmpty: [409, 'not-empty'],
  ConditionalRequestConflict: [409, 'stale'],
  DirectoryObjectContainsData: [400, 'invalid'],
  EntityTooLarge: [400, 'too-large'],
  EntityTooSmall: [400, 'invalid'],
  ExistingObjectIsDirectory: [409, 'is-directory'],
  ExpiredToken: [400, 'unauthenticated'],
  IncompleteBody: [400, 'invalid'],
  InsufficientStorage: [507, 'no-space'],
  InternalError: [500, 'internal'],
  InvalidAccessKeyId: [403, 'unauthenticated'],
  InvalidArgument: [400, 'invalid'],
  InvalidBucketName: [400, 'invalid'],
  InvalidDigest: [400, 'invalid'],
  InvalidObjectState: [403, 'nearline'],
  InvalidLocationConstraint: [400, 'invalid'],
  InvalidPart: [400, 'invalid'],
  InvalidPartNumber: [416, 'range'],
  InvalidPartOrder: [400, 'invalid'],
  InvalidPolicyDocument: [400, 'invalid'],
  InvalidRange: [416, 'range'],
  InvalidRequest: [400, 'invalid'],
  InvalidStorageClass: [400, 'invalid'],
  InvalidTag: [400, 'invalid'],
  InvalidToken: [400, 'unauthenticated'],
  InvalidURI: [400, 'invalid'],
  KeyTooLongError: [400, 'name-too-long'],
  MalformedPOSTRequest: [400, 'invalid'],
  MalformedTrailerError: [400, 'invalid'],
  MalformedXML: [400, 'invalid'],
  MaxMessageLengthExceeded: [400, 'too-large'],
  MetadataTooLarge: [400, 'too-large'],
  MethodNotAllowed: [405, 'unsupported'],
  MissingContentLength: [411, 'invalid'],
  MissingRequestBodyError: [400, 'invalid'],
  NoSuchBucket: [404, 'not-found'],
  NoSuchBucketPolicy: [404, 'not-found'],
  NoSuchCORSConfiguration: [404, 'not-found'],
  NoSuchKey: [404, 'not-found'],
  NoSuchLifecycleConfiguration: [404, 'not-found'],
  NoSuchPublicAccessBlockConfiguration: [404, 'not-found'],
  NoSuchTagSet: [404, 'not-found'],
  NoSuchUpload: [404, 'not-found'],
  NoSuchVersion: [404, 'not-found'],
  NoSuchWebsiteConfiguration: [404, 'not-found'],
  NotImplemented: [501, 'unsupported'],
  ObjectAlreadyInActiveTierError: [403, 'invalid'],
  ObjectLockConfigurationNotFoundError: [404, 'not-found'],
  ObjectNotInActiveTierError: [403, 'nearline'],
  ObjectParentIsFile: [409, 'not-directory'],
  OperationAborted: [409, 'locked'],
  PreconditionFailed: [412, 'precondition'],
  QuotaExceeded: [403, 'quota'],
  ReplicationConfigurationNotFoundError: [404, 'not-found'],
  RequestHeaderSectionTooLarge: [400, 'too-large'],
  RequestTimeTooSkewed: [403, 'unauthenticated'],
  RequestTimeout: [400, 'timeout'],
  RestoreAlreadyInProgress: [409, 'busy'],
  ServerSideEncryptionConfigurationNotFoundError: [404, 'not-found'],
  ServiceUnavailable: [503, 'unavailable'],
  SignatureDoesNotMatch: [403, 'unauthenticated'],
  SlowDown: [503, 'busy'],
  XAmzContentSHA256Mismatch: [400, 'bad-checksum'],
} as const satisfies Readonly<Record<string, readonly [status: number, code: ErrorCode]>>

export type S3ErrorCode = keyof typeof s3Errors

export interface S3ErrorDetails {
  /** Elements of the answer besides Code, Message, Resource, RequestId and HostId. */
  readonly elements?: Readonly<Record<string, string>>
  /** Sent with the answer: name, value, name, value. */
  readonly headers?: readonly string[]
  readonly cause?: unknown
  /** For the audit log. */
  readonly reason?: Reason | undefined
}

/** `message` is sent to the caller and holds no secret. */
export class S3Error extends StorageError {
  readonly s3Code: S3ErrorCode
  readonly status: number
  readonly elements: Readonly<Record<string, string>>
  readonly headers: readonly string[]

  constructor(
    s3Code: S3ErrorCode,
    message: string,
    { elements = {}, headers = [], cause, reason }: S3ErrorDetails = {},
  ) {
    const [status, code] = s3Errors[s3Code]
    super(code, message, { cause, ...(reason && { reason }) })
    this.name = 'S3Error'
    this.s3Code = s3Code
    this.status = status
    this.elements = elements
    this.headers = headers
  }
}
