/** From the name on a ticket to whom it stands for here. */

import type { Principal } from '../../principal.ts'
import { traceAccount } from '../account-trace.ts'
import { principalOf } from '../accounts.ts'
import type { Trace } from '../jwt.ts'
import { deny, quoted, refuse } from '../refusal.ts'
import type { SessionState } from '../sessions.ts'
import { type KerberosLibrary, openLibrary } from './library.ts'
import { LocalNames, parseKerberosName } from './local-names.ts'
import type { KerberosOptions } from './options.ts'

/** What one configuration comes to. */
export interface KerberosState {
  readonly options: KerberosOptions
  readonly names: LocalNames
  readonly library: KerberosLibrary
}

/** How somebody signed in who has shown a ticket. */
export interface KerberosSignedIn {
  readonly kind: 'kerberos'
  /** His principal. */
  readonly name: string
}

/** Throws `invalid` for a rule that is none, and where the library cannot be used. */
export async function openKerberos(options: KerberosOptions): Promise<KerberosState> {
  return { options, names: new LocalNames(options), library: await openLibrary(options) }
}

/** Whom a Kerberos name stands for now. Throws `denied`: see `LocalNames.accountOf`, `Accounts.find`. */
export async function byKerberos(
  name: string,
  { options, accounts, kerberos }: SessionState,
  trace: Trace = () => {},
): Promise<Pick<Principal, 'user' | 'groups' | 'posix'>> {
  if (kerberos === undefined) throw refuse('kerberos-ticket', 'tickets are not accepted any more')
  const principal = parseKerberosName(name)
  if (principal === undefined) throw deny('mapping-none', `${quoted(name)} is no name that an account could have`)
  const { account: found, text } = kerberos.names.accountOf(principal)
  trace('mapping', text)
  const account = await accounts.find(found)
  const local = principalOf(account, options.domain, { groups: new Set(), joined: new Map() })
  traceAccount(trace, account, local, { accounts, domain: options.domain })
  return local
}
