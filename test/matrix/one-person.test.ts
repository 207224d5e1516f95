/**
 * An administrator's first afternoon: a gateway set up from docs/identity.md alone, against a KDC, a directory and an
 * issuer. Alice by ticket, by token and by password is one person; Bob is refused, and told why.
 */

import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { portolan } from '../cli/running.ts'
import { startTestGateway, type TestGateway } from '../gateway/harness.ts'
import type { Json } from '../gateway/http.ts'
import { Guarded } from '../gateway/tree.ts'
import { give, noKerberos, tokensOf } from '../kerberos/world.ts'
import { Kdc } from '../peers/kdc.ts'
import { type OidcIssuer, startOidcIssuer } from '../peers/oidc-issuer.ts'
import { labBase, noSlapd, reader, Slapd } from '../peers/slapd.ts'
import { adapted, configurationOfPage } from './page.ts'

t.setTimeout(300_000)
const realm = 'EXAMPLE.ORG'
const service = `HTTP/localhost@${realm}`
const whoamiPath = '/.portolan/api/v1/whoami'

interface Site {
  readonly gateway: TestGateway
  readonly issuer: OidcIssuer
  readonly kdc: Kdc
}

/** The page, with the names of this site. */
async function setUp(t: Test): Promise<Site> {
  const kdc = await Kdc.start({ realms: [realm], users: { [`alice@${realm}`]: 'ticket', [`bob@${realm}`]: 'ticket' } })
  t.teardown(() => kdc.stop())
  // The gateway reads its krb5.conf as the account that it serves as.
  chmodSync(kdc.directory, 0o755)
  const place = mkdtempSync(join(tmpdir(), 'portolan-keytab-'))
  t.teardown(() => rmSync(place, { recursive: true, force: true }))
  chmodSync(place, 0o755)
  const keytab = join(place, 'krb5.keytab')
  await kdc.addKey(service, keytab)
  give(keytab)
  const [slapd, issuer, other] = [await Slapd.start(t), await startOidcIssuer(t), await startOidcIssuer(t)]
  for (const name of ['alice', 'bob']) issuer.people.set(`id-${name}`, { preferred_username: name })
  const text = adapted(configurationOfPage(), {
    'HTTP/gw.example.org@EXAMPLE.ORG': service,
    '/etc/portolan/krb5.keytab': keytab,
    'https://login.example.org/realms/staff': issuer.url,
    'https://iam.example.org/': other.url,
    'keys: { discovery: true }': 'keys: { discovery: true }\n    insecure: true',
    'ldaps://ldap1.example.org': slapd.tlsUrl,
    'ldaps://ldap2.example.org': slapd.tlsUrl,
    'cn=portolan,ou=services,dc=example,dc=org': reader.dn(labBase),
    'dc=example,dc=org': labBase,
    '/etc/portolan/ldap': 'ldap',
    '/etc/portolan/accounts.yaml': 'own-accounts.yaml',
  })
  const { domain, accounts, kerberos, passwords, issuers, mapping, administrators } = parse(text)
  const gateway = await startTestGateway(t, {
    mounts: [{ path: '/data', make: makeTree }],
    environment: kdc.environment,
    secrets: {
      'ldap.password': reader.password,
      'ldap-ca.pem': readFileSync(slapd.ca, 'utf8'),
      'own-accounts.yaml': 'users: { vo-prod: { uid: 5000, gid: 5000 } }',
    },
    more: { domain, accounts, kerberos, passwords, issuers, mapping, administrators, hosts: ['localhost'] },
  })
  return { gateway, issuer, kdc }
}

/** Alice's own, which she and p01 may read. */
function makeTree(top: string): void {
  const who = ['A::alice@example.org:rwaDdxtTnNcCoy', 'A:g:p01@example.org:rxtncy']
  const tree = new Guarded(top)
  tree.directory('', 'admin', ['A::EVERYONE@:rxtncy'])
  tree.directory('alice', 'alice', [...who, 'A::EVERYONE@:xtncy'])
  tree.file('alice/run1.h5', 'alice', 'beam', [...who, 'A::EVERYONE@:tncy'])
}

/** Ways of one person to come in: headers for one request. */
function waysOf({ kdc, issuer, gateway }: Site, name: string): Readonly<Record<string, () => Promise<string>>> {
  const basic = (word: string) => `Basic ${Buffer.from(`${name}:${word}`).toString('base64')}`
  return {
    ticket: async () => {
      const [token = ''] = await tokensOf(kdc, await kdc.login(`${name}@${realm}`, 'ticket'))
      return `Negotiate ${token}`
    },
    token: async () => {
      const token = await issuer.accessToken(`id-${name}`, 'https://gw.example.org:8443')
      gateway.credentials.add(token)
      return `Bearer ${token}`
    },
    'password of the directory': async () => basic(`${name}-pw`),
    'password of Kerberos': async () => basic('ticket'),
  }
}

t.test('one person', { skip: noKerberos() || noSlapd() }, async (t) => {
  const site = await setUp(t)
  const { gateway } = site
  const get = async (path: string, way: () => Promise<string>) =>
    gateway.get(path, undefined, { Authorization: await way() })

  await t.test('the check asks every server, and finds nothing wrong but that nobody looks after it yet', async (t) => {
    const { stdout } = await portolan(['check', '--config', gateway.configFile], { env: site.kdc.environment })
    const lines = stdout.split('\n')
    t.same(
      lines.filter((line) => !line.startsWith('ok ')).map((line) => /^(\w+) +accounts +(\w+)/.exec(line)?.slice(1)),
      [['WARNING', 'administrators'], ['WARNING', 'administrators'], undefined],
      { stdout },
    )
    for (const subject of ['keytab', 'kdc', 'issuer staff', 'ldaps:']) {
      t.ok(
        lines.some((line) => line.startsWith('ok ') && line.includes(subject)),
        subject,
      )
    }
  })

  await t.test('Alice is the same, whichever way she comes', async (t) => {
    for (const [name, way] of Object.entries(waysOf(site, 'alice'))) {
      const { user, groups, posix, administrator } = (await get(whoamiPath, way)).json()
      t.equal(user, 'alice@example.org', name)
      t.same(groups.toSorted(), ['p01@example.org', 'p02@example.org', 'staff@example.org'], name)
      t.match(posix, { uid: 20_001, gid: 20_000 }, name)
      t.equal(administrator, false, name)
      t.equal((await get('/data/alice/run1.h5', way)).text, 'beam', name)
      const put = { method: 'PUT', path: `/data/alice/${name.replaceAll(' ', '-')}`, body: name }
      t.equal((await gateway.request({ ...put, headers: { Authorization: await way() } })).status, 201, name)
    }
  })

  await t.test('Bob is refused each way, and told why', async (t) => {
    for (const [name, way] of Object.entries(waysOf(site, 'bob'))) {
      t.equal((await get('/data/alice/run1.h5', way)).status, 403, name)
      const query = new URLSearchParams({ action: 'read', path: '/data/alice/run1.h5' })
      const told: Json = (await get(`/.portolan/api/v1/explain?${query}`, way)).json()
      t.equal(told.principal.user, 'bob@example.org', name)
      t.equal(told.allowed, false, name)
      const refused = told.steps.find((step: Json) => step.allowed === false)
      t.match(refused, { check: 'acl', reason: { rule: 'not-granted', text: /READ_DATA/ } }, name)
      t.match(told.advice, /alice/, `${name}: whom to ask`)
    }
  })

  await t.test('the command line says the same', async (t) => {
    const token = await site.issuer.accessToken('id-bob', 'https://gw.example.org:8443')
    gateway.credentials.add(token)
    const env = { PORTOLAN_URL: gateway.url, BEARER_TOKEN: token }
    const who = await portolan(['whoami'], { env })
    t.match(who.stdout, /bob@example\.org/)
    const why = await portolan(['explain', 'read', '/data/alice/run1.h5'], { env })
    t.equal(why.code, 1)
    t.match(why.stdout, /READ_DATA/)
  })

  await t.test('nothing that opens anything is in the logs', async (t) => {
    await gateway.stop()
    const text = gateway.auditText() + gateway.logText()
    for (const secret of ['alice-pw', 'bob-pw', reader.password, ...gateway.credentials]) {
      if (secret.length > 5) t.notOk(text.includes(secret), 'a credential')
    }
  })
})
