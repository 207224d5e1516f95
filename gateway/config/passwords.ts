/** The section `passwords`: who checks those of accounts. */

import { cacheLifetime } from '../../acl/identity/limits.ts'
import { passwordWays } from '../../acl/identity/passwords.ts'
import type { BrokenRule } from './problems.ts'
import { choice, list, section, span } from './values.ts'

/** Nobody tells when a password was changed; and the account behind it is not believed for longer either. */
const longest = cacheLifetime * 1000

export function passwordSection() {
  return section({
    /** Asked in this order until one says yes; `accounts` are hashes of a file and binds at a directory. */
    ways: list(choice(...passwordWays), passwordWays.length)
      .min(1, 'expected at least one way')
      .default(['accounts']),
    /** For how long a right password is believed without asking again. */
    remember: span.refine((value) => value <= longest, 'expected at most 5m').default(longest),
  }).prefault({})
}

interface Parts {
  readonly passwords: { readonly ways: readonly string[] }
  readonly kerberos?: object | undefined
}

/** What must hold between this section and others. */
export function* passwordRules({ passwords: { ways }, kerberos }: Parts): Generator<BrokenRule> {
  const path = ['passwords', 'ways']
  if (new Set(ways).size < ways.length) yield { path, text: 'holds one of them twice' }
  if (ways.includes('kerberos') && kerberos === undefined) {
    yield { path, text: 'needs `kerberos` with the realm, and a keytab by which a KDC proves itself' }
  }
}
