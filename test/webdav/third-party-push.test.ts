/** Pushes to servers that answer early, late, wrongly or not at all. */

import { once } from 'node:events'
import type { IncomingMessage, RequestListener } from 'node:http'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { ask, rawConnection, store } from '../http/door.ts'
import { copy, type Headers, openCopier, outcomeOf, serve } from './third-party-world.ts'

const adler = 'adler32=062c0215'
const lax = { RequireChecksumVerification: 'false' }
const big = Buffer.alloc(8_000_000, 'x')

/** Pushes "hello", or what is given, to /f of the server. */
async function pushTo(t: Test, url: string, headers: Headers = {}, content: string | Buffer = 'hello') {
  const source = await openCopier(t, { answerTimeout: 300 }, { limits: { stallTimeout: 300 } })
  await store(source.storage, '/data/file', content)
  const answer = await copy(source.port, '/data/file', { Destination: `${url}/f`, ...headers })
  t.equal(answer.status, 202)
  return { answer, outcome: outcomeOf(answer), source }
}

t.test('the other server is told length and credential, and asked for its checksum', async (t) => {
  const seen: (readonly [string | undefined, IncomingMessage['headers'], string])[] = []
  const { url } = await serve(t, async (request, response) => {
    seen.push([request.method, request.headers, await text(request)])
    response.writeHead(201, { Digest: adler }).end()
  })
  const { outcome } = await pushTo(t, url, { TransferHeaderXTest: 'yes', Authorization: 'Bearer alice' })
  t.equal(outcome, 'success: Created')
  t.match(seen, [
    [
      'PUT',
      {
        authorization: 'Bearer alice',
        xtest: 'yes',
        'content-length': '5',
        'want-digest': 'adler32',
        expect: '100-continue',
        host: new URL(url).host,
      },
      'hello',
    ],
  ])
  t.equal(seen.length, 1)
})

t.test('only what TransferHeader names goes along', async (t) => {
  let seen: IncomingMessage['headers'] = {}
  const { url } = await serve(t, (request, response) => {
    seen = request.headers
    request.resume()
    request.on('end', () => response.writeHead(201, { Digest: adler }).end())
  })
  const source = await openCopier(t)
  await store(source.storage, '/data/file', 'hello')
  const headers = { Destination: `${url}/f`, Cookie: 'a=b', 'X-Other': 'c' }
  t.equal(outcomeOf(await ask(source.port, 'COPY', '/data/file', { as: 'alice', headers })), 'success: Created')
  t.same(Object.keys(seen).sort(), [
    'accept-encoding',
    'connection',
    'content-length',
    'expect',
    'host',
    'user-agent',
    'want-digest',
    'want-repr-digest',
  ])
})

t.test('what is stored there is compared, and removed where it differs', async (t) => {
  for (const [put, head, more, expected, removed] of [
    [{ Digest: adler }, {}, {}, /^success: Created$/, undefined],
    [{}, { Digest: adler }, {}, /^success: Created$/, undefined],
    [{}, { 'Repr-Digest': 'adler=:BiwCFQ==:' }, {}, /^success: Created$/, undefined],
    [{}, {}, {}, /it tells no checksum/, undefined],
    [{}, {}, lax, /^success: Created$/, undefined],
    [{}, { Digest: 'adler32=1' }, {}, /^failure: the adler32 of the two sides differs$/, '*'],
    [{}, { Digest: adler, 'Content-Length': 4 }, {}, /^failure: the sizes of the two sides differ$/, '*'],
    [{ Digest: 'adler32=1', ETag: '"v1"' }, {}, {}, /^failure: the adler32 of the two sides differs$/, '"v1"'],
  ] as const) {
    let gone: string | undefined
    const { url } = await serve(t, async (request, response) => {
      await text(request)
      if (request.method === 'DELETE') gone = request.headers['if-match'] ?? '*'
      if (request.method === 'PUT') response.writeHead(201, put).end()
      else response.writeHead(200, head).end()
    })
    const { outcome } = await pushTo(t, url, more)
    t.match(outcome, expected, JSON.stringify([put, head, more]))
    t.equal(gone, removed)
  }
})

t.test('a refusal before the body costs no byte of it', async (t) => {
  const { url, server } = await serve(t, () => {})
  let sent = -1
  server.on('checkContinue', (request, response) => {
    response.writeHead(507, { Connection: 'close' }).end()
    request.on('data', (chunk: Buffer) => {
      sent += chunk.length
    })
  })
  const { outcome } = await pushTo(t, url, {}, big)
  t.equal(outcome, 'failure: rejected PUT: 507 Insufficient Storage')
  t.equal(sent, -1)
})

t.test('a refusal in the middle of the body is told', async (t) => {
  const { url } = await serve(t, (request, response) => {
    request.once('data', () => response.writeHead(413, { Connection: 'close' }).end())
  })
  const { outcome } = await pushTo(t, url, {}, big)
  t.match(outcome, /^failure: (rejected PUT: 413|the other server: it broke the connection off)/)
})

t.test('a success in the middle of the body is none', async (t) => {
  const { url } = await serve(t, (request, response) => {
    request.once('data', () => {
      request.pause()
      response.writeHead(201).end()
    })
  })
  const { outcome } = await pushTo(t, url, lax, big)
  t.match(outcome, /^failure: the other server: it (did not wait for the whole file|broke the connection off)$/)
})

t.test('the bytes go where the server redirects them to', async (t) => {
  let stored = ''
  const pool = await serve(t, async (request, response) => {
    t.equal(request.headers.authorization, undefined)
    stored = await text(request)
    response.writeHead(201, { Digest: adler }).end()
  })
  const door = await serve(t, () => {})
  door.server.on('checkContinue', (_request, response) => {
    response.writeHead(307, { Location: `${pool.url}/pool?uuid=1`, Connection: 'close' }).end()
  })
  t.equal((await pushTo(t, door.url)).outcome, 'success: Created')
  t.equal(stored, 'hello')
})

t.test('servers that close in 100 Continue get the bytes too', async (t) => {
  const { url, server } = await serve(t, () => t.fail('the expectation is missing'))
  server.on('checkContinue', async (request, response) => {
    // As XRootD 5.5 does, and then goes on.
    request.socket.write('HTTP/1.1 100 Continue\r\nConnection: Close\r\n\r\n')
    t.equal(await text(request), 'hello')
    response.writeHead(201, { Digest: adler }).end()
  })
  t.equal((await pushTo(t, url)).outcome, 'success: Created')
})

t.test('servers that never say 100 Continue get the bytes after a while', async (t) => {
  const { url, server } = await serve(t, () => t.fail('the expectation is missing'))
  server.on('checkContinue', async (request, response) => {
    t.equal(await text(request), 'hello')
    response.writeHead(201, { Digest: adler }).end()
  })
  t.equal((await pushTo(t, url)).outcome, 'success: Created')
})

t.test('what stops moving is a failure', async (t) => {
  const cases: readonly (readonly [string, RequestListener, RegExp])[] = [
    ['takes nothing', (request) => void request.pause(), /it moves no bytes$/],
    ['never answers', (request) => void request.resume(), /it did not answer in time$/],
    [
      'hangs up',
      (request) => void request.once('data', () => request.socket.destroy()),
      /it broke the connection off$/,
    ],
  ]
  for (const [name, listener, expected] of cases) {
    const { url } = await serve(t, listener)
    t.match((await pushTo(t, url, {}, big)).outcome, expected, name)
  }
  t.match((await pushTo(t, 'http://127.0.0.1:1025')).outcome, /^failure: the other server: it refuses connections$/)
})

t.test('Overwrite: F replaces nothing', async (t) => {
  let isThere = true
  let condition: string | undefined
  const { url } = await serve(t, async (request, response) => {
    await text(request)
    if (request.method === 'PUT') condition = request.headers['if-none-match']
    response.writeHead(request.method === 'PUT' ? 201 : isThere ? 200 : 404, { Digest: adler }).end()
  })
  t.equal((await pushTo(t, url, { Overwrite: 'F' })).outcome, 'failure: the target exists')
  t.equal(condition, undefined)
  isThere = false
  t.equal((await pushTo(t, url, { Overwrite: 'F' })).outcome, 'success: Created')
  t.equal(condition, '*')
})

t.test('a caller that goes away ends the push', async (t) => {
  const { url, server } = await serve(t, (request) => void request.pause())
  const requested = once(server, 'request') as Promise<[IncomingMessage]>
  const source = await openCopier(t)
  await store(source.storage, '/data/file', big)
  const caller = rawConnection(t, source.port)
  caller.send(
    `COPY /data/file HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alice\r\nDestination: ${url}/f\r\n\r\n`,
  )
  const [request] = await requested
  await caller.until(/RemoteConnections/)
  const closed = once(request.socket, 'close')
  request.resume()
  request.on('error', () => {})
  caller.socket.destroy()
  await closed
  t.match(
    source.audit.records.find(({ action }) => action === 'read'),
    { outcome: 'failed', code: 'cancelled' },
  )
})
