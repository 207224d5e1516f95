/** A file system that hangs for real costs its own callers an error and nobody else anything. */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { IoPool } from '../../backends/posix/io/pool.ts'
import { DataShare } from '../../backends/posix/io/share.ts'
import type { PosixSetup } from '../../backends/posix/options.ts'
import { type HangingFuse, noFuse, startHangingFuse } from '../peers/hanging-fuse.ts'

// Read when the first file operation is made on libuv's threads: room for both shares of the last test.
process.env.UV_THREADPOOL_SIZE = '8'

const forever = new AbortController().signal
const skip = noFuse()

async function hanging(t: Test): Promise<{ fuse: HangingFuse; calm: string }> {
  const top = mkdtempSync(join(tmpdir(), 'portolan-hanging-'))
  const fuse = await startHangingFuse(top)
  t.teardown(async () => {
    await fuse.stop()
    rmSync(top, { recursive: true, force: true })
  })
  writeFileSync(join(top, 'calm'), 'calm')
  return { fuse, calm: join(top, 'calm') }
}

async function poolOf(t: Test, name: string, deadline: number): Promise<IoPool> {
  const pool = new IoPool({
    name,
    threads: 2,
    queue: 100,
    deadline,
    stuckAfter: 50,
    posix: {} as PosixSetup,
    operationsModule: new URL('./pool-operations.ts', import.meta.url).href,
  })
  t.teardown(() => pool.close())
  await pool.ready()
  return pool
}

/** ms that half of the calls take at most. */
async function latency(pool: IoPool, path: string): Promise<number> {
  const times: number[] = []
  for (let call = 0; call < 300; call++) {
    const started = performance.now()
    await pool.run('stat', { path }, undefined, forever)
    times.push(performance.now() - started)
  }
  return times.toSorted((a, b) => a - b)[150] ?? 0
}

t.test(
  'calls on a hung mount are unavailable in time, others keep their pace, and it recovers',
  { skip },
  async (t) => {
    const { fuse, calm } = await hanging(t)
    const hung = await poolOf(t, 'hung', 1500)
    const well = await poolOf(t, 'well', 10_000)
    const path = join(fuse.mountpoint, 'small.txt')
    const hello = await hung.run<Uint8Array>('read', { path }, undefined, forever)
    t.equal(Buffer.from(hello).toString(), 'hello\n')
    const before = await latency(well, calm)
    await fuse.hang()
    const started = performance.now()
    const calls = Array.from({ length: 20 }, () => hung.run('read', { path }, undefined, forever))
    const results = Promise.allSettled(calls)
    while (hung.status().stuck < 2) await setImmediate()
    t.match(hung.status(), { threads: 2, stuck: 2, running: 2 })
    const during = await latency(well, calm)
    for (const result of await results) t.match(result, { reason: { code: 'unavailable', retryAfter: 10 } })
    const took = performance.now() - started
    t.ok(took < 10_000, `answered after ${Math.round(took)} ms`)
    t.ok(during < before * 2 + 0.2, `others took ${before.toFixed(3)} ms before and ${during.toFixed(3)} ms meanwhile`)
    fuse.recover()
    while (hung.status().stuck > 0) await setImmediate()
    const again = await hung.run<Uint8Array>('read', { path }, undefined, forever)
    t.equal(Buffer.from(again).toString(), 'hello\n')
  },
)

t.test('reads of open files hang too, more of them than there are slots', { skip }, async (t) => {
  const { fuse, calm } = await hanging(t)
  const share = new DataShare({ slots: 2, queue: 100, deadline: 300 })
  const other = new DataShare({ slots: 2, queue: 100, deadline: 10_000 })
  const fd = openSync(join(fuse.mountpoint, 'large.bin'), 'r')
  const calmFd = openSync(calm, 'r')
  const read = (): Promise<number> => share.read(fd, Buffer.alloc(4096), 0, 4096, 0, forever)
  t.equal(await read(), 4096)
  await fuse.hang()
  const started = performance.now()
  const results = Promise.allSettled(Array.from({ length: 10 }, read))
  t.equal(await other.read(calmFd, Buffer.alloc(10), 0, 10, 0, forever), 4, 'another share reads meanwhile')
  for (const result of await results) t.match(result, { reason: { code: 'unavailable', retryAfter: 10 } })
  t.ok(performance.now() - started < 900, 'in time')
  t.match(share.status(), { taken: 2, queued: 0 })
  const closing = share.close(fd)
  await t.rejects(closing, { code: 'unavailable' }, 'a close waits for them, and in vain')
  fuse.recover()
  while (share.status().taken > 0) await setImmediate()
  t.throws(() => closeSync(fd), { code: 'EBADF' }, 'but happens once they have ended')
  await other.close(calmFd)
})

t.test('a process with hung threads of both kinds ends at once', { skip }, async (t) => {
  const { fuse } = await hanging(t)
  const program = join(import.meta.dirname, 'pool-hanging-program.ts')
  const child = fork(program, [fuse.mountpoint], { execArgv: [] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child, 'message')
  await fuse.hang()
  const stuck = once(child, 'message')
  child.send('go')
  t.same((await stuck)[0], { stuck: 2, taken: 2 })
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  t.same(await ended, [5, null], 'with the status it chose')
})
