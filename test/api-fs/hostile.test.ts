/** Requests that no mount would send. */

import { connect } from 'node:net'
import t from 'tap'
import type { Storage } from '../../gateway/core/storage.ts'
import { store } from '../http/door.ts'
import { openFs } from './client.ts'

t.test('what is no request of the protocol is refused by its kind', async (t) => {
  const { mount, storage } = await openFs(t)
  await store(storage, '/data/a', 'hello')
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/a', write: true })
  const handle = String(json.handle)
  const rows: ReadonlyArray<readonly [string, string, string | undefined, number]> = [
    ['GET', `data?handle=${handle}&offset=-1&length=1`, undefined, 400],
    ['GET', `data?handle=${handle}&offset=0&length=-1`, undefined, 400],
    ['GET', `data?handle=${handle}&offset=1e3&length=1`, undefined, 400],
    ['GET', `data?handle=${handle}&offset=0`, undefined, 400],
    ['GET', `data?handle=${handle}&offset=99999999999999999&length=1`, undefined, 400],
    ['GET', `data?handle=${handle}&offset=9007199254740992&length=1`, undefined, 400],
    ['GET', `data?handle=${handle}&offset=0&length=4194305`, undefined, 413],
    ['GET', `data?handle=${handle}&offset=0&length=1&more=1`, undefined, 400],
    ['GET', `data?handle=${handle}&handle=${handle}&offset=0&length=1`, undefined, 400],
    ['GET', `data?handle=${handle}&path=/data/a&offset=0&length=1`, undefined, 400],
    ['GET', 'data?handle=zzz&offset=0&length=1', undefined, 404],
    ['GET', 'data?handle=%00&offset=0&length=1', undefined, 404],
    ['GET', 'data?path=/data/../data/a&version=x&offset=0&length=1', undefined, 400],
    ['PUT', `data?handle=${handle}&offset=0&length=1`, 'x', 400],
    ['PUT', `data?handle=${handle}&offset=-0`, 'x', 400],
    ['PUT', `data?handle=${handle}`, 'x', 400],
    ['POST', `data?handle=${handle}&offset=0&length=1`, 'x', 405],
    ['GET', 'op/stat', undefined, 405],
    ['POST', 'op/nothing', '{}', 404],
    ['POST', 'op/__proto__', '{}', 404],
    ['POST', 'op/stat/', '{}', 404],
    ['GET', 'nothing', undefined, 404],
    ['GET', '', undefined, 404],
    ['PATCH', 'session', '{}', 405],
    ['POST', 'events', '{}', 405],
  ]
  for (const [method, what, body, status] of rows) {
    const headers = method === 'POST' ? { 'content-type': 'application/json' } : {}
    const answer = await client.send(method, what, headers, body)
    t.equal(answer.status, status, `${method} ${what}: ${answer.body}`)
    t.match(answer.headers['content-type'], /problem\+json/)
    t.ok(answer.headers['x-request-id'])
  }
  t.equal((await client.read(handle, 0, 5)).body.toString(), 'hello', 'nothing was written')
})

t.test('members are read strictly', async (t) => {
  const { mount } = await openFs(t)
  const client = await mount()
  const rows: ReadonlyArray<readonly [string, unknown]> = [
    ['stat', {}],
    ['stat', []],
    ['stat', null],
    ['stat', 'text'],
    ['stat', { path: 1 }],
    ['stat', { path: 'data' }],
    ['stat', { path: '/data/..' }],
    ['stat', { path: '/data//a' }],
    ['stat', { path: '/data/a\0b' }],
    ['stat', { path: '/data/\ud800' }],
    ['stat', { path: '/data', more: true }],
    ['mkdir', { path: '/data/d' }],
    ['mkdir', { path: '/data/d', mode: 0o10000 }],
    ['mkdir', { path: '/data/d', mode: 1.5 }],
    ['mkdir', { path: '/data/d', mode: '7' }],
    ['remove', { path: '/data/d', type: 'other' }],
    ['rename', { path: '/data/d', to: 'x', how: 'replace' }],
    ['rename', { path: '/data/d', to: '/data/e', how: 'constructor' }],
    ['symlink', { path: '/data/l', target: 'x'.repeat(5000) }],
    ['symlink', { path: '/data/l', target: '\ud800' }],
    ['change', { path: '/data', modified: 1 }],
    ['change', { path: '/data', modified: '99999999999999999999' }],
    ['change', { path: '/data', size: -1 }],
    ['change', { path: '/data', size: 2 ** 53 }],
    ['change', { path: '/data', mode: -0.5 }],
    ['open', { path: '/data/a', create: {} }],
    ['open', { path: '/data/a', create: { exclusive: true, mode: 0, x: 1 } }],
    ['open', { path: '/data/a', write: 'yes' }],
    ['truncate', { handle: '', size: 1 }],
    ['set-xattr', { path: '/data', name: 'n', value: 'not base64!', condition: 'any' }],
    ['set-xattr', { path: '/data', name: 'n', value: 'AAA', condition: 'any' }],
    ['list', { path: '/data', cursor: '1.0' }],
    ['list', { path: '/data', cursor: 'x'.repeat(200) }],
  ]
  for (const [name, members] of rows) {
    const { status, json } = await client.post(`op/${name}`, JSON.stringify(members))
    t.ok(status === 400 || (name === 'truncate' && status === 404), `${name} ${JSON.stringify(members)}: ${status}`)
    t.match(json.code, /^(invalid|stale)$/)
  }
  t.equal((await client.post('op/stat', '{"path":')).status, 400)
  t.equal((await client.post('op/stat', '')).status, 400)
  t.equal((await client.post('op/stat', '{}', { 'content-type': 'text/plain' })).status, 415)
  t.equal((await client.post('op/stat', `{"path":"${'x'.repeat(1_100_000)}"}`)).status, 413)
  t.equal((await client.post('op/stat', `{"path":"/${'x'.repeat(256)}"}`)).status, 414)
})

t.test('a page of another site can do nothing with the cookies of its visitor', async (t) => {
  const { mount } = await openFs(t)
  const client = await mount()
  const answer = await client.op('stat', { path: '/data' }, { 'sec-fetch-site': 'cross-site' })
  t.equal(answer.status, 403)
})

t.test('a body that does not come is not waited for, and writes nothing', async (t) => {
  const { mount, storage } = await openFs(t, { limits: { stallTimeout: 200 } })
  await store(storage, '/data/a', 'hello')
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/a', write: true })
  const socket = connect(client.port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk) => {
    text += String(chunk)
  })
  const line = `PUT /.portolan/fs/v1/data?handle=${json.handle}&offset=0 HTTP/1.1`
  const head = `Host: localhost\r\nAuthorization: Bearer alice\r\nPortolan-Session: ${client.session}`
  socket.write(`${line}\r\n${head}\r\nContent-Length: 1000\r\n\r\nxxx`)
  await new Promise((resolve) => socket.once('close', resolve))
  t.match(text, /^HTTP\/1\.1 408 /)
  t.equal((await client.read(String(json.handle), 0, 10)).body.toString(), 'hello')
  t.equal((await client.op('release', { handle: json.handle })).status, 200, 'and it can be closed')
})

t.test('a sender that goes away in the middle leaves the file as it was', async (t) => {
  const { mount, storage } = await openFs(t)
  await store(storage, '/data/a', 'hello')
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/a', write: true })
  const socket = connect(client.port, '127.0.0.1')
  const line = `PUT /.portolan/fs/v1/data?handle=${json.handle}&offset=0 HTTP/1.1`
  const head = `Host: localhost\r\nAuthorization: Bearer alice\r\nPortolan-Session: ${client.session}`
  await new Promise<void>((resolve) =>
    socket.write(`${line}\r\n${head}\r\nContent-Length: 9\r\n\r\nxxx`, () => resolve()),
  )
  socket.destroy()
  t.equal((await client.op('release', { handle: json.handle })).status, 200)
  t.equal((await client.op('stat', { path: '/data/a' })).json.size, 5)
})

t.test('long bodies of one caller that do not come leave room for those of others', async (t) => {
  const { mount, storage, port } = await openFs(t)
  await store(storage, '/data/a', 'hello')
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/a', write: true })
  const line = `PUT /.portolan/fs/v1/data?handle=${json.handle}&offset=0 HTTP/1.1`
  const head = `Host: localhost\r\nAuthorization: Bearer alice\r\nPortolan-Session: ${client.session}\r\nExpect: 100-continue`
  const answers = Array.from({ length: 70 }, async () => {
    const socket = connect(port, '127.0.0.1')
    t.teardown(() => void socket.destroy())
    socket.on('error', () => {})
    socket.write(`${line}\r\n${head}\r\nContent-Length: 1048576\r\n\r\n`)
    return new Promise<string>((resolve) => socket.once('data', (chunk) => resolve(String(chunk).slice(9, 12))))
  })
  const statuses = await Promise.all(answers)
  t.equal(statuses.filter((status) => status === '100').length, 64)
  t.equal(statuses.filter((status) => status === '503').length, 6)
  t.equal((await client.write(String(json.handle), 0, 'short ones pass')).status, 204)
})

t.test('whoever does not read his answers is not given more and more of them', async (t) => {
  const { mount, storage } = await openFs(t)
  await store(storage, '/data/a', 'x'.repeat(65_536))
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/a', write: true })
  const asked = 250
  const line = `GET /.portolan/fs/v1/data?handle=${json.handle}&offset=0&length=65536 HTTP/1.1\r\nHost: localhost\r\n`
  const head = `Authorization: Bearer alice\r\nPortolan-Session: ${client.session}\r\n\r\n`
  const before = process.memoryUsage().arrayBuffers
  const socket = connect(client.port, '127.0.0.1')
  t.teardown(() => void socket.destroy())
  socket.pause()
  socket.write(`${line}${head}`.repeat(asked))
  let most = 0
  // What the kernel takes is not counted.
  for (let round = 0; round < 20; round++) {
    await new Promise((resolve) => setTimeout(resolve, 25))
    most = Math.max(most, process.memoryUsage().arrayBuffers - before)
  }
  t.ok(most < 4 * 1024 * 1024, `${most} bytes wait`)
  let received = 0
  const all = new Promise<void>((resolve) =>
    socket.on('data', (chunk) => {
      received += chunk.length
      if (received > asked * 65_536) resolve()
    }),
  )
  socket.resume()
  await all
  t.pass('and all come when they are read')
})

t.test('who goes away while his bytes are written gets no room for more before they are', async (t) => {
  const { promise: written, resolve: write } = Promise.withResolvers<void>()
  let writing = 0
  const around = (storage: Storage) => {
    const edit: Storage['edit'] = async (...parts) => {
      const file = await storage.edit(...parts)
      file.write = async (bytes) => {
        writing++
        await written
        return bytes.length
      }
      return file
    }
    return new Proxy(storage, {
      get(target, name) {
        if (name === 'edit') return edit
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }
  const { mount, storage } = await openFs(t, { around })
  await store(storage, '/data/a', 'hello')
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/a', write: true })
  const handle = String(json.handle)
  const line = `PUT /.portolan/fs/v1/data?handle=${handle}&offset=`
  const head = `Host: localhost\r\nAuthorization: Bearer alice\r\nPortolan-Session: ${client.session}`
  const bytes = Buffer.alloc(1024 * 1024)
  while (writing < 64) {
    const before = writing
    const socket = connect(client.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(`${line}${before * bytes.length} HTTP/1.1\r\n${head}\r\nContent-Length: ${bytes.length}\r\n\r\n`)
    socket.write(bytes)
    while (writing === before) await new Promise((resolve) => setImmediate(resolve))
    socket.destroy()
    await new Promise((resolve) => socket.once('close', resolve))
  }
  t.match((await client.write(handle, 64 * bytes.length, bytes)).json, { code: 'busy' })
  write()
  let last: number
  do last = (await client.write(handle, 64 * bytes.length, bytes)).status
  while (last === 503)
  t.equal(last, 204)
})
