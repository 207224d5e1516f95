/** Where WebDAV's status for a code depends on the method (RFC 4918, sections 9 and 11). */

import type { ErrorCode } from '../core/errors.ts'
import { HttpError, httpStatus } from '../http/errors.ts'

type Row = Readonly<Partial<Record<ErrorCode, number>>>

/** Both have two paths, and what is wrong with either is a conflict; a link or special file cannot be made anew. */
const transplant: Row = { 'is-directory': 409, unsupported: 403 }

const byMethod: Readonly<Record<string, Row>> = {
  // A file in the middle of the path: nothing can be found below it.
  GET: { 'not-directory': 404 },
  HEAD: { 'not-directory': 404 },
  DELETE: { 'not-directory': 404, 'is-directory': 409 },
  PROPFIND: { 'not-directory': 404 },
  PROPPATCH: { 'not-directory': 404, unsupported: 403 },
  MKCOL: { exists: 405 },
  COPY: transplant,
  MOVE: transplant,
  UNLOCK: { 'not-directory': 404 },
}

/** The status of a failed WebDAV method. */
export function statusOf(method: string, code: ErrorCode): number {
  return byMethod[method]?.[code] ?? httpStatus[code]
}

/** A refusal that RFC 4918 (section 16) has an element for, which is sent in DAV:error. */
export class ConditionError extends HttpError {
  /** XML, with the prefix D for DAV:. */
  readonly condition: string

  constructor(status: number, code: ErrorCode, message: string, condition: string) {
    super(status, code, message)
    this.name = 'ConditionError'
    this.condition = condition
  }
}
