/** Access keys of S3, as two processes of one state store see them. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openState } from '../../gateway/state/open.ts'

async function two(t: Test) {
  const directory = await mkdtemp(join(tmpdir(), 'portolan-s3-keys-'))
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
  return { one: one.s3Keys, other: other.s3Keys, pass }
}

const key = (id: string, name = id, user = 'alice@desy.de') => ({
  ...{ id, principal: `basic:${user}`, user, name, terms: '{}' },
  expires: 1_700_000_100_000,
})

t.test('a key is known to all, until it ends or is removed', async (t) => {
  const { one, other, pass } = await two(t)
  const kept = await one.add(key('AKIA1'), 10)
  t.match(kept, { enabled: true, used: undefined, created: 1_700_000_000_000 })
  t.same(await other.get('AKIA1'), kept)
  pass(1000)
  await other.touch('AKIA1')
  t.equal(await other.setEnabled('AKIA1', false), true)
  t.match(await one.get('AKIA1'), { enabled: false, used: 1_700_000_001_000 })
  t.equal(await one.setEnabled('AKIA1', true), true)
  t.equal((await other.get('AKIA1'))?.enabled, true)
  t.equal(await one.setEnabled('AKIA2', true), false)
  t.equal(await one.remove('AKIA1'), true)
  t.equal(await one.remove('AKIA1'), false)
  t.equal(await other.get('AKIA1'), undefined)
})

t.test('a name is one’s own, an id everybody’s, and there are not too many', async (t) => {
  const { one, other } = await two(t)
  await one.add(key('AKIA1', 'laptop'), 2)
  await t.rejects(other.add(key('AKIA2', 'laptop'), 2), { code: 'exists' })
  await other.add(key('AKIA2', 'laptop', 'bob@desy.de'), 2)
  await t.rejects(other.add(key('AKIA2', 'other'), 2), { code: 'exists' })
  await one.add(key('AKIA3'), 2)
  await t.rejects(one.add(key('AKIA4'), 2), { code: 'busy' })
  t.same(
    (await one.list('alice@desy.de', 10)).map(({ id }) => id),
    ['AKIA1', 'AKIA3'],
  )
  t.equal((await one.list(undefined, 10)).length, 3)
  t.equal((await one.list(undefined, 2)).length, 2)
})

t.test('those that have ended are told, to be removed with their secrets', async (t) => {
  const { one, pass } = await two(t)
  await one.add(key('AKIA1'), 2)
  t.same(await one.ended(), [])
  pass(100_000)
  t.equal(await one.get('AKIA1'), undefined)
  t.same(await one.list('alice@desy.de', 10), [])
  t.same(await one.ended(), ['AKIA1'])
})
