/** How long uploads are kept, what becomes of them in between, and where nothing keeps them. */

import t from 'tap'
import type { Asked } from '../gateway/harness.ts'
import { send } from '../gateway/http.ts'
import { type Ask, appendTo, makeUpload, partialUpload, tusVersion } from './sending.ts'
import { openUploads } from './world.ts'

const askAt =
  (port: number): Ask =>
  ({ user, token, headers, ...asked }: Asked) =>
    send(port, { ...asked, headers: { ...headers, Authorization: `Bearer ${token ?? user ?? 'alice'}` } })

t.test('an upload that was not finished in time has gone', async (t) => {
  const world = await openUploads(t, { lifetime: 100 })
  const ask = askAt(world.port)
  const url = await makeUpload(ask, '/data/slow', 6)
  t.equal((await appendTo(ask, url, 0, 'abc')).status, 204)
  world.pass(99)
  t.equal((await ask({ method: 'HEAD', path: url, headers: tusVersion })).status, 200)
  world.pass(2)
  t.equal((await ask({ method: 'HEAD', path: url, headers: tusVersion })).status, 410)
  t.equal((await ask({ method: 'HEAD', path: url })).status, 410)
  t.equal((await appendTo(ask, url, 3, 'def')).status, 410)
  const draft = { 'Upload-Offset': 3, 'Upload-Complete': '?1', 'Content-Type': partialUpload }
  t.equal((await ask({ method: 'PATCH', path: url, headers: draft, body: 'def' })).status, 410)
  t.equal((await ask({ method: 'HEAD', path: url, user: 'bob', headers: tusVersion })).status, 404, 'to others')
  t.equal((await ask({ path: '/data/slow' })).status, 404)
})

t.test('all bytes are there, and the step that makes the file was not taken: who asks, takes it', async (t) => {
  const world = await openUploads(t)
  const ask = askAt(world.port)
  const put = { 'Upload-Complete': '?0', 'Upload-Length': 3 }
  const made = await ask({ method: 'PUT', path: '/data/late', headers: put, body: 'abc' })
  t.equal(made.status, 201)
  const { pathname: url } = new URL(String(made.headers.location))
  t.equal((await ask({ method: 'HEAD', path: url })).headers['upload-complete'], '?0', 'the draft asks for that step')
  t.equal((await ask({ path: '/data/late' })).status, 404)
  const { status, headers } = await ask({ method: 'HEAD', path: url, headers: tusVersion })
  t.equal(status, 200, 'to tus there is none')
  t.match(headers.etag, /^".+"$/)
  t.equal((await ask({ path: '/data/late' })).text, 'abc')
})

t.test('a file that cannot be made is not told to be there', async (t) => {
  const world = await openUploads(t)
  const ask = askAt(world.port)
  const put = { 'Upload-Complete': '?0', 'Upload-Length': 3, 'If-None-Match': '*' }
  const made = await ask({ method: 'PUT', path: '/data/taken', headers: put, body: 'abc' })
  const { pathname: url } = new URL(String(made.headers.location))
  t.equal((await ask({ method: 'PUT', path: '/data/taken', body: 'quicker' })).status, 201)
  t.equal((await ask({ method: 'HEAD', path: url, headers: tusVersion })).status, 412)
  const draft = { 'Upload-Offset': 3, 'Upload-Complete': '?1', 'Content-Type': partialUpload }
  const last = await ask({ method: 'PATCH', path: url, headers: draft, body: '' })
  t.equal(last.status, 412)
  t.equal((await ask({ path: '/data/taken' })).text, 'quicker')
})

t.test('where nothing keeps uploads a whole file is an ordinary PUT, and a part is refused', async (t) => {
  const world = await openUploads(t, { keeps: false })
  const ask = askAt(world.port)
  const whole = await ask({ method: 'PUT', path: '/data/a', headers: { 'Upload-Complete': '?1' }, body: 'abc' })
  t.equal(whole.status, 201)
  t.equal(whole.headers['upload-complete'], undefined)
  const part = await ask({ method: 'PUT', path: '/data/b', headers: { 'Upload-Complete': '?0' }, body: 'abc' })
  t.equal(part.status, 400)
  t.equal((await ask({ path: '/data/b' })).status, 404)
  t.equal((await ask({ method: 'OPTIONS', path: '/data/a' })).headers['accept-patch'], undefined)
  const tus = { ...tusVersion, 'Upload-Length': 3 }
  t.equal((await ask({ method: 'POST', path: '/.portolan/uploads/data/c', headers: tus })).status, 501)
})
