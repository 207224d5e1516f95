/** What went wrong on the other server's side, in words for the one who ordered the copy. */

import { STATUS_CODES } from 'node:http'
import { StorageError } from '../../core/errors.ts'

/** The message is one line of ours: nothing that the other server said is in it. */
export class RemoteFailure extends StorageError {
  constructor(message: string, details: { readonly cause?: unknown } = {}) {
    super('unavailable', `the other server: ${message}`, details)
    this.name = 'RemoteFailure'
  }
}

/** An answer that is not the one hoped for. */
export class Rejection extends StorageError {
  readonly status: number

  constructor(method: string, status: number) {
    super('unavailable', `rejected ${method}: ${status} ${STATUS_CODES[status] ?? ''}`.trim())
    this.name = 'Rejection'
    this.status = status
  }
}

/** How TLS fails by what the other side shows (X509_V_ERR of OpenSSL as Node names them). */
const untrusted = /^(?:CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT_|HOSTNAME_MISMATCH|INVALID_)/

/** By code, never by message. */
export function failureOf(cause: unknown): StorageError {
  if (cause instanceof StorageError) return cause
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return new RemoteFailure(textOf(code), { cause })
}

function textOf(code: string): string {
  if (untrusted.test(code)) return 'its certificate is not trusted'
  if (code === 'ECONNREFUSED') return 'it refuses connections'
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return 'there is no way to it'
  if (code === 'ETIMEDOUT') return 'it does not answer'
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'it broke the connection off'
  if (code === 'EPROTO' || code.startsWith('ERR_SSL')) return 'TLS could not be agreed on'
  if (code.startsWith('HPE_')) return 'it does not speak HTTP'
  return 'the connection failed'
}
