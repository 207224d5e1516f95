/** What one configuration comes to: everything that a reload replaces, caches included. */

import { type Accounts, openAccounts } from './accounts.ts'
import { checkOptions } from './check-options.ts'
import { CredentialCache, type Known } from './credential-cache.ts'
import { Epochs } from './epochs.ts'
import { createGate } from './gate.ts'
import { Introspection } from './introspection/introspection.ts'
import type { TrustedIssuer } from './jwt.ts'
import { type KerberosState, openKerberos } from './kerberos/local-identity.ts'
import { requireKerberosLibrary } from './kerberos/password.ts'
import { Keys } from './keys.ts'
import { LinkedAccounts } from './links/linked.ts'
import { Login } from './login.ts'
import type { IdentityOptions, IssuerOptions } from './options.ts'
import { passwordOptions } from './passwords.ts'

export interface IdentityState {
  readonly options: IdentityOptions
  /** By the exact text of `iss`. */
  readonly issuers: ReadonlyMap<string, TrustedIssuer>
  readonly accounts: Accounts
  readonly cache: CredentialCache
  readonly epochs: Epochs | undefined
  readonly kerberos: KerberosState | undefined
  readonly login: Login
  readonly linked: LinkedAccounts
  readonly introspection: Introspection
  /** Verifications under way, by cache key: calls with one credential share one. */
  readonly pending: Map<string, Promise<Known>>
}

/**
 * Throws `invalid` when the options do not fit together or an accounts file is bad. Keys of issuers that are as they
 * were in `old` stay, so that a reload does not depend on every issuer being up.
 */
export async function openState(options: IdentityOptions, old?: IdentityState): Promise<IdentityState> {
  checkOptions(options)
  if (passwordOptions(options).ways.includes('kerberos')) requireKerberosLibrary()
  const accounts = await openAccounts(options, () => clock(options), old?.accounts)
  const issuers = new Map<string, TrustedIssuer>()
  for (const issuer of options.issuers) {
    const before = old?.issuers.get(issuer.issuer)
    const isSame = before !== undefined && keyLines(before.options) === keyLines(issuer)
    const keys = isSame ? before.keys : new Keys(issuer, { now: () => clock(options) })
    const verifying = createGate({ running: 4, waiting: 4096 })
    issuers.set(issuer.issuer, { options: issuer, keys, verifying })
  }
  // The keys of macaroons do not depend on the configuration; what was made stays good over a reload.
  const epochs = options.macaroons && new Epochs(options.macaroons.secrets, () => clock(options))
  const introspection = new Introspection(issuers.values(), { now: () => clock(options) })
  const kerberos = options.kerberos && (await openKerberos(options.kerberos))
  const fresh = { cache: new CredentialCache(), login: new Login(), introspection, pending: new Map() }
  const linked = new LinkedAccounts(options, () => clock(options))
  return { options, issuers, accounts, epochs, kerberos, linked, ...fresh }
}

/** Milliseconds since 1970. */
export function clock(options: IdentityOptions): number {
  return options.now === undefined ? Date.now() : options.now()
}

/** The lines of an issuer's configuration on which its keys depend. */
function keyLines({ issuer, name, keys, insecure, ca }: IssuerOptions): string {
  return JSON.stringify([issuer, name, keys, insecure, ca])
}
