/**
 * How somebody signed in with a password, as a session keeps it, and whether that is still good.
 *
 * Of a hash in a file it is known when the password changes, and the session ends. Directories and KDCs tell nobody: such
 * a session lasts as long as any, and ends with the account, with a ban, or when passwords are not checked there any more.
 */

import { createHash } from 'node:crypto'
import type { Principal } from '../principal.ts'
import { traceAccount } from './account-trace.ts'
import { type Account, type Accounts, principalOf } from './accounts.ts'
import type { Trace } from './jwt.ts'
import type { IdentityOptions } from './options.ts'
import { isFor, passwordOptions, type Recognized } from './passwords.ts'
import { refuse } from './refusal.ts'

export type PasswordSignedIn =
  | { readonly kind: 'password'; readonly print: string }
  | { readonly kind: 'directory-password' }
  | { readonly kind: 'kerberos-password'; readonly principal: string }

/** What a session of this person keeps. */
export function signedInBy(recognized: Recognized): PasswordSignedIn {
  switch (recognized.by) {
    case 'hash':
      return { kind: 'password', print: printOf(recognized.account) }
    case 'directory':
      return { kind: 'directory-password' }
    case 'kerberos':
      return { kind: 'kerberos-password', principal: recognized.principal }
  }
}

/** Names under which he can be banned besides those of the account. */
export function marksOf(signedIn: { readonly kind: string; readonly principal?: string }): readonly string[] {
  return signedIn.kind === 'kerberos-password' ? [`principal:${signedIn.principal}`] : []
}

/** Who said that it was right, behind a sentence. */
export function sayerOf(signedIn: { readonly kind: string; readonly principal?: string } | undefined): string {
  if (signedIn?.kind === 'kerberos-password') return `, says Kerberos of ${signedIn.principal}`
  return signedIn?.kind === 'directory-password' ? ', says the directory' : ''
}

/** Another one when the password was changed. */
function printOf({ passwordHash = '' }: Account): string {
  return createHash('sha256').update('password ').update(passwordHash).digest('base64url')
}

/** Whom `user`, who once showed a password, is now. Throws `unauthenticated` when that is good no more, `denied` without account. */
export async function byPassword(
  user: string,
  facts: PasswordSignedIn,
  { options, accounts }: { readonly options: IdentityOptions; readonly accounts: Accounts },
  trace: Trace,
): Promise<Pick<Principal, 'user' | 'groups' | 'posix'>> {
  const at = `@${options.domain}`
  const account = await accounts.find(user.endsWith(at) ? user.slice(0, -at.length) : user)
  trace('session', stillGood(facts, account, { options, accounts }))
  const local = principalOf(account, options.domain, { groups: new Set(), joined: new Map() })
  traceAccount(trace, account, local, { accounts, domain: options.domain })
  return local
}

/** Why, for people. */
function stillGood(
  facts: PasswordSignedIn,
  account: Account,
  { options, accounts }: { readonly options: IdentityOptions; readonly accounts: Accounts },
): string {
  const { ways, kerberos } = passwordOptions(options)
  switch (facts.kind) {
    case 'password':
      if (account.passwordHash === undefined || printOf(account) !== facts.print || !ways.includes('accounts')) {
        throw refuse('session', 'the password was changed since')
      }
      return 'begun with a password, which was not changed since'
    case 'directory-password':
      // What a file says of this name by now is somebody else's word.
      if (!ways.includes('accounts') || !accounts.asksPasswords || account.passwordHash !== undefined) {
        throw refuse('session', 'passwords are not checked by a directory any more')
      }
      return 'begun with a password that the directory knew'
    case 'kerberos-password':
      if (!ways.includes('kerberos') || !kerberos || facts.principal !== `${account.name}@${kerberos.realm}`) {
        throw refuse('session', 'passwords of this realm are not accepted any more')
      }
      if (!isFor(account, facts.principal, kerberos))
        throw refuse('session', 'the rules make another account of him now')
      return `begun with the Kerberos password of ${facts.principal}`
    default:
      // Written down by another version of ours.
      throw refuse('session', 'it was begun in a way that is not known here')
  }
}
