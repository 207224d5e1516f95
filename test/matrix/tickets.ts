/** Bob's ticket: a KDC, a keytab for the gateway, and the cookie that the gateway gives for a ticket. */

import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { TestGateway } from '../gateway/harness.ts'
import { give, http, noKerberos, realm, tokensOf } from '../kerberos/world.ts'
import { Kdc } from '../peers/kdc.ts'

export interface Tickets {
  /** For the configuration of the gateway. */
  readonly more: Readonly<Record<string, unknown>>
  /** An Authorization header for one request of that user. */
  headerOf(user: string): Promise<string>
  /** What stands for a ticket of that user, as a client keeps it. */
  cookieOf(gateway: TestGateway, user: string): Promise<string>
}

/** Why there are none, or them. */
export async function startTickets(t: Test, users: readonly string[]): Promise<Tickets | string> {
  const missing = noKerberos()
  if (missing) return missing
  const passwords = Object.fromEntries(users.map((user) => [`${user}@${realm}`, `${user}-pw`]))
  const kdc = await Kdc.start({ realms: [realm], users: passwords })
  t.teardown(() => kdc.stop())
  const place = mkdtempSync(join(tmpdir(), 'portolan-keytab-'))
  t.teardown(() => rmSync(place, { recursive: true, force: true }))
  chmodSync(place, 0o755)
  const keytab = join(place, 'krb5.keytab')
  await kdc.addKey(http, keytab)
  give(keytab)
  const headerOf = async (user: string) => {
    const cache = await kdc.login(`${user}@${realm}`, `${user}-pw`)
    const [token = ''] = await tokensOf(kdc, cache)
    return `Negotiate ${token}`
  }
  return {
    headerOf,
    more: { hosts: ['localhost'], kerberos: { keytab, realm, services: [http], cookie: '10m' } },
    async cookieOf(gateway, user) {
      const headers = { Authorization: await headerOf(user) }
      const answer = await gateway.get('/.portolan/api/v1/whoami', undefined, headers)
      const [cookie = ''] = answer.headers['set-cookie'] ?? []
      if (answer.status !== 200 || cookie === '') throw new Error(`no cookie: ${answer.status} ${answer.text}`)
      return cookie.split(';')[0] ?? ''
    },
  }
}
