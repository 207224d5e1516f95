/** What goes on while a long body comes, and what is left of uploads that came to nothing. */

import { once } from 'node:events'
import { Agent, type ClientRequest, type IncomingHttpHeaders, request } from 'node:http'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import type { Asked } from '../gateway/harness.ts'
import { send } from '../gateway/http.ts'
import { type Ask, appendTo, makeUpload, metadataOf, offsetStream, partialUpload, tusVersion } from './sending.ts'
import { openUploads } from './world.ts'

t.setTimeout(60_000)

async function setting(t: Test) {
  const world = await openUploads(t)
  const ask: Ask = ({ user, token, headers, ...asked }: Asked) =>
    send(world.port, { ...asked, headers: { Authorization: `Bearer ${token ?? user ?? 'alice'}`, ...headers } })
  return { world, ask }
}

/** Sends a byte now and then until it is told that some are here to stay; gives that offset and the last answer. */
async function sendSlowly(t: Test, sent: ClientRequest) {
  const began: IncomingHttpHeaders[] = []
  const told = Promise.withResolvers<IncomingHttpHeaders>()
  sent.on('information', ({ statusCode, headers }) => {
    t.equal(statusCode, 104)
    if (headers.location === undefined) told.resolve(headers)
    else began.push(headers)
  })
  const answered = once(sent, 'response')
  const timer = setInterval(() => void sent.write('x'), 100)
  t.teardown(() => clearInterval(timer))
  const progress = await told.promise
  clearInterval(timer)
  sent.end()
  const [answer] = await answered
  answer.resume()
  t.same(Object.keys(progress), ['upload-offset'], 'it is told the offset and nothing else')
  const offset = Number(progress['upload-offset'])
  return { began, offset, status: Number(answer.statusCode), headers: answer.headers as IncomingHttpHeaders }
}

t.test('who sends for long is told how much is here to stay', async (t) => {
  const { world } = await setting(t)
  const common = { port: world.port, host: '127.0.0.1', agent: false } as const
  const headers = { Authorization: 'Bearer alice', 'Upload-Complete': '?0' }
  const made = await sendSlowly(t, request({ ...common, method: 'PUT', path: '/data/long', headers }))
  t.equal(made.status, 201)
  t.same(
    made.began.map(({ location }) => location),
    [made.headers.location],
  )
  const end = Number(made.headers['upload-offset'])
  t.ok(made.offset > 0 && made.offset <= end)
  const path = new URL(String(made.headers.location)).pathname
  const part = { ...headers, 'Upload-Offset': end, 'Content-Type': partialUpload }
  const appended = await sendSlowly(t, request({ ...common, method: 'PATCH', path, headers: part }))
  t.equal(appended.status, 204)
  t.same(appended.began, [], 'an append has no Location')
  t.ok(appended.offset > end && appended.offset <= Number(appended.headers['upload-offset']))
})

t.test('uploads that were refused, broken by their senders or given up are not kept', async (t) => {
  const { world, ask } = await setting(t)
  const digest = { 'Repr-Digest': `sha-256=:${Buffer.alloc(32).toString('base64')}:` }
  const put = (headers: Asked['headers'], body: string | Readable) =>
    ask({ method: 'PUT', path: '/data/left', headers: { 'Upload-Complete': '?1', ...headers }, body })
  t.equal((await put(digest, 'abc')).status, 400)
  t.equal((await put({ 'Upload-Length': 2 }, Readable.from(['abc']))).status, 400)
  t.equal((await put({ 'Upload-Length': 4 }, Readable.from(['abc']))).status, 400)
  t.equal((await put({ 'If-Match': '"other"' }, 'abc')).status, 412)
  const tus = { ...tusVersion, 'Upload-Metadata': metadataOf({ path: '/data/left' }), 'Content-Type': offsetStream }
  const post = (headers: Asked['headers'], body: string) =>
    ask({ method: 'POST', path: '/.portolan/uploads', headers: { ...tus, ...headers }, body })
  t.equal((await post({ 'Upload-Length': 2 }, 'abc')).status, 413)
  t.equal((await post({ 'Upload-Length': 6, 'Upload-Checksum': 'crc32 AAAAAA==' }, 'abc')).status, 460)
  t.equal((await post({ 'Upload-Length': 3, ...digest }, 'abc')).status, 400)
  const url = await makeUpload(ask, '/data/left', 6, digest)
  t.equal((await appendTo(ask, url, 0, 'abc')).status, 204)
  t.equal(await world.kept(), 1, 'this is one')
  t.equal((await appendTo(ask, url, 3, 'def')).status, 400, 'its bytes will never be the right ones')
  const other = await makeUpload(ask, '/data/left', 6)
  t.equal((await ask({ method: 'DELETE', path: other, headers: tusVersion })).status, 204)
  t.equal(await world.kept(), 0)
  t.equal((await ask({ path: '/data/left' })).status, 404)
  const empty = await put({}, '')
  t.equal(empty.status, 201, 'an empty file is one')
  t.equal(await world.kept(), 0)
})

t.test('an upload is given up while bytes of it come', async (t) => {
  const { world, ask } = await setting(t)
  const path = await makeUpload(ask, '/data/given-up', 6)
  const socket = connect(world.port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let heard = ''
  const wanted = Promise.withResolvers<void>()
  const answered = Promise.withResolvers<void>()
  socket.on('data', (chunk) => {
    heard += String(chunk)
    if (/100 Continue/.test(heard)) wanted.resolve()
    if (/^HTTP\/1\.1 [2-5]/m.test(heard)) answered.resolve()
  })
  const fields = `Host: localhost\r\nAuthorization: Bearer alice\r\nContent-Type: ${partialUpload}\r\nUpload-Offset: 0\r\n`
  const body = 'Upload-Complete: ?1\r\nExpect: 100-continue\r\nContent-Length: 6\r\n'
  socket.write(`PATCH ${path} HTTP/1.1\r\n${fields}${body}\r\n`)
  await wanted.promise
  socket.write('abc')
  t.equal((await ask({ method: 'DELETE', path })).status, 204)
  await answered.promise
  t.match(heard, /^HTTP\/1\.1 (?:404|503) /m, 'who sent them is told')
  t.equal((await ask({ method: 'HEAD', path })).status, 404)
  t.equal(await world.kept(), 0)
})

t.test('of many requests on one connection nothing piles up', async (t) => {
  const { world, ask } = await setting(t)
  const warnings: Error[] = []
  const note = (warning: Error) => void warnings.push(warning)
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const count = 60
  const path = await makeUpload(ask, '/data/many', count)
  const ports = new Set<number | undefined>()
  for (let at = 0; at < count; at++) {
    const headers = { Authorization: 'Bearer alice', ...tusVersion, 'Upload-Offset': at, 'Content-Type': offsetStream }
    const sent = request({ port: world.port, host: '127.0.0.1', agent, method: 'PATCH', path, headers })
    sent.end('x')
    const [answer] = await once(sent, 'response')
    ports.add(sent.socket?.localPort)
    t.equal(answer.statusCode, 204)
    answer.resume()
    await once(answer, 'close')
  }
  t.equal(ports.size, 1)
  t.same(warnings, [])
  t.equal((await ask({ path: '/data/many' })).text, 'x'.repeat(count))
})
