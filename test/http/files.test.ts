import { createHash } from 'node:crypto'
import t from 'tap'
import { right } from '../../acl/acl.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { ace, aclOf, alice, ask, callOf, openDoor, store } from './door.ts'

t.test('GET and HEAD tell the same of a file', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a.txt', 'hello')
  const get = await ask(port, 'GET', '/data/a.txt')
  const head = await ask(port, 'HEAD', '/data/a.txt')
  t.equal(get.text, 'hello')
  t.equal(head.text, '')
  t.equal(head.status, 200)
  const plain = ({ 'x-request-id': _, date: __, ...others }: typeof get.headers) => others
  t.same(plain(head.headers), plain(get.headers))
  t.match(get.headers, {
    'content-length': '5',
    'content-type': 'text/plain; charset=utf-8',
    'accept-ranges': 'bytes',
    etag: /^"[!-~]+"$/,
    'last-modified': / GMT$/,
    'x-content-type-options': 'nosniff',
    'content-security-policy': /^sandbox; default-src 'none'/,
    'cache-control': 'private, no-cache',
  })
})

t.test("a user's HTML is a download and a sandbox", async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/x.html', '<script>alert(1)</script>')
  const { headers } = await ask(port, 'GET', '/data/x.html', { headers: { accept: 'text/html' } })
  t.equal(headers['content-disposition'], 'attachment; filename="x.html"')
  t.match(headers['content-security-policy'], /^sandbox;/)
  const { headers: plain } = await ask(port, 'GET', '/data/x.html?disposition=inline')
  t.match(plain['content-disposition'], /^attachment/)
})

t.test('a download can be asked for', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/n%41 ü".txt', 'x')
  const { headers } = await ask(port, 'GET', '/data/n%2541%20%C3%BC%22.txt?download')
  t.equal(headers['content-disposition'], `attachment; filename="n_41 __.txt"; filename*=UTF-8''n%2541%20%C3%BC%22.txt`)
})

t.test('conditions are answered as RFC 9110 says', async (t) => {
  const { port, storage } = await openDoor(t)
  await store(storage, '/data/a', 'one')
  const { headers } = await ask(port, 'GET', '/data/a')
  const etag = headers.etag ?? ''
  const modified = headers['last-modified'] ?? ''
  const cases: ReadonlyArray<readonly [string, Record<string, string>, number]> = [
    ['GET', { 'if-none-match': etag }, 304],
    ['HEAD', { 'if-none-match': `W/${etag}` }, 304],
    ['GET', { 'if-none-match': '*' }, 304],
    ['GET', { 'if-none-match': '"other"' }, 200],
    ['GET', { 'if-modified-since': modified }, 304],
    ['GET', { 'if-modified-since': 'Sun, 06 Nov 1994 08:49:37 GMT' }, 200],
    ['GET', { 'if-modified-since': modified, 'if-none-match': '"other"' }, 200],
    ['GET', { 'if-match': '"other"' }, 412],
    ['GET', { 'if-match': etag, range: 'bytes=0-0' }, 206],
    ['GET', { 'if-unmodified-since': 'Sun, 06 Nov 1994 08:49:37 GMT' }, 412],
    ['GET', { 'if-match': 'nonsense' }, 400],
    ['PUT', { 'if-none-match': '*' }, 412],
    ['PUT', { 'if-match': '"other"' }, 412],
    ['PUT', { 'if-match': `W/${etag}` }, 412],
    ['PUT', { 'if-match': 'nonsense' }, 400],
    ['DELETE', { 'if-match': '"other"' }, 412],
    ['PUT', { 'if-match': etag }, 204],
  ]
  for (const [method, sent, expected] of cases) {
    const answer = await ask(port, method, '/data/a', {
      as: 'alice',
      headers: sent,
      ...(method === 'PUT' && { body: 'one' }),
    })
    t.equal(answer.status, expected, `${method} ${JSON.stringify(sent)}`)
    if (answer.status === 304) t.match(answer.headers, { etag, 'cache-control': 'private, no-cache' })
  }
  t.equal((await ask(port, 'PUT', '/data/new', { as: 'alice', headers: { 'if-match': '*' }, body: 'x' })).status, 412)
  t.equal(
    (await ask(port, 'PUT', '/data/new', { as: 'alice', headers: { 'if-none-match': '*' }, body: 'x' })).status,
    201,
  )
})

for (const size of [1000, 300_000]) {
  t.test(`ranges of ${size} bytes are exact`, async (t) => {
    const { port, storage } = await openDoor(t)
    const bytes = Buffer.from(Array.from({ length: size }, (_, index) => index % 251))
    await store(storage, '/data/a.bin', bytes)
    const get = (range: string, more = {}) => ask(port, 'GET', '/data/a.bin', { headers: { range, ...more } })

    const one = await get('bytes=100-199')
    t.equal(one.status, 206)
    t.match(one.headers, { 'content-range': `bytes 100-199/${size}`, 'content-length': '100' })
    t.ok(one.body.equals(bytes.subarray(100, 200)))

    const last = await get('bytes=-7')
    t.ok(last.body.equals(bytes.subarray(size - 7)))

    const several = await get('bytes=0-0,500-,10-19')
    t.equal(several.status, 206)
    const boundary = /^multipart\/byteranges; boundary=([\w-]+)$/.exec(several.headers['content-type'] ?? '')?.[1]
    const part = (start: number, end: number) => [
      `--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${start}-${end - 1}/${size}\r\n\r\n`,
      bytes.subarray(start, end),
      '\r\n',
    ]
    const expected = [...part(0, 1), ...part(500, size), ...part(10, 20), `--${boundary}--\r\n`]
    t.ok(several.body.equals(Buffer.concat(expected.map((each) => Buffer.from(each)))))
    t.equal(several.headers['content-length'], String(several.body.length))

    const beyond = await get(`bytes=${size}-`)
    t.equal(beyond.status, 416)
    t.equal(beyond.headers['content-range'], `bytes */${size}`)
    t.equal((await get(`bytes=${Array.from({ length: 10_000 }, () => '0-0').join(',')}`)).status, 416)
    t.equal((await get('bytes=9-1')).status, 200)
    t.equal((await get('bytes=0-1', { 'if-range': '"other"' })).status, 200)
    t.equal((await get('bytes=0-1', { 'if-range': one.headers.etag })).status, 206)

    const head = await ask(port, 'HEAD', '/data/a.bin', { headers: { range: 'bytes=0-1' } })
    t.equal(head.status, 200)
    t.equal(head.headers['content-length'], String(size))
    const whole = await ask(port, 'GET', '/data/a.bin')
    t.ok(whole.body.equals(bytes))
  })
}

t.test('PUT creates, replaces, and says what it wrote', async (t) => {
  const { port } = await openDoor(t, { publicUrl: 'https://gw.desy.de/', hosts: ['127.0.0.1'] })
  const created = await ask(port, 'PUT', '/data/b%20%23.txt', { as: 'alice', body: 'new' })
  t.equal(created.status, 201)
  t.equal(created.headers.location, 'https://gw.desy.de/data/b%20%23.txt')
  const replaced = await ask(port, 'PUT', '/data/b%20%23.txt', { as: 'alice', body: 'newer' })
  t.equal(replaced.status, 204)
  t.not(replaced.headers.etag, created.headers.etag)
  const read = await ask(port, 'GET', '/data/b%20%23.txt')
  t.equal(read.text, 'newer')
  t.equal(read.headers.etag, replaced.headers.etag)
  t.equal((await ask(port, 'PUT', '/data/empty', { as: 'alice', headers: { 'content-length': '0' } })).status, 201)
  const chunked = { 'transfer-encoding': 'chunked' }
  t.equal((await ask(port, 'PUT', '/data/chunked', { as: 'alice', headers: chunked, body: 'pieces' })).status, 201)
  t.equal((await ask(port, 'GET', '/data/chunked')).text, 'pieces')
})

t.test('a PUT that cannot be right is refused and leaves the old file', async (t) => {
  const { port, storage } = await openDoor(t, { limits: { maxUpload: 1000 } })
  await store(storage, '/data/a', 'old')
  await storage.mkdir(callOf(alice), parsePath('/data/dir'))
  const cases: ReadonlyArray<readonly [string, Record<string, string>, string, number]> = [
    ['/data/a', { 'content-range': 'bytes 0-2/3' }, 'new', 400],
    ['/data/a', { 'content-encoding': 'gzip' }, 'new', 415],
    ['/data/a', { 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' }, 'new', 400],
    ['/data/a', { digest: 'adler32=00000001' }, 'new', 400],
    ['/data/a', { 'oc-checksum': 'ADLER32:00000001' }, 'new', 400],
    ['/data/a', { 'x-oc-mtime': 'soon' }, 'new', 400],
    ['/data/a', { 'x-expected-entity-length': '7', 'transfer-encoding': 'chunked' }, 'new', 400],
    ['/data/a', {}, 'n'.repeat(1001), 413],
    ['/data/a', { 'transfer-encoding': 'chunked' }, 'n'.repeat(1001), 413],
    ['/data/a', { 'content-length': '99999999999999999' }, '', 413],
    ['/data/none/a', {}, 'new', 409],
    ['/data/dir', {}, 'new', 405],
    ['/data/dir/', {}, 'new', 405],
    ['/data/', {}, 'new', 405],
    ['/', {}, 'new', 405],
    [`/data/${'x'.repeat(256)}`, {}, 'new', 414],
  ]
  for (const [path, headers, body, expected] of cases) {
    const answer = await ask(port, 'PUT', path, { as: 'alice', headers, body })
    t.equal(answer.status, expected, `${path} ${JSON.stringify(headers)}`)
    t.equal(answer.headers['content-type'], 'application/problem+json')
  }
  t.equal((await ask(port, 'GET', '/data/a')).text, 'old')
})

t.test('PUT keeps the time and verifies the digests it is given', async (t) => {
  const { port } = await openDoor(t)
  const sha = createHash('sha256').update('hello').digest('base64')
  const headers = { 'x-oc-mtime': '1700000000.5', 'repr-digest': `sha-256=:${sha}:`, 'want-digest': 'adler32' }
  const put = await ask(port, 'PUT', '/data/a', { as: 'alice', headers, body: 'hello' })
  t.equal(put.status, 201)
  t.match(put.headers, {
    'x-oc-mtime': 'accepted',
    digest: 'adler32=062c0215',
    'last-modified': 'Tue, 14 Nov 2023 22:13:20 GMT',
  })
  const wants = { 'want-digest': 'adler32, md5', 'want-repr-digest': 'sha-256=1' }
  const got = await ask(port, 'GET', '/data/a', { headers: wants })
  t.equal(got.headers.digest, 'adler32=062c0215', 'who gets the bytes is told what is kept')
  t.match(got.headers['repr-digest'], `sha-256=:${sha}:`)
  const head = await ask(port, 'HEAD', '/data/a', { headers: wants })
  t.equal(head.headers.digest, 'adler32=062c0215,md5=XUFAKrxLKna5cZ2REBfFkg==', 'for HEAD the rest is computed')
  t.match(head.headers['repr-digest'], `sha-256=:${sha}:`)
})

t.test('DELETE takes files and whole directories, and names what may not go', async (t) => {
  const { port, storage } = await openDoor(t)
  await storage.mkdir(callOf(alice), parsePath('/data/d'))
  await store(storage, '/data/d/x', 'x')
  await store(storage, '/data/a', 'a')
  t.equal((await ask(port, 'DELETE', '/data/a/', { as: 'alice' })).status, 404)
  t.equal((await ask(port, 'DELETE', '/data/d', { as: 'alice', headers: { depth: '0' } })).status, 400)
  t.equal((await ask(port, 'DELETE', '/data/d', { as: 'bob' })).status, 403)
  t.equal((await ask(port, 'DELETE', '/data/a', { as: 'alice' })).status, 204)
  t.equal((await ask(port, 'DELETE', '/data/a', { as: 'alice' })).status, 404)
  t.equal((await ask(port, 'DELETE', '/data/d/', { as: 'alice' })).status, 204)
  t.equal((await ask(port, 'GET', '/data/d/x', { as: 'alice' })).status, 404)
  t.equal((await ask(port, 'DELETE', '/', { as: 'alice' })).status, 403)

  await storage.mkdir(callOf(alice), parsePath('/data/kept'))
  await store(storage, '/data/kept/x', 'x')
  const keep = aclOf(ace('EVERYONE@', right.deleteChild | right.delete, 0, 'deny'))
  const acl = { ...keep, aces: keep.aces.toReversed() }
  await storage.setAcl(callOf(alice), parsePath('/data/kept'), acl)
  await storage.setAcl(callOf(alice), parsePath('/data/kept/x'), acl)
  const partial = await ask(port, 'DELETE', '/data/kept', { as: 'alice' })
  t.equal(partial.status, 207)
  t.match(partial.text, '<D:href>/data/kept/x</D:href><D:status>HTTP/1.1 403 Forbidden</D:status>')
  const json = { accept: 'application/problem+json' }
  const told = await ask(port, 'DELETE', '/data/kept', { as: 'alice', headers: json })
  t.ok([403, 409].includes(told.status), `status ${told.status} for who asks for a problem document`)
  t.match(JSON.parse(told.text).failed, [{ path: '/data/kept/x', code: 'denied' }])
  t.equal((await ask(port, 'GET', '/data/kept/x', { as: 'alice' })).status, 200)
})

t.test('a problem says what and where to ask, never why', async (t) => {
  const { port, storage } = await openDoor(t, { acl: aclOf(), basic: true, mount: { anonymous: false } })
  await store(storage, '/data/secret', 'x')
  const there = await ask(port, 'GET', '/data/secret', { as: 'bob' })
  const notThere = await ask(port, 'GET', '/data/nothing', { as: 'bob' })
  const same = (text: string) => text.replace(/"call":"[^"]+"/, '').replace(/secret|nothing/g, '')
  t.equal(there.status, 403)
  t.equal(same(notThere.text), same(there.text), 'what is there and what is not get one answer')
  const problem = JSON.parse(there.text)
  t.strictSame(Object.keys(problem).sort(), ['call', 'code', 'explain', 'status', 'title', 'type'])
  t.equal(problem.explain, 'http://localhost/.portolan/api/v1/explain?path=%2Fdata%2Fsecret&action=read')
  t.equal(there.headers['www-authenticate'], undefined)

  const expired = await ask(port, 'GET', '/data/secret', { as: 'expired' })
  t.equal(expired.status, 401)
  t.notMatch(expired.text, /token-expired|refused/)
  t.match(
    expired.headers['www-authenticate'],
    /^Bearer realm="portolan", error="invalid_token", Basic realm="portolan"/,
  )
  t.match(JSON.parse(expired.text).explain, /action=read$/)

  const none = await ask(port, 'GET', '/data/secret')
  t.equal(none.status, 401)
  t.equal(none.headers['www-authenticate'], 'Bearer realm="portolan", Basic realm="portolan", charset="UTF-8"')
  const script = await ask(port, 'GET', '/data/secret', { headers: { 'x-requested-with': 'XMLHttpRequest' } })
  t.equal(script.headers['www-authenticate'], 'Bearer realm="portolan"')

  const narrow = await ask(port, 'PUT', '/data/open/x', { as: 'reader', body: 'x' })
  t.equal(narrow.status, 403)
  t.equal(narrow.headers['www-authenticate'], 'Bearer realm="portolan", error="insufficient_scope"')

  const page = await ask(port, 'GET', '/data/secret', { as: 'bob', headers: { accept: 'text/html' } })
  t.match(page.headers, { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': /default-src 'none'/ })
  t.match(page.text, 'You may not do this')
})

t.test('methods that are not offered say which are', async (t) => {
  const { port } = await openDoor(t)
  const answer = await ask(port, 'REPORT', '/data/', { as: 'alice' })
  t.equal(answer.status, 405)
  t.match(answer.headers.allow, /^OPTIONS, GET, HEAD, .*PROPFIND, /)
  for (const path of ['*', '/', '/data/nothing']) {
    const options = await ask(port, 'OPTIONS', path)
    t.equal(options.status, 200, path)
    t.equal(options.headers['content-length'], '0')
  }
  t.equal((await ask(port, 'GET', '*')).status, 400)
})
