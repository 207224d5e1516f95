/** Pulls from servers that do not do what they should: nothing becomes visible that is not whole and right. */

import { once } from 'node:events'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { ask, rawConnection, store } from '../http/door.ts'
import { copy, type Headers, openCopier, outcomeOf, serve } from './third-party-world.ts'

const adler = 'adler32=062c0215'
const lax = { RequireChecksumVerification: 'false' }

/** Pulls /f from the server to /data/copy, and says what is there afterwards. */
async function pullFrom(t: Test, listener: RequestListener, headers: Headers = {}) {
  const { url } = await serve(t, listener)
  const target = await openCopier(t, {}, { limits: { stallTimeout: 300 } })
  const answer = await copy(target.port, '/data/copy', { Source: `${url}/f`, ...headers })
  const { status, text } = await ask(target.port, 'GET', '/data/copy', { as: 'alice' })
  return { answer, outcome: outcomeOf(answer), stored: status === 200 ? text : status, target }
}

t.test('what comes is compared with the checksum that comes with it', async (t) => {
  for (const [digest, more, outcome, stored] of [
    [{ Digest: adler }, {}, /^success: Created$/, 'hello'],
    [{ Digest: 'md5=XUFAKrxLKna5cZ2REBfFkg==' }, {}, /^success: Created$/, 'hello'],
    [{ 'Repr-Digest': 'sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:' }, {}, /^success: Created$/, 'hello'],
    [{ 'Repr-Digest': 'adler=:BiwCFQ==:' }, {}, /^success: Created$/, 'hello'],
    [{ Digest: 'adler32=062c0216' }, {}, /^failure: the adler32 is not the one announced/, 404],
    [{ Digest: 'adler32=062c0216' }, lax, /^failure: the adler32 is not the one announced/, 404],
    [{ Digest: 'sha-512=AAAA' }, lax, /^failure: the other server: its checksums cannot be read/, 404],
    [{}, {}, /^failure: the other server: it tells no checksum/, 404],
    [{ Digest: 'unixcksum=42' }, {}, /^failure: the other server: it tells no checksum/, 404],
    [{}, lax, /^success: Created$/, 'hello'],
  ] as const) {
    const serveIt: RequestListener = (_request, response) => void response.writeHead(200, digest).end('hello')
    const result = await pullFrom(t, serveIt, more)
    t.match(result.outcome, outcome, JSON.stringify([digest, more]))
    t.equal(result.stored, stored)
  }
})

t.test('a checksum that only HEAD tells is waited for, with markers, and then kept', async (t) => {
  const { answer, outcome, stored, target } = await pullFrom(t, (request, response) => {
    if (request.method === 'GET') return void response.end('hello')
    t.equal(request.headers['want-digest'], 'adler32')
    t.equal(request.headers['want-repr-digest'], 'adler=10')
    setTimeout(() => response.writeHead(200, { Digest: adler }).end(), 400)
  })
  t.equal(outcome, 'success: Created')
  t.equal(stored, 'hello')
  const markers = answer.text.match(/Stripe Bytes Transferred: 5\n/g) ?? []
  t.ok(markers.length >= 3, `${markers.length} markers after the last byte`)
  t.match(answer.text, /^RemoteConnections: tcp:127\.0\.0\.1:\d+$/m)
  const head = await ask(target.port, 'GET', '/data/copy', { as: 'alice', headers: { 'want-digest': 'adler32' } })
  t.equal(head.headers.digest, adler)
})

t.test('a wrong checksum by HEAD is a failure', async (t) => {
  const { outcome, stored } = await pullFrom(t, (request, response) => {
    if (request.method === 'GET') response.end('hello')
    else response.writeHead(200, { Digest: 'adler32=00000001' }).end()
  })
  t.match(outcome, /^failure: the adler32 is not the one announced/)
  t.equal(stored, 404)
})

t.test('answers that are not the file are failures in one line', async (t) => {
  const cases: readonly (readonly [string, RequestListener, RegExp])[] = [
    [
      '404',
      (_, response) => void response.writeHead(404, 'rm -rf\u00ff').end('x'),
      /^failure: rejected GET: 404 Not Found$/,
    ],
    ['403', (_, response) => void response.writeHead(403).end(), /^failure: rejected GET: 403 Forbidden$/],
    ['206', (_, response) => void response.writeHead(206).end('he'), /^failure: rejected GET: 206 Partial Content$/],
    ['599', (_, response) => void response.writeHead(599).end('he'), /^failure: rejected GET: 599$/],
    [
      'coding',
      (_, response) => void response.writeHead(200, { 'Content-Encoding': 'gzip' }).end('x'),
      /in another coding$/,
    ],
    [
      'short',
      (_, response) => void cutOff(response, 'Content-Length: 10\r\n\r\nhello'),
      /it broke the connection off$/,
    ],
    [
      'chunks',
      (_, response) => void cutOff(response, 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'),
      /broke the connection off$/,
    ],
    [
      'no end',
      (_, response) => void cutOff(response, 'Connection: close\r\n\r\nhello'),
      /does not tell where the file ends$/,
    ],
    ['no HTTP', ({ socket }) => void socket.end('SSH-2.0-x\r\n'), /it does not speak HTTP$/],
    ['nothing', ({ socket }) => void socket.end(), /it broke the connection off$/],
    [
      'other',
      ({ socket }) => void socket.end('HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
      /^failure: the other server/,
    ],
    [
      'head',
      ({ socket }) => void socket.end(`HTTP/1.1 200 OK\r\nA: ${'x'.repeat(70_000)}\r\n\r\n`),
      /^failure: the other server/,
    ],
    ['nobody', ({ socket }) => void socket.on('error', () => {}), /it did not answer in time$/],
    [
      'slow',
      (_, response) => void response.writeHead(200, { 'Content-Length': 10 }).write('hello'),
      /it moves no bytes$/,
    ],
  ]
  for (const [name, listener, expected] of cases) {
    const { url } = await serve(t, listener)
    const target = await openCopier(t, { answerTimeout: 300 }, { limits: { stallTimeout: 300 } })
    const answer = await copy(target.port, '/data/copy', { Source: `${url}/f`, ...lax })
    t.equal(answer.status, 202, name)
    t.match(outcomeOf(answer), expected, name)
    t.match(outcomeOf(answer), /^failure: [\x20-\x7e]+$/, name)
    t.equal((await ask(target.port, 'GET', '/data/copy', { as: 'alice' })).status, 404, name)
  }
})

function cutOff({ socket }: ServerResponse, text: string): void {
  socket?.end(`HTTP/1.1 200 OK\r\n${text}`)
}

t.test('a failed pull leaves the old file', async (t) => {
  const { url } = await serve(t, (_request, response) => void response.writeHead(200, { Digest: adler }).end('jello'))
  const target = await openCopier(t)
  await store(target.storage, '/data/copy', 'old')
  t.match(outcomeOf(await copy(target.port, '/data/copy', { Source: `${url}/f` })), /^failure: /)
  t.equal((await ask(target.port, 'GET', '/data/copy', { as: 'alice' })).text, 'old')
})

t.test('redirects are followed, without the credential to another server', async (t) => {
  const seen: (readonly [string, string | undefined])[] = []
  const note = ({ url = '', headers }: IncomingMessage) => void seen.push([url, headers.authorization])
  const pool = await serve(t, (request, response) => {
    note(request)
    response.writeHead(200, { Digest: adler }).end('hello')
  })
  const { outcome, stored } = await pullFrom(t, (request, response) => {
    note(request)
    response.writeHead(307, { Location: request.url === '/f' ? '/g' : `${pool.url}/pool?uuid=1` }).end()
  })
  t.equal(outcome, 'success: Created')
  t.equal(stored, 'hello')
  t.same(seen, [
    ['/f', 'Bearer alice'],
    ['/g', 'Bearer alice'],
    ['/pool?uuid=1', undefined],
  ])
})

t.test('redirects lead nowhere that may not be gone to at once', async (t) => {
  for (const [location, expected] of [
    ['http://127.0.0.2/f', /^failure: the other server is not one/],
    ['http://169.254.169.254/latest/meta-data', /^failure: the other server is not one/],
    ['file:///etc/passwd', /^failure: the other server: it redirects to no address/],
    ['http://u:p@127.0.0.1/f', /^failure: the other server: it redirects to no address/],
    ['http://', /^failure: the other server: it redirects to no address/],
    ['/f', /^failure: the other server: it redirects too often$/],
  ] as const) {
    const { outcome } = await pullFrom(t, (_request, response) => {
      response.writeHead(302, { Location: location }).end()
    })
    t.match(outcome, expected, location)
  }
})

t.test('a caller that goes away ends the copy', async (t) => {
  const { url, server } = await serve(t, (_request, response) => {
    response.writeHead(200, { 'Content-Length': 1_000_000 }).write('x'.repeat(1000))
  })
  const target = await openCopier(t)
  const requested = once(server, 'request') as Promise<[IncomingMessage]>
  const caller = rawConnection(t, target.port)
  caller.send(`COPY /data/copy HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alice\r\nSource: ${url}/f\r\n\r\n`)
  const [request] = await requested
  await caller.until(/Stripe Bytes Transferred: 1000\n/)
  const closed = once(request.socket, 'close')
  caller.socket.destroy()
  await closed
  t.equal((await ask(target.port, 'GET', '/data/copy', { as: 'alice' })).status, 404)
  const line = target.audit.records.find(({ action }) => action === 'create')
  t.match(line, { outcome: 'failed', code: 'cancelled', path: '/data/copy' })
})

t.test('a caller that only stops sending is still told the end', async (t) => {
  const { url } = await serve(t, (_request, response) => {
    setTimeout(() => response.writeHead(200, { Digest: adler }).end('hello'), 300)
  })
  const target = await openCopier(t)
  const caller = rawConnection(t, target.port)
  caller.socket.end(
    `COPY /data/copy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer alice\r\nSource: ${url}/f\r\n\r\n`,
  )
  t.match(await caller.end(), /success: Created\n/)
})
