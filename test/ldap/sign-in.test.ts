/** Basic with passwords that a directory knows, and a directory and a KDC that do not agree. */

import t, { type Test } from 'tap'
import type { KerberosPasswordOptions } from '../../acl/identity/kerberos/password.ts'
import type { PasswordWay } from '../../acl/identity/passwords.ts'
import { Secret } from '../../acl/secret.ts'
import { eventually } from '../gateway/processes.ts'
import { makeSetting, refusal } from '../identity/setting.ts'
import { Kdc, noKdc } from '../peers/kdc.ts'
import { labBase, noSlapd, person, Slapd } from '../peers/slapd.ts'
import { optionsFor } from './directory.ts'
import { Way } from './way.ts'

t.setTimeout(120_000)

const realm = 'LAB.EXAMPLE'
const service = `HTTP/localhost@${realm}`
const lab = [
  person(labBase, 'tiny', { uid: 12 }),
  person(labBase, 'umlaut', { uid: 20_050 }).replace('umlaut-pw', 'pässwörd€'),
  person(labBase, 'closed', { uid: 20_051, more: ['objectClass: shadowAccount', 'shadowExpire: 1'] }),
].join('')

async function signingIn(t: Test, ways: readonly PasswordWay[] = ['accounts'], kerberos?: KerberosPasswordOptions) {
  const slapd = await Slapd.start(t, { lab })
  const way = await Way.open(t, { to: slapd.port })
  const { service: identity, clock } = await makeSetting(t, {
    mapping: [],
    issuers: [],
    accounts: [{ ldap: optionsFor('rfc2307', { servers: [way.url] }) }],
    passwords: { ways, remember: 60, ...(kerberos && { kerberos }) },
  })
  const signIn = async (user: string, password: string, from = '192.0.2.1'): Promise<string> => {
    try {
      return (await identity.authenticate({ kind: 'basic', user, password: new Secret(password), from })).id
    } catch (error) {
      return refusal(error)
    }
  }
  return { slapd, way, clock, signIn, identity }
}

t.test('the password of an entry is that of the account, and no name is a filter', { skip: noSlapd() }, async (t) => {
  const { signIn, way, identity } = await signingIn(t)
  const cases: ReadonlyArray<readonly [user: string, password: string, expected: string]> = [
    ['alice', 'alice-pw', 'basic:alice@desy.de'],
    ['alice@desy.de', 'alice-pw', 'basic:alice@desy.de'],
    ['umlaut', 'pässwörd€', 'basic:umlaut@desy.de'],
    ['alice', 'bob-pw', 'unauthenticated password'],
    ['alice', 'alice-pw\0', 'unauthenticated password'],
    ['alice', 'x'.repeat(1024), 'unauthenticated password'],
    ['nosuch', 'alice-pw', 'unauthenticated password'],
    ['tiny', 'tiny-pw', 'unauthenticated password'],
    ['closed', 'closed-pw', 'unauthenticated password'],
  ]
  for (const [index, [user, password, expected]] of cases.entries()) {
    t.equal(await signIn(user, password, `192.0.${index}.1`), expected, `${user} ${password.slice(0, 20)}`)
  }
  const known = await identity.authenticate({ kind: 'basic', user: 'alice', password: new Secret('alice-pw') })
  t.match(known, { user: 'alice@desy.de', posix: { uid: 20_001, gid: 20_000 }, grants: 'unbounded' })
  t.ok(known.groups.has('p01@desy.de'))
  const { connections, searches } = way
  const never = [
    '*)(uid=*',
    '*',
    'a*',
    'alice)(cn=alice',
    'alice\\00',
    'uid=alice',
    'ALICE',
    'ålice',
    'alice@OTHER.REALM',
    '',
  ]
  for (const user of [...never, 'a'.repeat(5000)])
    t.equal(await signIn(user, 'alice-pw'), 'unauthenticated password', user)
  for (const password of ['', 'x'.repeat(1025)]) t.equal(await signIn('alice', password), 'unauthenticated password')
  t.same([way.connections, way.searches], [connections, searches], 'nobody was asked')
})

t.test('guesses are counted, an outage is not, and a changed password ends', { skip: noSlapd() }, async (t) => {
  const { signIn, slapd, clock } = await signingIn(t)
  t.equal(await signIn('alice', 'alice-pw', '198.51.100.1'), 'basic:alice@desy.de')
  await slapd.stop()
  for (let index = 0; index < 7; index++) {
    t.match(
      await signIn('alice', `guess-${index}`),
      /^unavailable /,
      'who she is, is known; her password nobody can tell',
    )
  }
  t.equal(await signIn('alice', 'alice-pw', '198.51.100.1'), 'basic:alice@desy.de', 'remembered')
  await slapd.resume()
  clock.pass(60)
  const isBack = async () => (await signIn('bob', 'bob-pw', '203.0.113.1')) === 'basic:bob@desy.de'
  await eventually(isBack, 20_000, 'the directory is not asked again')
  const answers: string[] = []
  for (let index = 0; index < 10; index++) answers.push(await signIn('alice', `guess-${index}`))
  t.same(
    answers.slice(0, 5),
    Array.from({ length: 5 }, () => 'unauthenticated password'),
  )
  t.same(
    answers.slice(5),
    Array.from({ length: 5 }, () => 'busy attempts'),
  )
  const changes = ['changetype: modify', 'replace: userPassword', 'userPassword: new-pw']
  await slapd.change(labBase, `dn: uid=alice,ou=people,${labBase}\n${changes.join('\n')}\n`)
  t.equal(await signIn('alice', 'alice-pw', '198.51.100.1'), 'unauthenticated password')
  t.equal(await signIn('alice', 'new-pw', '198.51.100.1'), 'basic:alice@desy.de')
})

t.test('of a directory and a KDC one yes is enough', { skip: noSlapd() || noKdc() }, async (t) => {
  const users = { [`alice@${realm}`]: 'ticket-pw', [`bob@${realm}`]: 'bob-pw' }
  const kdc = await Kdc.start({ realms: [realm], users })
  t.teardown(() => kdc.stop())
  const keytab = `${kdc.directory}/http.keytab`
  await kdc.addKey(service, keytab)
  const before = process.env.KRB5_CONFIG
  process.env.KRB5_CONFIG = kdc.environment.KRB5_CONFIG
  t.teardown(() => {
    if (before === undefined) delete process.env.KRB5_CONFIG
    else process.env.KRB5_CONFIG = before
  })
  const accountOf = (principal: string) => principal.replace(/@.*/, '')
  const kerberos = { realm, keytab, service, accountOf }
  const { signIn, slapd } = await signingIn(t, ['accounts', 'kerberos'], kerberos)
  t.equal(await signIn('alice', 'alice-pw'), 'basic:alice@desy.de', 'the directory says yes')
  t.equal(await signIn('alice', 'ticket-pw'), 'basic:alice@desy.de', 'the KDC says yes')
  t.equal(await signIn('alice', 'neither'), 'unauthenticated password')
  await kdc.pause()
  t.equal(await signIn('bob', 'bob-pw'), 'basic:bob@desy.de', 'the directory is enough')
  t.equal(await signIn('bob', 'guess'), 'unavailable password', 'the KDC might have known it')
  await kdc.resume()
  t.equal(await signIn('bob', 'guess'), 'unauthenticated password')
  t.equal(await signIn('alice', 'guess'), 'unauthenticated password')
  await slapd.stop()
  t.equal(await signIn(`alice@${realm}`, 'ticket-pw', '192.0.2.9'), 'basic:alice@desy.de', 'remembered')
  t.match(await signIn('alice', 'guess'), /^unavailable /)
})
