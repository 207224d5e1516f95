/** Sessions, application passwords and wrong guesses, as two processes of one state store see them. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openState } from '../../gateway/state/open.ts'

async function two(t: Test) {
  const directory = await mkdtemp(join(tmpdir(), 'portolan-sign-in-'))
  let now = 1_700_000_000_000
  const open = () => openState({ directory, now: () => now })
  const [one, other] = [await open(), await open()]
  t.teardown(async () => {
    await one.close()
    await other.close()
    await rm(directory, { recursive: true, force: true })
  })
  const pass = (ms: number) => {
    now += ms
  }
  return { one, other, now: () => now, pass }
}

const session = (id: string, user = 'alice@desy.de') => ({
  ...{ id, hash: `hash-${id}`, principal: `basic:${user}`, user, facts: '{}', agent: 'x', from: '192.0.2.1' },
  expires: 1_700_000_100_000,
})

t.test('a session is known to all, until it ends', async (t) => {
  const { one, other, pass } = await two(t)
  const kept = await one.sessions.add(session('a'), 10)
  t.same(await other.sessions.find('hash-a'), kept)
  t.equal(await other.sessions.find('a'), undefined, 'by its hash alone')
  pass(1000)
  await other.sessions.touch('a')
  t.equal((await one.sessions.get('a'))?.used, kept.created + 1000)
  t.equal(await one.sessions.remove('a'), true)
  t.equal(await one.sessions.remove('a'), false)
  t.equal(await other.sessions.find('hash-a'), undefined)
  await one.sessions.add(session('b'), 10)
  pass(100_000)
  t.equal(await other.sessions.find('hash-b'), undefined, 'it has ended')
  t.same(await other.sessions.list('alice@desy.de', 0, 10), [])
})

t.test('the oldest session of a user goes for a new one', async (t) => {
  const { one, pass } = await two(t)
  await one.sessions.add(session('z', 'bob@desy.de'), 3)
  for (const id of ['a', 'b', 'c', 'd']) {
    pass(1)
    await one.sessions.add(session(id), 3)
  }
  t.same(
    (await one.sessions.list('alice@desy.de', 0, 10)).map(({ id }) => id),
    ['d', 'c', 'b'],
  )
  t.equal((await one.sessions.list('bob@desy.de', 0, 10)).length, 1)
})

const password = (id: string, name = id) => ({
  ...{ id, hash: `hash-${id}`, principal: 'basic:alice@desy.de', user: 'alice@desy.de', name, terms: '{}' },
  expires: 1_700_000_100_000,
})

t.test('an application password has a name of its own, and there are not too many', async (t) => {
  const { one, other, pass } = await two(t)
  await one.appPasswords.add(password('a'), 2)
  await t.rejects(other.appPasswords.add(password('b', 'a'), 2), { code: 'exists' })
  await other.appPasswords.add(password('b'), 2)
  await t.rejects(one.appPasswords.add(password('c'), 2), { code: 'busy' })
  t.equal((await one.appPasswords.get('a'))?.used, undefined)
  await one.appPasswords.touch('a')
  t.ok((await other.appPasswords.get('a'))?.used)
  t.equal((await other.appPasswords.list(undefined, 10)).length, 2)
  t.equal((await other.appPasswords.list('bob@desy.de', 10)).length, 0)
  t.equal(await one.appPasswords.remove('a'), true)
  t.equal(await other.appPasswords.get('a'), undefined)
  pass(100_000)
  t.equal(await other.appPasswords.get('b'), undefined, 'it has ended')
  await one.appPasswords.add({ ...password('b'), id: 'd', expires: 1_700_000_300_000 }, 1)
})

t.test('tallies are changed by one process at a time, or not at all', async (t) => {
  const { one, other, now } = await two(t)
  const more = (store: typeof one) =>
    store.attempts.change(['x', 'y'], ([x, y]) => [
      { failures: (x?.failures ?? 0) + 1, notBefore: 0, good: 0, changed: now() },
      y,
    ])
  await Promise.all(Array.from({ length: 20 }, (_, index) => more(index % 2 === 0 ? one : other)))
  const refusal = new Error('no')
  await t.rejects(
    one.attempts.change(['x', 'y'], ([x, y]) => {
      t.equal(x?.failures, 20)
      t.equal(y, undefined)
      throw refusal
    }),
    refusal,
  )
  await other.attempts.change(['x'], ([x]) => {
    t.equal(x?.failures, 20)
    return [undefined]
  })
  await one.attempts.change(['x'], ([x]) => {
    t.equal(x, undefined)
    return [x]
  })
})

t.test('the first value of a setting stays, whoever comes later', async (t) => {
  const { one, other } = await two(t)
  const values = await Promise.all([one.firstSetting('key', 'a'), other.firstSetting('key', 'b')])
  t.equal(values[0], values[1])
  t.equal(await one.firstSetting('key', 'c'), values[0])
})
