/** Where WebDAV's status for a code depends on the method (RFC 4918, sections 9 and 11). */

import type { ErrorCode } from '../core/errors.ts'
import { httpStatus } from '../http/errors.ts'

const byMethod: Readonly<Record<string, Readonly<Partial<Record<ErrorCode, number>>>>> = {
  // A file in the middle of the path: nothing can be found below it.
  GET: { 'not-directory': 404 },
  HEAD: { 'not-directory': 404 },
  DELETE: { 'not-directory': 404, 'is-directory': 409 },
}

/** The status of a failed WebDAV method. */
export function statusOf(method: string, code: ErrorCode): number {
  return byMethod[method]?.[code] ?? httpStatus[code]
}
