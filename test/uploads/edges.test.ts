/** Where the two protocols, the headers of other specifications and what is kept meet. */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Asked } from '../gateway/harness.ts'
import { send } from '../gateway/http.ts'
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
import { openUploads } from './world.ts'

const askAt =
  (port: number): Ask =>
  ({ user, token, headers, ...asked }: Asked) =>
    send(port, { ...asked, headers: { Authorization: `Bearer ${token ?? user ?? 'alice'}`, ...headers } })

async function setting(t: Test) {
  const world = await openUploads(t)
  const ask = askAt(world.port)
  const begin = async (path: string, headers: Readonly<Record<string, string | number>> = {}) => {
    const made = await ask({ method: 'PUT', path, headers: { 'Upload-Complete': '?0', ...headers }, body: '' })
    t.equal(made.status, 201, made.text)
    return new URL(String(made.headers.location)).pathname
  }
  const patch = (
    path: string,
    offset: number,
    complete: boolean,
    body: string | Readable,
    headers: Asked['headers'] = {},
  ) => {
    const fields = { 'Upload-Offset': offset, 'Upload-Complete': complete ? '?1' : '?0', 'Content-Type': partialUpload }
    return ask({ method: 'PATCH', path, headers: { ...fields, ...headers }, body })
  }
  return { world, ask, begin, patch }
}

const sha256 = (text: string) => `sha-256=:${createHash('sha256').update(text).digest('base64')}:`

t.test('the digest of the content of one request is looked at wherever that request stands', async (t) => {
  const { ask, begin, patch } = await setting(t)
  const url = await begin('/data/first')
  const wrong = await patch(url, 0, true, 'abc', { 'Content-Digest': sha256('xyz') })
  t.equal(wrong.status, 400, wrong.text)
  t.equal(wrong.json().code, 'bad-checksum')
  t.equal((await ask({ path: '/data/first' })).status, 404)
  const right = await patch(url, 0, true, 'abc', { 'Content-Digest': sha256('abc') })
  t.equal(right.status, 201, right.text)
})

t.test('to tus it is the content of one request, too, and not the file', async (t) => {
  const { ask } = await setting(t)
  const url = await makeUpload(ask, '/data/tus', 6, { 'Content-Digest': sha256('') })
  t.equal((await appendTo(ask, url, 0, 'abc', { 'Content-Digest': sha256('xyz') })).status, 400)
  t.equal((await appendTo(ask, url, 0, 'abc', { 'Content-Digest': sha256('abc') })).status, 204)
  const last = await appendTo(ask, url, 3, 'def', { 'Content-Digest': sha256('def') })
  t.equal(last.status, 204, last.text)
  t.equal((await ask({ path: '/data/tus' })).text, 'abcdef')
})

t.test('parts that would have to be decoded first are refused, and so are parts of parts', async (t) => {
  const { ask, begin, patch } = await setting(t)
  const url = await begin('/data/coded')
  t.equal((await patch(url, 0, true, 'abc', { 'Content-Encoding': 'gzip' })).status, 415)
  t.equal((await appendTo(ask, url, 0, 'abc', { 'Content-Encoding': 'gzip' })).status, 415)
  t.equal((await patch(url, 0, true, 'abc', { 'Content-Range': 'bytes 0-2/3' })).status, 400)
  const head = await ask({ method: 'HEAD', path: url })
  t.equal(head.headers['upload-offset'], '0')
  t.equal((await patch(url, 0, true, 'abc', { 'Content-Encoding': 'identity' })).status, 201)
})

t.test('bytes for a finished upload are refused, not dropped', async (t) => {
  const { ask } = await setting(t)
  const url = await makeUpload(ask, '/data/full', 3)
  t.equal((await appendTo(ask, url, 0, 'abc')).status, 204)
  t.equal((await appendTo(ask, url, 3, 'def')).status, 413)
  t.equal((await appendTo(ask, url, 3, Readable.from(['def']))).status, 413)
  t.equal((await appendTo(ask, url, 3, Readable.from([]))).status, 204, 'none is none')
  t.equal((await appendTo(ask, url, 3, '')).status, 204)
  t.equal((await ask({ path: '/data/full' })).text, 'abc')
})

t.test('a limit is told with its refusal, and the upload stays', async (t) => {
  const { ask, begin, patch } = await setting(t)
  const url = await begin('/data/limited')
  const small = { Authorization: 'Bearer small' }
  const told = await patch(url, 0, false, 'abc', { ...small, 'Upload-Length': 9 })
  t.equal(told.status, 413, told.text)
  t.match(told.headers['upload-limit'], /^max-size=8/)
  const beyond = await patch(url, 0, false, 'abc', { 'Upload-Length': '9'.repeat(15) })
  t.equal(beyond.status, 413, beyond.text)
  t.match(beyond.headers['upload-limit'], /^max-size=\d+/)
  const known = await begin('/data/known', { 'Upload-Length': 9 })
  const more = await patch(known, 0, false, Readable.from(['123456789']), small)
  t.equal(more.status, 413, more.text)
  for (const path of [url, known]) t.equal((await ask({ method: 'HEAD', path })).status, 204)
  t.equal((await patch(known, 0, true, '123456789')).status, 201, 'with the credential that it was begun with')
})

t.test('what OPTIONS tells of limits is what an upload is bound to', async (t) => {
  const { ask } = await setting(t)
  for (const path of ['/data/any', '*']) {
    const { headers } = await ask({ method: 'OPTIONS', path })
    t.equal(headers['accept-patch'], partialUpload, path)
    t.match(headers['upload-limit'], /^max-size=\d+$/, path)
  }
  const { headers } = await ask({ method: 'OPTIONS', path: '/data/any', token: 'small' })
  t.equal(headers['upload-limit'], 'max-size=8')
})

t.test('a failure that passes leaves the upload to be finished', async (t) => {
  const { world, ask, begin, patch } = await setting(t)
  for (const code of ['unauthenticated', 'stale', 'busy', 'unavailable'] as const) {
    const url = await begin(`/data/${code}`)
    world.failures.push(new StorageError(code, 'not now'))
    const failed = await patch(url, 0, true, 'abc')
    t.ok(failed.status >= 400, code)
    t.equal(failed.headers['upload-complete'], '?0', code)
    const head = await ask({ method: 'HEAD', path: url })
    t.equal(head.status, 204, code)
    t.equal(head.headers['upload-offset'], '3', code)
    t.equal((await patch(url, 3, true, '')).status, 201, code)
  }
  const url = await begin('/data/over')
  world.failures.push(new StorageError('denied', 'never'))
  t.equal((await patch(url, 0, true, 'abc')).headers['upload-complete'], '?1')
  t.equal((await ask({ method: 'HEAD', path: url })).status, 404)
})

t.test('POST below the endpoint takes the versions of the draft that PUT takes', async (t) => {
  const { ask } = await setting(t)
  for (const [method, path] of [
    ['PUT', '/data/old'],
    ['POST', '/.portolan/uploads/data/old'],
  ] as const) {
    const headers = { 'Upload-Complete': '?0', 'Upload-Draft-Interop-Version': '4' }
    const { status, text } = await ask({ method, path, headers, body: 'abc' })
    t.equal(status, 400, `${method}: ${text}`)
  }
})

t.test('fields that have parameters are what they are without', async (t) => {
  const { ask } = await setting(t)
  const headers = { 'Upload-Complete': '?0;a', 'Upload-Length': '3;b=1' }
  const made = await ask({ method: 'PUT', path: '/data/items', headers, body: '' })
  t.equal(made.status, 201, made.text)
  const { pathname: url } = new URL(String(made.headers.location))
  const more = { 'Upload-Offset': '0; c="x"', 'Upload-Complete': '?1;d', 'Content-Type': partialUpload }
  const last = await ask({ method: 'PATCH', path: url, headers: more, body: 'abc' })
  t.equal(last.status, 201, last.text)
  for (const wrong of ['?1 ;a', '?1;', '?1;A', '?1, ?1', '1', '?2']) {
    const refused = await ask({ method: 'PUT', path: '/data/no', headers: { 'Upload-Complete': wrong }, body: 'x' })
    t.equal(refused.status, 400, wrong)
  }
  const tus = { ...tusVersion, 'Upload-Length': '3;b=1' }
  t.equal((await ask({ method: 'POST', path: '/.portolan/uploads/data/no', headers: tus })).status, 400, 'tus has none')
})

t.test('metadata are for tus: whatever they are, a PUT passes them over', async (t) => {
  const { ask } = await setting(t)
  for (const metadata of ['"'.repeat(7000), 'x'.repeat(9000), 'é']) {
    const headers = { 'Upload-Complete': '?0', 'Upload-Metadata': Buffer.from(metadata).toString('latin1') }
    const made = await ask({ method: 'PUT', path: '/data/noted', headers, body: '' })
    t.equal(made.status, 201, made.text)
    const { pathname: path } = new URL(String(made.headers.location))
    const head = await ask({ method: 'HEAD', path, headers: tusVersion })
    t.equal(head.headers['upload-metadata'], undefined)
  }
})

t.test('keys of metadata may be of any visible characters', async (t) => {
  const { ask } = await setting(t)
  const metadata = `${'"\\'.repeat(3000)} eA==,${metadataOf({ path: '/data/keys' })}`
  const headers = { ...tusVersion, 'Upload-Length': 3, 'Upload-Metadata': metadata }
  const made = await ask({ method: 'POST', path: endpoint, headers })
  t.equal(made.status, 201, made.text)
  const { pathname: path } = new URL(String(made.headers.location))
  t.equal((await ask({ method: 'HEAD', path, headers: tusVersion })).headers['upload-metadata'], metadata)
})

t.test('pages of other sites change nothing', async (t) => {
  const { ask } = await setting(t)
  const url = await makeUpload(ask, '/data/own', 3)
  const foreign: readonly Record<string, string>[] = [
    { 'Sec-Fetch-Site': 'cross-site' },
    { Origin: 'https://evil.example' },
    { Origin: 'null' },
  ]
  for (const from of foreign) {
    const part = { ...tusVersion, 'Upload-Offset': 0, 'Content-Type': offsetStream, ...from }
    const meant = { ...part, 'X-HTTP-Method-Override': 'PATCH' }
    const more = { ...tusVersion, 'Upload-Length': 3, 'Upload-Metadata': metadataOf({ path: '/data/evil' }), ...from }
    const answers = [
      await ask({ method: 'PATCH', path: url, headers: part, body: 'abc' }),
      await ask({ method: 'POST', path: url, headers: meant, body: 'abc' }),
      await ask({ method: 'POST', path: endpoint, headers: more }),
      await ask({ method: 'DELETE', path: url, headers: { ...tusVersion, ...from } }),
      await ask({ method: 'DELETE', path: url, headers: from }),
    ]
    for (const { status, headers } of answers) {
      t.equal(status, 403)
      t.equal(headers['access-control-allow-origin'], undefined)
    }
  }
  const head = await ask({ method: 'HEAD', path: url, headers: tusVersion })
  t.equal(head.headers['upload-offset'], '0')
  t.equal(head.headers['access-control-expose-headers'], undefined)
})

t.test('a file that is there is replaced, as by PUT, unless a condition says otherwise', async (t) => {
  const { ask } = await setting(t)
  t.equal((await ask({ method: 'PUT', path: '/data/there', body: 'old' })).status, 201)
  const metadata = { 'Upload-Metadata': metadataOf({ path: '/data/there' }) }
  const careful = { ...tusVersion, ...metadata, 'Upload-Length': 3, 'If-None-Match': '*' }
  t.equal((await ask({ method: 'POST', path: endpoint, headers: careful })).status, 412)
  const url = await makeUpload(ask, '/data/there', 3)
  t.equal((await ask({ path: '/data/there' })).text, 'old')
  t.equal((await appendTo(ask, url, 0, 'new')).status, 204)
  t.equal((await ask({ path: '/data/there' })).text, 'new')
})

t.test('nobody of HTTP/1.0 gets an interim answer', async (t) => {
  const { world } = await setting(t)
  const socket = connect(world.port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let heard = ''
  socket.on('data', (chunk) => {
    heard += String(chunk)
  })
  const fields = 'Host: localhost\r\nAuthorization: Bearer alice\r\nUpload-Complete: ?1\r\nContent-Length: 3\r\n'
  socket.write(`PUT /data/ancient HTTP/1.0\r\n${fields}\r\nabc`)
  await once(socket, 'close')
  t.match(heard, /^HTTP\/1\.1 201 /)
})

t.test(
  'a version in the If header is one that the file must still have at the end, whatever If-Match says',
  async (t) => {
    const { ask, begin, patch } = await setting(t)
    for (const match of ['none', 'any', 'own'] as const) {
      const { headers } = await ask({ method: 'PUT', path: '/data/version', body: 'one' })
      const etag = String(headers.etag)
      const ifMatch = { none: {}, any: { 'If-Match': '*' }, own: { 'If-Match': etag } }[match]
      const url = await begin('/data/version', { If: `([${etag}])`, ...ifMatch })
      t.equal((await patch(url, 0, false, 'mine')).status, 204)
      t.equal((await ask({ method: 'PUT', path: '/data/version', body: 'two' })).status, 204)
      t.equal((await patch(url, 4, true, '')).status, 412, match)
      t.equal((await ask({ path: '/data/version' })).text, 'two')
    }
  },
)
