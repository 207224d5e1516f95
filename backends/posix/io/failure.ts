/** StorageErrors as data, to cross from an I/O thread. */

import { inspect } from 'node:util'
import { StorageError } from '../../../gateway/core/errors.ts'
import { fromKernel } from './errors.ts'
import type { Failure } from './protocol.ts'

/** Anything an operation threw. */
export function toFailure(thrown: unknown): Failure {
  const error = fromKernel(thrown)
  const { cause } = error
  return {
    code: error.code,
    message: error.message,
    path: error.path,
    retryAfter: error.retryAfter,
    reason: StorageError.reasonOf(error),
    cause: cause instanceof Error && cause.name === 'Errno' ? cause.message : inspect(cause ?? error),
  }
}

/** The same error on the other side; its cause is an Error with the text of the original one. */
export function fromFailure(failure: Failure): StorageError {
  const { code, message, path, retryAfter, reason } = failure
  return new StorageError(code, message, {
    cause: failure.cause,
    ...(path === undefined ? {} : { path }),
    ...(retryAfter === undefined ? {} : { retryAfter }),
    ...(reason === undefined ? {} : { reason }),
  })
}
