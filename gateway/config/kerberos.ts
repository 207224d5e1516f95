/** The section `kerberos`: tickets on the HTTP doors. */

import { z } from 'zod'
import { ignoresRealm, parseKerberosName, parseLocalRule } from '../../acl/identity/kerberos/local-names.ts'
import { accountName, reservedAccounts } from '../../acl/identity/names.ts'
import { StorageError } from '../core/errors.ts'
import type { BrokenRule } from './problems.ts'
import { duration, list, section, text } from './values.ts'

const realm = z
  .string('expected a realm such as EXAMPLE.ORG')
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'expected a realm such as EXAMPLE.ORG')

const principal = z
  .string('expected a principal such as alice@EXAMPLE.ORG')
  .refine((given) => parseKerberosName(given) !== undefined, 'expected a principal such as alice@EXAMPLE.ORG')

const service = principal.refine(
  (given) => parseKerberosName(given)?.components.length === 2,
  'expected a service such as HTTP/gw.example.org@EXAMPLE.ORG',
)

const account = z
  .string('expected the name of an account')
  .refine((given) => accountName.test(given) && !reservedAccounts.has(given), 'expected the name of an account')

/** A ticket is not to be forgotten for longer. */
const longestCookie = 600_000

export function kerberosSection<File extends z.ZodType>(file: File) {
  return section({
    /** The keys of our services; read anew when it changes. */
    keytab: file,
    /** Ours. */
    realm,
    /** Others whose principals are let in, as far as `names` and `rules` know them. */
    realms: list(realm, 100).default([]),
    /** Names that tickets may be for; HTTP/ and each of our host names if empty. */
    services: list(service, 100).default([]),
    /** Principals and their accounts; go before the rules. */
    names: list(section({ principal, account }), 10_000).default([]),
    /** As auth_to_local of krb5.conf. */
    rules: list(text, 200).default(['DEFAULT']),
    /** For this long a cookie stands for a ticket; takes `state.masterKeyFile`. No cookies if 0s. */
    cookie: duration.default(300_000),
  })
}

interface Parts {
  readonly kerberos?: z.output<ReturnType<typeof kerberosSection>> | undefined
}

/** What must hold between its keys. */
export function* kerberosRules({ kerberos }: Parts): Generator<BrokenRule> {
  if (!kerberos) return
  const { realm: own, realms, names, rules, cookie } = kerberos
  if (realms.includes(own)) yield { path: ['kerberos', 'realms'], text: 'holds our own realm, which is let in anyway' }
  const seen = new Set<string>()
  for (const [index, { principal: name }] of names.entries()) {
    if (seen.has(name)) yield { path: ['kerberos', 'names', index, 'principal'], text: 'is there twice' }
    seen.add(name)
  }
  for (const [index, line] of rules.entries()) {
    const path = ['kerberos', 'rules', index]
    try {
      parseLocalRule(line, own)
      if (ignoresRealm(line) && realms.length > 0) {
        yield { path, text: 'without $0 in [n:string] it would take principals of all realms for the same' }
      }
    } catch (error) {
      yield { path, text: StorageError.from(error).message }
    }
  }
  if (cookie > longestCookie) yield { path: ['kerberos', 'cookie'], text: 'may be 10m at most' }
}
