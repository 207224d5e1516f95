/** Copies with servers that mislead, flood and send elsewhere, and callers that are banned meanwhile. */

import { once } from 'node:events'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { buffer, text } from 'node:stream/consumers'
import t from 'tap'
import type { Identity } from '../../acl/identity/identity.ts'
import type { Principal } from '../../acl/principal.ts'
import { ask, identity, person, rawConnection, store } from '../http/door.ts'
import { copy, openCopier, outcomeOf, serve } from './third-party-world.ts'

const adler = 'adler32=062c0215'
const lax = { RequireChecksumVerification: 'false' }
const big = Buffer.alloc(8_000_000, 'x')

function raw({ socket }: ServerResponse, head: string): void {
  socket?.end(`HTTP/1.1 200 OK\r\n${head}`)
}

/** With an error or without. */
function closing(socket: Socket): Promise<void> {
  return new Promise((resolve) => void socket.on('error', () => {}).once('close', () => resolve()))
}

t.test('a file in a coding of the transfer that is not chunked alone is not the file', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['gzip and chunked', 'Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'],
    ['gzip to the end', 'Transfer-Encoding: gzip\r\nConnection: close\r\n\r\nhello'],
    ['identity to the end', 'Transfer-Encoding: identity\r\nConnection: close\r\n\r\nhello'],
  ]
  for (const [name, head] of cases) {
    const { url } = await serve(t, (_request, response) => raw(response, head))
    const target = await openCopier(t)
    const answer = await copy(target.port, '/data/copy', { Source: `${url}/f`, ...lax })
    t.match(outcomeOf(answer), /^failure: the other server: it (sends the file in another coding|does not)/, name)
    t.equal((await ask(target.port, 'GET', '/data/copy', { as: 'alice' })).status, 404, name)
  }
})

t.test('a server that was left gets no credential when others lead back to it', async (t) => {
  const seen: (readonly [string, string | undefined])[] = []
  const urls = { pool: '' }
  const door = await serve(t, ({ url = '', headers }, response) => {
    seen.push([url, headers.authorization])
    if (url === '/f') response.writeHead(307, { Location: `${urls.pool}/x` }).end()
    else response.writeHead(200, { Digest: adler }).end('hello')
  })
  const pool = await serve(t, (_request, response) => {
    response.writeHead(307, { Location: `${door.url}/secret` }).end()
  })
  urls.pool = pool.url
  const target = await openCopier(t)
  t.equal(outcomeOf(await copy(target.port, '/data/copy', { Source: `${door.url}/f` })), 'success: Created')
  t.same(seen, [
    ['/f', 'Bearer alice'],
    ['/secret', undefined],
  ])
})

t.test('a redirect in the middle of the body begins it anew', async (t) => {
  let stored = Buffer.alloc(0)
  const pool = await serve(t, async (request, response) => {
    stored = await buffer(request)
    response.writeHead(201).end()
  })
  const door = await serve(t, () => {})
  door.server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    response.writeContinue()
    request.once('data', () => {
      request.resume()
      response.writeHead(307, { Location: `${pool.url}/pool`, Connection: 'close' }).end()
    })
  })
  const source = await openCopier(t)
  await store(source.storage, '/data/file', big)
  const answer = await copy(source.port, '/data/file', { Destination: `${door.url}/f`, ...lax })
  t.equal(outcomeOf(answer), 'success: Created')
  t.ok(stored.equals(big))
})

t.test('checksums of what a server says after a PUT are not those of the file', async (t) => {
  let removed = 0
  const { url } = await serve(t, async (request, response) => {
    await text(request)
    if (request.method === 'DELETE') removed++
    if (request.method === 'HEAD') return void response.writeHead(200, { Digest: adler }).end()
    const page = { 'Content-MD5': 'AAAAAAAAAAAAAAAAAAAAAA==', 'Content-Digest': 'adler=:AAAAAA==:' }
    response.writeHead(201, { 'Content-Type': 'text/html', ...page }).end('<p>Stored</p>')
  })
  const source = await openCopier(t)
  await store(source.storage, '/data/file', 'hello')
  t.equal(outcomeOf(await copy(source.port, '/data/file', { Destination: `${url}/f` })), 'success: Created')
  t.equal(removed, 0)
})

t.test('nothing is expected for an empty file', async (t) => {
  let expectation: string | undefined = 'none came'
  const { url, server } = await serve(t, (request, response) => {
    expectation = request.headers.expect
    request.resume()
    response.writeHead(201, { Digest: 'adler32=00000001' }).end()
  })
  server.on('checkContinue', (_request, response: ServerResponse) => response.writeHead(417).end())
  const source = await openCopier(t)
  await store(source.storage, '/data/file', '')
  t.equal(outcomeOf(await copy(source.port, '/data/file', { Destination: `${url}/f` })), 'success: Created')
  t.equal(expectation, undefined)
})

t.test('what came out wrong is removed, also when nobody waits any more', async (t) => {
  const gone = Promise.withResolvers<void>()
  const source = await openCopier(t)
  const caller = rawConnection(t, source.port)
  const { url } = await serve(t, async (request, response) => {
    await text(request)
    if (request.method === 'PUT') return void response.writeHead(201).end()
    if (request.method === 'HEAD') return void response.writeHead(200, { Digest: 'adler32=1' }).end()
    if (request.url === '/g') {
      response.writeHead(204).end()
      return gone.resolve()
    }
    caller.socket.destroy()
    // A connection that goes is noticed before an answer that comes later.
    setTimeout(() => response.writeHead(307, { Location: '/g' }).end(), 200)
  })
  await store(source.storage, '/data/file', 'hello')
  caller.send(
    `COPY /data/file HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alice\r\nDestination: ${url}/f\r\n\r\n`,
  )
  await gone.promise
  t.pass('the DELETE was repeated where it was sent on to')
})

t.test('a flood of interim answers is no answer', async (t) => {
  const { url } = await serve(t, (_request, { socket }) => {
    const flood = () => {
      while (socket?.writable && socket.write('HTTP/1.1 102 Processing\r\n\r\n'.repeat(500)));
    }
    socket?.on('drain', flood).on('error', () => {})
    flood()
  })
  const target = await openCopier(t, { answerTimeout: 60_000 })
  const answer = await copy(target.port, '/data/copy', { Source: `${url}/f` })
  t.match(outcomeOf(answer), /^failure: the other server: it answers without an end$/)
})

t.test('a file without an end is cut where the caller may have no more', async (t) => {
  const bounded: Identity = {
    ...identity,
    async authenticate(credential) {
      return { ...(await identity.authenticate(credential)), maxUpload: 1_000_000 }
    },
  }
  const endless: RequestListener = (_request, response) => {
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(65_536)));
    }
    response.on('drain', more)
    more()
  }
  for (const [listener, expected] of [
    [endless, /larger than allowed/],
    [(_request, response) => void response.writeHead(200, { 'Content-Length': 2 ** 52 }).write('x'), /larger than/],
  ] as const satisfies readonly (readonly [RequestListener, RegExp])[]) {
    const { url, server } = await serve(t, listener)
    const target = await openCopier(t, {}, { identity: bounded })
    const connected = once(server, 'connection')
    const pending = copy(target.port, '/data/copy', { Source: `${url}/f`, ...lax })
    const [socket] = await connected
    const closed = closing(socket)
    t.match(outcomeOf(await pending), expected)
    await closed
    t.equal((await ask(target.port, 'GET', '/data/copy', { as: 'alice' })).status, 404)
  }
})

t.test('a ban ends copies that are under way, and the log of decisions says why', async (t) => {
  const banned = new Set<string>()
  const guarded: Identity = { ...identity, isRevoked: ({ id }: Principal) => banned.has(id) }
  const { url, server } = await serve(t, (request, response) => {
    if (request.method === 'GET') response.writeHead(200, { 'Content-Length': 1_000_000 }).write('x'.repeat(1000))
    else request.pause()
  })
  for (const [header, path, action] of [
    ['Source', '/data/copy', 'create'],
    ['Destination', '/data/file', 'read'],
  ] as const) {
    banned.clear()
    const gateway = await openCopier(t, {}, { identity: guarded })
    await store(gateway.storage, '/data/file', big)
    const requested = once(server, 'request') as Promise<[IncomingMessage]>
    const caller = rawConnection(t, gateway.port)
    const order = `COPY ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alice\r\n${header}: ${url}/f\r\n`
    caller.send(`${order}RequireChecksumVerification: false\r\n\r\n`)
    const [request] = await requested
    const closed = closing(request.socket)
    request.on('error', () => {})
    request.resume()
    banned.add('test|alice')
    const start = performance.now()
    await closed
    const all = await caller.end()
    t.ok(performance.now() - start < 10_000, `${Math.round(performance.now() - start)} ms`)
    t.notMatch(all, /success/)
    const line = gateway.audit.records.findLast((each) => each.action === action && each.path === path)
    t.match(line, { outcome: 'refused', code: 'denied', reason: { rule: 'revoked' } }, header)
  }
})

t.test('what is handed on counts for who handed it on', async (t) => {
  const guests: Identity = {
    ...identity,
    async authenticate(credential) {
      if (credential.kind !== 'bearer') return identity.authenticate(credential)
      const name = credential.token.reveal()
      return person('alice', { id: `test|alice#macaroon:${name}`, counted: 'test|alice' })
    },
  }
  const { url } = await serve(t, () => {})
  const target = await openCopier(t, { transfersPerPrincipal: 1 }, { identity: guests })
  const first = rawConnection(t, target.port)
  first.send(`COPY /data/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer one\r\nSource: ${url}/f\r\n\r\n`)
  await first.until(/Perf Marker/)
  t.equal((await copy(target.port, '/data/b', { Source: `${url}/f` }, 'two')).status, 503)
})
