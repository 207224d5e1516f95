import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { detachMount, mount } from '../../backends/posix/native/process.ts'
import { openState } from '../../gateway/state/open.ts'

function directoryFor(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-state-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

function contend(directory: string, task: string, argument = ''): ChildProcess {
  return fork(fileURLToPath(new URL('./contender.ts', import.meta.url)), [directory, task, argument], { execArgv: [] })
}

t.test('settings outlive the process that wrote them', async (t) => {
  const directory = directoryFor(t)
  const first = await openState({ directory })
  t.equal(await first.getSetting('a'), undefined)
  await first.setSetting('a', '1')
  await first.setSetting('a', "2'; drop table settings; --")
  await first.close()
  const second = await openState({ directory })
  t.equal(await second.getSetting('a'), "2'; drop table settings; --")
  await second.close()
})

t.test('nobody else may read the files of the store', async (t) => {
  const directory = join(directoryFor(t), 'made', 'anew')
  const state = await openState({ directory })
  await state.setSetting('a', '1')
  t.equal(statSync(directory).mode & 0o777, 0o700)
  for (const end of ['', '-wal', '-shm']) {
    t.equal(statSync(join(directory, `state.sqlite${end}`)).mode & 0o777, 0o600, end)
  }
  await state.close()
})

t.test('a closed store says unavailable, and closing twice is harmless', async (t) => {
  const state = await openState({ directory: directoryFor(t) })
  await state.close()
  await state.close()
  await t.rejects(state.getSetting('a'), { code: 'unavailable' })
  await t.rejects(state.journal.add('b', 'p'), { code: 'unavailable' })
  await t.rejects(
    state.leases.withLease('k', 0, async () => {}),
    { code: 'unavailable' },
  )
})

t.test('a file that is no database is refused', async (t) => {
  const directory = directoryFor(t)
  writeFileSync(join(directory, 'state.sqlite'), 'x'.repeat(8192))
  await t.rejects(openState({ directory }), { code: 'unavailable' })
})

t.test('properties are set all together, and undefined removes', async (t) => {
  const state = await openState({ directory: directoryFor(t) })
  await state.overflow.set(
    'b',
    'id1',
    new Map([
      ['x', '1'],
      ['y', '2'],
    ]),
  )
  await state.overflow.set('b', 'id2', new Map([['x', 'other']]))
  await state.overflow.set('c', 'id1', new Map([['x', 'other back end']]))
  await state.overflow.set(
    'b',
    'id1',
    new Map([
      ['x', undefined],
      ['y', '3'],
      ['z', '\u{1f600}'],
    ]),
  )
  t.same(
    [...(await state.overflow.get('b', 'id1'))],
    [
      ['y', '3'],
      ['z', '\u{1f600}'],
    ],
  )
  await state.overflow.removeAll('b', 'id1')
  t.equal((await state.overflow.get('b', 'id1')).size, 0)
  t.equal((await state.overflow.get('b', 'id2')).get('x'), 'other')
  t.equal((await state.overflow.get('c', 'id1')).get('x'), 'other back end')
  await state.close()
})

t.test('the journal gives up an entry to the sweep only when its owner is gone', async (t) => {
  const directory = directoryFor(t)
  let time = 1_000_000
  const open = () => openState({ directory, now: () => time, timing: { renew: 100_000, life: 5000 } })
  const owner = await open()
  await Promise.all(Array.from({ length: 50 }, (_, index) => owner.journal.add('b', `p${index}`)))
  await owner.journal.add('b', 'p0')
  await owner.journal.add('other', 'q')
  await owner.journal.remove('b', 'p1')
  const sweeper = await open()
  time += 1000
  t.same(await sweeper.journal.stale('b', 0), [], 'its owner is alive')
  time += 10_000
  t.equal((await sweeper.journal.stale('b', 5000)).length, 49, 'the owner has not renewed')
  t.same(await sweeper.journal.stale('b', 60_000), [], 'too young')
  await owner.close()
  t.same(await sweeper.journal.stale('other', 0), ['q'])
  await sweeper.close()
})

t.test('a lease is for one caller at a time, in order, and errors pass through', async (t) => {
  const state = await openState({ directory: directoryFor(t) })
  const seen: number[] = []
  let inside = 0
  await Promise.all(
    Array.from({ length: 20 }, (_, turn) =>
      state.leases.withLease('k', 5000, async () => {
        t.equal(++inside, 1)
        await new Promise((resolve) => setImmediate(resolve))
        seen.push(turn)
        inside -= 1
      }),
    ),
  )
  t.same(
    seen,
    [...seen].sort((a, b) => a - b),
  )
  await t.rejects(
    state.leases.withLease('k', 0, () => Promise.reject(new Error('from the work'))),
    { message: 'from the work' },
  )
  t.equal(await state.leases.withLease('k', 0, async () => 7), 7)
  await state.close()
})

t.test('who waits too long for a lease is told busy, and the next one still gets it', async (t) => {
  const directory = directoryFor(t)
  const [first, second] = [await openState({ directory }), await openState({ directory })]
  let finish = () => {}
  const started = new Promise<void>((resolve) => {
    void first.leases.withLease('k', 0, async () => {
      resolve()
      await new Promise<void>((done) => {
        finish = done
      })
    })
  })
  await started
  await t.rejects(
    first.leases.withLease('k', 10, async () => {}),
    { code: 'busy', retryAfter: 1 },
    'same process',
  )
  await t.rejects(
    second.leases.withLease('k', 10, async () => {}),
    { code: 'busy' },
    'another holder',
  )
  const waiting = [first.leases.withLease('k', 5000, async () => 1), second.leases.withLease('k', 5000, async () => 2)]
  finish()
  t.same(await Promise.all(waiting), [1, 2])
  await first.close()
  await second.close()
})

t.test('two processes never hold one lease at the same time', async (t) => {
  const directory = directoryFor(t)
  const file = join(directory, 'count')
  writeFileSync(file, '0')
  const processes = [contend(directory, 'count', file), contend(directory, 'count', file)]
  await Promise.all(processes.map((child) => once(child, 'exit')))
  t.equal(readFileSync(file, 'utf8'), '50')
})

t.test('what a killed process held is free within its lifetime, and its journal is swept', async (t) => {
  const directory = directoryFor(t)
  const state = await openState({ directory })
  const child = contend(directory, 'hold')
  await once(child, 'message')
  t.same(await state.journal.stale('posix:/x', 0), [], 'alive')
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.equal(await state.leases.withLease('held', 5000, async () => 'mine'), 'mine')
  t.same(await state.journal.stale('posix:/x', 0), ['left-behind', 'left-in-haste'])
  await state.close()
})

t.test('processes that start at once bring the tables up to date once', async (t) => {
  const directory = directoryFor(t)
  const states = await Promise.all(Array.from({ length: 4 }, () => openState({ directory })))
  await Promise.all(states.map((state, index) => state.setSetting(`s${index}`, 'x')))
  for (const [index] of states.entries()) t.equal(await states[0]?.getSetting(`s${index}`), 'x')
  await Promise.all(states.map((state) => state.close()))
})

t.test(
  'a full disk is no space, also in the middle of a transaction, and what was there stays',
  { skip: process.getuid?.() === 0 ? false : 'needs root to mount a small file system' },
  async (t) => {
    const directory = directoryFor(t)
    mount('portolan-test', directory, 'tmpfs', 0, 'size=2m,mode=0700')
    t.teardown(() => detachMount(directory))
    const state = await openState({ directory: join(directory, 'state') })
    t.teardown(() => state.close())
    await state.overflow.set('posix:a', 'small', new Map([['a', '1']]))
    const values = new Map([...'abcdefgh'].map((name) => [name, 'x'.repeat(60_000)]))
    const fill = async () => {
      for (let index = 0; index < 100; index++) await state.overflow.set('posix:a', String(index), values)
    }
    await t.rejects(fill(), { code: 'no-space' })
    await t.rejects(fill(), { code: 'no-space' }, 'and again')
    t.same(await state.overflow.get('posix:a', 'small'), new Map([['a', '1']]))
  },
)
