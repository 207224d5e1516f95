import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { openState } from '../../gateway/state/open.ts'
import type { StoredLock } from '../../gateway/state/state.ts'

const roomy = { own: 100, all: 1000 }
const unbound = { object: undefined, above: [], fresh: false }

interface Clock {
  now: number
}

async function open(t: Test, directory: string, clock: Clock) {
  const state = await openState({ directory, now: () => clock.now, timing: { renew: 60_000, life: 1000 } })
  t.teardown(() => state.close())
  return state.locks
}

function directoryFor(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-locks-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

function lock(token: string, more: Partial<StoredLock> = {}): StoredLock {
  return {
    token,
    principal: 'alice',
    counted: 'alice',
    user: 'alice@x',
    backend: 'posix:/x',
    realm: 'tree',
    at: parsePath('/x/f'),
    path: parsePath('/data/f'),
    scope: 'exclusive',
    depth: 'infinity',
    owner: '<D:owner xmlns:D="DAV:">Ä &amp; 🦑</D:owner>',
    created: 5,
    expires: 10_000,
    object: 'a1',
    above: ['r', 'd'],
    fresh: false,
    ...more,
  }
}

t.test('a lock comes back as it was put in, and a second process sees it', async (t) => {
  const directory = directoryFor(t)
  const clock = { now: 1000 }
  const [one, two] = [await open(t, directory, clock), await open(t, directory, clock)]
  const serial = await one.add(lock('t1'), 0, roomy)
  t.equal(serial, 1)
  t.equal(await one.confirm('t1', { object: 'b2', above: ['r'], fresh: true }, 9000), true)
  const { locks, whole } = await two.changes(-1)
  t.equal(whole, true)
  t.same(locks, [lock('t1', { object: 'b2', above: ['r'], fresh: true, expires: 9000 })])
  const none = { object: undefined, user: undefined, path: parsePath('/\u{1f991}/ä') }
  const now = (await two.changes(-1)).serial
  t.ok(await two.add(lock('t2', none), now, roomy))
  t.match((await one.changes(now)).locks, [{ token: 't2', object: undefined, user: undefined, path: '/\u{1f991}/ä' }])
})

t.test('what was decided by an older state is not added', async (t) => {
  const directory = directoryFor(t)
  const clock = { now: 1000 }
  const [one, two] = [await open(t, directory, clock), await open(t, directory, clock)]
  t.equal(await one.add(lock('t1'), 0, roomy), 1)
  t.equal(await two.add(lock('t2'), 0, roomy), undefined)
  t.equal(await two.add(lock('t2'), 1, roomy), 2)
  const both = Array.from({ length: 10 }, (_, index) => [one, two][index % 2]?.add(lock(`r${index}`), 2, roomy))
  t.equal((await Promise.all(both)).filter((serial) => serial !== undefined).length, 1)
})

t.test('there are only so many, of one principal and in all', async (t) => {
  const locks = await open(t, directoryFor(t), { now: 1000 })
  const add = async (token: string, more: Partial<StoredLock>) =>
    locks.add(lock(token, more), (await locks.changes(-1)).serial, { own: 2, all: 3 })
  await add('a', {})
  await add('b', {})
  await t.rejects(add('c', {}), { code: 'busy' })
  await t.rejects(add('c', { principal: 'alice#macaroon:1' }), { code: 'busy' }, 'whichever credential of hers it is')
  await add('c', { principal: 'bob', counted: 'bob' })
  await t.rejects(add('d', { principal: 'carol', counted: 'carol' }), { code: 'busy' })
  await locks.remove(['a'])
  t.ok(await add('d', { principal: 'carol', counted: 'carol' }))
})

t.test('a lock can be refused only until it is confirmed', async (t) => {
  const locks = await open(t, directoryFor(t), { now: 1000 })
  await locks.add(lock('t1'), 0, roomy)
  await locks.refuse('t1')
  t.equal(await locks.confirm('t1', unbound, 9000), false)
  await locks.add(lock('t2'), (await locks.changes(-1)).serial, roomy)
  t.equal(await locks.confirm('t2', unbound, 9000), true)
  await locks.refuse('t2')
  t.same(
    (await locks.changes(-1)).locks.map(({ token }) => token),
    ['t2'],
  )
})

t.test('what has expired goes, also what nobody confirmed; what was refreshed stays', async (t) => {
  const clock = { now: 1000 }
  const locks = await open(t, directoryFor(t), clock)
  for (const [serial, token] of ['t1', 't2', 't3'].entries()) {
    await locks.add(lock(token), (await locks.changes(-1)).serial, roomy)
    if (serial < 2) await locks.confirm(token, unbound, 3000)
  }
  t.equal(await locks.refresh('t2', 80_000), true)
  clock.now = 3000
  await locks.expire()
  const left = async () => (await locks.changes(-1)).locks.map(({ token }) => token).toSorted()
  t.same(await left(), ['t2', 't3'])
  clock.now = 61_000
  await locks.expire()
  t.same(await left(), ['t2'])
  t.equal(await locks.refresh('t1', 90_000), false)
})

t.test('a change is settled when every living process has seen it', async (t) => {
  const directory = directoryFor(t)
  const clock = { now: 1000 }
  const [one, two] = [await open(t, directory, clock), await open(t, directory, clock)]
  t.equal(await one.settled(1, 0), true, 'who does not follow locks is not waited for')
  await two.beat(0)
  await one.add(lock('t1'), 0, roomy)
  t.equal(await one.settled(1, 20), false)
  const settled = one.settled(1, 10_000)
  await two.seen(1)
  t.equal(await settled, true)
  t.equal(await one.settled(2, 20), false)
  clock.now += 1001
  t.equal(await one.settled(2, 20), true, 'nobody waits for a process that has not been heard of')
})

t.test('removed locks are told to all who follow, and to those who come too late everything', async (t) => {
  const directory = directoryFor(t)
  const clock = { now: 1000 }
  const [one, two] = [await open(t, directory, clock), await open(t, directory, clock)]
  await one.beat(0)
  await two.beat(0)
  await one.add(lock('t1'), 0, roomy)
  await one.remove(['t1'])
  t.match(await two.changes(1), { serial: 2, whole: false, locks: [], gone: ['t1'] })
  await one.seen(2)
  await two.seen(2)
  await one.add(lock('t2'), 2, roomy)
  await one.remove(['t2'])
  t.match(await two.changes(2), { gone: ['t2'], whole: false }, 'the removal of t1 is forgotten, that of t2 is not')
  t.match(await two.changes(1), { gone: ['t2'], whole: true, locks: [] }, 'who is behind reads all')
})

t.test('the others are heard of at once', async (t) => {
  const directory = directoryFor(t)
  const clock = { now: 1000 }
  const [one, two] = [await open(t, directory, clock), await open(t, directory, clock)]
  const heard = Promise.withResolvers<void>()
  let calls = 0
  two.watch(async () => {
    // The first is that of the beginning; the timer would take a minute.
    if (++calls > 1) heard.resolve()
  })
  await one.add(lock('t1'), 0, roomy)
  await heard.promise
  t.pass('by the bell')
})
