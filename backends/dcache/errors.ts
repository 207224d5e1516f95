/** What dCache and the network say, as StorageErrors: by status and code alone, never by text. */

import type { Call } from '../../gateway/core/call.ts'
import { type ErrorCode, type Reason, StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'

/** Longest text of dCache's that is handed on in a reason. */
const longestText = 200

/**
 * Statuses of the WebDAV door (dCache's DcacheResponseHandler) and the REST frontend that mean the same for every
 * request. What is missing here is `unavailable`.
 */
const codes: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid',
  401: 'denied',
  403: 'denied',
  404: 'not-found',
  405: 'unsupported',
  409: 'no-parent',
  412: 'precondition',
  413: 'too-large',
  414: 'name-too-long',
  416: 'range',
  423: 'locked',
  429: 'busy',
  501: 'unsupported',
  507: 'no-space',
}

const texts: Partial<Record<ErrorCode, string>> = {
  denied: 'not allowed',
  'not-found': 'no such file or directory',
  'no-parent': 'the parent directory does not exist',
  'no-space': 'the storage is full, or the quota is used up',
  busy: 'the storage has too much to do',
  unavailable: 'the storage did not answer as it should',
}

export interface Answered {
  readonly status: number
  /** The reason phrase, for people. */
  readonly text?: string | undefined
  /** The Retry-After field. */
  readonly retryAfter?: string | undefined
}

/** The error for an answer that is no success. 401 and 403 are dCache's own decision about the credential that was sent. */
export function errorOfStatus({ status, text, retryAfter }: Answered, path?: Path): StorageError {
  const code = codes[status] ?? 'unavailable'
  const seconds = secondsOf(retryAfter) ?? (code === 'busy' || code === 'unavailable' ? 5 : undefined)
  return new StorageError(code, texts[code] ?? 'the storage refused the request', {
    ...(path && { path }),
    ...(seconds !== undefined && { retryAfter: seconds }),
    ...(code === 'denied' && { reason: reasonOf(status, text, path) }),
    cause: { status },
  })
}

/** The error for an answer of a pool. It knows no callers and no names: what it refuses tells nothing about either. */
export function errorOfPool({ status, retryAfter }: Answered, path?: Path): StorageError {
  return errorOfStatus({ status: status === 507 ? status : 500, retryAfter }, path)
}

/** The reason of a refusal by dCache. `text` comes from outside: it is cut and cleaned. */
function reasonOf(status: number, text: string | undefined, path: Path | undefined): Reason {
  const said = printable(text ?? '')
  return { rule: 'dcache', text: `dCache answered ${status}${said && `: ${said}`}`, ...(path && { path }) }
}

function printable(text: string): string {
  return text
    .slice(0, longestText)
    .replace(/[^\u0020-\u007e]+/g, ' ')
    .trim()
}

function secondsOf(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,4}$/.test(value) ? Number(value) : undefined
}

/** For an answer that makes no sense, or none at all. */
export function unavailable(message: string, details: { readonly cause?: unknown; readonly retryAfter?: number } = {}) {
  return new StorageError('unavailable', message, { retryAfter: 5, ...details })
}

/** Throws the call's own reason when the caller has gone. */
export function requireAlive({ signal }: Call): void {
  if (signal.aborted) throw abortOf(signal)
}

/** Why a signal was aborted, as a StorageError. */
export function abortOf(signal: AbortSignal): StorageError {
  if (signal.reason instanceof StorageError) return signal.reason
  return new StorageError('cancelled', 'the caller has gone', { cause: signal.reason })
}
