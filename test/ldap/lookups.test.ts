/** Look-ups in a real directory: people, groups, numbers, and who is refused. */

import t, { type Test } from 'tap'
import { bisBase, group, groupDn, labBase, noSlapd, person, Slapd, userDn } from '../peers/slapd.ts'
import { optionsFor, outcome, worldOf } from './directory.ts'

const posix = (name: string, lines: readonly string[]) =>
  `dn: uid=${name},ou=people,${labBase}\nobjectClass: inetOrgPerson\ncn: x\nsn: x\n${lines.join('\n')}\n\n`

const lab = [
  person(labBase, 'carol', { uid: 20_003, gid: 30_001 }),
  person(labBase, 'Dora', { uid: 20_004 }),
  person(labBase, 'root', { uid: 0 }),
  person(labBase, 'tiny', { uid: 12 }),
  person(labBase, 'wheel', { uid: 20_005, gid: 10 }),
  person(labBase, 'wheeler', { uid: 20_006 }),
  group(labBase, 'wheelers', 10, ['wheeler']),
  person(labBase, 'twin', { uid: 20_007 }),
  `dn: ou=more,ou=people,${labBase}\nobjectClass: organizationalUnit\nou: more\n\n`,
  person(labBase, 'twin', { uid: 20_008 }).replace(`,ou=people,`, ',ou=more,ou=people,'),
  person(labBase, 'erin', { uid: 20_009, more: ['uid: erin-alias'] }),
  `dn: cn=Nameless,ou=people,${labBase}\nobjectClass: inetOrgPerson\ncn: Nameless\nsn: x\nuid: two\nuid: names\n`,
  'objectClass: posixAccount\nuidNumber: 20010\ngidNumber: 20000\nhomeDirectory: /\n\n',
  posix('gone', ['objectClass: posixAccount', 'objectClass: shadowAccount', 'uid: gone', 'uidNumber: 20011']).trimEnd(),
  '\ngidNumber: 20000\nhomeDirectory: /\nshadowExpire: 1\n\n',
  posix('stays', [
    'objectClass: posixAccount',
    'objectClass: shadowAccount',
    'uid: stays',
    'uidNumber: 20012',
  ]).trimEnd(),
  '\ngidNumber: 20000\nhomeDirectory: /\nshadowExpire: -1\n\n',
  group(labBase, 'also-p01', 30_001, []),
  group(labBase, '4711', 30_003, ['bob']),
  group(labBase, 'a@b', 30_004, ['bob']),
  group(labBase, 'lost', 4_294_967_295, ['lost-one']),
  person(labBase, 'lost-one', { uid: 20_013 }),
  person(labBase, 'plain', { uid: 20_014, more: ['mail: second@example.test'] }),
].join('')

const deep = Array.from({ length: 8 }, (_, level) =>
  group(bisBase, `level${level}`, 31_000 + level, [level === 0 ? userDn('alice') : groupDn(`level${level - 1}`)]),
)
const bis = [
  ...deep,
  group(bisBase, 'ring-a', 32_001, [groupDn('ring-b'), userDn('bob')]),
  group(bisBase, 'ring-b', 32_002, [groupDn('ring-a')]),
  group(bisBase, 'self', 32_003, [groupDn('self'), userDn('bob')]),
  group(bisBase, 'odd, (name)*\\5c', 32_004, [userDn('bob')]).replace(
    /^dn: .*$/m,
    `dn: cn=odd\\, (name)*\\\\5c,ou=groups,${bisBase}`,
  ),
].join('')

t.test('a real directory', { skip: noSlapd() }, async (t) => {
  const slapd = await Slapd.start(t, { lab, bis })
  await t.test('by RFC 2307', (t) => rfc2307(t, slapd))
  await t.test('by RFC2307bis', (t) => rfc2307bis(t, slapd))
  await t.test('names that would be syntax', (t) => injections(t, slapd))
  await t.test('all of them', (t) => listing(t, slapd))
  await t.test('checked', (t) => checking(t, slapd))
  await t.test('asked otherwise than usual', (t) => overrides(t, slapd))
  await t.test('with parts that are elsewhere', (t) => referrals(t, slapd))
})

async function rfc2307(t: Test, slapd: Slapd): Promise<void> {
  const { source } = worldOf(t, optionsFor('rfc2307', { servers: [slapd.url] }))
  t.same(await source.find('alice'), {
    name: 'alice',
    ids: { uid: 20_001, gid: 20_000, gids: [30_001, 30_002] },
    groups: ['p01', 'p02', 'staff'],
    mail: 'alice@example.test',
  })
  t.same((await source.find('carol'))?.groups, [], 'of two groups with one number neither is named')
  t.equal((await source.find('carol'))?.ids?.gid, 30_001)
  t.equal((await source.find('plain'))?.mail?.includes('@example.test'), true)
  t.same((await source.find('bob'))?.groups, ['p02', 'staff'], 'no ACL could name a number or another domain')
  t.same((await source.find('bob'))?.ids?.gids, [30_002, 30_003, 30_004])
  t.equal(await source.find('nobody-there'), undefined)
  t.ok(await source.find('erin'), 'of two names the one that names the entry')
  t.match(await outcome(source.find('erin-alias')), /^denied account-refused: erin-alias is another name of erin$/)
  t.ok(await source.find('stays'), '-1 is never')
  const refused = ['dora', 'twin', 'two', 'tiny', 'wheel', 'wheeler', 'gone', 'lost-one', 'root']
  for (const name of refused) t.match(await outcome(source.find(name)), /^denied account-refused: /, name)
  t.match(await outcome(source.find('twin')), /2 entries/)
  t.match(await outcome(source.find('gone')), /shadowExpire/)
  t.match(await outcome(source.find('dora')), /"Dora", which is no account name/)
  t.match(await outcome(source.find('lost-one')), /gidNumber is "4294967295"/)
  t.same(await source.findGroup('p01'), { gid: 30_001 })
  t.equal(await source.findGroup('P01'), undefined, 'ACLs know one way to write it')
  t.equal(await source.findGroup('p99'), undefined)
  t.match(await outcome(source.findGroup('wheelers')), /denied/)
  const early = worldOf(t, optionsFor('rfc2307', { servers: [slapd.url] }))
  early.clock.now = 1000
  t.ok(await early.source.find('gone'), 'the day before it was not gone yet')
}

async function rfc2307bis(t: Test, slapd: Slapd): Promise<void> {
  const groups = async (depth: number, name: string) => {
    const { source } = worldOf(t, optionsFor('rfc2307bis', { servers: [slapd.url], depth }))
    return (await source.find(name))?.groups.toSorted()
  }
  t.same(await groups(0, 'alice'), ['level0', 'p01', 'p02', 'staff'], 'only what names her')
  t.same(await groups(2, 'alice'), ['level0', 'level1', 'level2', 'p01', 'p02', 'staff'])
  t.same((await groups(32, 'alice'))?.length, 11, 'as deep as it goes')
  const bobs = ['odd, (name)*\\5c', 'p02', 'ring-a', 'ring-b', 'self', 'staff']
  t.same(await groups(32, 'bob'), bobs, 'a ring ends where it began')
}

async function injections(t: Test, slapd: Slapd): Promise<void> {
  const { source } = worldOf(t, optionsFor('rfc2307', { servers: [slapd.url] }))
  for (const name of [
    '*',
    'a*',
    '*)(uid=*',
    'alice)(uid=bob',
    'alice\0',
    'a\\2a',
    '\\61lice',
    'alice ',
    'Alice',
    '(',
    '',
  ]) {
    t.equal(await source.find(name), undefined, JSON.stringify(name))
    t.equal(await source.findGroup(name), undefined, JSON.stringify(name))
  }
  // Attributes of the directory become values of filters too: a DN with everything that is syntax in one.
  const odd = worldOf(t, optionsFor('rfc2307bis', { servers: [slapd.url] }))
  await slapd.change(
    bisBase,
    `dn: cn=above,ou=groups,${bisBase}\nchangetype: add\nobjectClass: groupOfNames\nobjectClass: posixGroup\ncn: above\ngidNumber: 32005\nmember: cn=odd\\, (name)*\\\\5c,ou=groups,${bisBase}\n`,
  )
  t.ok((await odd.source.find('bob'))?.groups.includes('above'))
}

async function listing(t: Test, slapd: Slapd): Promise<void> {
  for (const kind of ['rfc2307', 'rfc2307bis'] as const) {
    const { source } = worldOf(t, optionsFor(kind, { servers: [slapd.url], depth: 32 }))
    const listed = new Map((await Array.fromAsync(source.list())).map((account) => [account.name, account]))
    const names = kind === 'rfc2307' ? ['alice', 'bob', 'carol', 'erin', 'plain', 'stays'] : ['alice', 'bob']
    t.same([...listed.keys()].toSorted(), names, `${kind}: those that may come in`)
    for (const name of names) {
      const [one, other] = [listed.get(name), await source.find(name)]
      const sorted = (account: typeof one) => ({ ...account, groups: account?.groups.toSorted() })
      t.same({ ...sorted(one), ids: undefined }, { ...sorted(other), ids: undefined }, name)
      t.same(one?.ids?.gids.toSorted(), other?.ids?.gids.toSorted(), name)
    }
  }
}

async function checking(t: Test, slapd: Slapd): Promise<void> {
  const levels = async (change: Parameters<typeof optionsFor>[1]) => {
    const { source } = worldOf(t, optionsFor('rfc2307', { servers: [slapd.url], ...change }))
    return (await source.check()).map(({ level, text }) => `${level} ${text}`)
  }
  t.ok((await levels({})).every((line) => line.startsWith('ok ')))
  t.match((await levels({ schema: 'rfc2307bis' })).join('\n'), /error the gateway sees no groups with member below/)
  t.match((await levels({ users: { base: 'ou=nowhere,dc=lab,dc=test' } })).join('\n'), /error users .* cannot be read/)
  const { bind: _, ...anonymous } = optionsFor('rfc2307', { servers: [slapd.url] })
  const found = await worldOf(t, anonymous).source.check()
  t.match(found.map(({ level }) => level).join(), /error/, 'nobody may read without a name')
  const tls = await levels({ servers: [slapd.tlsUrl], ca: slapd.ca })
  t.match(tls[0], /^ok its certificate is accepted and good for (29|30) days/)
  t.match((await levels({ servers: [slapd.tlsUrl] }))[0], /^error .*not accepted .*name the authority/)
}

async function overrides(t: Test, slapd: Slapd): Promise<void> {
  const usual = optionsFor('rfc2307', { servers: [slapd.url] })
  const source = (users: object, groups: object = {}) =>
    worldOf(t, { ...usual, users: { ...usual.users, ...users }, groups: { ...usual.groups, ...groups } }).source
  const filtered = source({ filter: '(!(uid=bob))' })
  t.ok(await filtered.find('alice'))
  t.equal(await filtered.find('bob'), undefined, 'the filter holds in addition')
  t.equal(await source({ objectClass: 'account' }).find('alice'), undefined)
  t.equal((await source({ attributes: { mail: 'homeDirectory' } }).find('alice'))?.mail, undefined, 'that is none')
  const swapped = await source({ attributes: { uid: 'gidNumber', gid: 'uidNumber' } }).find('alice')
  t.match(swapped?.ids, { uid: 20_000, gid: 20_001 })
  t.same((await source({}, { filter: '(cn=p01)' }).find('alice'))?.groups, ['p01'])
  t.same((await source({}, { attributes: { member: 'description' } }).find('alice'))?.groups, ['staff'])
}

async function referrals(t: Test, slapd: Slapd): Promise<void> {
  const entry = (unit: string) =>
    `dn: ou=${unit},ou=people,${labBase}\nchangetype: add\nobjectClass: referral\nobjectClass: extensibleObject\nou: ${unit}\nref: ldap://127.0.0.1:1/ou=people,dc=evil,dc=test\n\n`
  await slapd.change(labBase, entry('elsewhere'))
  const { source } = worldOf(t, optionsFor('rfc2307', { servers: [slapd.url] }))
  t.ok(await source.find('alice'), 'what is here is found')
  t.equal(await source.find('mallory'), undefined, 'what is elsewhere is not looked for')
  const users = { base: `ou=elsewhere,ou=people,${labBase}` }
  const away = worldOf(t, optionsFor('rfc2307', { servers: [slapd.url], users }))
  t.match(await outcome(away.source.find('alice')), /^unavailable .*refers to another server, which is not followed/)
}
