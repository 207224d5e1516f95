/** The I/O threads of one mount: bounds, deadlines, cancelling, recovery. */

import { closeSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { PoolOptions } from '../../backends/posix/io/pool.ts'
import { IoPool } from '../../backends/posix/io/pool.ts'
import type { PosixSetup } from '../../backends/posix/options.ts'

const forever = new AbortController().signal
const operationsModule = new URL('./pool-operations.ts', import.meta.url).href

async function poolOf(t: Test, options: Partial<PoolOptions> = {}): Promise<IoPool> {
  const pool = new IoPool({
    name: 'test',
    threads: 1,
    queue: 1000,
    deadline: 10_000,
    posix: {} as PosixSetup,
    operationsModule,
    ...options,
  })
  t.teardown(() => pool.close())
  await pool.ready()
  return pool
}

/** A thread that is held until `release`. */
interface Held {
  readonly board: SharedArrayBuffer
  begun(count: number): Promise<void>
  release(): void
}

function held(t: Test): Held {
  const board = new SharedArrayBuffer(8)
  const words = new Int32Array(board)
  const release = (): void => {
    Atomics.store(words, 1, 1)
    Atomics.notify(words, 1)
  }
  t.teardown(release)
  const begun = async (count: number): Promise<void> => {
    while (Atomics.load(words, 0) < count) await setImmediate()
  }
  return { board, begun, release }
}

function scratch(t: Test): string {
  const top = mkdtempSync(join(tmpdir(), 'portolan-pool-'))
  t.teardown(() => rmSync(top, { recursive: true, force: true }))
  return top
}

function descriptorsOf(path: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path
    } catch {
      // The descriptor of the listing itself is gone by now.
      return false
    }
  }).length
}

t.test('calls are answered, many at a time, each with its own answer', async (t) => {
  const pool = await poolOf(t, { threads: 2 })
  const sums = await Promise.all(
    Array.from({ length: 500 }, (_, a) => pool.run('add', { a, b: 1 }, undefined, forever)),
  )
  t.same(
    sums,
    Array.from({ length: 500 }, (_, a) => a + 1),
  )
  t.match(pool.status(), { running: 0, queued: 0, stuck: 0, threads: 2 })
})

t.test('errors of the kernel come out as errors of the gateway', async (t) => {
  const pool = await poolOf(t)
  await t.rejects(pool.run('stat', { path: '/does/not/exist' }, undefined, forever), { code: 'not-found' })
  await t.rejects(pool.run('stat', { path: '/etc/passwd/x' }, undefined, forever), { code: 'not-directory' })
  await t.rejects(pool.run('bug', {}, undefined, forever), { code: 'internal', cause: /a bug/ })
  await t.rejects(pool.run('nonsense', {}, undefined, forever), { code: 'internal' })
})

t.test('past the bound of the queue calls are busy', async (t) => {
  const pool = await poolOf(t, { queue: 5 })
  const { board, begun, release } = held(t)
  const first = pool.run('hold', { board }, undefined, forever)
  await begun(1)
  const all = Array.from({ length: 100 }, () => pool.run('add', { a: 1, b: 1 }, undefined, forever))
  const settling = Promise.allSettled(all)
  release()
  await first
  const results = await settling
  const busy = results.filter(({ status }) => status === 'rejected')
  t.match(busy[0], { reason: { code: 'busy', retryAfter: 1 } })
  t.equal(results.length - busy.length, 5, 'and those within it are answered')
})

t.test('a call past its deadline is unavailable, and the thread works again when it comes back', async (t) => {
  const pool = await poolOf(t, { deadline: 200, stuckAfter: 50 })
  const { board, release } = held(t)
  const started = performance.now()
  await t.rejects(pool.run('hold', { board }, undefined, forever), { code: 'unavailable', retryAfter: 10 })
  t.ok(performance.now() - started < 1000, 'in time')
  t.match(pool.status(), { stuck: 1, running: 1 })
  await t.rejects(pool.run('add', { a: 1, b: 1 }, undefined, forever), { code: 'unavailable' }, 'no thread is left')
  release()
  while (pool.status().stuck > 0) await setImmediate()
  t.equal(await pool.run('add', { a: 1, b: 1 }, undefined, forever), 2)
})

t.test('descriptors of an answer that nobody waits for are closed', async (t) => {
  const pool = await poolOf(t, { deadline: 100 })
  const path = join(scratch(t), 'file')
  writeFileSync(path, '')
  const { board, release } = held(t)
  await t.rejects(pool.run('hold', { board, path }, undefined, forever), { code: 'unavailable' })
  release()
  await pool.run('add', { a: 1, b: 1 }, undefined, forever)
  // The answer has come before that of the call above, and its descriptor went back to the same thread.
  await pool.run('add', { a: 1, b: 1 }, undefined, forever)
  t.equal(descriptorsOf(path), 0)
  const fd = await pool.run<number>('open', { path }, undefined, forever)
  t.equal(descriptorsOf(path), 1, 'those of an answer that is waited for are not')
  await pool.run('dispose', fd, undefined, forever)
})

t.test('what has not begun when its caller goes away never does', async (t) => {
  const pool = await poolOf(t)
  const path = join(scratch(t), 'file')
  const { board, begun, release } = held(t)
  const first = pool.run('hold', { board }, undefined, forever)
  await begun(1)
  const caller = new AbortController()
  const second = pool.run('create', { path, mode: 0o600 }, undefined, caller.signal)
  const third = pool.run('add', { a: 2, b: 2 }, undefined, forever)
  await setImmediate()
  caller.abort()
  await t.rejects(second, { code: 'cancelled' }, 'the caller is told while the thread is still held')
  release()
  await first
  t.equal(await third, 4)
  await t.rejects(pool.run('stat', { path }, undefined, forever), { code: 'not-found' })
  await t.rejects(pool.run('add', {}, undefined, caller.signal), { code: 'cancelled' }, 'nor what comes later')
})

t.test('what waits behind a stuck call goes to another thread', async (t) => {
  const pool = await poolOf(t, { threads: 2, stuckAfter: 50 })
  const { board, begun } = held(t)
  const first = pool.run('hold', { board }, undefined, forever)
  first.catch(() => {})
  await begun(1)
  const sums = await Promise.all(Array.from({ length: 40 }, (_, a) => pool.run('add', { a, b: 0 }, undefined, forever)))
  t.equal(sums.length, 40)
  while (pool.status().stuck === 0) await setImmediate()
  t.match(pool.status(), { running: 1, stuck: 1 })
})

t.test('a thread that ends is replaced, its running call told, the waiting ones carried on', async (t) => {
  const said: string[] = []
  const pool = await poolOf(t, { log: (message) => said.push(message) })
  const dying = pool.run('die', {}, undefined, forever)
  const waiting = pool.run('add', { a: 1, b: 2 }, undefined, forever)
  await t.rejects(dying, { code: 'unavailable' })
  t.equal(await waiting, 3)
  t.match(said, [/thread ended/])
})

t.test('a thread whose identity is in doubt ends', async (t) => {
  const pool = await poolOf(t, { log: () => {} })
  await t.rejects(pool.run('lose', {}, undefined, forever), { code: 'unavailable' })
  await pool.ready()
})

t.test('what was finished before a thread met a doubt is answered, and nothing stays open', async (t) => {
  const pool = await poolOf(t, { log: () => {} })
  const path = join(scratch(t), 'file')
  writeFileSync(path, '')
  // Under way together, so that the answers wait for each other.
  const opens = Array.from({ length: 4 }, () => pool.run<number>('open', { path }, undefined, forever))
  const lost = pool.run('lose', {}, undefined, forever)
  const opened = await Promise.all(opens)
  await t.rejects(lost, { code: 'unavailable' })
  t.equal(descriptorsOf(path), 4)
  for (const fd of opened) closeSync(fd)
})

t.test('closing fails what is under way, also when a thread is stuck', async (t) => {
  const pool = await poolOf(t)
  const { board, begun } = held(t)
  const running = pool.run('hold', { board }, undefined, forever)
  const queued = Array.from({ length: 30 }, () => pool.run('add', { a: 1, b: 1 }, undefined, forever))
  const all = Promise.allSettled([running, ...queued])
  await begun(1)
  await pool.close()
  for (const result of await all) t.match(result, { reason: { code: 'unavailable' } })
  await t.rejects(pool.run('add', { a: 1, b: 1 }, undefined, forever), { code: 'unavailable' })
})

t.test('closing leaves no descriptor of a call under way, and begins nothing more', async (t) => {
  const pool = await poolOf(t)
  const top = scratch(t)
  const path = join(top, 'file')
  writeFileSync(path, '')
  const { board, begun, release } = held(t)
  const running = pool.run('hold', { board, path }, undefined, forever)
  const waiting = pool.run('create', { path: join(top, 'late'), mode: 0o600 }, undefined, forever)
  const all = Promise.allSettled([running, waiting])
  await begun(1)
  const closed = pool.close()
  for (const result of await all) t.match(result, { reason: { code: 'unavailable' } })
  release()
  await closed
  t.equal(descriptorsOf(path), 0)
  t.same(readdirSync(top), ['file'])
})

t.test('threads that cannot start are reported, not waited for', async (t) => {
  const pool = new IoPool({
    name: 'test',
    threads: 1,
    queue: 10,
    deadline: 10_000,
    posix: {} as PosixSetup,
    operationsModule: 'file:///does/not/exist.ts',
  })
  t.teardown(() => pool.close())
  await t.rejects(pool.ready(), { code: 'unavailable' })
  await t.rejects(pool.run('add', { a: 1, b: 1 }, undefined, forever), { code: 'unavailable' })
})
