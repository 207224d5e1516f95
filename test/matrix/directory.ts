/** Erin, who is known to a directory alone: a slapd that has her, in p01. */

import type { Test } from 'tap'
import { labBase, noSlapd, person, reader, Slapd } from '../peers/slapd.ts'

/** The section `ldap`; undefined where none can be started. Its password lies beside the configuration file. */
export async function startDirectory(t: Test): Promise<Readonly<Record<string, unknown>> | undefined> {
  if (noSlapd()) return undefined
  const slapd = await Slapd.start(t, { lab: person(labBase, 'erin', { uid: 64_815, gid: 64_815 }) })
  await slapd.change(labBase, `dn: cn=p01,ou=groups,${labBase}\nchangetype: modify\nadd: memberUid\nmemberUid: erin\n`)
  return {
    servers: [slapd.url],
    bind: { dn: reader.dn(labBase), password: { file: 'ldap.password' } },
    schema: 'rfc2307',
    users: { base: `ou=people,${labBase}` },
    groups: { base: `ou=groups,${labBase}` },
  }
}
