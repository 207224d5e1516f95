/** The keytab against the KDC: whether both know the same keys, and the same time. */

import { parseKeytab } from '../../acl/identity/kerberos/keytab.ts'
import { type TrialResult, tryKeytab } from '../../acl/identity/kerberos/keytab-trial.ts'
import type { Finding } from '../../backends/backend.ts'
import { readSecretBytes } from '../config/secret-file.ts'
import type { Config } from '../config.ts'
import { kerberosOptions } from '../serve/kerberos.ts'
import { clockFinding } from './clocks.ts'
import { attempt, ok, problem, type Report, warning } from './report.ts'

/** Milliseconds for an answer of the KDC; libkrb5 asks several of them, and each more than once. */
const patience = 30_000
/** Seconds that clocks may differ before tickets are refused (clockskew of krb5.conf(5)). */
const tolerance = 300
/** Principals of a keytab that are tried. */
const mostClients = 8

/** ERROR_TABLE_BASE_krb5 of krb5.h; the errors of RFC 4120, section 7.5.9, follow it by number. */
const base = -1_765_328_384

/** The KDC has another key than the keytab: preauthentication failed, bad integrity, no such version, none at all. */
const stale: ReadonlySet<number> = new Set([
  ...[base + 24, base + 31, base + 44, base + 45],
  ...[-1_765_328_174, -1_765_328_203, -1_765_328_154],
])
/** It cannot be asked. */
const silent: ReadonlyMap<number, string> = new Map([
  [-1_765_328_228, 'no KDC of the realm answers: is port 88 open from here, and krb5.conf right?'],
  [-1_765_328_230, 'krb5.conf and DNS name no KDC of the realm: add it to [realms] of krb5.conf'],
  [-1_765_328_164, 'the name of the KDC in krb5.conf cannot be resolved'],
  [-1_765_328_249, 'krb5.conf cannot be read: see /etc/krb5.conf, or what KRB5_CONFIG names'],
  [-1_765_328_248, 'krb5.conf is not well-formed: see /etc/krb5.conf, or what KRB5_CONFIG names'],
])
const others: ReadonlyMap<number, string> = new Map([
  [base + 1, 'the principal has expired: prolong it at the KDC'],
  [base + 7, 'the KDC knows no such service: make it there (`kadmin addprinc -randkey`), and a new keytab'],
  [base + 12, 'the policy of the KDC forbids it'],
  [base + 14, 'KDC and keytab have no kind of encryption in common: make a keytab with AES keys'],
  [base + 18, 'the principal is locked or disabled at the KDC'],
  [
    base + 37,
    `the clocks of this machine and the KDC differ by more than ${tolerance} s: see that chrony or ntpd runs`,
  ],
])
const unknownClient = base + 6
/** RC4 and DES (RFC 8429, RFC 6649): not to be used any more. */
const weakest = 17

/** Nothing is told where no tickets are accepted. */
export async function checkKdc(config: Config, report: Report): Promise<void> {
  const options = kerberosOptions(config)
  if (!options) return
  const { keytab, services, realm } = options
  await attempt(report, 'kerberos', 'keytab', async () => {
    const entries = parseKeytab(await readSecretBytes(keytab))
    const known = new Set(entries.map(({ principal }) => principal))
    for (const service of services) {
      const own = entries.filter(({ principal }) => principal === service)
      report('kerberos', keysFinding(keytab, service, own))
    }
    const here = services.filter((service) => known.has(service))
    const rest = [...known].filter((name) => !here.includes(name) && name.endsWith(`@${realm}`))
    const clients = [...here, ...rest].slice(0, mostClients)
    if (here.length === 0) return
    const result = await tryKeytab({ keytab, clients, services: here }, patience)
    for (const finding of trialFindings(keytab, result)) report('kerberos', finding)
  })
}

function keysFinding(
  keytab: string,
  service: string,
  own: ReadonlyArray<{ readonly version: number; readonly type: number }>,
): Finding {
  if (own.length === 0) return problem('keytab', `${keytab} holds no key of ${service}: ${remedy(keytab, service)}`)
  const versions = [...new Set(own.map(({ version }) => version))].toSorted((a, b) => a - b)
  const text = `${keytab} holds version ${versions.join(', ')} of the key of ${service}`
  if (own.some(({ type }) => type >= weakest && type !== 23 && type !== 24)) return ok('keytab', text)
  return warning('keytab', `${text}, of a weak kind only (RC4 or DES): make a keytab with AES keys`)
}

/** What came of asking the KDC. */
export function trialFindings(keytab: string, result: TrialResult | undefined): readonly Finding[] {
  if (result === undefined) return [problem('kdc', `no KDC of the realm has answered within ${patience / 1000} s`)]
  if (!result.library) return [warning('kdc', 'not asked: libkrb5.so.3 cannot be used; on Debian install libkrb5-3')]
  const { clients, services, ahead } = result
  const last = clients.at(-1)
  if (last === undefined || last.code !== 0) return clients.map(({ name, code }) => refusal(keytab, name, code))
  return [
    ...(ahead === undefined ? [] : [clockFinding(ahead, 'the KDC', tolerance)]),
    ...services.map(({ name, code }) =>
      code === 0
        ? ok('kdc', `the KDC gives tickets for ${name}, which the keytab opens`)
        : problem('kdc', `a ticket of the KDC for ${name} cannot be used: ${reason(keytab, name, code)}`),
    ),
  ]
}

function refusal(keytab: string, name: string, code: number): Finding {
  const why = silent.get(code)
  if (why !== undefined) return problem('kdc', why)
  if (code === unknownClient) {
    const text = `the KDC does not know ${name} as somebody who asks for tickets: with Active Directory that is usual of services, and tells nothing; elsewhere make the principal`
    return warning('kdc', text)
  }
  return problem('kdc', `the KDC gives ${name} no ticket: ${reason(keytab, name, code)}`)
}

function reason(keytab: string, name: string, code: number): string {
  if (stale.has(code)) return `it has another key than the keytab: ${remedy(keytab, name)}`
  return others.get(code) ?? silent.get(code) ?? `Kerberos says ${code}`
}

function remedy(keytab: string, name: string): string {
  const [principal = name] = name.split('@')
  return `run \`kadmin -q "ktadd -k ${keytab} ${principal}"\`, with Active Directory \`msktutil --update --keytab ${keytab}\``
}
