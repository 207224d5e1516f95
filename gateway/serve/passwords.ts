/** From the configuration to the options of passwords. */

import { LocalNames, parseKerberosName } from '../../acl/identity/kerberos/local-names.ts'
import type { KerberosOptions } from '../../acl/identity/kerberos/options.ts'
import type { PasswordOptions } from '../../acl/identity/passwords.ts'
import type { Config } from '../config.ts'
import { StorageError } from '../core/errors.ts'

/** Throws `invalid` for rules of Kerberos that are none, and for a realm in which no service of ours is. */
export function passwordOptions({ passwords }: Pick<Config, 'passwords'>, kerberos?: KerberosOptions): PasswordOptions {
  const { ways, remember } = passwords
  const same = { ways, remember: remember / 1000 }
  if (!ways.includes('kerberos') || kerberos === undefined) return same
  const { realm, keytab, services } = kerberos
  // The KDC that knows the password must know this key as well.
  const service = services.find((name) => name.endsWith(`@${realm}`))
  if (service === undefined) {
    throw new StorageError('invalid', `passwords: none of kerberos.services is of the realm ${realm}`)
  }
  const names = new LocalNames(kerberos)
  const accountOf = (principal: string) => {
    const parsed = parseKerberosName(principal)
    if (parsed === undefined) throw new StorageError('invalid', 'no principal')
    return names.accountOf(parsed).account
  }
  return { ...same, kerberos: { realm, keytab, service, accountOf } }
}
