/** GET explain: what would be answered, and why. It alone gives reasons. */

import type { Action } from '../../acl/needs.ts'
import type { Principal } from '../../acl/principal.ts'
import { type Reason, StorageError } from '../core/errors.ts'
import type { Path } from '../core/path.ts'
import type { Explanation } from '../core/storage.ts'
import type { Exchange } from '../http/exchange.ts'
import { parseQuery } from '../http/query.ts'
import { actionOf, pathOf } from './parameters.ts'
import type { ApiContext, ApiHandler } from './routes.ts'

export const explain: ApiHandler = async (context, request) => {
  const exchange = context.door.exchangeOf(request)
  const { path: pathText, action: actionText, user } = parseQuery(exchange.query, ['path', 'action', 'user'])
  const path = pathOf(pathText)
  const action = actionOf(actionText)
  try {
    await context.door.authenticate(request)
  } catch (thrown) {
    return refusal(exchange, StorageError.from(thrown), action, path)
  }
  const subject = user === undefined ? undefined : await subjectOf(context, exchange, user)
  const explanation = await context.storage.explain(exchange.call, action, path, subject)
  if (action !== 'create' || explanation.allowed !== true) return explanation
  const replacing = await context.storage.explain(exchange.call, 'replace', path, subject)
  return tellsMore(replacing) ? replacing : explanation
}

/** A refused PUT does not tell whether it met a file. Where it did, replacing it is what was refused. */
function tellsMore({ allowed, steps }: Explanation): boolean {
  return allowed === false && !steps.some((step) => step.allowed === false && step.reason.rule === 'not-found')
}

/** Whether an account exists is told to nobody but an administrator. */
async function subjectOf(context: ApiContext, exchange: Exchange, user: string): Promise<Principal> {
  if (!exchange.principal.administrator) {
    throw new StorageError('denied', 'only an administrator may ask about others', {
      reason: { rule: 'administrator', text: 'the caller is not an administrator' },
    })
  }
  const subject = await context.identity.principalOf(user)
  if (!subject) throw new StorageError('not-found', 'no such account')
  return subject
}

/** The credential did not even get its owner in: that is the explanation. Everything else is a failure of ours. */
function refusal(exchange: Exchange, error: StorageError, action: Action, path: Path) {
  const reason = StorageError.reasonOf(error)
  if ((error.code !== 'unauthenticated' && error.code !== 'denied') || !reason) throw error
  return {
    principal: { id: 'unknown', user: null, groups: [] },
    action,
    path,
    allowed: false,
    steps: [{ check: 'credential', allowed: false, reason: publicReason(exchange, reason) }],
  }
}

/** A guesser of passwords is not told which half was wrong. */
function publicReason(exchange: Exchange, reason: Reason): Reason {
  if (!/^basic /i.test(exchange.request.headers.authorization ?? '')) return reason
  return { rule: 'password', text: 'the user name or the password is wrong, or the account may not come in this way' }
}
