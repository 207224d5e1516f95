/** A file system that hangs for real costs its own callers an error, and nobody else anything. Needs root and FUSE. */

import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startTestGateway, type TestGateway } from '../gateway/harness.ts'
import { eventually, gone } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'
import { type HangingFuse, noFuse, startHangingFuse } from '../peers/hanging-fuse.ts'

t.setTimeout(200_000)

const skip = noFuse()
/** Of the hung mount, ms. */
const deadline = 1000
/** What an answer may come later than that on a busy machine. */
const grace = 2000
const threads = 2

async function start(t: Test): Promise<{ readonly gateway: TestGateway; readonly fuse: HangingFuse }> {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-hung-'))
  chmodSync(directory, 0o755)
  const fuse = await startHangingFuse(directory)
  t.teardown(async () => {
    await fuse.stop()
    rmSync(directory, { recursive: true, force: true })
  })
  const gateway = await startTestGateway(t, {
    mounts: [
      {
        path: '/hung',
        root: fuse.mountpoint,
        backend: { acl: ['posix'], threads, dataThreads: threads },
        more: { deadline: `${deadline}ms` },
      },
      {
        path: '/lab',
        make: (top) => {
          const tree = makeLab(top)
          tree.file('alice/small', 'alice', 'calm')
          tree.file('alice/big', 'alice', Buffer.alloc(1024 * 1024, 'calm'))
        },
      },
    ],
    limits: { shutdownTimeout: '2s' },
  })
  return { gateway, fuse }
}

/** Medians in ms of a small read, a streamed read, a write and a listing on the other mount. */
async function pace(gateway: TestGateway): Promise<Record<string, number>> {
  const works: Record<string, () => Promise<{ readonly status: number }>> = {
    small: () => gateway.get('/lab/alice/small', 'alice'),
    big: () => gateway.get('/lab/alice/big', 'alice'),
    write: () => gateway.put('/lab/alice/written', 'alice', 'x'),
    list: () => gateway.get('/lab/alice/', 'alice'),
  }
  const medians: Record<string, number> = {}
  for (const [name, work] of Object.entries(works)) {
    const times: number[] = []
    for (let call = 0; call < 31; call++) {
      const started = performance.now()
      const { status } = await work()
      times.push(performance.now() - started)
      if (status >= 300) throw new Error(`${name} on the other mount gave ${status}`)
    }
    medians[name] = times.toSorted((a, b) => a - b)[15] ?? 0
  }
  return medians
}

/** Twice as slow, and some ms for a machine that does other things. */
function requirePace(t: Test, before: Record<string, number>, during: Record<string, number>, what: string): void {
  for (const [name, ms] of Object.entries(before)) {
    const now = during[name] ?? Number.POSITIVE_INFINITY
    t.ok(now < 2 * ms + 15, `${what}: ${name} takes ${now.toFixed(1)} ms, ${ms.toFixed(1)} ms before`)
  }
}

/** A transfer of 32 MiB, begun and waiting for its reader: more than sockets on the way hold. */
async function beginDownload(gateway: TestGateway): Promise<IncomingMessage> {
  const headers = { Range: `bytes=${Array.from({ length: 8 }, () => '0-').join()}` }
  const response = await gateway.open({ path: '/hung/large.bin', user: 'alice', headers, timeout: 60_000 })
  await once(response, 'readable')
  return response
}

/** Reads on until it ends or is cut. */
async function readOn(response: IncomingMessage): Promise<'whole' | 'cut'> {
  try {
    for await (const _ of response) {
      // Only its end matters.
    }
    return 'whole'
  } catch {
    return 'cut'
  }
}

t.test(
  'calls on a hung mount are 503 in time, others keep their pace, and it recovers',
  { skip, timeout: 120_000 },
  async (t) => {
    const { gateway, fuse } = await start(t)
    t.equal((await gateway.get('/hung/small.txt', 'alice')).text, 'hello\n')
    const downloads = await Promise.all(Array.from({ length: 3 * threads }, () => beginDownload(gateway)))
    t.same(
      downloads.map(({ statusCode }) => statusCode),
      downloads.map(() => 206),
      'big files are open',
    )
    await pace(gateway)
    const before = await pace(gateway)

    await fuse.hang()
    const started = performance.now()
    const reads = Promise.all(downloads.map(readOn))
    const calls = Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const began = performance.now()
        const path = index % 2 === 0 ? '/hung/small.txt' : '/hung/'
        const answer = await gateway.get(path, 'alice')
        return { answer, took: performance.now() - began }
      }),
    )
    requirePace(t, before, await pace(gateway), 'while calls wait')
    for (const { answer, took } of await calls) {
      t.equal(answer.status, 503)
      t.match(answer.headers['retry-after'], /^[1-9]\d*$/)
      t.ok(took < deadline + grace, `after ${took.toFixed(0)} ms`)
    }
    const put = await gateway.put('/hung/small.txt', 'alice', 'x')
    t.equal(put.status, 503, 'a write too')
    t.same(
      await reads,
      downloads.map(() => 'cut'),
      'transfers of files already open are cut, more of them than there are threads',
    )
    const waited = performance.now() - started
    t.ok(waited < 3 * (deadline + grace), `all over after ${waited.toFixed(0)} ms`)
    requirePace(t, before, await pace(gateway), 'after the deadline')
    t.equal((await gateway.get('/.portolan/api/v1/health')).status, 200)
    t.equal((await gateway.get('/', 'alice', { Accept: 'application/json' })).status, 200, 'the top is listed')

    fuse.recover()
    const recovered = async () => (await gateway.get('/hung/small.txt', 'alice')).status === 200
    await eventually(recovered, 20_000, 'the mount did not recover')
    t.equal((await gateway.get('/hung/large.bin', 'alice')).body.length, 4 * 1024 * 1024, 'and files are read in full')
    const many = await Promise.all(Array.from({ length: 8 * threads }, () => gateway.get('/hung/large.bin', 'alice')))
    t.ok(
      many.every(({ status }) => status === 200),
      'by all threads',
    )
    await gateway.stop()
  },
)

for (const withhold of [false, true]) {
  const how = withhold ? 'in calls that not even SIGKILL ends' : 'in calls of both kinds'
  t.test(`SIGTERM ends the gateway in its deadline while it hangs ${how}`, { skip, timeout: 60_000 }, async (t) => {
    const { gateway, fuse } = await start(t)
    const downloads = await Promise.all(Array.from({ length: 2 * threads }, () => beginDownload(gateway)))
    await fuse.hang({ withhold })
    const reads = Promise.all(downloads.map(readOn))
    const calls = Promise.allSettled(Array.from({ length: 6 }, () => gateway.get('/hung/small.txt', 'alice')))
    await gateway.get('/lab/alice/small', 'alice')
    const family = gateway.pids()
    const started = performance.now()
    gateway.signal('SIGTERM')
    const status = await gateway.ended
    const took = performance.now() - started
    t.equal(status, 0)
    t.ok(took < 2000 + 2 * 1000 + grace, `after ${took.toFixed(0)} ms`)
    // A process that cannot be ended keeps its connections until the file system lets go of it.
    await fuse.stop()
    await reads
    await calls
    await gone(family)
  })
}
