/** Passwords of accounts: looked at one by one, few at a time, and ever more slowly for who keeps guessing. */

import { LRUCache } from 'lru-cache'
import { StorageError } from '../../gateway/core/errors.ts'
import type { AttemptStore } from '../../gateway/state/state.ts'
import { providerOf } from '../networks.ts'
import type { Secret } from '../secret.ts'
import { noteSuccess, permitAttempt } from './attempts.ts'
import { createGate } from './gate.ts'
import type { KerberosPasswords } from './kerberos/password.ts'
import { accountName } from './names.ts'
import { hasPasswords, type PasswordState, type Recognized, recognize } from './passwords.ts'
import { refuse } from './refusal.ts'

export interface PasswordAttempt {
  /** Account name without domain. */
  readonly user: string
  readonly password: Secret
  /** The caller's address; attempts without one share one count for each account. */
  readonly from: string | undefined
  /** This process has seen that it is the right password, a while ago. */
  readonly wasRight: boolean
}

/**
 * Throws `unauthenticated` (password), `busy` (attempts) when this account and address must wait, or everyone must, and
 * `unavailable` when nobody can tell now, which is not counted unless somebody knew that it was wrong.
 */
export type CheckPassword = (attempt: PasswordAttempt, state: PasswordState) => Promise<Recognized>

const maxPasswordLength = 1024
/** Milliseconds in which the store is not asked again about a guess that came too early: each time takes its one lock. */
const pause = 1000

/** Of the places to wait for a hash, those that one provider's network may take: nobody fills them all from his addresses. */
const mostOfNetwork = 32

/** `store` is asked for at every attempt, since a reload may bring another. */
export function createPasswordCheck(store: () => AttemptStore, kerberos: KerberosPasswords): CheckPassword {
  // Hashing takes 32 MiB and a thread that files need too, so two at a time.
  const means = { hashing: createGate({ running: 2, waiting: 128 }), kerberos }
  const shares = createShares(mostOfNetwork)
  const early = new LRUCache<string, { readonly until: number; readonly error: StorageError }>({ max: 10_000 })
  const permitted = async (user: string, from: string | undefined) => {
    const key = `${user} ${from ?? ''}`
    const known = early.get(key)
    const now = store().now()
    if (known !== undefined && now < known.until) throw known.error
    try {
      return await permitAttempt(store(), { user, from })
    } catch (thrown) {
      const error = StorageError.from(thrown)
      const wait = Math.min(pause, (error.retryAfter ?? 0) * 1000)
      if (StorageError.reasonOf(error)?.rule === 'attempts') early.set(key, { until: now + wait, error })
      throw error
    }
  }
  return async ({ user, password, from, wasRight }, state) => {
    if (!hasPasswords(state)) throw refuse('password', 'no account here has a password')
    if (!accountName.test(user)) throw refuse('password', 'the user name is no account name')
    const length = password.reveal().length
    // Directories take an empty one for no attempt at all, and let it pass (RFC 4513, section 5.1.2).
    if (length === 0 || length > maxPasswordLength) throw refuse('password', 'the password is empty or too long')
    return shares(providerOf(from ?? ''), async () => {
      const permit = wasRight ? undefined : await permitted(user, from)
      let isGuess = false
      const onNo = () => {
        isGuess = true
      }
      try {
        const recognized = await recognize(user, password, state, means, onNo)
        await (permit?.succeed() ?? noteSuccess(store(), { user, from }))
        return recognized
      } catch (error) {
        // Nobody guessed wrong when the check itself could not be made. But an outage of one gives no free guesses at another.
        if (!isGuess && StorageError.from(error).code !== 'unauthenticated') await permit?.undo()
        throw error
      }
    })
  }
}

/** Runs at most so many works at once for each name; throws `busy` past that. */
function createShares(most: number): <T>(name: string, work: () => Promise<T>) => Promise<T> {
  const running = new Map<string, number>()
  return async (name, work) => {
    const before = running.get(name) ?? 0
    if (before >= most) throw new StorageError('busy', 'too many sign-ins at once', { retryAfter: 1 })
    running.set(name, before + 1)
    try {
      return await work()
    } finally {
      const left = (running.get(name) ?? 1) - 1
      if (left === 0) running.delete(name)
      else running.set(name, left)
    }
  }
}
