/** Senders that go away, stop, or send something else than they announced. */

import { once } from 'node:events'
import { readdirSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startTestGateway, type TestGateway } from '../gateway/harness.ts'
import { eventually } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'
import { leftovers, openFiles } from './leftovers.ts'

t.setTimeout(180_000)

function start(t: Test): Promise<TestGateway> {
  return startTestGateway(t, {
    mounts: [
      {
        path: '/lab',
        make: (top) => {
          const tree = makeLab(top)
          tree.file('alice/old', 'alice', 'the old content')
        },
      },
    ],
    limits: { stallTimeout: '1s', headersTimeout: '1s', idleTimeout: '1s', maxUpload: '8M' },
  })
}

interface Sending {
  readonly what: string
  /** Header lines that say how long the body is. */
  readonly framing: string
  readonly body: Buffer
  /** `cut`: the connection is reset. `end`: no more is sent. `wait`: nothing happens. */
  readonly after: 'cut' | 'end' | 'wait'
  /** What may be answered; undefined: nobody is there to hear it. */
  readonly statuses?: readonly number[]
}

const some = Buffer.alloc(300_000, 'n')
const sendings: readonly Sending[] = [
  { what: 'gone in the middle', framing: 'Content-Length: 1000000', body: some, after: 'cut' },
  { what: 'gone after the headers', framing: 'Content-Length: 1000000', body: Buffer.alloc(0), after: 'cut' },
  { what: 'gone before the last byte', framing: `Content-Length: ${some.length + 1}`, body: some, after: 'cut' },
  { what: 'shorter than announced', framing: 'Content-Length: 1000000', body: some, after: 'end', statuses: [400] },
  { what: 'stops sending', framing: 'Content-Length: 1000000', body: some, after: 'wait', statuses: [408] },
  {
    what: 'longer than announced',
    framing: 'Content-Length: 3',
    body: Buffer.from('abcdef'),
    after: 'wait',
    statuses: [400],
  },
  {
    what: 'chunks cut short',
    framing: 'Transfer-Encoding: chunked',
    body: Buffer.from('5\r\nhello\r\n5\r\nwo'),
    after: 'end',
    statuses: [400],
  },
  {
    what: 'chunks without an end',
    framing: 'Transfer-Encoding: chunked',
    body: Buffer.from('5\r\nhello\r\n'),
    after: 'cut',
  },
  {
    what: 'a chunk that is none',
    framing: 'Transfer-Encoding: chunked',
    body: Buffer.from('5\r\nhello\r\nzz\r\n'),
    after: 'wait',
    statuses: [400],
  },
  {
    what: 'chunks with a length beside them',
    framing: 'Transfer-Encoding: chunked\r\nContent-Length: 5',
    body: Buffer.from('5\r\nhello\r\n0\r\n\r\n'),
    after: 'wait',
    statuses: [400],
  },
  {
    what: 'two lengths',
    framing: 'Content-Length: 5\r\nContent-Length: 6',
    body: Buffer.from('hello!'),
    after: 'wait',
    statuses: [400],
  },
  {
    what: 'a negative length',
    framing: 'Content-Length: -1',
    body: Buffer.from('hello'),
    after: 'wait',
    statuses: [400],
  },
  { what: 'more than is accepted', framing: 'Content-Length: 9000000', body: some, after: 'wait', statuses: [413] },
  { what: 'without a length', framing: 'X-Nothing: here', body: Buffer.alloc(0), after: 'wait', statuses: [400, 411] },
]

/** Writes the request and gives the status line's number, 0 without one. */
async function play(gateway: TestGateway, path: string, sending: Sending): Promise<number> {
  const socket = await gateway.connect()
  socket.on('error', () => {})
  let heard = ''
  socket.on('data', (chunk) => {
    heard += String(chunk)
  })
  const closed = once(socket, 'close')
  const token = await gateway.standingToken('alice')
  const head = `PUT ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n${sending.framing}\r\n\r\n`
  await new Promise((resolve) => socket.write(Buffer.concat([Buffer.from(head), sending.body]), resolve))
  if (sending.after === 'end') socket.end()
  if (sending.after === 'cut') {
    // So that the gateway has begun before it is left alone.
    await gateway.get('/lab/', 'alice')
    socket.resetAndDestroy()
  }
  await closed
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(heard)?.[1] ?? 0)
}

t.test('an upload that is not whole changes nothing and leaves nothing', { timeout: 120_000 }, async (t) => {
  const gateway = await start(t)
  const tree = gateway.tree('/lab')
  for (const sending of sendings) {
    for (const name of ['old', 'new']) {
      const status = await play(gateway, `/lab/alice/${name}`, sending)
      if (sending.statuses) t.ok(sending.statuses.includes(status), `${sending.what}: ${name} is answered ${status}`)
      await eventually(() => leftovers(gateway, tree).length === 0, 5000, 'something is left').catch(() => {})
      t.same(leftovers(gateway, tree), [], `${sending.what}: no leftover of ${name}`)
      t.same(readdirSync(join(tree, 'alice')), ['old'], `${sending.what}: nothing new`)
      t.equal(readFileSync(join(tree, 'alice/old'), 'utf8'), 'the old content', `${sending.what}: the old content`)
    }
  }
  t.equal((await gateway.put('/lab/alice/old', 'alice', 'whole')).status, 204, 'a whole one is taken')
})

t.test('a refused upload is answered before its body is sent', { timeout: 60_000 }, async (t) => {
  const gateway = await start(t)
  const cases = [
    ['/lab/alice/old', 'bob', '', 403],
    ['/lab/alice/missing/new', 'alice', '', 409],
    ['/lab/alice', 'alice', '', 405],
    ['/lab/alice/old', 'alice', 'If-None-Match: *\r\n', 412],
    ['/lab/alice/old', 'alice', 'Content-Range: bytes 0-1/2\r\n', 400],
  ] as const
  for (const [path, user, header, status] of cases) {
    const socket = await gateway.connect()
    socket.on('error', () => {})
    const token = await gateway.standingToken(user)
    const announced = 'Content-Length: 8000000\r\nExpect: 100-continue\r\n'
    socket.write(
      `PUT ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n${announced}${header}\r\n`,
    )
    const [first] = (await once(socket, 'data')) as [Buffer]
    t.match(String(first), new RegExp(`^HTTP/1\\.1 ${status} `), `${user} PUT ${path} ${header.trim()}`)
    socket.destroy()
  }
})

t.test('slow headers and idle connections are cut', { timeout: 60_000 }, async (t) => {
  const gateway = await start(t)
  for (const text of ['', 'GET /lab/ HTTP/1.1\r\nHost: localhost\r\nX-Slow: ', 'GE']) {
    const socket = await gateway.connect()
    socket.on('error', () => {})
    const started = performance.now()
    socket.write(text)
    socket.resume()
    await once(socket, 'close')
    t.ok(performance.now() - started < 10_000, `after ${JSON.stringify(text.slice(0, 10))}`)
  }
  const socket = await gateway.connect()
  socket.on('error', () => {})
  socket.write('OPTIONS / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(socket, 'data')
  socket.resume()
  await once(socket, 'close')
  t.pass('and between two requests')
})

t.test('a reader that goes away, or takes nothing, leaves no file open', { timeout: 60_000 }, async (t) => {
  const gateway = await start(t)
  const file = join(gateway.tree('/lab'), 'alice/large')
  await gateway.put('/lab/alice/large', 'alice', 'x')
  truncateSync(file, 512 * 1024 * 1024)
  for (const leaves of [true, false]) {
    const responses = await Promise.all(
      Array.from({ length: 8 }, () => gateway.open({ path: '/lab/alice/large', user: 'alice' })),
    )
    for (const response of responses) response.on('error', () => {})
    t.equal(openFiles(gateway, file).length, 8, 'each reads from its own')
    if (leaves) for (const response of responses) response.destroy()
    await eventually(() => openFiles(gateway, file).length === 0, 20_000, 'files stay open').catch(() => {})
    t.same(openFiles(gateway, file), [], leaves ? 'gone readers' : 'readers that stall are cut')
    const line = await gateway.auditOf(responses[0] ?? { headers: {} })
    t.match(line, { action: 'read', outcome: 'failed', bytes: Number })
    t.ok(Number(line.bytes) < 512 * 1024 * 1024, 'and the line tells how far it came')
    for (const response of responses) response.destroy()
  }
})
