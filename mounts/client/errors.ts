/** What the gateway refused or could not do, and what kept us from reaching it. */

import { type ErrorCode, errorCodes, StorageError } from '../../gateway/core/errors.ts'

/** An answer of the gateway that is no success. `message` is fit for the user. */
export class RemoteError extends StorageError {
  readonly status: number
  /** To be named when asking an administrator. */
  readonly callId: string | undefined
  /** Where the gateway tells the reason, on its own host. */
  readonly explain: string | undefined

  constructor(
    code: ErrorCode,
    message: string,
    details: { status: number; callId?: string | undefined; explain?: string | undefined; retryAfter?: number },
  ) {
    const { retryAfter } = details
    super(code, message, retryAfter === undefined ? {} : { retryAfter })
    this.name = 'RemoteError'
    this.status = details.status
    this.callId = details.callId
    this.explain = details.explain
  }
}

/** What a status means where no problem document came along (a proxy answered, or it was HEAD). */
const codeOfStatus: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid',
  401: 'unauthenticated',
  403: 'denied',
  404: 'not-found',
  405: 'is-directory',
  409: 'no-parent',
  412: 'precondition',
  413: 'too-large',
  414: 'name-too-long',
  416: 'range',
  423: 'locked',
  424: 'nearline',
  429: 'busy',
  501: 'unsupported',
  502: 'unavailable',
  503: 'unavailable',
  504: 'timeout',
  507: 'quota',
}

const maxText = 1000

/** Reads a problem document (RFC 9457) as the gateway writes it; what is no such document tells its status alone. */
export function remoteError(
  status: number,
  headers: Readonly<Record<string, string | string[] | undefined>>,
  body: string,
): RemoteError {
  const problem = readProblem(String(headers['content-type'] ?? ''), body)
  const code = errorCodes.find((one) => one === problem.code) ?? codeOfStatus[status] ?? 'internal'
  const retryAfter = Number(headers['retry-after'])
  const texts = [textOf(problem.title), textOf(problem.detail)].filter((text) => text !== undefined)
  return new RemoteError(code, texts.join(': ') || `the server answered ${status}`, {
    status,
    callId: textOf(problem.call) ?? textOf(headers['x-request-id']),
    explain: textOf(problem.explain),
    ...(headers['retry-after'] !== undefined && Number.isFinite(retryAfter) ? { retryAfter } : {}),
  })
}

function readProblem(type: string, body: string): Readonly<Record<string, unknown>> {
  if (!/^application\/(problem\+)?json\b/i.test(type)) return {}
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    // A proxy's idea of JSON: the status has to do.
    return {}
  }
}

/** Text from outside on one line, without what a terminal would obey. */
export function singleLine(text: string): string {
  return text.slice(0, maxText).replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ')
}

function textOf(value: unknown): string | undefined {
  return typeof value !== 'string' || value === '' ? undefined : singleLine(value)
}

const certificateCodes: ReadonlySet<string> = new Set([
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
])

/** Whether the other side's certificate is why there is no connection. */
export function isUntrusted(thrown: unknown): boolean {
  return certificateCodes.has((thrown as NodeJS.ErrnoException | undefined)?.code ?? '')
}

/** A failure below HTTP, with what to look at next. StorageErrors stay as they are. */
export function connectionError(thrown: unknown, origin: string): StorageError {
  if (thrown instanceof StorageError) return thrown
  const code = (thrown as NodeJS.ErrnoException | undefined)?.code ?? 'unknown'
  const say = (text: string) => new StorageError('unavailable', `${origin}: ${text} (${code})`, { cause: thrown })
  if (code === 'ABORT_ERR') return new StorageError('cancelled', 'interrupted', { cause: thrown })
  if (isUntrusted(thrown)) return say('the certificate is not trusted; name its authority with --ca FILE')
  if (code === 'ECONNREFUSED') return say('nothing listens there; is the gateway running, and is its address right?')
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return say('the host name cannot be resolved')
  if (code === 'EPROTO' || code.startsWith('ERR_SSL')) return say('no TLS is spoken there; did you mean http://?')
  if (code === 'HPE_INVALID_CONSTANT') return say('no HTTP is spoken there; did you mean https://?')
  if (code === 'ECONNRESET' || code === 'EPIPE') return say('the connection broke; the outcome is unknown')
  return say('the connection failed')
}
