/** Files that go to a socket without passing through memory. */

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, openSync, readdirSync, readlinkSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { SocketSink } from '../../backends/backend.ts'
import { ByteBudget } from '../../backends/posix/io/budget.ts'
import { DataShare } from '../../backends/posix/io/share.ts'
import { streamRange } from '../../backends/posix/io/streams.ts'

const forever = new AbortController().signal
const bytes = randomBytes(20_000_003)

/** Two ends of a connection, both ended with the test. */
async function connection(t: Test): Promise<{ readonly here: Socket; readonly there: Socket }> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const there = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [here] = (await once(server, 'connection')) as [Socket]
  there.pause()
  server.close()
  t.teardown(() => {
    here.destroy()
    there.destroy()
  })
  return { here, there }
}

function sinkOf(socket: Socket): SocketSink {
  const { fd } = Reflect.get(socket, '_handle') as { readonly fd: number }
  return {
    fd,
    write: (chunk) =>
      new Promise((resolve, reject) => socket.write(chunk, (error) => (error ? reject(error) : resolve()))),
  }
}

interface Place {
  readonly share: DataShare
  readonly path: string
  readonly budget: ByteBudget
  open(path?: string): number
  stream(fd: number): ReturnType<typeof streamRange>
}

function place(t: Test): Place {
  const top = mkdtempSync(join(tmpdir(), 'portolan-sending-'))
  const path = join(top, 'file')
  writeFileSync(path, bytes)
  const share = new DataShare({ slots: 2, queue: 100, deadline: 10_000 })
  const budget = new ByteBudget(1024 * 1024)
  const fds: number[] = []
  t.teardown(async () => {
    for (const fd of fds) await share.close(fd)
    rmSync(top, { recursive: true, force: true })
  })
  return {
    share,
    path,
    budget,
    open(other = path) {
      const fd = openSync(other, 'r')
      fds.push(fd)
      return fd
    },
    stream: (fd) => streamRange({ start: 3, end: bytes.length }, { share, fd, signal: forever, budget }),
  }
}

function sockets(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')
    } catch {
      // The descriptor of the listing itself is gone by now.
      return false
    }
  }).length
}

t.test('the other side gets exactly the bytes, quick or slow', async (t) => {
  const { stream, open, budget } = place(t)
  const { here, there } = await connection(t)
  const before = sockets()
  const sent = stream(open())
    .sendTo(sinkOf(here))
    .then(() => here.end())
  // Nobody reads for a while, until the socket has long been full.
  const chunks: Buffer[] = []
  for (let turn = 0; turn < 100; turn++) await setImmediate()
  for await (const chunk of there as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    if (chunks.length % 50 === 0) await setImmediate()
  }
  await sent
  t.ok(Buffer.concat(chunks).equals(bytes.subarray(3)))
  t.equal(budget.reserved, 0)
  t.ok(sockets() <= before, 'no descriptor of a socket is left')
})

t.test('many at a time do not get mixed up', async (t) => {
  const { stream, open } = place(t)
  const all = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const { here, there } = await connection(t)
      const sent = stream(open())
        .sendTo(sinkOf(here))
        .then(() => here.end())
      const got = await buffer(there)
      await sent
      return got.equals(bytes.subarray(3))
    }),
  )
  t.same(all, Array(6).fill(true))
})

t.test('a side that goes away ends it', async (t) => {
  const { stream, open, budget, share } = place(t)
  const { here, there } = await connection(t)
  here.on('error', () => {})
  const sending = stream(open()).sendTo(sinkOf(here))
  there.destroy()
  await t.rejects(sending, { code: /^(EPIPE|ECONNRESET|ERR_STREAM_DESTROYED)$/ })
  t.equal(budget.reserved, 0)
  t.match(share.status(), { taken: 0, queued: 0 })
})

t.test('a file that became shorter is stale', async (t) => {
  const { stream, open, path } = place(t)
  const { here, there } = await connection(t)
  truncateSync(path, 1_000_000)
  there.resume()
  await t.rejects(stream(open()).sendTo(sinkOf(here)), { code: 'stale' })
})

/** A file system that knows no sendfile. */
class Without extends DataShare {
  override async send(): Promise<number> {
    return -1
  }
}

t.test('what the kernel cannot send is read and written', async (t) => {
  const { open } = place(t)
  const { here, there } = await connection(t)
  const options = { share: new Without({ slots: 1, queue: 10, deadline: 10_000 }), fd: open(), signal: forever }
  const sent = streamRange({ start: 0, end: bytes.length }, options)
    .sendTo(sinkOf(here))
    .then(() => here.end())
  t.ok((await buffer(there)).equals(bytes))
  await sent
})

t.test('an empty range is sent at once', async (t) => {
  const { share, open } = place(t)
  const { here } = await connection(t)
  await streamRange({ start: 5, end: 5 }, { share, fd: open(), signal: forever }).sendTo(sinkOf(here))
  t.pass('resolved')
})
