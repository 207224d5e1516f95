/** How talking to a directory fails, and whether that says something about the server or about the question. */

import { ResultCodeError } from 'ldapts'

export type FailureKind =
  /** It cannot be reached, or went away. */
  | 'connection'
  /** Its certificate is not the one that it should be, or it does not do TLS. */
  | 'tls'
  /** It does not let the gateway in. */
  | 'bind'
  /** It took too long. */
  | 'deadline'
  /** It answers, but took too long over something. */
  | 'slow'
  /** It sent more than anybody reads. */
  | 'size'
  /** It answered, with a result that is no success. */
  | 'result'

/** Stays inside this folder. The message names codes and what was tried, never what was sent or received. */
export class LdapFailure extends Error {
  readonly kind: FailureKind
  /** A result code of RFC 4511, appendix A. */
  readonly result: number | undefined

  constructor(kind: FailureKind, message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'LdapFailure'
    this.kind = kind
    this.result = cause instanceof ResultCodeError ? cause.code : undefined
  }

  /** Whether another server may do better. */
  get isOfServer(): boolean {
    return this.kind !== 'size' && (this.kind !== 'result' || serverResults.has(this.result ?? 0))
  }

  /** Whether the connection may have been dead before we used it. */
  get isLoss(): boolean {
    return this.kind === 'connection'
  }
}

/** operationsError, busy, unavailable, unwillingToPerform, loopDetect and other: of the server as it is now. */
const serverResults: ReadonlySet<number> = new Set([1, 51, 52, 53, 54, 80])

/** For the administrator: what the commonest codes mean. */
const words: ReadonlyMap<number, string> = new Map([
  [3, 'the time limit was exceeded'],
  [4, 'the size limit of the server was exceeded'],
  [8, 'stronger authentication is required'],
  [10, 'it refers to another server, which is not followed'],
  [11, 'an administrative limit was exceeded'],
  [13, 'it wants TLS'],
  [32, 'there is no such entry'],
  [34, 'a DN is wrong'],
  [49, 'the name or password of the gateway is wrong'],
  [50, 'the gateway may not read this'],
  [51, 'it is busy'],
  [52, 'it is unavailable'],
  [53, 'it is unwilling'],
])

/** Of a result that is no success. */
export function resultFailure(error: ResultCodeError): LdapFailure {
  const said = words.get(error.code)
  return new LdapFailure('result', `result ${error.code}${said === undefined ? '' : `: ${said}`}`, error)
}
