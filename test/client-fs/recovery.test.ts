/** Connections that break, gateways that are gone, and what open files make of it. */

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { Between } from './between.ts'
import { gatewayWithData, reach } from './gateways.ts'

t.setTimeout(120_000)

const path = parsePath
const gateway = await gatewayWithData(t, { workers: 2 })
const anew = { write: true, create: { exclusive: true, mode: 0o600 } }

t.test('a connection cut in every phase does no harm', async (t) => {
  const proxy = await Between.start(t, gateway.port)
  const fs = await reach(t, gateway, { url: proxy.url }, { timeout: 20_000 })
  const bytes = randomBytes(300_000)
  let number = 0
  for (const fault of [
    { up: 0 },
    { up: 40 },
    { up: 900 },
    { up: 100_000 },
    { down: 0 },
    { down: 10 },
    { down: 200 },
    { down: 300 },
    { down: 100_000 },
    { down: 0, rubbish: 'HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n' },
    { down: 0, rubbish: '\u0000\u0001 what' },
  ]) {
    const what = JSON.stringify(fault)
    /** The next connections are cut, those after them are not. */
    const cut = () => {
      proxy.spoil(fault)
      setTimeout(() => proxy.spoil(undefined), 150)
    }
    const name = path(`/data/file-${number++}`)
    cut()
    const file = await fs.open(name, anew)
    t.equal(file.created, true, `made once: ${what}`)
    cut()
    await file.write(bytes, 0)
    cut()
    const into = Buffer.alloc(400_000)
    t.equal(await file.read(into, 0), bytes.length)
    t.ok(into.subarray(0, bytes.length).equals(bytes), what)
    cut()
    t.equal((await fs.rename(name, path(`${name}-moved`), 'absent')).size, bytes.length, 'renamed once')
    file.path = path(`${name}-moved`)
    cut()
    t.equal((await fs.mkdir(path(`${name}-directory`), 0o700)).type, 'directory', 'made once')
    cut()
    await fs.remove(path(`${name}-directory`), 'directory')
    await t.rejects(fs.stat(path(`${name}-directory`)), { code: 'not-found' })
    await file.close()
  }
})

t.test('a gateway that is silent: waits end with the time limit, and an interrupt at once', async (t) => {
  const proxy = await Between.start(t, gateway.port)
  const fs = await reach(t, gateway, { url: proxy.url }, { timeout: 1500 })
  const file = await fs.open(path('/data/silent'), anew)
  proxy.spoil({ hole: true })
  const began = performance.now()
  const outcomes = await Promise.all(
    [fs.stat(path('/data/silent')), file.read(Buffer.alloc(10), 0), file.write(Buffer.alloc(100_000), 0)].map((work) =>
      work.then(
        () => 'done',
        ({ code }) => code,
      ),
    ),
  )
  t.same(outcomes, ['timeout', 'timeout', 'timeout'])
  t.ok(performance.now() - began < 30_000)
  const stop = new AbortController()
  const interrupted = fs.stat(path('/data/silent'), stop.signal)
  setImmediate(() => stop.abort())
  await t.rejects(interrupted, { code: 'cancelled' })
  proxy.spoil(undefined)
  proxy.cutAll()
  await file.write(Buffer.from('again'), 0)
  t.equal((await file.stat()).size, 5)
})

t.test('what is no gateway is told at once', async (t) => {
  const proxy = await Between.start(t, gateway.port)
  for (const rubbish of ['SSH-2.0-OpenSSH_9.6\r\n', 'HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}']) {
    proxy.fault = { down: 0, rubbish }
    await t.rejects(reach(t, gateway, { url: proxy.url }), { code: 'unavailable' })
  }
  proxy.fault = undefined
  const { port } = proxy
  proxy.port = 1
  await t.rejects(reach(t, gateway, { url: proxy.url }), { code: 'unavailable' })
  proxy.port = port
  await t.rejects(reach(t, gateway, { url: 'ftp://localhost/' }), { code: 'invalid' })
  await t.rejects(reach(t, gateway, { url: 'http://user:word@127.0.0.1/' }), { code: 'invalid' })
  await t.rejects(reach(t, gateway, { url: 'http://gateway.example/' }), { code: 'invalid' }, 'a token over plain HTTP')
})

t.test('a worker process that was killed takes its session along, and nothing else', async (t) => {
  const lines: string[] = []
  const fs = await reach(t, gateway, {}, { timeout: 30_000, log: (line) => lines.push(line) })
  const file = await fs.open(path('/data/worked-on'), anew)
  await file.write(Buffer.from('before '), 0)
  const workers = workersOf(gateway.pid)
  t.equal(workers.length, 2)
  for (const pid of workers) process.kill(pid, 'SIGKILL')
  await file.write(Buffer.from('after'), 7)
  await file.sync()
  t.equal((await fs.stat(path('/data/worked-on'))).size, 12)
  t.ok(lines.some((line) => line.includes('beginning a new one')))
})

/** Children of the supervisor. */
function workersOf(supervisor: number): readonly number[] {
  const children = readFileSync(`/proc/${supervisor}/task/${supervisor}/children`, 'utf8')
  return children.trim().split(' ').map(Number)
}

t.test('a gateway that was killed and started again: open files go on', async (t) => {
  const proxy = await Between.start(t, gateway.port)
  const lines: string[] = []
  const fs = await reach(t, gateway, { url: proxy.url }, { timeout: 60_000, log: (line) => lines.push(line) })
  const file = await fs.open(path('/data/kept'), anew)
  await file.write(Buffer.from('before '), 0)
  const reader = await fs.open(path('/data/kept'), {})
  const gone = await fs.open(path('/data/gone'), anew)
  await fs.remove(path('/data/gone'), 'file')
  const other = await fs.open(path('/data/other'), anew)
  const last = await fs.open(path('/data/moved'), anew)
  const me = { owner: 'a', pid: 1, kind: 'posix' } as const
  await last.lock({ start: 0, end: 10, type: 'exclusive' }, me, false)
  await fs.rename(path('/data/moved'), path('/data/moved-there'), 'absent')
  last.path = path('/data/moved-there')
  await gateway.kill9()
  const writing = file.write(Buffer.from('after'), 7)
  const looking = fs.stat(path('/data/kept'))
  await gateway.start()
  proxy.port = gateway.port
  await writing
  t.equal((await looking).type, 'file')
  const into = Buffer.alloc(100)
  t.equal(await reader.read(into, 0), 12)
  t.equal(into.toString('latin1', 0, 12), 'before after')
  await t.rejects(gone.read(into, 0), { code: 'stale' }, 'it has no name any more')
  await fs.open(path('/data/fresh'), anew)
  await fs.rename(path('/data/fresh'), path('/data/other'), 'replace')
  await t.rejects(other.write(into, 0), { code: 'stale' }, 'another one is in its place')
  await last.write(Buffer.from('there'), 0)
  t.equal((await fs.stat(path('/data/moved-there'))).size, 5)
  const stranger = await reach(t, gateway)
  const theirs = await stranger.open(path('/data/moved-there'), { write: true })
  await t.rejects(
    theirs.lock({ start: 0, end: 1, type: 'shared' }, { ...me, pid: 2 }, false),
    { code: 'busy' },
    'the lock was taken again',
  )
  t.ok(lines.some((line) => line.includes('cannot be reached')))
  t.ok(lines.some((line) => line.includes('answers again')))
  t.ok(lines.length < 10, 'a few lines are enough')
})
