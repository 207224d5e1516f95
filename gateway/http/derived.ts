/** The audit lines of what callers hand on of their rights and take back, and of what administrators do. Calls on data have theirs from Storage. */

import { requireAdministrator } from '../../acl/principal.ts'
import { StorageError } from '../core/errors.ts'
import { type Path, root } from '../core/path.ts'
import type { Exchange } from './exchange.ts'

/** Characters of what callers may have put into a line themselves. */
const mostAbout = 400

export type DerivedAction = 'issue' | 'revoke' | 'rotate' | 'ban' | 'unban' | 'inspect' | 'link' | 'unlink'

/**
 * Runs `work` and writes down who did it, what `tell` says it made, and what it was about, also when it failed. Where
 * `tell` says nothing, another line of the same call tells of it. Throws `unavailable` while nothing can be written.
 */
export async function audited<T>(
  x: Exchange,
  action: DerivedAction,
  path: Path,
  work: () => Promise<T>,
  tell: (made: T) => string | undefined,
  about?: string,
): Promise<T> {
  const { audit } = x.door
  if (audit?.healthy === false) {
    throw new StorageError('unavailable', 'the audit log cannot be written', { retryAfter: 5 })
  }
  // Who it is may be known only when it is done.
  const line = () => ({
    call: x.id,
    principal: x.principal.id,
    user: x.principal.user,
    door: x.call.protocol,
    from: x.from,
    action,
    path,
    ...(about !== undefined && { about: about.slice(0, mostAbout) }),
  })
  try {
    const made = await work()
    const text = tell(made)
    if (text === undefined) return made
    audit?.record({ ...line(), outcome: 'ok', reason: { rule: action, text }, ms: performance.now() - x.started })
    return made
  } catch (thrown) {
    const error = StorageError.from(thrown)
    const { code } = error
    const outcome = code === 'internal' || code === 'unavailable' ? 'failed' : 'refused'
    const reason = StorageError.reasonOf(error)
    audit?.record({ ...line(), outcome, code, ...(reason && { reason }), ms: performance.now() - x.started })
    throw error
  }
}

/** What only administrators may do, with a line also about who is refused it. Throws as `requireAdministrator` and `audited`. */
export function administered<T>(
  x: Exchange,
  action: DerivedAction,
  about: string,
  work: () => Promise<T>,
  tell: (made: T) => string | undefined = () => about,
): Promise<T> {
  const permitted = async () => {
    requireAdministrator(x.principal)
    return work()
  }
  return audited(x, action, root, permitted, tell, about)
}
