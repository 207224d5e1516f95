import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { openState } from '../../gateway/state/open.ts'
import { request } from './requests.ts'

const mount = parsePath('/pnfs')
const roomy = { requests: 100, files: 100_000 }

function directoryFor(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-state-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

async function open(t: Test, now?: () => number) {
  const state = await openState({ directory: directoryFor(t), ...(now && { now }) })
  t.teardown(() => state.close())
  return state.stagings
}

t.test('a request outlives the process that took it', async (t) => {
  const directory = directoryFor(t)
  const first = await openState({ directory, now: () => 5000 })
  const { staging, added } = await first.stagings.add(request(), roomy)
  t.equal(added, true)
  await first.close()
  const second = await openState({ directory })
  t.strictSame(await second.stagings.get(staging.id), {
    id: staging.id,
    principal: 'alice',
    fingerprint: 'print',
    created: 5000,
    started: undefined,
    completed: undefined,
    orders: [{ mount, backend: 'memory', asked: undefined, order: undefined }],
  })
  const files = await second.stagings.files(staging.id)
  t.strictSame(
    files.map(({ number, path, inner, lifetime, state }) => [number, path, inner, lifetime, state]),
    [
      [0, '/pnfs/f0', '/f0', 3600, 'submitted'],
      [1, '/pnfs/f1', '/f1', undefined, 'submitted'],
      [2, '/pnfs/f2', '/f2', undefined, 'submitted'],
    ],
  )
  t.equal(await second.stagings.get('none'), undefined)
  t.same(await second.stagings.files('none'), [])
  await second.close()
})

t.test('one claim of one principal is one request, for as long as it waits', async (t) => {
  const stagings = await open(t)
  const first = await stagings.add(request(), roomy)
  const again = await stagings.add(request(), roomy)
  t.equal(again.staging.id, first.staging.id)
  t.equal(again.added, false)
  t.equal((await stagings.claimed('alice', 'c'))?.id, first.staging.id)
  const other = await stagings.add(request({ principal: 'bob' }), roomy)
  t.not(other.staging.id, first.staging.id, 'somebody else asks for himself')
  await stagings.update(
    first.staging.id,
    [0, 1, 2].map((number) => ({ number, state: 'completed' as const, finished: 1 })),
  )
  t.equal(await stagings.claimed('alice', 'c'), undefined)
  t.equal((await stagings.add(request(), roomy)).added, true, 'done: a new one')
})

t.test('a lasting claim is held until the request is removed', async (t) => {
  const stagings = await open(t)
  const { staging } = await stagings.add(request({ lasting: true, files: 1 }), roomy)
  await stagings.update(staging.id, [{ number: 0, state: 'failed', finished: 1, error: 'no' }])
  t.equal((await stagings.add(request({ lasting: true }), roomy)).staging.id, staging.id)
  await stagings.remove(staging.id)
  t.equal((await stagings.add(request({ lasting: true }), roomy)).added, true)
  const done = await stagings.add(request({ claim: 'd', lasting: true, state: 'completed' }), roomy)
  t.not(done.staging.completed, undefined, 'nothing was to be waited for')
  t.equal((await stagings.add(request({ claim: 'd', lasting: true }), roomy)).added, false)
})

t.test('two processes that ask for the same get the same, and one of them places the order', async (t) => {
  const directory = directoryFor(t)
  const stager = fileURLToPath(new URL('./stager.ts', import.meta.url))
  const told = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const child = fork(stager, [directory, 'same'], { execArgv: [] })
      const [message] = await once(child, 'message')
      await once(child, 'exit')
      return message as { readonly id: string; readonly added: boolean; readonly first: boolean }
    }),
  )
  t.equal(new Set(told.map(({ id }) => id)).size, 1)
  t.equal(told.filter(({ added }) => added).length, 1)
  t.equal(told.filter(({ first }) => first).length, 1)
  const state = await openState({ directory })
  t.equal((await state.stagings.files(told[0]?.id ?? '')).length, 2000)
  await state.close()
})

t.test('an order remembers when it was asked first and what came of it', async (t) => {
  let time = 1000
  const stagings = await open(t, () => time)
  const { staging } = await stagings.add(request(), roomy)
  t.equal(await stagings.ask(staging.id, mount), undefined)
  time = 2000
  t.equal(await stagings.ask(staging.id, mount), 1000)
  await stagings.place(staging.id, mount, 'order-7')
  t.match((await stagings.get(staging.id))?.orders, [{ asked: 1000, order: 'order-7' }])
  t.equal(await stagings.isOrder('memory', 'order-7'), true)
  t.equal(await stagings.isOrder('other', 'order-7'), false)
  await t.rejects(stagings.ask('none', mount), { code: 'not-found' })
})

t.test('one caller at a time has the turn to look', async (t) => {
  let time = 1000
  const stagings = await open(t, () => time)
  const { staging } = await stagings.add(request(), roomy)
  const turns = await Promise.all([1, 2, 3].map(() => stagings.takePoll(staging.id, mount, time - 500)))
  t.equal(turns.filter((turn) => turn).length, 1)
  time = 1400
  t.equal(await stagings.takePoll(staging.id, mount, time - 500), false)
  time = 1500
  t.equal(await stagings.takePoll(staging.id, mount, time - 500), true)
})

t.test('a final state stays, and the last one completes the request', async (t) => {
  let time = 1000
  const stagings = await open(t, () => time)
  const { staging } = await stagings.add(request({ files: 1200 }), roomy)
  const all = Array.from({ length: 1200 }, (_, number) => number)
  await stagings.update(
    staging.id,
    all.map((number) => ({ number, state: 'started' as const, started: 1100 + number })),
  )
  t.equal((await stagings.get(staging.id))?.started, 1100)
  await stagings.update(staging.id, [{ number: 0, state: 'cancelled', finished: 1500 }])
  time = 9000
  await stagings.update(
    staging.id,
    all.map((number) => ({ number, state: 'completed' as const, finished: 2000 })),
  )
  const files = await stagings.files(staging.id)
  t.match(files[0], { state: 'cancelled', started: 1100, finished: 1500, path: '/pnfs/f0', lifetime: 3600 })
  t.match(files[1199], { state: 'completed', started: 2299, finished: 2000, path: '/pnfs/f1199' })
  t.equal((await stagings.get(staging.id))?.completed, 9000)
  await stagings.remove(staging.id)
  await stagings.update(staging.id, [{ number: 0, state: 'started' }])
  t.same(await stagings.files(staging.id), [], 'what was removed does not come back')
})

t.test('a principal has no more than its share, whoever else has how much', async (t) => {
  const stagings = await open(t)
  const bounds = { requests: 2, files: 10 }
  await stagings.add(request({ claim: 'a' }), bounds)
  await t.rejects(stagings.add(request({ claim: 'b', files: 8 }), bounds), { code: 'busy' })
  const { staging } = await stagings.add(request({ claim: 'b', files: 7 }), bounds)
  await t.rejects(stagings.add(request({ claim: 'c', files: 0 }), bounds), { code: 'busy' })
  const derived = request({ claim: 'a', principal: 'alice#macaroon:1', counted: 'alice', files: 0 })
  await t.rejects(stagings.add(derived, bounds), { code: 'busy' }, 'another credential gives no further share')
  t.equal((await stagings.add(request({ claim: 'a' }), bounds)).added, false, 'what is there is no more')
  await stagings.add(request({ claim: 'a', principal: 'bob' }), bounds)
  await stagings.remove(staging.id)
  await stagings.add(request({ claim: 'c' }), bounds)
})

t.test('of what is finished a principal keeps as much, the youngest', async (t) => {
  let time = 1000
  const stagings = await open(t, () => ++time)
  const bounds = { requests: 3, files: 100 }
  const ids: string[] = []
  for (const claim of ['a', 'b', 'c', 'd', 'e']) {
    ids.push((await stagings.add(request({ claim, lasting: true, state: 'failed' }), bounds)).staging.id)
  }
  const kept = await Promise.all(ids.map(async (id) => (await stagings.get(id)) !== undefined))
  t.same(kept, [false, true, true, true, true], 'trimmed before the next one comes')
})

t.test('the sweep removes what is long done, and what nobody ever finished', async (t) => {
  let time = 1000
  const stagings = await open(t, () => time)
  const done = await stagings.add(request({ claim: 'done', state: 'completed' }), roomy)
  const waiting = await stagings.add(request({ claim: 'waiting' }), roomy)
  time = 5000
  const young = await stagings.add(request({ claim: 'young', state: 'failed' }), roomy)
  t.equal(await stagings.sweep({ completed: 1000, created: 1000 }), false)
  t.equal(await stagings.sweep({ completed: 2000, created: 1000 }), true)
  t.equal(await stagings.get(done.staging.id), undefined)
  t.same(await stagings.files(done.staging.id), [])
  t.ok(await stagings.get(waiting.staging.id))
  t.equal(await stagings.sweep({ completed: 2000, created: 2000 }), true)
  t.equal(await stagings.get(waiting.staging.id), undefined)
  t.ok(await stagings.get(young.staging.id))
})
