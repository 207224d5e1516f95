/** What uploads under way refuse, and what they do not tell. */

import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect } from 'node:net'
import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import type { Answer } from '../gateway/http.ts'
import { makeLab } from '../gateway/tree.ts'
import {
  type Ask,
  appendTo,
  endpoint,
  makeUpload,
  metadataOf,
  offsetStream,
  partialUpload,
  tusVersion,
} from './sending.ts'

t.setTimeout(120_000)

const gateway = await startTestGateway(t, {
  mounts: [{ path: '/lab', make: (top) => void makeLab(top) }],
  workers: 2,
  limits: { maxUpload: '64M' },
  more: { publicUrl: 'https://gw.example.org', listen: [{ address: '127.0.0.1', port: 0, insecure: true }] },
})
const ask: Ask = (asked) => gateway.request(asked)

/** Words that only the library would say. */
const foreign =
  /Upload-Offset conflict|no longer exists|Maximum size exceeded|Something went wrong with|tus-node|node_modules/

const hostile: ReadonlyArray<readonly [string, string | Buffer, number]> = [
  ['a dot segment', '/lab/alice/../bob/x', 400],
  ['a dot segment at its end', '/lab/alice/..', 400],
  ['a single dot', '/lab/alice/./x', 400],
  ['a NUL', '/lab/alice/x\0.txt', 400],
  ['an empty name', '/lab/alice//x', 400],
  ['another host', 'https://elsewhere.example/lab/alice/x', 400],
  ['another host without a scheme', '//elsewhere.example/lab/alice/x', 400],
  ['no absolute path', 'lab/alice/x', 400],
  ['what is not UTF-8', Buffer.from([0x2f, 0x6c, 0x61, 0x62, 0x2f, 0xff, 0xfe]), 400],
  ['a surrogate', Buffer.from([0x2f, 0xed, 0xa0, 0x80]), 400],
  ['an overlong slash', Buffer.from([0x2f, 0x6c, 0xc0, 0xaf]), 400],
  ['a directory', '/lab/alice/', 400],
  ['the root', '/', 400],
  ['nothing', '', 400],
  ['a name that is too long', `/lab/alice/${'n'.repeat(256)}`, 414],
  ['a path that is too long', `/lab${'/abcdefg'.repeat(600)}`, 414],
  ['metadata that are too long', `/lab${'/abcdefg'.repeat(2000)}`, 431],
  ['our own name', '/.portolan/x', 403],
  ['a place where the caller may not write', '/lab/bob/x', 403],
  ['a directory that is not there', '/lab/alice/none/x', 409],
]

for (const [what, path, status] of hostile) {
  t.test(`metadata with ${what} make no upload`, async (t) => {
    const headers = { ...tusVersion, 'Upload-Length': 3, 'Upload-Metadata': metadataOf({ path }) }
    const answer = await ask({ method: 'POST', path: endpoint, user: 'alice', headers })
    t.equal(answer.status, status, answer.text)
    t.equal(answer.headers.location, undefined)
    t.equal(answer.headers['tus-resumable'], '1.0.0')
    t.notMatch(answer.text, foreign)
  })
}

t.test('metadata that are none make no upload', async (t) => {
  for (const metadata of ['path', 'path !', 'path L2xhYg==,path L2xhYg==', ',', 'path L2xhYg', 'pfäd L2xhYg==', '=']) {
    const headers = { ...tusVersion, 'Upload-Length': 3, 'Upload-Metadata': Buffer.from(metadata).toString('latin1') }
    const { status, text } = await ask({ method: 'POST', path: endpoint, user: 'alice', headers })
    t.equal(status, 400, `${metadata}: ${text}`)
  }
})

t.test('the URL of the endpoint names the file where metadata do not, and never both', async (t) => {
  const post = (path: string, metadata: Record<string, string>) => {
    const text = metadataOf(metadata)
    const headers = { ...tusVersion, 'Upload-Length': 0, ...(text !== '' && { 'Upload-Metadata': text }) }
    return ask({ method: 'POST', path, user: 'alice', headers })
  }
  t.equal((await post('/.portolan/uploads/lab/alice/by%20url', {})).status, 201)
  t.equal((await gateway.get('/lab/alice/by%20url', 'alice')).status, 200)
  t.equal((await post('/.portolan/uploads/lab/alice/', { name: 'by name' })).status, 201)
  t.equal((await gateway.get('/lab/alice/by%20name', 'alice')).status, 200)
  t.equal((await post('/.portolan/uploads/lab/alice/x', { path: '/lab/alice/y' })).status, 400)
  t.equal((await post('/.portolan/uploads/lab/alice/', {})).status, 400)
  t.equal((await post('/.portolan/uploads/lab/alice/', { filename: '../bob/x' })).status, 400)
  t.equal((await post('/.portolan/uploads/lab/alice/', { filename: '..' })).status, 400)
  t.equal((await post('/.portolan/uploads/lab/%2e%2e/x', {})).status, 400)
  t.equal((await post('/.portolan/uploads', {})).status, 400)
})

t.test('an upload is of no use to anybody else', async (t) => {
  const url = await makeUpload(ask, '/lab/alice/mine', 6)
  const others = { ...tusVersion, 'Upload-Offset': 0, 'Content-Type': 'application/offset+octet-stream' }
  const draft = { 'Upload-Offset': 0, 'Upload-Complete': '?0', 'Content-Type': partialUpload }
  for (const user of ['bob', 'admin'] as const) {
    const answers: readonly Answer[] = [
      await ask({ method: 'HEAD', path: url, user, headers: tusVersion }),
      await ask({ method: 'HEAD', path: url, user }),
      await ask({ method: 'PATCH', path: url, user, headers: others, body: 'stolen' }),
      await ask({ method: 'PATCH', path: url, user, headers: draft, body: 'stolen' }),
    ]
    for (const answer of answers) {
      t.equal(answer.status, 404, `${user}: ${answer.text}`)
      t.equal(answer.headers['upload-offset'], undefined)
    }
  }
  t.equal((await ask({ method: 'DELETE', path: url, user: 'bob', headers: tusVersion })).status, 404)
  t.equal((await ask({ method: 'DELETE', path: url, user: 'bob' })).status, 404)
  const asked = await ask({ method: 'HEAD', path: url, user: 'alice', headers: tusVersion })
  t.equal(asked.headers['upload-offset'], '0', 'it is untouched')
  t.equal((await ask({ method: 'DELETE', path: url, user: 'admin' })).status, 204, 'administrators may take it away')
})

t.test('a credential that does not reach the file does not reach its upload', async (t) => {
  const url = await makeUpload(ask, '/lab/alice/bound', 6)
  const token = await gateway.token('alice', { scope: 'openid storage.modify:/lab/p01 storage.create:/lab/p01' })
  const { status } = await ask({ method: 'HEAD', path: url, token, headers: tusVersion })
  t.equal(status, 404)
})

t.test('nobody is served without a credential', async (t) => {
  const url = await makeUpload(ask, '/lab/alice/known', 6)
  for (const method of ['OPTIONS', 'POST', 'HEAD', 'GET', 'PATCH', 'DELETE']) {
    for (const path of [endpoint, url]) {
      const { status, headers } = await ask({ method, path, headers: { ...tusVersion, 'Upload-Length': 3 } })
      t.equal(status, 401, `${method} ${path}`)
      t.match(headers['www-authenticate'], /Bearer/)
    }
  }
  const incomplete = await ask({ method: 'PUT', path: '/lab/alice/x', headers: { 'Upload-Complete': '?0' }, body: 'x' })
  t.equal(incomplete.status, 401)
})

t.test('a proxy that nobody trusts moves no Location', async (t) => {
  const forged = {
    Forwarded: 'host=evil.example;proto=http',
    'X-Forwarded-Host': 'evil.example',
    'X-Forwarded-Proto': 'ftp',
    'X-Forwarded-For': '192.0.2.1',
  }
  const headers = { ...tusVersion, 'Upload-Length': 3, 'Upload-Metadata': metadataOf({ path: '/lab/alice/fwd' }) }
  const made = await ask({ method: 'POST', path: endpoint, user: 'alice', headers: { ...headers, ...forged } })
  t.equal(made.status, 201)
  t.match(made.headers.location, /^https:\/\/gw\.example\.org\/\.portolan\/uploads\/[\w-]+$/)
  const part = { 'Upload-Complete': '?0', ...forged }
  const put = await ask({ method: 'PUT', path: '/lab/alice/fwd2', user: 'alice', headers: part, body: 'x' })
  t.match(put.headers.location, /^https:\/\/gw\.example\.org\/\.portolan\/uploads\/[\w-]+$/)
})

t.test('lengths that are none, negative or beyond all bounds are refused', async (t) => {
  const metadata = { 'Upload-Metadata': metadataOf({ path: '/lab/alice/long' }) }
  for (const length of ['-1', '1e3', '1e+21', '0x10', ' ', '', '5, 5', '9007199254740993', '٣', 'NaN']) {
    const fields = { ...tusVersion, ...metadata, 'Upload-Length': Buffer.from(length).toString('latin1') }
    const { status, text } = await ask({ method: 'POST', path: endpoint, user: 'alice', headers: fields })
    t.equal(status, 400, `${length}: ${text}`)
  }
  const fields = { ...tusVersion, ...metadata, 'Upload-Length': 64 * 1024 * 1024 + 1 }
  t.equal((await ask({ method: 'POST', path: endpoint, user: 'alice', headers: fields })).status, 413)
  const draft = { 'Upload-Complete': '?0', 'Upload-Length': 64 * 1024 * 1024 + 1 }
  const put = await ask({ method: 'PUT', path: '/lab/alice/long', user: 'alice', headers: draft, body: 'x' })
  t.equal(put.status, 413)
  t.match(put.headers['upload-limit'], /^max-size=67108864/)
})

t.test('what is put together of parts, or is no checksum, is refused before a byte of it', async (t) => {
  const url = await makeUpload(ask, '/lab/alice/sums', 6)
  const concat = { ...tusVersion, 'Upload-Concat': 'partial', 'Upload-Length': 3 }
  t.equal((await ask({ method: 'POST', path: endpoint, user: 'alice', headers: concat })).status, 400)
  for (const sum of ['sha1', 'sha1 ', 'sha1 !!!!', 'sha1 AAAA', 'whirlpool AAAA', 'crc32 AAAAAA==, crc32 AAAAAA==']) {
    t.equal((await appendTo(ask, url, 0, 'abc', { 'Upload-Checksum': sum })).status, 400, sum)
  }
  const wrong = await appendTo(ask, url, 0, 'abc', { 'Upload-Checksum': 'crc32 AAAAAA==' })
  t.equal(wrong.status, 460)
  t.equal(wrong.json().code, 'bad-checksum')
  t.notMatch(wrong.text, foreign)
  // CRC-32 of "abc" (ISO 3309).
  const right = await appendTo(ask, url, 0, 'abc', { 'Upload-Checksum': 'crc32 NSRBwg==' })
  t.equal(right.status, 204)
  t.equal(right.headers['upload-offset'], '3')
})

t.test('another offset changes nothing, and is answered in our words', async (t) => {
  const url = await makeUpload(ask, '/lab/alice/offsets', 6)
  t.equal((await appendTo(ask, url, 0, 'abc')).status, 204)
  const answer = await appendTo(ask, url, 0, 'xyz')
  t.equal(answer.status, 409)
  t.match(answer.headers['content-type'], /problem\+json/)
  t.notMatch(answer.text, foreign)
  t.equal((await appendTo(ask, url, 4, 'f')).status, 409)
  t.equal((await appendTo(ask, url, 3, 'defg')).status, 413, 'nor is there room for more')
  t.equal((await appendTo(ask, url, 3, 'def')).status, 204)
  t.equal((await gateway.get('/lab/alice/offsets', 'alice')).text, 'abcdef')
})

t.test('rights are decided again when the file is made', async (t) => {
  const url = await makeUpload(ask, '/lab/alice/late', 6, { 'If-None-Match': '*' })
  t.equal((await appendTo(ask, url, 0, 'abc')).status, 204)
  t.equal((await gateway.put('/lab/alice/late', 'alice', 'quicker')).status, 201)
  t.equal((await appendTo(ask, url, 3, 'def')).status, 412)
  t.equal((await gateway.get('/lab/alice/late', 'alice')).text, 'quicker')
})

t.test('a lock is honoured, and whoever submits its token goes on', async (t) => {
  t.equal((await gateway.put('/lab/alice/locked', 'alice', 'old')).status, 201)
  const body =
    '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>'
  const lock = await ask({ method: 'LOCK', path: '/lab/alice/locked', user: 'alice', body, headers: { Depth: '0' } })
  t.equal(lock.status, 200)
  const token = String(lock.headers['lock-token'])
  const metadata = { 'Upload-Metadata': metadataOf({ path: '/lab/alice/locked' }) }
  const plain = { ...tusVersion, ...metadata, 'Upload-Length': 3 }
  t.equal((await ask({ method: 'POST', path: endpoint, user: 'alice', headers: plain })).status, 423)
  const url = await makeUpload(ask, '/lab/alice/locked', 3, { If: `(${token})` })
  t.equal((await appendTo(ask, url, 0, 'new')).status, 423)
  const again = await appendTo(ask, url, 0, 'new', { If: `(${token})` })
  t.equal(again.status, 204, again.text)
  t.equal((await gateway.get('/lab/alice/locked', 'alice')).text, 'new')
})

t.test('nobody is asked for a body that is not wanted', async (t) => {
  const url = await makeUpload(ask, '/lab/alice/expect', 6)
  let asked = 0
  const fields = { 'Content-Length': 3, Expect: '100-continue' }
  const send = (offset: number) =>
    gateway.request({
      ...{ method: 'PATCH', path: url, user: 'alice' as const, asked: () => asked++ },
      headers: { ...tusVersion, ...fields, 'Upload-Offset': offset, 'Content-Type': 'application/offset+octet-stream' },
      body: 'abc',
    })
  t.equal((await send(3)).status, 409)
  t.equal(asked, 0)
  t.equal((await send(0)).status, 204)
  t.equal(asked, 1)
})

t.test('a request that hangs gives way to the one that goes on, in whatever process', async (t) => {
  for (const round of [0, 1, 2, 3]) {
    const url = await makeUpload(ask, `/lab/alice/hanging${round}`, 6)
    const socket = connect(gateway.port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    let heard = ''
    socket.on('data', (chunk) => {
      heard += String(chunk)
    })
    const wanted = Promise.withResolvers<void>()
    const answered = Promise.withResolvers<void>()
    socket.on('data', () => {
      if (/100 Continue/.test(heard)) wanted.resolve()
      if (/^HTTP\/1\.1 [2-5]/m.test(heard)) answered.resolve()
    })
    const fields = [
      ['Host', 'localhost'],
      ['Authorization', `Bearer ${await gateway.standingToken('alice')}`],
      ['Tus-Resumable', '1.0.0'],
      ['Upload-Offset', '0'],
      ['Content-Type', offsetStream],
      ['Expect', '100-continue'],
      ['Content-Length', '6'],
    ].map(([name, value]) => `${name}: ${value}\r\n`)
    socket.write(`PATCH ${url} HTTP/1.1\r\n${fields.join('')}\r\n`)
    await wanted.promise
    socket.write('abc')
    const head = await ask({ method: 'HEAD', path: url, user: 'alice', headers: tusVersion })
    t.equal(head.status, 200)
    const offset = Number(head.headers['upload-offset'])
    t.ok(offset === 0 || offset === 3, 'it is told what is here to stay')
    const rest = await appendTo(ask, url, offset, 'abcdef'.slice(offset))
    t.equal(rest.status, 204, rest.text)
    t.equal((await gateway.get(`/lab/alice/hanging${round}`, 'alice')).text, 'abcdef')
    await answered.promise
    t.match(heard, /^HTTP\/1\.1 503 /m, 'and the one that hung is told')
    socket.destroy()
  }
})

t.test('the interim answer says where to go on, and asks for the body', async (t) => {
  const socket = connect(gateway.port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let heard = ''
  socket.on('data', (chunk) => {
    heard += String(chunk)
    if (/100 Continue\r\n\r\n$/.test(heard)) socket.write('abc')
    if (/201 Created/.test(heard)) socket.end()
  })
  const fields = [
    ['Host', 'localhost'],
    ['Authorization', `Bearer ${await gateway.standingToken('alice')}`],
    ['Upload-Complete', '?1'],
    ['Expect', '100-continue'],
    ['Content-Length', '3'],
  ].map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`PUT /lab/alice/interim HTTP/1.1\r\n${fields.join('')}\r\n`)
  await once(socket, 'close')
  t.match(
    heard,
    /^HTTP\/1\.1 104 .*\r\nLocation: https:\/\/gw\.example\.org\/\.portolan\/uploads\/[\w-]+\r\nUpload-Limit: max-size=/,
  )
  t.match(heard, /\r\n\r\nHTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 201 Created\r\n/)
})

t.test('a body that ends early, or is cut, is gone on with where the interim answer said', async (t) => {
  for (const ending of ['end', 'resetAndDestroy'] as const) {
    const socket = connect(gateway.port, '127.0.0.1')
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    let heard = ''
    const wanted = Promise.withResolvers<void>()
    socket.on('data', (chunk) => {
      heard += String(chunk)
      if (/100 Continue/.test(heard)) wanted.resolve()
    })
    const closed = once(socket, 'close')
    const fields = [
      ['Host', 'localhost'],
      ['Authorization', `Bearer ${await gateway.standingToken('alice')}`],
      ['Upload-Complete', '?1'],
      ['Expect', '100-continue'],
      ['Content-Length', '6'],
    ].map(([name, value]) => `${name}: ${value}\r\n`)
    socket.write(`PUT /lab/alice/${ending} HTTP/1.1\r\n${fields.join('')}\r\n`)
    await wanted.promise
    await new Promise((resolve) => socket.write('abc', resolve))
    socket[ending]()
    await closed
    const url = /Location: https:\/\/gw\.example\.org(\S+)/.exec(heard)?.[1] ?? ''
    const head = await ask({ method: 'HEAD', path: url, user: 'alice' })
    t.equal(head.status, 204, ending)
    const offset = Number(head.headers['upload-offset'])
    const more = { 'Upload-Offset': offset, 'Upload-Complete': '?1', 'Content-Type': partialUpload }
    const body = 'abcdef'.slice(offset)
    const rest = await ask({ method: 'PATCH', path: url, user: 'alice', headers: more, body })
    t.equal(rest.status, 201, rest.text)
    t.equal((await gateway.get(`/lab/alice/${ending}`, 'alice')).text, 'abcdef')
  }
})

t.test('nothing is left where uploads failed', async (t) => {
  const left = readdirSync(`${gateway.tree('/lab')}/alice`).filter((name) => name.includes('none') || name === 'long')
  t.same(left, [])
})
