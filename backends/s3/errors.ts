/** What an S3 store and the network say, as StorageErrors: by status and code alone, never by text. */

import { type ErrorCode, StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'

/** Codes of the Amazon S3 API Reference, "Error responses", and those of Ceph and MinIO for a full store. */
const byCode: Readonly<Record<string, ErrorCode>> = {
  NoSuchKey: 'not-found',
  NotFound: 'not-found',
  NoSuchBucket: 'unavailable',
  NoSuchUpload: 'stale',
  InvalidPart: 'stale',
  AccessDenied: 'denied',
  InvalidAccessKeyId: 'unavailable',
  SignatureDoesNotMatch: 'unavailable',
  ExpiredToken: 'unavailable',
  RequestTimeTooSkewed: 'unavailable',
  PreconditionFailed: 'precondition',
  ConditionalRequestConflict: 'precondition',
  InvalidRange: 'range',
  InvalidObjectState: 'nearline',
  KeyTooLongError: 'name-too-long',
  InvalidObjectName: 'name-too-long',
  EntityTooLarge: 'too-large',
  BadDigest: 'bad-checksum',
  InvalidDigest: 'bad-checksum',
  XAmzContentSHA256Mismatch: 'bad-checksum',
  QuotaExceeded: 'quota',
  XMinioStorageFull: 'no-space',
  InsufficientStorage: 'no-space',
  SlowDown: 'busy',
  ServiceUnavailable: 'busy',
  TooManyRequests: 'busy',
  NotImplemented: 'unsupported',
  InternalError: 'unavailable',
}

const byStatus: Readonly<Record<number, ErrorCode>> = {
  403: 'denied',
  404: 'not-found',
  409: 'precondition',
  411: 'invalid',
  412: 'precondition',
  413: 'too-large',
  416: 'range',
  429: 'busy',
  501: 'unsupported',
  503: 'busy',
  507: 'no-space',
}

const texts: Partial<Record<ErrorCode, string>> = {
  denied: 'not allowed',
  'not-found': 'no such file or directory',
  precondition: 'the file is not the one that was meant',
  stale: 'the object has changed since it was looked at',
  quota: 'the quota is used up',
  'no-space': 'the storage is full',
  busy: 'the storage has too much to do',
  nearline: 'the bytes are in an archive',
  'name-too-long': 'the path is too long for this storage',
}

/** An error, and whether the same request may go through later. */
export interface Failure {
  readonly error: StorageError
  readonly passing: boolean
}

/** What was thrown by a request. A StorageError stays what it is. */
export function failureOf(thrown: unknown, path?: Path): Failure {
  if (thrown instanceof StorageError) return { error: thrown, passing: thrown.code === 'unavailable' }
  const { status, code, retryAfter } = told(thrown)
  const known = byCode[code] ?? (status === undefined ? undefined : byStatus[status])
  const name = known ?? 'unavailable'
  const passing = status === undefined || status >= 500 || status === 429
  const seconds = retryAfter ?? (name === 'busy' || name === 'unavailable' ? 5 : undefined)
  const error = new StorageError(name, texts[name] ?? 'the storage did not answer as it should', {
    ...(path && { path }),
    ...(seconds !== undefined && { retryAfter: seconds }),
    ...(name === 'denied' && { reason: { rule: 's3', text: `the store refuses the gateway: ${code}` } }),
    // Not the error itself, which holds the request with its signature.
    cause: { status, code },
  })
  return { error, passing: passing && name !== 'unsupported' }
}

/** For an answer that makes no sense, or none at all. */
export function unavailable(message: string, cause?: unknown): StorageError {
  return new StorageError('unavailable', message, { retryAfter: 5, ...(cause !== undefined && { cause }) })
}

/** Why a signal was aborted. */
export function abortOf(signal: AbortSignal): StorageError {
  if (signal.reason instanceof StorageError) return signal.reason
  return new StorageError('cancelled', 'the caller has gone', { cause: signal.reason })
}

/** Whether a request that failed so was certainly not carried out. */
export function isRefusal({ code }: StorageError): boolean {
  return code !== 'unavailable' && code !== 'timeout' && code !== 'cancelled' && code !== 'internal'
}

/** Status and code of an error of the SDK (AWS SDK for JavaScript v3, "Handling errors"), or of the network. */
function told(thrown: unknown): { status: number | undefined; code: string; retryAfter: number | undefined } {
  if (typeof thrown !== 'object' || thrown === null) return { status: undefined, code: '', retryAfter: undefined }
  const { name, code, $metadata, $response } = thrown as {
    readonly name?: unknown
    readonly code?: unknown
    readonly $metadata?: { readonly httpStatusCode?: unknown }
    readonly $response?: { readonly headers?: Readonly<Record<string, unknown>> }
  }
  const status = $metadata?.httpStatusCode
  const after = $response?.headers?.['retry-after']
  return {
    status: typeof status === 'number' ? status : undefined,
    code: word(code) ?? word(name) ?? '',
    retryAfter: typeof after === 'string' && /^\d{1,4}$/.test(after) ? Number(after) : undefined,
  }
}

/** Codes come from outside. */
function word(value: unknown): string | undefined {
  return typeof value === 'string' && /^[A-Za-z0-9_.]{1,64}$/.test(value) ? value : undefined
}
