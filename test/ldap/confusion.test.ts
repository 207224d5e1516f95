/** One person taken for another, and what is believed for longer than it may be. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openAccounts } from '../../acl/identity/accounts.ts'
import type { LdapOptions } from '../../acl/identity/ldap/options.ts'
import { Secret } from '../../acl/secret.ts'
import { ActiveDirectory, type AdEntry } from '../doubles/active-directory/server.ts'
import { directoryFor } from '../identity/issuer.ts'
import { optionsFor, outcome, worldOf } from './directory.ts'
import { Way } from './way.ts'

const base = 'dc=x'
const reader = { dn: 'cn=reader,dc=x', password: 'reader-secret' }
const day = 86_400_000

function person(dn: string, uid: number, names: readonly string[], more: AdEntry['attributes'] = {}): AdEntry {
  const numbers = { uidNumber: [String(uid)], gidNumber: ['20000'] }
  return { dn: `${dn},${base}`, attributes: { objectClass: ['posixAccount'], uid: names, ...numbers, ...more } }
}

/** A directory, a way to it, and what a source is made from. */
async function directoryOf(
  t: Test,
  entries: readonly AdEntry[],
  change?: (answer: Buffer, connection: number) => Buffer | undefined,
) {
  const passwords = { [reader.dn]: reader.password, [`uid=alice,${base}`]: 'alice-pw' }
  const server = await ActiveDirectory.start(t, entries, passwords)
  const way = await Way.open(t, { to: Number(new URL(server.url).port), ...(change && { change }) })
  const bind = { dn: reader.dn, password: new Secret(reader.password) }
  const options = (more: Partial<LdapOptions> = {}) =>
    optionsFor('rfc2307', { servers: [way.url], bind, users: { base }, groups: { base }, ...more })
  return { way, options }
}

/** Of the first message in it: SEQUENCE, then an INTEGER of one byte. */
function messageId(answer: Buffer): number {
  const first = answer[1] ?? 0
  return answer[4 + (first < 0x80 ? 0 : first & 0x7f)] ?? 0
}

const alice = person('uid=alice', 20_001, ['alice'])

t.test('another name of somebody opens nobody else’s account', async (t) => {
  const entries = [
    person('uid=erin', 20_009, ['erin', 'erin-alias']),
    person('uid=twin,ou=one', 20_010, ['twin', 'twin-alias']),
    person('uid=twin,ou=two', 20_011, ['twin']),
  ]
  const { options } = await directoryOf(t, entries)
  const file = join(directoryFor(t), 'accounts.yaml')
  writeFileSync(file, 'users: { erin: { uid: 5000, gid: 5000 } }\n', { mode: 0o600 })
  const given = { domain: 'x', issuers: [], mapping: [], minUid: 1000, administrators: [] }
  const accounts = await openAccounts({ ...given, accounts: [{ file }, { ldap: options() }] }, Date.now)
  t.teardown(() => accounts.close())
  t.match(await outcome(accounts.find('erin-alias')), /^denied account-refused: .*another name/, 'she is in the file')
  t.match(await outcome(accounts.find('twin')), /^denied account-refused: 2 entries/)
  t.match(await outcome(accounts.find('twin-alias')), /^denied account-refused: .*another name/, 'nor by a detour')
  t.match(await outcome(accounts.checkPassword('twin-alias', new Secret('x'))), /^unauthenticated password/)
})

t.test('a character whose lower case is a letter of ASCII is not that letter', async (t) => {
  const ad = (name: string, more: AdEntry['attributes']) => ({
    dn: `CN=${name},${base}`,
    attributes: { sAMAccountName: [name], ...more },
  })
  const { options } = await directoryOf(t, [
    ad('\u212aate', { objectClass: ['user'], uidNumber: ['20001'], gidNumber: ['20000'] }),
    ad('bob', { objectClass: ['user'], uidNumber: ['20002'], gidNumber: ['20000'] }),
    ad('wor\u212aers', { objectClass: ['group'], gidNumber: ['30001'], member: [`CN=bob,${base}`] }),
  ])
  const { source } = worldOf(t, options({ schema: 'ad' }))
  t.match(await outcome(source.find('kate')), /^denied .*no account name/)
  t.same((await source.find('bob'))?.groups, [], 'known by its number alone')
})

t.test('in an outage nobody learns which names were asked for before', async (t) => {
  const { way, options } = await directoryOf(t, [alice])
  const { source, clock } = worldOf(t, options())
  t.ok(await source.find('alice'))
  t.equal(await source.find('nobody-there'), undefined)
  await way.close()
  t.match(await outcome(source.find('bob')), /^unavailable /)
  t.match(await outcome(source.find('nobody-there')), /^unavailable /)
  clock.now += 300_001
  t.ok(await source.find('alice'))
})

t.test('a group that there was not is no reason to turn somebody away in an outage', async (t) => {
  const { way, options } = await directoryOf(t, [alice])
  const { source, clock } = worldOf(t, options())
  t.equal(await source.findGroup('joined'), undefined)
  await way.close()
  clock.now += 30_001
  t.equal(await source.findGroup('joined'), undefined)
  t.match(await outcome(source.findGroup('other')), /^unavailable /)
})

t.test('an account that ends in an outage ends', async (t) => {
  const days = Math.floor(Date.now() / day) + 1
  const { way, options } = await directoryOf(t, [
    person('uid=alice', 20_001, ['alice'], { shadowExpire: [String(days)] }),
    person('uid=bob', 20_002, ['bob']),
  ])
  const { source, clock } = worldOf(t, options({ stale: 2 * day }))
  clock.now = days * day - 1000
  t.ok(await source.find('alice'))
  t.ok(await source.find('bob'))
  clock.now += 1000
  t.match(await outcome(source.find('alice')), /^denied .*expired \(shadowExpire\)/, 'not five minutes later')
  clock.now -= 1000
  t.ok(await worldOf(t, options()).source.find('bob'))
  const other = worldOf(t, options({ stale: 2 * day }))
  other.clock.now = clock.now
  t.ok(await other.source.find('alice'))
  await way.close()
  other.clock.now += 1000
  t.match(await outcome(other.source.find('alice')), /^unavailable /)
})

t.test('who keeps a directory busy does not stay somebody', async (t) => {
  const { way, options } = await directoryOf(t, [alice])
  const { source, clock } = worldOf(t, options({ connections: 1, waitDeadline: 30 }))
  await source.find('alice')
  way.hold()
  const flood = source.find('bob')
  clock.now += 300_001
  t.ok(await source.find('alice'), 'for a moment')
  clock.now += 60_000
  t.match(await outcome(source.find('alice')), /^busy /, 'the directory is there, and might know better')
  way.release()
  t.equal(await flood, undefined)
})

t.test('a password that the directory does not answer is no outage', async (t) => {
  // Servers make whoever guesses wait; the second connection is that of the password.
  const { way, options } = await directoryOf(t, [alice], (answer, connection) =>
    connection === 1 ? undefined : answer,
  )
  const { source, told } = worldOf(t, options({ deadline: 300 }), { least: 60_000, most: 60_000 })
  t.ok(await source.find('alice'))
  t.match(await outcome(source.checkPassword('alice', new Secret('guess'))), /^unavailable .*no answer/)
  t.equal(await source.find('somebody-else'), undefined, 'others are looked up')
  t.ok(source.state().available)
  t.equal(await source.checkPassword('alice', new Secret('alice-pw')), true)
  t.same(told, [])
  way.hold()
  t.match(await outcome(source.checkPassword('alice', new Secret('alice-pw'))), /^unavailable .*no answer/)
  while (source.state().available) await new Promise(setImmediate)
  t.match(told, [{ available: false }], 'a server that answers nobody is noticed all the same')
})

t.test('one person whose groups take too long is no outage either', async (t) => {
  const entries = [alice, person('uid=bob', 20_002, ['bob'])]
  // Of the first connection: the gateway's sign-in (2), the person (3), then nothing.
  const { way, options } = await directoryOf(t, entries, (answer, connection) =>
    connection === 0 && messageId(answer) > 3 ? undefined : answer,
  )
  const { source, told } = worldOf(t, options({ deadline: 300 }), { least: 60_000, most: 60_000 })
  t.match(await outcome(source.find('alice')), /^unavailable .*no answer/)
  t.ok(await source.find('bob'))
  t.ok(source.state().available)
  t.same(told, [])
  way.hold()
  t.match(await outcome(source.find('carol')), /^unavailable .*no answer/)
  t.match(told, [{ available: false }], 'where nothing at all is answered it is one at once')
})

t.test('an empty file of authorities trusts nobody', async (t) => {
  const ca = join(directoryFor(t), 'ca.pem')
  writeFileSync(ca, '')
  const way = await Way.open(t)
  const { source } = worldOf(t, optionsFor('rfc2307', { servers: [`ldaps://127.0.0.1:${way.port}`], ca }))
  t.match(await outcome(source.find('alice')), /^unavailable .*holds no certificates/)
})

t.test(
  'a directory that another place in the list is given keeps what it knows, and is told of by that place',
  async (t) => {
    const { way, options } = await directoryOf(t, [alice])
    const file = join(directoryFor(t), 'accounts.yaml')
    writeFileSync(file, 'users: {}\n', { mode: 0o600 })
    const told: string[] = []
    const report = ({ name, available }: { name: string; available: boolean }) => void told.push(`${name} ${available}`)
    const given = { domain: 'x', issuers: [], mapping: [], minUid: 1000, administrators: [], report }
    const before = await openAccounts({ ...given, accounts: [{ ldap: options() }] }, Date.now)
    await before.find('alice')
    const after = await openAccounts({ ...given, accounts: [{ file }, { ldap: options() }] }, Date.now, before)
    t.teardown(() => after.close())
    await before.close(after)
    const { connections } = way
    t.ok(await after.find('alice'))
    t.match(await outcome(after.find('bob')), /^denied account-unknown/)
    t.equal(way.connections, connections)
    await way.close()
    t.match(await outcome(after.find('carol')), /^unavailable /)
    t.same(told, ['source 2 (ldap) false'])
  },
)

t.test('who is listed is who would be found', async (t) => {
  const { options } = await directoryOf(t, [
    person('uid=anna', 20_001, ['anna']),
    person('uid=ben', 20_002, ['ben', 'Anna']),
    person('uid=carl,ou=one', 20_003, ['carl']),
    person('uid=carl,ou=two', 20_004, ['carl'], { shadowExpire: ['1'] }),
    person('uid=dora', 20_005, ['dora', 'dora-alias']),
  ])
  const { source } = worldOf(t, options())
  const found: string[] = []
  for (const name of ['anna', 'ben', 'carl', 'dora', 'dora-alias']) {
    if (typeof (await outcome(source.find(name))) === 'object') found.push(name)
  }
  t.same(found, ['ben', 'dora'])
  const listed = await Array.fromAsync(source.list(), ({ name }) => name)
  t.same(listed, found)
})
