import { once } from 'node:events'
import t from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import type { StorageOperations } from '../../gateway/core/storage.ts'
import { alice, ask, callOf, openDoor, rawConnection, store } from './door.ts'

const auth = 'Authorization: Bearer alice\r\n'
const head = 'Host: localhost\r\n'
const acl = '/.portolan/api/v1/acl?path=/data/a'

t.test('a sender that is done sending still gets its answer', async (t) => {
  const { port, storage } = await openDoor(t, { around: slow })
  await store(storage, '/data/a', 'hello')
  await store(storage, '/data/big', Buffer.alloc(3_000_000))
  for (const path of ['/data/a', '/data/', '/.portolan/api/v1/health', '/data/big']) {
    const raw = rawConnection(t, port)
    raw.send(`GET ${path} HTTP/1.1\r\n${head}\r\n`)
    raw.socket.end()
    const text = await raw.end()
    t.match(text, /^HTTP\/1\.1 200 OK/, path)
    if (path.endsWith('big')) t.ok(text.length > 3_000_000)
  }
  const put = rawConnection(t, port)
  put.send(`PUT /data/new HTTP/1.1\r\n${head}${auth}Content-Length: 5\r\n\r\nhello`)
  put.socket.end()
  t.match(await put.end(), /^HTTP\/1\.1 201 /)
})

t.test('names of checksums that are no checksums are no trouble', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', 'hello')
  for (const name of ['constructor', '__proto__', 'tostring', 'valueOf']) {
    const cases = [{ 'want-digest': name }, { 'want-repr-digest': `${name}=1` }]
    for (const headers of cases) {
      t.equal((await ask(port, 'GET', '/data/a', { headers })).status, 200, JSON.stringify(headers))
      const put = await ask(port, 'PUT', '/data/b', { as: 'alice', headers, body: 'x' })
      t.ok([201, 204].includes(put.status), `PUT ${JSON.stringify(headers)} ${put.status}`)
    }
    const sent = [{ digest: `${name}=AAAA` }, { 'repr-digest': `${name}=:AAAA:` }, { 'oc-checksum': `${name}:00` }]
    for (const headers of sent) {
      const put = await ask(port, 'PUT', '/data/b', { as: 'alice', headers, body: 'x' })
      t.ok([201, 204].includes(put.status), `PUT ${JSON.stringify(headers)} ${put.status}`)
    }
  }
})

t.test('a body for the API that never comes is given up', async (t) => {
  const { port, storage } = await openDoor(t, { limits: { stallTimeout: 200 } })
  await store(storage, '/data/a', 'hello')
  const put = (more: string) =>
    `PUT ${acl} HTTP/1.1\r\n${head}${auth}Content-Type: text/plain\r\nContent-Length: 100\r\n${more}\r\n`
  const silent = rawConnection(t, port)
  silent.send(`${put('')}A:`)
  const half = rawConnection(t, port)
  half.send(`${put('')}A:`)
  half.socket.end()
  t.match(await half.end(), /^HTTP\/1\.1 400 /)
  t.match(await silent.end(), /^HTTP\/1\.1 408 /)
})

t.test('a body for the API is not asked for before the caller is known', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', 'hello')
  const raw = rawConnection(t, port)
  raw.send(
    `PUT ${acl} HTTP/1.1\r\n${head}Authorization: Bearer expired\r\nExpect: 100-continue\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n`,
  )
  t.match(await raw.until(/\r\n\r\n/), /^HTTP\/1\.1 401 /)
})

t.test('a refused sender that goes on sending reads why', async (t) => {
  const { port } = await openDoor(t, { limits: { maxUpload: 1000 } })
  const raw = rawConnection(t, port)
  await once(raw.socket, 'connect')
  let reset = false
  raw.socket.on('error', () => {
    reset = true
  })
  raw.socket.pause()
  raw.send(`PUT /data/a HTTP/1.1\r\n${head}${auth}Transfer-Encoding: chunked\r\n\r\n`)
  const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65536), Buffer.from('\r\n')])
  let written = 0
  for (; written < 48 && !reset; written++) {
    if (!raw.socket.write(chunk))
      await Promise.race([once(raw.socket, 'drain').catch(() => {}), new Promise((r) => setTimeout(r, 4000))])
  }
  raw.send('0\r\n\r\n')
  raw.socket.resume()
  t.match(await raw.end(), /^HTTP\/1\.1 413 /)
  t.notOk(reset)
})

t.test('a response to a request whose body was left unread ends the connection', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', 'hello')
  for (const more of [
    'Expect: 100-continue\r\nContent-Length: 50\r\n',
    'Content-Length: 1000000000000\r\n',
    'Transfer-Encoding: chunked\r\n',
  ]) {
    for (const path of ['/data/a', '/data/', '/.portolan/api/v1/health']) {
      const raw = rawConnection(t, port)
      raw.send(`GET ${path} HTTP/1.1\r\n${head}${more}\r\n`)
      t.match(await raw.until(/\r\n\r\n/), /^HTTP\/1\.1 200 OK[\s\S]*Connection: close/i, `${path} ${more}`)
    }
  }
})

t.test('Host is needed beside an absolute target too', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', 'hello')
  for (const hosts of ['', 'Host: a\r\nHost: b\r\n', 'Host: a b\r\n']) {
    const raw = rawConnection(t, port)
    raw.send(`GET http://localhost/data/a HTTP/1.1\r\n${hosts}\r\n`)
    t.match(await raw.until(/\r\n\r\n/), /^HTTP\/1\.1 400 /, hosts)
  }
})

t.test('HEAD and other methods of the API', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', 'hello')
  t.equal((await ask(port, 'HEAD', '/.portolan/api/v1/health')).status, 200)
  t.equal((await ask(port, 'HEAD', '/.portolan/')).status, 200)
  for (const method of ['POST', 'DELETE', 'PUT', 'PROPFIND']) {
    const answer = await ask(port, method, '/.portolan/api/v1/whoami', { as: 'alice' })
    t.equal(answer.status, 405, method)
    t.equal(answer.headers.allow, 'GET, HEAD')
  }
  t.equal(
    (
      await ask(port, 'PUT', acl, {
        as: 'alice',
        headers: { 'if-none-match': '*', 'content-type': 'text/plain' },
        body: 'A::EVERYONE@:r\n',
      })
    ).status,
    412,
  )
})

t.test('lists of entity tags may have empty elements', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', 'hello')
  const { etag = '' } = (await ask(port, 'GET', '/data/a')).headers
  for (const text of [`, ${etag}`, `"x",, ${etag} ,`]) {
    t.equal((await ask(port, 'GET', '/data/a', { headers: { 'if-none-match': text } })).status, 304, text)
  }
  t.equal((await ask(port, 'GET', '/data/a', { headers: { 'if-match': ',' } })).status, 400)
})

t.test('times far away are refused, not mangled', async (t) => {
  const { port } = await openDoor(t)
  const put = await ask(port, 'PUT', '/data/a', { as: 'alice', headers: { 'x-oc-mtime': '99999999999' }, body: 'x' })
  t.equal(put.status, 400)
})

t.test('a sender that only drips is cut', async (t) => {
  const { port, storage } = await openDoor(t, { limits: { stallTimeout: 300 } })
  await store(storage, '/data/a', 'old')
  const raw = rawConnection(t, port)
  raw.send(`PUT /data/a HTTP/1.1\r\n${head}${auth}Content-Length: 100000\r\n\r\n`)
  const drip = setInterval(() => raw.send('x'), 50)
  const end = setTimeout(() => raw.socket.destroy(), 4000)
  t.match(await raw.end(), /^HTTP\/1\.1 408 /)
  clearInterval(drip)
  clearTimeout(end)
  t.equal((await storage.stat(callOf(alice), parsePath('/data/a'))).size, 3)
})

/** A storage that thinks for a while before each answer. */
function slow(storage: StorageOperations): StorageOperations {
  return new Proxy(storage, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key)
      if (typeof value !== 'function') return value
      return async (...args: unknown[]) => {
        await new Promise((resolve) => setTimeout(resolve, 100))
        return Reflect.apply(value, target, args)
      }
    },
  })
}

t.test('what waits in a pipeline is bounded by its size too', async (t) => {
  const { port, storage } = await openDoor(t, { around: slow })
  await store(storage, '/data/a', 'hello')
  const raw = rawConnection(t, port)
  const get = `GET /data/a HTTP/1.1\r\n${head}X: ${'x'.repeat(50_000)}\r\n\r\n`
  raw.send(get.repeat(20))
  t.equal(await raw.end(), '')
})

t.test('a digest is told once however often it is asked for', async (t) => {
  const { port } = await openDoor(t)
  await ask(port, 'PUT', '/data/a', { as: 'alice', headers: { 'want-digest': 'md5' }, body: 'hello' })
  const wanted = { 'want-digest': 'md5,'.repeat(5000), 'want-repr-digest': 'md5=1,'.repeat(5000) }
  const { headers } = await ask(port, 'GET', '/data/a', { headers: wanted })
  t.match(headers, { digest: /^md5=[^,]+$/, 'repr-digest': /^md5=[^,]+$/ })
})

t.test('a PUT of an ACL without a body changes nothing', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', 'hello')
  for (const more of ['', 'Content-Length: 0\r\n', 'Transfer-Encoding: chunked\r\n', 'Content-Length: 4\r\n']) {
    const raw = rawConnection(t, port)
    const body = more.startsWith('T') ? '0\r\n\r\n' : more.endsWith('4\r\n') ? '#\n\n\n' : ''
    raw.send(`PUT ${acl} HTTP/1.1\r\n${head}${auth}Content-Type: text/plain\r\n${more}\r\n${body}`)
    t.match(await raw.until(/\r\n\r\n/), /^HTTP\/1\.1 400 /, more)
  }
  t.equal((await ask(port, 'GET', '/data/a', { as: 'alice' })).text, 'hello')
})

t.test('framing that versions of HTTP disagree about is refused', async (t) => {
  const { port } = await openDoor(t)
  const chunks = '5\r\nhello\r\n0\r\n\r\n'
  const cases: ReadonlyArray<readonly [string, RegExp]> = [
    [
      `PUT /data/a HTTP/1.0\r\n${head}${auth}Transfer-Encoding: chunked\r\n\r\n${chunks}`,
      /^HTTP\/1\.1 400 [\s\S]*Connection: close/,
    ],
    [`GET /data/ HTTP/2.0\r\n${head}\r\n`, /^HTTP\/1\.1 505 /],
  ]
  for (const [request, expected] of cases) {
    const raw = rawConnection(t, port)
    raw.send(request)
    t.match(await raw.end(), expected)
  }
  t.equal((await ask(port, 'GET', '/data/a')).status, 404)
})

t.test('a connection on which another protocol was offered is not used again', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', 'hello')
  const raw = rawConnection(t, port)
  raw.send(
    `GET /data/a HTTP/1.1\r\n${head}Upgrade: h2c\r\nConnection: Upgrade\r\n\r\nGET /data/a HTTP/1.1\r\n${head}\r\n`,
  )
  const text = await raw.end()
  t.match(text, /^HTTP\/1\.1 200 OK[\s\S]*Connection: close/)
  t.equal(text.match(/HTTP\/1\.1/g)?.length, 1)
})
