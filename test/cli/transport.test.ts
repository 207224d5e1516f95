import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect, createServer as createTcpServer } from 'node:net'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { Secret } from '../../acl/secret.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Client } from '../../mounts/client/client.ts'
import { RemoteError } from '../../mounts/client/errors.ts'
import { openRemote } from '../../mounts/client/resume.ts'

const token = new Secret('the-token')
const file = parsePath('/a b/f#1')

async function serve(t: Test, listener: RequestListener, prepare?: (server: Server) => void): Promise<URL> {
  const server = createServer(listener)
  prepare?.(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

function clientOf(t: Test, origin: URL): Client {
  const client = new Client({ origin, token })
  t.teardown(() => client.close())
  return client
}

t.test('a token does not follow a redirect to another host', async (t) => {
  const seen: IncomingMessage['headers'][] = []
  const other = await serve(t, (request, response) => {
    seen.push(request.headers)
    response.end('elsewhere')
  })
  const first = await serve(t, (request, response) => {
    seen.push(request.headers)
    response.writeHead(307, { location: `${other.origin}/other` }).end()
  })
  const { body } = await clientOf(t, first).get(file)
  t.equal(await text(body), 'elsewhere')
  t.equal(seen[0]?.authorization, 'Bearer the-token')
  t.equal(seen[1]?.authorization, undefined)
})

t.test('a redirect that never ends, or leads to no web address, is given up', async (t) => {
  const round = await serve(t, (_request, response) => void response.writeHead(302, { location: '/again' }).end())
  await t.rejects(clientOf(t, round).get(file), { code: 'unavailable' })
  const wrong = await serve(t, (_request, response) => void response.writeHead(302, { location: 'file:///etc' }).end())
  await t.rejects(clientOf(t, wrong).get(file), { code: 'unavailable' })
})

t.test('a token is not sent over plain HTTP to another machine', async (t) => {
  t.throws(() => new Client({ origin: new URL('http://gw.example.org'), token }), { code: 'invalid' })
  t.throws(() => new Client({ origin: new URL('ftp://gw.example.org') }), { code: 'invalid' })
  for (const origin of ['http://localhost:1', 'http://127.0.0.1:1', 'http://[::1]:1', 'https://gw.example.org']) {
    t.doesNotThrow(() => new Client({ origin: new URL(origin), token }).close())
  }
  t.doesNotThrow(() => new Client({ origin: new URL('http://gw.example.org') }).close(), 'without a token')
})

t.test('names are encoded one by one', async (t) => {
  const targets: string[] = []
  const origin = await serve(t, (request, response) => {
    targets.push(request.url ?? '')
    response.end('x')
  })
  await text((await clientOf(t, origin).get(parsePath('/a b/%2e/?#+&\n\u00e9/\u{1f9ed}'))).body)
  t.same(targets, ['/a%20b/%252e/%3F%23%2B%26%0A%C3%A9/%F0%9F%A7%AD'])
})

t.test('a problem document becomes an error with code, call and explanation', async (t) => {
  const explain = 'http://x/.portolan/api/v1/explain?path=%2Fa&action=read'
  const problem = { title: 'You may not do this', status: 403, code: 'denied', call: 'c1', explain }
  const origin = await serve(t, (_request, response) => {
    response.writeHead(403, { 'content-type': 'application/problem+json', 'retry-after': '7' })
    response.end(JSON.stringify({ ...problem, title: 'You may not\u001b[31m do this' }))
  })
  const error = await clientOf(t, origin)
    .get(file)
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
  t.type(error, RemoteError)
  t.match(error, { code: 'denied', status: 403, callId: 'c1', explain, retryAfter: 7 })
  t.equal((error as RemoteError).message, 'You may not [31m do this', 'nothing a terminal would obey')
})

t.test('what is no problem document is told by its status', async (t) => {
  for (const [status, code] of [
    [404, 'not-found'],
    [502, 'unavailable'],
    [507, 'quota'],
    [418, 'internal'],
  ] as const) {
    const origin = await serve(t, (_request, response) => {
      response.writeHead(status, { 'content-type': 'text/html' }).end('<h1>Proxy</h1>')
    })
    await t.rejects(clientOf(t, origin).get(file), { code, status })
  }
})

t.test('a body is sent only after the server has agreed', async (t) => {
  let got = 0
  const origin = await serve(
    t,
    () => t.fail('the request should wait for 100'),
    (server) =>
      server.on('checkContinue', (request, response) => {
        request.on('data', (chunk: Buffer) => (got += chunk.length))
        response.writeHead(403, { connection: 'close' }).end()
      }),
  )
  const body = Readable.from([Buffer.alloc(100_000)])
  await t.rejects(clientOf(t, origin).put(file, body, { size: 100_000 }), { code: 'denied' })
  t.equal(got, 0)
  t.ok(body.destroyed)
})

t.test('an upload arrives whole, with its length or in chunks', async (t) => {
  const seen: unknown[] = []
  const origin = await serve(t, async (request, response) => {
    seen.push([request.headers['content-length'], request.headers['if-none-match'], (await text(request)).length])
    response.writeHead(201, { etag: '"v1"' }).end()
  })
  const client = clientOf(t, origin)
  t.same(await client.put(file, Readable.from([Buffer.alloc(70_000)]), { size: 70_000 }), {
    created: true,
    etag: '"v1"',
  })
  await client.put(file, Readable.from([Buffer.alloc(70_000)]), { onlyNew: true })
  await client.put(file, Readable.from([]), { size: 0 })
  t.same(seen, [
    ['70000', undefined, 70_000],
    [undefined, '*', 70_000],
    ['0', undefined, 0],
  ])
})

t.test('a source that is not as long as announced is not taken for whole', async (t) => {
  let whole = 0
  const origin = await serve(t, (request, response) => {
    request.on('end', () => {
      whole++
      response.writeHead(201).end()
    })
    request.resume().on('error', () => {})
  })
  const client = clientOf(t, origin)
  for (const size of [99_999, 100_001]) {
    await t.rejects(client.put(file, Readable.from([Buffer.alloc(100_000)]), { size }), { code: 'stale' })
  }
  t.equal(whole, 0)
})

t.test('a refusal in the middle of an upload is told', async (t) => {
  const origin = await serve(t, (request, response) => {
    request.once('data', () => {
      response.writeHead(507, { connection: 'close', 'content-type': 'application/problem+json' })
      response.end(JSON.stringify({ code: 'quota', title: 'The quota is used up' }))
    })
  })
  async function* endless() {
    for (;;) yield Buffer.alloc(65_536)
  }
  await t.rejects(clientOf(t, origin).put(file, Readable.from(endless())), { code: 'quota' })
})

t.test('a download goes on where the connection broke, if the file is the same', async (t) => {
  const bytes = Buffer.alloc(500_000, 'abcdefghij')
  const ranges: unknown[] = []
  const origin = await serve(t, (request, response) => {
    const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
    ranges.push([start > 0, request.headers['if-match']])
    response.writeHead(start > 0 ? 206 : 200, {
      etag: '"v1"',
      'content-length': bytes.length - start,
      ...(start > 0 ? { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
    })
    if (ranges.length > 2) response.end(bytes.subarray(start))
    else response.write(bytes.subarray(start, start + 150_000), () => setImmediate(() => request.socket.destroy()))
  })
  const opened = await openRemote(clientOf(t, origin), file)
  const parts: Buffer[] = []
  for await (const part of opened.bytes()) parts.push(part)
  t.ok(Buffer.concat(parts).equals(bytes))
  t.same(ranges, [
    [false, undefined],
    [true, '"v1"'],
    [true, '"v1"'],
  ])
})

t.test('a file that changed meanwhile is not put together from two', async (t) => {
  let asked = 0
  const origin = await serve(t, (request, response) => {
    if (asked++ > 0) return void response.writeHead(412).end()
    response.writeHead(200, { etag: '"v1"', 'content-length': 1000 })
    response.write('half', () => setImmediate(() => request.socket.destroy()))
  })
  const opened = await openRemote(clientOf(t, origin), file)
  await t.rejects(
    async () => {
      for await (const part of opened.bytes()) t.ok(part)
    },
    { code: 'precondition' },
  )
})

t.test('a listing that is cut short is an error and no short list', async (t) => {
  const origin = await serve(t, (request, response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    response.write('{"name":"a","type":"file"}\n', () => setImmediate(() => request.socket.destroy()))
  })
  await t.rejects(
    async () => {
      for await (const entry of clientOf(t, origin).list(file)) t.equal(entry.name, 'a')
    },
    { code: 'unavailable' },
  )
})

t.test('what cannot be reached says so', async (t) => {
  const free = createTcpServer()
  await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve))
  const { port } = free.address() as AddressInfo
  await new Promise((resolve) => free.close(resolve))
  await t.rejects(clientOf(t, new URL(`http://127.0.0.1:${port}`)).whoami(), {
    code: 'unavailable',
    message: /nothing listens/,
  })
  const plain = await serve(t, (_request, response) => void response.end('{}'))
  const tls = new URL(plain)
  tls.protocol = 'https:'
  await t.rejects(clientOf(t, tls).whoami(), { code: 'unavailable', message: /no TLS/ })
  await t.rejects(clientOf(t, plain).whoami(), { code: 'unavailable', message: /not that of a Portolan gateway/ })
})

t.test('a server that stops answering is given up', async (t) => {
  const silent = createTcpServer((socket) => void socket.on('error', () => {}))
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  const { port } = silent.address() as AddressInfo
  const keep = connect(port, '127.0.0.1')
  t.teardown(() => {
    keep.destroy()
    silent.close()
  })
  const client = new Client({ origin: new URL(`http://127.0.0.1:${port}`), stallTimeout: 100 })
  await t.rejects(client.whoami(), { code: 'timeout' })
  client.close()
})
