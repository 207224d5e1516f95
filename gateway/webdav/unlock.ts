/** UNLOCK (RFC 4918, section 9.11): ends a whole lock, named by its token, at any resource that it covers. */

import { StorageError } from '../core/errors.ts'
import type { Method } from '../http/options.ts'
import { respond } from '../http/respond.ts'
import { ConditionError } from './errors.ts'
import { evaluateIf } from './if-header.ts'

export const unlock: Method = {
  action: 'replace',
  async run(x) {
    const header = x.request.headers['lock-token']
    const [, token] = /^\s*<([\x21-\x3b\x3d\x3f-\x7e]{1,256})>\s*$/.exec(String(header ?? '')) ?? []
    if (token === undefined) throw new StorageError('invalid', 'the Lock-Token header is missing or malformed')
    await evaluateIf(x)
    try {
      await x.door.storage.locks.unlock(x.call, x.path, token)
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'precondition') throw error
      throw new ConditionError(409, 'precondition', error.message, '<D:lock-token-matches-request-uri/>')
    }
    await respond(x, 204, [])
  },
}
