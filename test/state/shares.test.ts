/** Revocations and share links in the state store, as several processes see them. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { RevocationList } from '../../acl/identity/revocation-list.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { openState } from '../../gateway/state/open.ts'

function makeWorld(t: Test) {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-state-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const clock = { now: 1_000_000 }
  const open = async () => {
    const state = await openState({ directory, now: () => clock.now })
    t.teardown(() => state.close())
    return state
  }
  return { clock, directory, open }
}

const ban = (name: string, principal = 'admin') => ({ name, principal, note: '', until: undefined })
const link = (id: string, user: string, expires: number) => ({
  id,
  principal: `basic:${user}`,
  user,
  path: parsePath('/data'),
  terms: '{}',
  expires,
})

t.test('what one process revokes the others see, until it is over', async (t) => {
  const { clock, open } = makeWorld(t)
  const [one, two] = [await open(), await open()]
  t.equal(await one.revocations.serial(), 0)
  await one.revocations.add({ ...ban('macaroon:x'), until: clock.now + 10 }, 10)
  await one.revocations.add({ ...ban('user:alice'), note: 'lost' }, 10)
  t.same(await two.revocations.list(), [
    { name: 'macaroon:x', principal: 'admin', note: '', added: clock.now, until: clock.now + 10 },
    { name: 'user:alice', principal: 'admin', note: 'lost', added: clock.now, until: undefined },
  ])
  t.equal(await two.revocations.serial(), 2)
  clock.now += 10
  t.same(
    (await two.revocations.list()).map(({ name }) => name),
    ['user:alice'],
  )
  t.equal(await two.revocations.remove('user:alice'), true)
  t.equal(await two.revocations.remove('user:alice'), false)
  t.same(await one.revocations.list(), [])
})

t.test('what was revoked for longer stays so', async (t) => {
  const { clock, open } = makeWorld(t)
  const { revocations } = await open()
  const ends = async () => (await revocations.list()).map(({ until }) => until)
  await revocations.add({ ...ban('macaroon:x', 'alice'), until: clock.now + 100 }, 10)
  await revocations.add({ ...ban('macaroon:x'), until: clock.now + 10 }, 10)
  t.same(await ends(), [clock.now + 100])
  await revocations.add(ban('macaroon:x'), 10)
  await revocations.add({ ...ban('macaroon:x'), until: clock.now + 10 }, 10)
  t.same(await ends(), [undefined])
})

t.test('a full list keeps nobody from banning', async (t) => {
  const { directory, open } = makeWorld(t)
  const { revocations } = await open()
  await revocations.add(ban('macaroon:first'), 10)
  const database = new DatabaseSync(join(directory, 'state.sqlite'))
  database.exec(
    `with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000)
    insert into revocations (name, principal, note, added) select 'macaroon:' || i, 'p' || i, '', 1 from n`,
  )
  database.close()
  await t.rejects(revocations.add(ban('macaroon:more', 'alice'), 10), { code: 'busy' })
  await revocations.add(ban('user:mallory@desy.de'), 10)
})

t.test('nobody fills the list, and saying it twice is saying it once', async (t) => {
  const { open } = makeWorld(t)
  const { revocations } = await open()
  for (const name of ['a', 'b', 'a', 'b', 'a']) await revocations.add(ban(name, 'alice'), 2)
  t.equal((await revocations.list()).length, 2)
  await t.rejects(revocations.add(ban('c', 'alice'), 2), { code: 'busy' })
  await revocations.add(ban('c', 'bob'), 2)
})

t.test('a list in memory answers from what it has read, also when the store is gone', async (t) => {
  const { clock, open } = makeWorld(t)
  const state = await open()
  const { revocations } = state
  await revocations.add({ ...ban('macaroon:x'), until: clock.now + 10 }, 10)
  for (const name of ['user:u', 'principal:p', 'token:t', 'epoch:e']) await revocations.add(ban(name), 10)
  const failures: unknown[] = []
  const list = await RevocationList.open(revocations, (error) => failures.push(error))
  const holder = { id: 'other', user: undefined, tokenId: undefined }
  t.equal(list.isRevoked(holder), false)
  t.equal(list.isRevoked({ ...holder, id: 'p' }), true)
  t.equal(list.isRevoked({ ...holder, user: 'u' }), true)
  t.equal(list.isRevoked({ ...holder, tokenId: 't' }), true)
  t.equal(list.isRevoked({ ...holder, marks: ['macaroon:y', 'epoch:e'] }), true)
  t.equal(list.isRevoked({ ...holder, marks: ['macaroon:x'] }), true)
  clock.now += 10
  t.equal(list.isRevoked({ ...holder, marks: ['macaroon:x'] }), false)
  await state.close()
  await t.rejects(list.refresh(), { code: 'unavailable' })
  t.equal(list.isRevoked({ ...holder, id: 'p' }), true)
  await list.close()
})

t.test('links are kept by user, newest first, and go when they end', async (t) => {
  const { clock, open } = makeWorld(t)
  const { shares } = await open()
  await shares.add(link('one', 'alice', clock.now + 10), 2)
  clock.now += 1
  await shares.add(link('two', 'alice', clock.now + 100), 2)
  await shares.add(link('three', 'bob', clock.now + 100), 2)
  const ids = async (user?: string) => (await shares.list(user, 100)).map(({ id }) => id)
  t.same(await ids('alice'), ['two', 'one'])
  t.same((await ids()).toSorted(), ['one', 'three', 'two'])
  await t.rejects(shares.add(link('four', 'alice', clock.now + 100), 2), { code: 'busy' })
  clock.now += 10
  t.same(await ids('alice'), ['two'])
  t.equal(await shares.get('one'), undefined)
  await shares.add(link('four', 'alice', clock.now + 100), 2)
  t.equal(await shares.remove('two'), true)
  t.equal(await shares.remove('two'), false)
  t.same(await ids('alice'), ['four'])
})
