/** The preset for Active Directory, against a stand-in of a domain controller. */

import t from 'tap'
import type { LdapOptions } from '../../acl/identity/ldap/options.ts'
import { Secret } from '../../acl/secret.ts'
import { ActiveDirectory, type AdEntry } from '../doubles/active-directory/server.ts'
import { optionsFor, outcome, worldOf } from './directory.ts'

const base = 'DC=ad,DC=test'
const reader = { dn: `CN=portolan,CN=Users,${base}`, password: 'reader-secret' }

/** S-1-5-21-1-2-3-RID ([MS-DTYP], section 2.4.2.2); the numbers are small, so that its bytes are text. */
function sid(rid: number): Buffer {
  const bytes = Buffer.alloc(28)
  bytes.set([1, 5, 0, 0, 0, 0, 0, 5])
  for (const [index, part] of [21, 1, 2, 3, rid].entries()) bytes.writeUInt32LE(part, 8 + 4 * index)
  return bytes
}

interface Given {
  readonly name: string
  readonly rid: number
  readonly more?: AdEntry['attributes']
}

const user = ({ name, rid, more = {} }: Given): AdEntry => ({
  dn: `CN=${name},CN=Users,${base}`,
  attributes: {
    objectClass: ['top', 'person', 'organizationalPerson', 'user'],
    sAMAccountName: [name],
    objectSid: [sid(rid)],
    primaryGroupID: ['51'],
    userAccountControl: ['512'],
    accountExpires: ['9223372036854775807'],
    uidNumber: [String(20_000 + rid)],
    mail: [`${name}@ad.test`],
    ...more,
  },
})

const group = (name: string, rid: number, members: readonly string[], more: AdEntry['attributes'] = {}): AdEntry => ({
  dn: `CN=${name},OU=Groups,${base}`,
  attributes: {
    objectClass: ['top', 'group'],
    sAMAccountName: [name],
    objectSid: [sid(rid)],
    member: members,
    ...more,
  },
})

const userDn = (name: string) => `CN=${name},CN=Users,${base}`
const groupDn = (name: string) => `CN=${name},OU=Groups,${base}`
const many = Array.from({ length: 4000 }, (_, index) => `CN=stranger${index},CN=Users,${base}`)

const entries: readonly AdEntry[] = [
  { dn: base, attributes: { objectClass: ['top', 'domain'] } },
  user({ name: 'Alice', rid: 1 }),
  user({ name: 'bob', rid: 2, more: { userAccountControl: ['514'] } }),
  user({ name: 'carol', rid: 3, more: { accountExpires: ['116444736000000000'] } }),
  user({ name: 'dora', rid: 4, more: { uidNumber: [] } }),
  user({ name: 'erin', rid: 5, more: { gidNumber: ['30002'] } }),
  user({ name: 'frank', rid: 6, more: { primaryGroupID: ['52'] } }),
  user({ name: 'host$', rid: 7 }),
  group('Domain Users', 51, [], { gidNumber: ['30000'] }),
  group('Numberless', 52, []),
  group('Everyone here', 53, [groupDn('Domain Users')]),
  group('P01', 54, [userDn('alice')], { gidNumber: ['30001'] }),
  group('outer', 55, [groupDn('P01'), groupDn('outermost')], { gidNumber: ['30003'] }),
  group('outermost', 56, [groupDn('OUTER')]),
  group('large', 57, [...many, userDn('erin')]),
]

const options = (change: Partial<LdapOptions>): LdapOptions =>
  optionsFor('rfc2307bis', {
    bind: { dn: reader.dn, password: new Secret(reader.password) },
    schema: 'ad',
    users: { base },
    groups: { base },
    ...change,
  })

t.test('Active Directory', async (t) => {
  const passwords = { [reader.dn]: reader.password, [userDn('Alice')]: 'alice-pw' }
  const server = await ActiveDirectory.start(t, entries, passwords)
  const { source } = worldOf(t, options({ servers: [server.url] }))

  t.same(await source.find('alice'), {
    name: 'alice',
    ids: { uid: 20_001, gid: 30_000, gids: [30_001, 30_003] },
    groups: ['p01', 'outer', 'outermost', 'domain users', 'everyone here'],
    mail: 'Alice@ad.test',
  })
  const shallow = worldOf(t, options({ servers: [server.url], depth: 0 }))
  t.same((await shallow.source.find('alice'))?.groups, ['p01', 'domain users'], 'only what names her')
  t.match(await outcome(source.find('bob')), /^denied .*disabled \(userAccountControl\)/)
  t.match(await outcome(source.find('carol')), /^denied .*expired \(accountExpires\)/)
  t.equal((await source.find('dora'))?.ids, undefined, 'an identifier is no number')
  t.equal((await source.find('erin'))?.ids?.gid, 30_002, 'her own group number counts')
  t.match(await outcome(source.find('frank')), /^denied .*neither he nor his primary group/)
  t.equal(await source.find('host'), undefined)
  t.same(await source.findGroup('p01'), { gid: 30_001 })

  t.equal(await source.checkPassword('alice', new Secret('alice-pw')), true)
  t.equal(await source.checkPassword('alice', new Secret('wrong')), false)

  const listed = new Map((await Array.fromAsync(source.list())).map((account) => [account.name, account]))
  t.same([...listed.keys()].toSorted(), ['alice', 'dora', 'erin'])
  for (const [name, account] of listed) {
    const asked = await source.find(name)
    t.same(account.groups.toSorted(), asked?.groups.toSorted(), name)
    t.same(account.ids?.gid, asked?.ids?.gid, name)
  }
  t.ok(listed.get('erin')?.groups.includes('large'), 'the last of 4,001 members, who came in the third part')
  const parts = server.asked.filter((name) => name.includes('range='))
  t.same(parts, ['member;range=1500-*', 'member;range=3000-*'])
})
