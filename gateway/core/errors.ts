/**
 * The one error vocabulary of the gateway.
 *
 * Back ends translate their native errors into it; front ends translate it into their wire format
 * with a table that must name every code (`satisfies ErrorTable<...>`), so that adding a code here
 * does not compile until every protocol has an answer.
 */

import type { Path } from './path.ts'

export const errorCodes = [
  'invalid', // the request makes no sense as sent
  'unauthenticated', // no credential, or one that failed
  'denied', // the ACL or the credential's bounds say no
  'not-owner', // only the owner may do this
  'not-found',
  'no-parent', // the parent of the path does not exist
  'exists',
  'not-directory',
  'is-directory',
  'not-empty',
  'locked', // another caller holds a lock
  'precondition', // If-Match and its kin failed
  'range', // the range lies outside the file
  'quota', // the caller's quota is used up
  'no-space', // the back end is full
  'too-large',
  'name-too-long',
  'read-only',
  'cross-mount', // rename or link over a mount boundary
  'nearline', // the bytes are on tape only
  'busy', // try again later: limits, recalls, throttling
  'stale', // the object has changed or gone between look and act
  'bad-checksum', // the bytes are not what the sender announced
  'unsupported', // this back end cannot do it
  'unavailable', // the back end does not answer; the outcome of the call is unknown
  'timeout', // the caller was too slow
  'cancelled', // the caller went away
  'internal', // a bug here
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** One protocol's answer to every code. */
export type ErrorTable<Answer> = Readonly<Record<ErrorCode, Answer>>

/** Why something was refused. For the audit log and `explain` only; no door sends it with the error. */
export interface Reason {
  /** Which rule spoke: a stable word such as `scope`, `ace`, `no-acl`, `token-expired`, `mapping`. */
  readonly rule: string
  /** One sentence for a person. Holds no credential. */
  readonly text: string
  /** The object whose ACL decided, or the path that no scope covers. */
  readonly path?: Path
  /** Index of the deciding entry in the ACL of `path`, from 0. */
  readonly ace?: number
}

export interface ErrorDetails {
  readonly path?: Path
  /** Seconds after which trying again may help. */
  readonly retryAfter?: number
  readonly cause?: unknown
  readonly reason?: Reason
}

/** The only error that crosses a module boundary. `message` may be shown to any caller. */
export class StorageError extends Error {
  readonly code: ErrorCode
  readonly path: Path | undefined
  readonly retryAfter: number | undefined
  /** Private, so that nothing that prints or serialises the error can tell it. */
  readonly #reason: Reason | undefined

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, { cause: details.cause })
    this.name = 'StorageError'
    this.code = code
    this.path = details.path
    this.retryAfter = details.retryAfter
    this.#reason = details.reason
  }

  /** Anything thrown becomes a StorageError; a stranger is a bug and is kept as the cause. */
  static from(thrown: unknown): StorageError {
    if (thrown instanceof StorageError) return thrown
    return new StorageError('internal', 'unexpected failure', { cause: thrown })
  }

  /** The reason of a refusal, for the audit log and `explain`. */
  static reasonOf(error: StorageError): Reason | undefined {
    return error.#reason
  }
}
