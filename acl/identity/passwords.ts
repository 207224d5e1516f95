/**
 * Who checks the password of an account: its hash in the account file, its directory by a bind, or a KDC.
 *
 * One yes is enough, in the order of the configuration. Who cannot answer now has not said no: then nobody is told that
 * the password was wrong, unless another way knew it to be right.
 */

import { setTimeout as pause } from 'node:timers/promises'
import { StorageError } from '../../gateway/core/errors.ts'
import { Secret } from '../secret.ts'
import type { Account, Accounts } from './accounts.ts'
import type { Gate } from './gate.ts'
import type { KerberosPasswordOptions, KerberosPasswords } from './kerberos/password.ts'
import { cacheLifetime } from './limits.ts'
import type { IdentityOptions } from './options.ts'
import { decoyHash, verifyPassword } from './password.ts'
import { refuse } from './refusal.ts'

/** `accounts`: the hash of an account of a file, or a bind at the directory that an account is from. */
export const passwordWays = ['accounts', 'kerberos'] as const
export type PasswordWay = (typeof passwordWays)[number]

export interface PasswordOptions {
  /** Asked in this order, until one says yes. */
  readonly ways: readonly PasswordWay[]
  /** With the way `kerberos`. */
  readonly kerberos?: KerberosPasswordOptions
  /** Seconds for which a right password is believed without asking again. */
  readonly remember: number
}

/** What holds where the configuration says nothing. */
const usual: PasswordOptions = { ways: ['accounts'], remember: cacheLifetime }

export function passwordOptions({ passwords = usual }: Pick<IdentityOptions, 'passwords'>): PasswordOptions {
  return passwords
}

/** Who said that a password was right. */
export type Recognized =
  | { readonly by: 'hash' | 'directory'; readonly account: Account }
  | { readonly by: 'kerberos'; readonly account: Account; readonly principal: string }

export interface PasswordState {
  readonly options: Pick<IdentityOptions, 'passwords'>
  readonly accounts: Accounts
}

/** What outlives a reload. */
export interface PasswordMeans {
  /** Bounds the hashing. */
  readonly hashing: Gate
  readonly kerberos: KerberosPasswords
}

/**
 * A refusal takes at least so many milliseconds where others are asked: how long these take tells whether there is such
 * an account.
 */
const least = 400
/** A principal that there should not be; it could open nothing. */
const nobody = 'portolan-nobody'

/** Whether anybody could have a password here. */
export function hasPasswords({ options, accounts }: PasswordState): boolean {
  return accounts.passwords.size > 0 || asksOthers({ options, accounts })
}

/** "alice@EXAMPLE.ORG" of our own realm is alice here; of another realm it stays as it is, and so is nobody's. */
export function withoutRealm(user: string, options: Pick<IdentityOptions, 'passwords'>): string {
  const { ways, kerberos } = passwordOptions(options)
  const at = `@${kerberos?.realm ?? ''}`
  return ways.includes('kerberos') && user.endsWith(at) ? user.slice(0, -at.length) : user
}

/** Whether an account source knows any password. */
function knowsPasswords({ passwords, asksPasswords }: Accounts): boolean {
  return passwords.size > 0 || asksPasswords
}

/** Whether some account's password is known elsewhere only. */
function asksOthers({ options, accounts }: PasswordState): boolean {
  const { ways } = passwordOptions(options)
  return ways.includes('kerberos') || (ways.includes('accounts') && accounts.asksPasswords)
}

/**
 * `user` is an account name. Throws `unauthenticated`, rule `password`; `unavailable` or `busy` when nobody can tell.
 * `onNo` is called when somebody said that it is wrong, also where another one cannot tell.
 */
export async function recognize(
  user: string,
  password: Secret,
  state: PasswordState,
  means: PasswordMeans,
  onNo: () => void,
): Promise<Recognized> {
  const started = performance.now()
  try {
    return await ask(user, password, state, means, onNo)
  } catch (error) {
    const isRefusal = StorageError.from(error).code === 'unauthenticated'
    if (isRefusal && asksOthers(state)) await pause(Math.max(0, started + least - performance.now()))
    throw error
  }
}

async function ask(
  user: string,
  password: Secret,
  state: PasswordState,
  means: PasswordMeans,
  onNo: () => void,
): Promise<Recognized> {
  const { options, accounts } = state
  // The same for all names: how attempts are counted does not tell which are accounts.
  const say = (way: PasswordWay) => (way === 'kerberos' || knowsPasswords(accounts) ? onNo() : undefined)
  const isElsewhere = asksOthers(state)
  // Where only files have passwords, guessing other names costs no call to the name service.
  const account = isElsewhere || accounts.passwords.has(user) ? await findQuietly(user, accounts) : undefined
  if (account === undefined) {
    if (!isElsewhere) await means.hashing(async () => verifyPassword(password, await decoy(accounts)))
    if (passwordOptions(options).ways.includes('accounts')) say('accounts')
    await askForNobody(options, means)
    throw refuse('password', `no account ${user} with a password`)
  }
  const said: string[] = []
  const failures: StorageError[] = []
  for (const way of passwordOptions(options).ways) {
    // Of several, one that knows it to be right is enough.
    try {
      const answer = await (way === 'accounts'
        ? byAccounts(account, password, state, means)
        : byKerberos(account, password, state, means))
      if (typeof answer !== 'string') return answer
      said.push(answer)
      say(way)
    } catch (error) {
      const failure = StorageError.from(error)
      // A directory that knows the account may say why it is closed.
      if (failure.code === 'unauthenticated' || failure.code === 'denied') {
        said.push(StorageError.reasonOf(failure)?.text ?? 'refused')
        say(way)
      } else failures.push(failure)
    }
  }
  const [failure] = failures
  if (failure) throw failure
  throw refuse('password', `account ${user}: ${said.join('; ')}`)
}

/** While a KDC does not answer, nobody shall learn from that which names are accounts. */
async function askForNobody(options: PasswordState['options'], { kerberos }: PasswordMeans): Promise<void> {
  const { ways, kerberos: how } = passwordOptions(options)
  if (ways.includes('kerberos') && how) await kerberos.check(`${nobody}@${how.realm}`, new Secret('none'), how)
}

/** Why not, for the audit log. */
type Said = Recognized | string

async function byAccounts(
  account: Account,
  password: Secret,
  { accounts }: PasswordState,
  { hashing }: PasswordMeans,
): Promise<Said> {
  const { name, passwordHash } = account
  if (passwordHash !== undefined) {
    const isRight = await hashing(() => verifyPassword(password, passwordHash))
    return isRight ? { by: 'hash', account } : 'the accounts file has another one'
  }
  const isRight = await accounts.checkPassword(name, password)
  if (isRight === undefined) return 'no account source has a password for it'
  return isRight ? { by: 'directory', account } : 'its directory refused it'
}

async function byKerberos(
  account: Account,
  password: Secret,
  { options }: PasswordState,
  { kerberos }: PasswordMeans,
): Promise<Said> {
  const how = passwordOptions(options).kerberos
  if (how === undefined) throw new StorageError('internal', 'no realm to ask')
  const principal = `${account.name}@${how.realm}`
  if (!isFor(account, principal, how)) return `Kerberos: ${principal} is another account here`
  const verdict = await kerberos.check(principal, password, how)
  return verdict.right ? { by: 'kerberos', account, principal } : `Kerberos: ${verdict.text}`
}

/** Whether the rules make this account of the principal. */
export function isFor({ name }: Account, principal: string, { accountOf }: KerberosPasswordOptions): boolean {
  try {
    return accountOf(principal) === name
  } catch (error) {
    // The rules let no ticket of his in either.
    if (StorageError.from(error).code === 'denied') return false
    throw error
  }
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
