/** Passwords of file accounts: checked slowly, few at a time, and ever more slowly for who keeps guessing. */

import { LRUCache } from 'lru-cache'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Secret } from '../secret.ts'
import type { Account, Accounts } from './accounts.ts'
import { createGate } from './gate.ts'
import { accountName } from './names.ts'
import { decoyHash, verifyPassword } from './password.ts'
import { refuse } from './refusal.ts'

export interface PasswordSettings {
  /** Milliseconds since 1970. */
  readonly now: () => number
}

export interface PasswordAttempt {
  /** Account name without domain. */
  readonly user: string
  readonly password: Secret
  /** The caller's address; attempts without one share one count for each account. */
  readonly from: string | undefined
}

/** Throws `unauthenticated` (password), or `busy` when this account and address must wait, or everyone must. */
export type CheckPassword = (attempt: PasswordAttempt, accounts: Accounts) => Promise<Account>

interface Failures {
  readonly count: number
  /** Milliseconds since 1970. */
  readonly notBefore: number
}

/** Failures of one account from one address that cost nothing yet; then 1 s, 2 s, 4 s ... up to a minute. */
const freeFailures = 5
const longestDelay = 60_000
const maxPasswordLength = 1024

export function createPasswordCheck(settings: PasswordSettings): CheckPassword {
  // Hashing takes 32 MiB and a thread that files need too, so two at a time.
  const gate = createGate({ running: 2, waiting: 64 })
  const failures = new LRUCache<string, Failures>({ max: 20_000 })
  return async ({ user, password, from }, accounts) => {
    if (accounts.passwords.size === 0) throw refuse('password', 'no account here has a password')
    if (!accountName.test(user)) throw refuse('password', 'the user name is no account name')
    const length = password.reveal().length
    if (length === 0 || length > maxPasswordLength) throw refuse('password', 'the password is empty or too long')
    const key = `${user} ${from ?? ''}`
    const before = failures.get(key)
    const wait = (before?.notBefore ?? 0) - settings.now()
    if (wait > 0) {
      throw new StorageError('busy', 'too many failed sign-ins', {
        retryAfter: Math.ceil(wait / 1000),
        reason: { rule: 'password', text: `too many failed sign-ins for ${user} from one address` },
      })
    }
    // Counted before the work, so that attempts sent at once do not all pass for the first.
    failures.set(key, nextFailure(before, settings.now()))
    try {
      const account = await gate(() => check(user, password, accounts))
      failures.delete(key)
      return account
    } catch (error) {
      // Nobody guessed wrong when the check itself could not be made.
      if (StorageError.from(error).code !== 'unauthenticated') restore(failures, key, before)
      throw error
    }
  }
}

async function check(user: string, password: Secret, accounts: Accounts): Promise<Account> {
  // Names without a password are not looked up, so guessing names costs no call to the name service.
  const account = accounts.passwords.has(user) ? await findQuietly(user, accounts) : undefined
  const matches = await verifyPassword(password, account?.passwordHash ?? decoyHash)
  if (account?.passwordHash === undefined || !matches) {
    throw refuse('password', `no account ${user} with a password, or not this one`)
  }
  return account
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

function nextFailure(before: Failures | undefined, now: number): Failures {
  const count = (before?.count ?? 0) + 1
  const delay = count < freeFailures ? 0 : Math.min(longestDelay, 1000 * 2 ** (count - freeFailures))
  return { count, notBefore: now + delay }
}

function restore(failures: LRUCache<string, Failures>, key: string, before: Failures | undefined): void {
  if (before === undefined) failures.delete(key)
  else failures.set(key, before)
}
