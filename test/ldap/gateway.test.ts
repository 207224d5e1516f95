/** A whole gateway whose accounts are those of a directory. */

import t, { type Test } from 'tap'
import { parseConfig } from '../../gateway/config.ts'
import { startTestGateway } from '../gateway/harness.ts'
import { domain } from '../gateway/people.ts'
import { eventually } from '../gateway/processes.ts'
import { labBase, noSlapd, reader, Slapd } from '../peers/slapd.ts'

const section = (servers: readonly string[], ca?: string) => ({
  servers,
  ...(ca !== undefined && { ca }),
  bind: { dn: reader.dn(labBase), password: { file: 'ldap.password' } },
  schema: 'rfc2307',
  users: { base: `ou=people,${labBase}` },
  groups: { base: `ou=groups,${labBase}` },
})

async function startGateway(t: Test, slapd: Slapd) {
  return startTestGateway(t, {
    mounts: [{ path: '/data' }],
    metrics: true,
    secrets: { 'ldap.password': reader.password },
    more: { accounts: [{ file: 'accounts.yaml' }, { ldap: section([slapd.url]) }] },
  })
}

const basic = (name: string, password: string) => ({
  Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`,
})

t.test('a gateway with a directory', { skip: noSlapd(), timeout: 120_000 }, async (t) => {
  const slapd = await Slapd.start(t)
  const gateway = await startGateway(t, slapd)
  // The file would answer for everybody here; without it the directory does.
  gateway.configure((config) => {
    config.accounts = [{ ldap: section([slapd.url]) }]
  })
  t.equal((await gateway.reload()).msg, 'the configuration was taken over')

  await t.test('whoami shows what the directory says', async (t) => {
    const told = (await gateway.api('whoami', {}, 'alice')).json()
    t.equal(told.user, `alice@${domain}`)
    t.same(
      told.groups,
      ['p01', 'p02', 'staff'].map((name) => `${name}@${domain}`),
    )
    t.match(told.posix, { uid: 20_001, gid: 20_000 })
    t.same(told.posix.gids.toSorted(), [30_001, 30_002])
  })
  await t.test('its passwords are passwords here', async (t) => {
    const path = '/.portolan/api/v1/whoami'
    const told = await gateway.get(path, undefined, basic('bob', 'bob-pw'))
    t.equal(told.status, 200)
    t.equal(told.json().user, `bob@${domain}`)
    t.equal((await gateway.get(path, undefined, basic('bob', 'alice-pw'))).status, 401)
    t.equal((await gateway.get(path, undefined, basic('*', 'bob-pw'))).status, 401)
    t.equal((await gateway.get(path, undefined, basic('bob', ''))).status, 401)
  })
  await t.test('health tells that it is gone, and who was known works on', async (t) => {
    const health = async () => (await gateway.get('/.portolan/api/v1/health')).json()
    t.same(await health(), { status: 'ok', accounts: [{ source: 'source 1 (ldap)', available: true }] })
    await slapd.stop()
    t.equal((await gateway.api('whoami', {}, 'alice')).status, 200)
    t.equal((await gateway.api('whoami', {}, 'carol')).status, 503, 'nobody new')
    t.same((await health()).accounts, [{ source: 'source 1 (ldap)', available: false }])
    await gateway.logged('accounts cannot be looked up; those known before work on for a while')
    t.equal((await gateway.api('whoami', {}, 'carol')).status, 503)
    const lines = gateway
      .logText()
      .split('\n')
      .filter((line) => line.includes('accounts cannot be looked up; those'))
    t.equal(lines.length, 1, 'said once')
    t.notOk(gateway.logText().includes(reader.password))
    const metrics = await fetch(`http://127.0.0.1:${gateway.metricsPort}/metrics`)
    t.match(await metrics.text(), /portolan_accounts_available\{source="source 1 \(ldap\)"\} 0/)
    gateway.configure((config) => {
      config.minUid = 1001
    })
    t.equal((await gateway.reload()).msg, 'the configuration was taken over')
    t.equal((await gateway.api('whoami', {}, 'alice')).status, 200, 'who was known is known after a reload')
    await slapd.resume()
    await eventually(async () => (await health()).accounts[0].available, 40_000, 'the directory was not noticed')
    t.equal((await gateway.get('/.portolan/api/v1/whoami', undefined, basic('bob', 'bob-pw'))).status, 200)
  })
})

const config = (ldap: string) => `domain: example.org
listen: [{ address: 127.0.0.1, port: 0 }]
state: { directory: /var/lib/portolan }
accounts:
  - ldap:
${ldap}
mounts: [{ path: /data, backend: { type: posix, root: /srv } }]
`
const good = `      servers: [ldaps://ldap.example.org]
      bind: { dn: "cn=reader,dc=x", password: { file: pw } }
      schema: rfc2307
      users: { base: "ou=people,dc=x" }
      groups: { base: "ou=groups,dc=x" }`

const mistakes: readonly (readonly [string, string, RegExp])[] = [
  ['ldaps://', 'ldap://', /c.yaml:6:17: accounts\[0\].ldap.servers\[0\]: would be asked in the clear/],
  ['[ldaps://ldap.example.org]', '[]', /c.yaml:6:16: accounts\[0\].ldap.servers: expected at least one server/],
  ['ldaps://ldap.example.org', 'ldaps://ldap.example.org/dc=x', /servers\[0\]: expected an address such as ldaps/],
  ['cn=reader,dc=x', 'reader', /c.yaml:7:19: accounts\[0\].ldap.bind.dn: expected a DN/],
  ['schema: rfc2307', 'schema: rfc2308', /schema: expected rfc2307, rfc2307bis or ad; did you mean rfc2307\?/],
  ['ou=people,dc=x', '', /users.base: expected/],
  ['"ou=people,dc=x"', '"ou=people,dc=x", filter: "(a=b"', /users.filter: expected a filter such as/],
  ['"ou=people,dc=x"', '"ou=people,dc=x", filter: "a=b"', /users.filter: expected a filter such as/],
  ['"ou=people,dc=x"', '"ou=people,dc=x", attributes: { uid: "a;b" }', /attributes.uid: expected the name of an attr/],
  ['schema: rfc2307', 'schema: rfc2307\n      depht: 3', /depht: unknown key; did you mean depth\?/],
  ['"ou=groups,dc=x" }', '"ou=groups,dc=x" }\n    system: true', /accounts\[0\]: expected file, system or ldap/],
]

t.test('a mistake in the section is told with its line', async (t) => {
  t.ok(parseConfig(config(good), 'c.yaml').accounts[0]?.ldap)
  for (const [right, wrong, expected] of mistakes) {
    const text = config(good).replace(right, wrong)
    t.throws(() => parseConfig(text, 'c.yaml'), { message: expected }, wrong)
  }
})
