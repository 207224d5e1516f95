/** Passwords of file accounts: checked slowly, few at a time, and ever more slowly for who keeps guessing. */

import { LRUCache } from 'lru-cache'
import { StorageError } from '../../gateway/core/errors.ts'
import type { AttemptStore } from '../../gateway/state/state.ts'
import type { Secret } from '../secret.ts'
import type { Account, Accounts } from './accounts.ts'
import { noteSuccess, permitAttempt, providerOf } from './attempts.ts'
import { createGate } from './gate.ts'
import { accountName } from './names.ts'
import { decoyHash, verifyPassword } from './password.ts'
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

/** Throws `unauthenticated` (password), or `busy` (attempts) when this account and address must wait, or everyone must. */
export type CheckPassword = (attempt: PasswordAttempt, accounts: Accounts) => Promise<Account>

const maxPasswordLength = 1024
/** Milliseconds in which the store is not asked again about a guess that came too early: each time takes its one lock. */
const pause = 1000

/** Of the places to wait for a hash, those that one provider's network may take: nobody fills them all from his addresses. */
const mostOfNetwork = 32

/** `store` is asked for at every attempt, since a reload may bring another. */
export function createPasswordCheck(store: () => AttemptStore): CheckPassword {
  // Hashing takes 32 MiB and a thread that files need too, so two at a time.
  const gate = createGate({ running: 2, waiting: 128 })
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
  return async ({ user, password, from, wasRight }, accounts) => {
    if (accounts.passwords.size === 0) throw refuse('password', 'no account here has a password')
    if (!accountName.test(user)) throw refuse('password', 'the user name is no account name')
    const length = password.reveal().length
    if (length === 0 || length > maxPasswordLength) throw refuse('password', 'the password is empty or too long')
    return shares(providerOf(from ?? ''), async () => {
      const permit = wasRight ? undefined : await permitted(user, from)
      try {
        const account = await gate(() => check(user, password, accounts))
        await (permit?.succeed() ?? noteSuccess(store(), { user, from }))
        return account
      } catch (error) {
        // Nobody guessed wrong when the check itself could not be made.
        if (StorageError.from(error).code !== 'unauthenticated') await permit?.undo()
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

async function check(user: string, password: Secret, accounts: Accounts): Promise<Account> {
  // Names without a password are not looked up, so guessing names costs no call to the name service.
  const account = accounts.passwords.has(user) ? await findQuietly(user, accounts) : undefined
  const matches = await verifyPassword(password, account?.passwordHash ?? (await decoy(accounts)))
  if (account?.passwordHash === undefined || !matches) {
    throw refuse('password', `no account ${user} with a password, or not this one`)
  }
  return account
}

/** Somebody's hash, so that a name that is nobody's takes as long as one that is. Whether it matches is not looked at. */
async function decoy(accounts: Accounts): Promise<string> {
  const [name] = accounts.passwords
  const account = name === undefined ? undefined : await findQuietly(name, accounts)
  return account?.passwordHash ?? decoyHash
}

/** An account that is unknown or refused is the same as none here; a source that fails is told. */
async function findQuietly(user: string, accounts: Accounts): Promise<Account | undefined> {
  try {
    return await accounts.find(user)
  } catch (error) {
    if (StorageError.from(error).code === 'denied') return undefined
    throw error
  }
}
