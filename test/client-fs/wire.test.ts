/** The small HTTP client against servers that say anything (RFC 9112, sections 2 to 6 and 11). */

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type Server, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { Dialer } from '../../mounts/client/fs/dial.ts'
import { Broken, Wire } from '../../mounts/client/fs/wire.ts'

/** Answers each request, once its head is there, with what `say` gives. */
async function server(
  t: Test,
  say: (socket: Socket, head: string) => void,
): Promise<{ dialer: Dialer; server: Server }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    let text = ''
    socket
      .on('error', () => {})
      .on('data', (chunk) => {
        text += chunk.toString('latin1')
        for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
          const head = text.slice(0, end)
          text = text.slice(end + 4)
          say(socket, head)
        }
      })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { dialer: new Dialer({ origin: new URL(`http://127.0.0.1:${port}`) }), server }
}

const get = { method: 'GET', target: '/x', headers: '' } as const
const terms = { largest: 1024, quiet: 5000 }

t.test('bytes of a body go where the caller wants them, in whatever pieces they come', async (t) => {
  const body = Buffer.from(Array.from({ length: 200_000 }, (_, index) => index % 251))
  const { dialer } = await server(t, (socket, head) => {
    const cut = Number(/cut=(\d+)/.exec(head)?.[1])
    const answer = Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`), body])
    socket.write(answer.subarray(0, cut))
    setImmediate(() => socket.write(answer.subarray(cut)))
  })
  const wire = await Wire.open(dialer, { limit: 5000 })
  t.teardown(() => wire.close())
  for (const cut of [1, 3, 17, 36, 39, 40, 41, 42, 43, 5000, 70_000, 199_999]) {
    const into = Buffer.alloc(300_000)
    const answer = await wire.exchange({ ...get, target: `/?cut=${cut}` }, { ...terms, into })
    t.equal(answer.status, 200)
    t.ok(Buffer.from(answer.body).equals(body), `cut after ${cut}`)
    t.equal(answer.body.buffer, into.buffer, 'without a copy')
    t.ok(
      into.subarray(body.length).every((byte) => byte === 0),
      'and nothing behind them',
    )
  }
})

t.test('what is no such answer is refused, and the connection is over', async (t) => {
  const ok = 'HTTP/1.1 200 OK\r\n'
  const rows = [
    ['no HTTP', 'SSH-2.0-OpenSSH_9.6\r\n\r\n'],
    ['another version', 'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
    ['an interim answer', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['a status of letters', 'HTTP/1.1 2xx OK\r\nContent-Length: 0\r\n\r\n'],
    ['no length', `${ok}\r\n`],
    ['two lengths', `${ok}Content-Length: 0\r\nContent-Length: 5\r\n\r\n`],
    ['two equal lengths', `${ok}Content-Length: 0\r\nContent-Length: 0\r\n\r\n`],
    ['a negative length', `${ok}Content-Length: -1\r\n\r\n`],
    ['a list of lengths', `${ok}Content-Length: 1, 1\r\n\r\n`],
    ['a length like 0x10', `${ok}Content-Length: 0x10\r\n\r\n`],
    ['an endless length', `${ok}Content-Length: 99999999999999999999\r\n\r\n`],
    ['more than was asked for', `${ok}Content-Length: 1025\r\n\r\n`],
    ['chunks', `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['chunks and a length', `${ok}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n`],
    ['a folded header', `${ok}Content-Length: 0\r\nA: b\r\n c\r\n\r\n`],
    ['a space before the colon', `${ok}Content-Length : 0\r\n\r\n`],
    ['a header without a colon', `${ok}Content-Length\r\n\r\n`],
    ['a control character', `${ok}Content-Length: 0\r\nA: \u0001\r\n\r\n`],
    ['a bare line feed', `${ok}Content-Length: 0\nA: b\r\n\r\n`],
    ['more than announced', `${ok}Content-Length: 1\r\n\r\nab`],
    ['endless headers', `${ok}A: ${'x'.repeat(20_000)}\r\nContent-Length: 0\r\n\r\n`],
    ['headers that never end', `${ok}${'A: b\r\n'.repeat(5000)}`],
    ['a body of 204', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello'],
  ] as const
  for (const [what, answer] of rows) {
    const { dialer } = await server(t, (socket) => socket.write(answer, 'latin1'))
    const wire = await Wire.open(dialer, { limit: 5000 })
    await t.rejects(wire.exchange(get, terms), { code: 'unavailable' }, what)
    t.notOk(wire.isOpen, what)
  }
})

t.test('a connection that ends before the answer does is told as broken', async (t) => {
  const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789'
  for (const cut of [0, 5, 30, 40, 45]) {
    const { dialer } = await server(t, (socket) => socket.end(answer.slice(0, cut)))
    const wire = await Wire.open(dialer, { limit: 5000 })
    const error = await wire.exchange(get, terms).catch((thrown: unknown) => thrown)
    t.ok(error instanceof Broken, `after ${cut}`)
    t.notOk(wire.isOpen)
  }
})

t.test('bytes that nobody asked for end the connection', async (t) => {
  let other: Socket | undefined
  const { dialer } = await server(t, (socket) => {
    other = socket
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na')
  })
  const closed = Promise.withResolvers<void>()
  const wire = await Wire.open(dialer, { limit: 5000, closed: () => closed.resolve() })
  t.equal(Buffer.from((await wire.exchange(get, terms)).body).toString(), 'a')
  other?.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb')
  await closed.promise
  await t.rejects(wire.exchange(get, terms), { code: 'unavailable' })
})

t.test('Connection: close is obeyed', async (t) => {
  const { dialer } = await server(t, (socket) => {
    socket.write('HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n')
  })
  const wire = await Wire.open(dialer, { limit: 5000 })
  t.equal((await wire.exchange(get, terms)).status, 204)
  t.notOk(wire.isOpen)
})

t.test('an interrupt and a silence end the exchange and its connection', async (t) => {
  const { dialer } = await server(t, (socket) => socket.write('HTTP/1.1 200 OK\r\n'))
  const late = await Wire.open(dialer, { limit: 5000 })
  await t.rejects(late.exchange(get, { ...terms, quiet: 50 }), { code: 'timeout' })
  t.notOk(late.isOpen)
  const stopped = await Wire.open(dialer, { limit: 5000 })
  const stop = new AbortController()
  const exchange = stopped.exchange(get, { ...terms, signal: stop.signal })
  setImmediate(() => stop.abort())
  await t.rejects(exchange, { code: 'cancelled' })
  t.notOk(stopped.isOpen)
})

t.test('many requests follow each other on one connection, and their bodies arrive whole', async (t) => {
  const { dialer } = await server(t, (socket, head) => {
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0)
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${String(length).length}\r\n\r\n${length}`)
  })
  const wire = await Wire.open(dialer, { limit: 5000 })
  t.teardown(() => wire.close())
  for (let index = 0; index < 200; index++) {
    const answer = await wire.exchange({ method: 'POST', target: '/', headers: '', body: Buffer.alloc(0) }, terms)
    t.equal(Buffer.from(answer.body).toString(), '0')
  }
})

t.test('an answer in drops ends with the time limit, in its head and in its body', async (t) => {
  const head = 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n'
  for (const [what, first] of [
    ['head', 'HTTP/1.1 200 OK\r\nA: '],
    ['body', head],
  ] as const) {
    const timers: NodeJS.Timeout[] = []
    t.teardown(() => timers.forEach(clearInterval))
    const { dialer } = await server(t, (socket) => {
      socket.write(first)
      timers.push(setInterval(() => socket.write('x'), 20))
    })
    const wire = await Wire.open(dialer, { limit: 5000 })
    const began = performance.now()
    await t.rejects(wire.exchange(get, { ...terms, quiet: 200 }), { code: 'timeout' }, what)
    t.ok(performance.now() - began < 3000, what)
  }
})

t.test('a success that comes before the request was sent is none', async (t) => {
  const { dialer } = await server(t, (socket) => {
    socket.pause()
    socket.write('HTTP/1.1 204 No Content\r\n\r\n')
  })
  const wire = await Wire.open(dialer, { limit: 5000 })
  const body = Buffer.alloc(32 * 1024 * 1024)
  const error = await wire.exchange({ ...get, method: 'PUT', body }, terms).catch((thrown: unknown) => thrown)
  t.ok(error instanceof Broken)
})

t.test('what comes behind a long body is not taken for the answer to the next request', async (t) => {
  const length = 100_000
  const { dialer } = await server(t, (socket) => {
    const head = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`)
    const forged = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged')
    socket.write(Buffer.concat([head, Buffer.alloc(length, 65), forged]))
  })
  const wire = await Wire.open(dialer, { limit: 5000 })
  const outcome = await wire.exchange(get, { ...terms, into: Buffer.alloc(length) }).then(
    () => wire.exchange(get, terms),
    (error: unknown) => error,
  )
  t.match(outcome, { code: 'unavailable' })
  t.notOk(wire.isOpen)
})

t.test('a long body with whose end the connection ends is whole', async (t) => {
  const length = 100_000
  const { dialer } = await server(t, (socket) => {
    const head = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`)
    socket.end(Buffer.concat([head, Buffer.alloc(length, 65)]))
  })
  for (let time = 0; time < 10; time++) {
    const wire = await Wire.open(dialer, { limit: 5000 })
    t.equal((await wire.exchange(get, { ...terms, into: Buffer.alloc(length) })).body.length, length)
  }
})
