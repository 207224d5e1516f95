/** Error numbers: what a program on the mount is told. */

import { constants } from 'node:os'
import t from 'tap'
import { errorCodes, StorageError } from '../../gateway/core/errors.ts'
import { Errno } from '../../mounts/fuse/errno.ts'
import { errnoName, errnoOf } from '../../mounts/fuse/errors.ts'

t.test('every code of the gateway has a number, and none is ENOSYS', async (t) => {
  for (const code of errorCodes) {
    const number = errnoOf(new StorageError(code, code))
    t.ok(Number.isInteger(number) && number > 0 && number < 512, `${code}: ${number}`)
    t.not(number, constants.errno.ENOSYS, 'it would switch the operation off for good')
  }
})

t.test('what programs act upon is what POSIX says', async (t) => {
  for (const [code, name] of [
    ['denied', 'EACCES'],
    ['unauthenticated', 'EACCES'],
    ['not-owner', 'EPERM'],
    ['not-found', 'ENOENT'],
    ['exists', 'EEXIST'],
    ['not-empty', 'ENOTEMPTY'],
    ['quota', 'EDQUOT'],
    ['no-space', 'ENOSPC'],
    ['cross-mount', 'EXDEV'],
    ['nearline', 'ENODATA'],
    ['stale', 'ESTALE'],
    ['unavailable', 'EIO'],
    ['timeout', 'ETIMEDOUT'],
    ['unsupported', 'EOPNOTSUPP'],
  ] as const) {
    t.equal(errnoOf(new StorageError(code, code)), constants.errno[name], code)
  }
})

t.test('anything else has a number, too', async (t) => {
  t.equal(errnoOf(new Errno('ENOTTY')), constants.errno.ENOTTY)
  t.equal(errnoOf(new DOMException('aborted', 'AbortError')), constants.errno.EINTR)
  t.equal(errnoOf(new TypeError('a bug')), constants.errno.EIO)
  t.equal(errnoOf(undefined), constants.errno.EIO)
  t.equal(errnoName(13), 'EACCES')
  t.equal(errnoName(121), 'E121')
})
