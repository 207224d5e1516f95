/** Directories that go away, hang, come back or say too much; and how often they are asked. */

import t, { type Test } from 'tap'
import { bisBase, group, groupDn, noSlapd, Slapd, userDn } from '../peers/slapd.ts'
import { optionsFor, outcome, worldOf } from './directory.ts'
import { Way } from './way.ts'

/** Alice is in a group in a group in a group: a search for each. */
const tower = Array.from({ length: 10 }, (_, level) =>
  group(bisBase, `level${level}`, 31_000 + level, [level === 0 ? userDn('alice') : groupDn(`level${level - 1}`)]),
).join('')

t.test('a directory', { skip: noSlapd() }, async (t) => {
  const slapd = await Slapd.start(t, { bis: tower })
  await t.test('is asked once', (t) => once(t, slapd))
  await t.test('goes away and comes back', (t) => leaving(t, slapd))
  await t.test('hangs', (t) => hanging(t, slapd))
  await t.test('is slow', (t) => slow(t, slapd))
  await t.test('has a second server', (t) => failOver(t, slapd))
  await t.test('closes what is idle', (t) => idle(t, slapd))
  await t.test('says too much', (t) => tooMuch(t, slapd))
  await t.test('does not let the gateway in', (t) => locked(t, slapd))
})

async function once(t: Test, slapd: Slapd): Promise<void> {
  const way = await Way.open(t, { to: slapd.port })
  const { source, clock } = worldOf(t, optionsFor('rfc2307', { servers: [way.url] }))
  way.hold()
  const all = Array.from({ length: 100 }, () => source.find('alice'))
  way.release()
  const accounts = new Set(await Promise.all(all))
  t.equal(accounts.size, 1)
  t.equal(way.searches, 3, 'a person, his groups, the name of his own: for a hundred at once')
  t.equal(way.connections, 1)
  await source.find('alice')
  t.equal(way.searches, 3, 'it is remembered')
  clock.now += 300_000
  await source.find('alice')
  t.equal(way.searches, 6, 'for five minutes')
  for (let time = 0; time < 10; time++) await source.find('stranger')
  t.equal(way.searches, 7, 'and so is who is not there')
  clock.now += 30_000
  await source.find('stranger')
  t.equal(way.searches, 8, 'for half a minute')
}

async function leaving(t: Test, slapd: Slapd): Promise<void> {
  const way = await Way.open(t, { to: slapd.port })
  const { source, clock, told } = worldOf(t, optionsFor('rfc2307', { servers: [way.url] }))
  await source.find('alice')
  t.same(told, [])
  const { port } = way
  await way.close()
  clock.now += 300_001
  for (let time = 0; time < 20; time++) t.equal((await source.find('alice'))?.name, 'alice')
  t.match(await outcome(source.find('bob')), /^unavailable account-source: .*(ECONNREFUSED|no server)/)
  t.same(
    told.map(({ available }) => available),
    [false],
    'it is said once',
  )
  t.match(told[0]?.text, /ECONNREFUSED/)
  t.notOk(source.state().available)
  clock.now += 3_300_000
  t.match(await outcome(source.find('alice')), /^unavailable /, 'an hour after she was seen last')
  await way.reopen(port)
  while (!source.state().available) await new Promise(setImmediate)
  t.equal((await source.find('bob'))?.name, 'bob')
  t.equal((await source.find('alice'))?.name, 'alice')
  t.same(
    told.map(({ available }) => available),
    [false, true],
  )
}

async function hanging(t: Test, slapd: Slapd): Promise<void> {
  const deaf = await Way.open(t)
  const slow = optionsFor('rfc2307', { servers: [deaf.url], deadline: 600, connections: 1 })
  const retry = { least: 60_000, most: 60_000 }
  const { source } = worldOf(t, slow, retry)
  t.match(await outcome(source.find('alice')), /^unavailable .*no answer within 600 ms/)
  const refused = await Promise.all(Array.from({ length: 100 }, (_, at) => outcome(source.find(`user${at}`))))
  t.ok(refused.every((text) => /^unavailable /.test(String(text))))
  t.equal(deaf.connections, 1, 'then nobody waits for it')

  const way = await Way.open(t, { to: slapd.port })
  const known = worldOf(t, { ...slow, servers: [way.url] }, retry)
  await known.source.find('alice')
  way.hold()
  known.clock.now += 300_001
  t.ok(await known.source.find('alice'), 'who is known waits once')
  t.notOk(known.source.state().available)
  for (let time = 0; time < 100; time++) await known.source.find('alice')
  t.equal(way.connections, 1, 'and no more')

  const busy = await Way.open(t, { to: slapd.port })
  const queue = worldOf(t, optionsFor('rfc2307', { servers: [busy.url], connections: 1, waitDeadline: 50 }))
  busy.hold()
  const first = queue.source.find('alice')
  t.match(await outcome(queue.source.find('bob')), /^busy /, 'a turn is not waited for without end')
  busy.release()
  t.ok(await first)
}

async function slow(t: Test, slapd: Slapd): Promise<void> {
  const way = await Way.open(t, { to: slapd.port, delay: 200 })
  const times = { servers: [way.url], deadline: 600, connectDeadline: 5000, depth: 32 }
  const flat = worldOf(t, optionsFor('rfc2307', times))
  t.ok(await flat.source.find('alice'), 'each answer comes in time')
  const deep = worldOf(t, optionsFor('rfc2307bis', times))
  t.match(await outcome(deep.source.find('alice')), /^unavailable .*no answer within/, 'but together they do not')
  t.ok(await worldOf(t, optionsFor('rfc2307bis', times)).source.find('bob'))
}

async function failOver(t: Test, slapd: Slapd): Promise<void> {
  const [one, two] = [await Way.open(t, { to: slapd.port }), await Way.open(t, { to: slapd.port })]
  const { source, told } = worldOf(t, optionsFor('rfc2307', { servers: [one.url, two.url], found: 1, missing: 1 }))
  await source.find('alice')
  t.same([one.connections, two.connections], [1, 0], 'the first is asked')
  const { port } = one
  await one.close()
  t.ok(await source.find('bob'))
  t.equal(two.connections, 1, 'then the second')
  t.match(told, [{ available: true, text: /ECONNREFUSED.*in use$/ }])
  await one.reopen(port)
  while (told.length < 2) {
    source.state()
    await new Promise(setImmediate)
  }
  const [before, asked] = [one.searches, two.searches]
  await source.findGroup('p01')
  t.ok(one.searches > before, 'and the first again')
  t.equal(two.searches, asked)
}

async function idle(t: Test, slapd: Slapd): Promise<void> {
  const way = await Way.open(t, { to: slapd.port })
  const { source, told } = worldOf(t, optionsFor('rfc2307', { servers: [way.url] }))
  await source.find('alice')
  way.cut()
  t.ok(await source.find('bob'), 'nobody notices')
  t.same(told, [])
  t.equal(way.connections, 2)
  await slapd.stop()
  await slapd.resume()
  t.ok(await source.findGroup('p01'), 'nor after a restart')
  await source.close()
  t.ok(await source.findGroup('p02'), 'who still has it when it is closed gets his answer')
}

async function tooMuch(t: Test, slapd: Slapd): Promise<void> {
  const flood = Buffer.concat([Buffer.from('308406400000', 'hex'), Buffer.alloc(9 * 2 ** 20)])
  const answers = { flood, noise: Buffer.from('not LDAP at all'), zero: Buffer.from('3003020100', 'hex') }
  for (const [name, answer] of Object.entries(answers)) {
    let count = 0
    const way = await Way.open(t, { to: slapd.port, change: (real) => (++count === 1 ? real : answer) })
    const { source } = worldOf(t, optionsFor('rfc2307', { servers: [way.url], deadline: 500 }))
    const expected = name === 'flood' ? /^denied account-refused: .*more than was asked/ : /^unavailable /
    t.match(await outcome(source.find('alice')), expected, name)
  }
}

async function locked(t: Test, slapd: Slapd): Promise<void> {
  const right = optionsFor('rfc2307', { servers: [slapd.url] })
  const dn = 'cn=nobody,dc=lab,dc=test'
  const { source, told } = worldOf(t, { ...right, ...(right.bind && { bind: { ...right.bind, dn } }) })
  t.match(await outcome(source.find('alice')), /^unavailable .*does not let the gateway in \(result 49/)
  t.match(told, [{ available: false }])
}
