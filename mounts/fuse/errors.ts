/** What the kernel is told when something fails: error numbers of Linux (errno(3)). */

import { constants } from 'node:os'
import { type ErrorTable, StorageError } from '../../gateway/core/errors.ts'
import { Errno } from './errno.ts'

const { errno } = constants

/** Numbers that Node does not list. */
const EREMOTEIO = 121

/**
 * The error number of every code of the gateway. `nearline` is ENODATA ("No data available"): the bytes are on tape, and
 * opening a file does not fetch them. `locked` is EAGAIN, as mandatory locks are (fcntl(2)).
 */
export const errnoOfCode = {
  invalid: errno.EINVAL,
  unauthenticated: errno.EACCES,
  denied: errno.EACCES,
  'not-owner': errno.EPERM,
  'not-found': errno.ENOENT,
  'no-parent': errno.ENOENT,
  exists: errno.EEXIST,
  'not-directory': errno.ENOTDIR,
  'is-directory': errno.EISDIR,
  'not-empty': errno.ENOTEMPTY,
  locked: errno.EAGAIN,
  precondition: errno.ESTALE,
  range: errno.EINVAL,
  quota: errno.EDQUOT,
  'no-space': errno.ENOSPC,
  'too-large': errno.EFBIG,
  'name-too-long': errno.ENAMETOOLONG,
  'read-only': errno.EROFS,
  'cross-mount': errno.EXDEV,
  nearline: errno.ENODATA,
  busy: errno.EBUSY,
  stale: errno.ESTALE,
  'bad-checksum': EREMOTEIO,
  unsupported: errno.EOPNOTSUPP,
  unavailable: errno.EIO,
  timeout: errno.ETIMEDOUT,
  cancelled: errno.EINTR,
  internal: errno.EIO,
} as const satisfies ErrorTable<number>

const names: ReadonlyMap<number, string> = new Map(
  Object.entries(errno).flatMap(([name, number]) =>
    name === 'EWOULDBLOCK' || name === 'ENOTSUP' ? [] : [[number, name]],
  ),
)

/** The positive error number of anything thrown; EIO for what nobody expected. */
export function errnoOf(thrown: unknown): number {
  if (thrown instanceof Errno) return thrown.number
  if (thrown instanceof StorageError) return errnoOfCode[thrown.code]
  if (thrown instanceof Error && thrown.name === 'AbortError') return errno.EINTR
  return errno.EIO
}

/** For people: `EACCES`. */
export function errnoName(number: number): string {
  return names.get(number) ?? `E${number}`
}
