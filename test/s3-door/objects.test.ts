/** Objects written and read (Amazon S3 API Reference: PutObject, GetObject, HeadObject). */

import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import { refusal } from './refusal.ts'
import { sign } from './signing.ts'
import { keyOf, openS3 } from './world.ts'

const md5 = (data: string | Uint8Array) => createHash('md5').update(data).digest('hex')
const Bucket = 'data'

for (const storage of ['memory', 'posix'] as const) {
  t.test(`an object comes back as it was put, from ${storage}`, async (t) => {
    const world = await openS3(t, { storage })
    const alice = world.client('alice')
    for (const size of [0, 5, 70_000, 3_000_000]) {
      const Body = randomBytes(size)
      const put = await alice.send(
        new PutObjectCommand({
          ...{ Bucket, Key: `deep/er/${size}.txt`, Body, ContentType: 'text/x-mine', CacheControl: 'no-store' },
          ...{ ContentDisposition: 'inline', ContentLanguage: 'de', ContentEncoding: 'gzip', Tagging: 'a=b&c=d' },
          Metadata: { Mixed: 'Case', 'with.dot': 'x' },
        }),
      )
      t.equal(put.ETag, `"${md5(Body)}"`)
      t.equal(put.ChecksumType, 'FULL_OBJECT')
      const got = await alice.send(
        new GetObjectCommand({ Bucket, Key: `deep/er/${size}.txt`, ChecksumMode: 'ENABLED' }),
      )
      t.same(Buffer.from((await got.Body?.transformToByteArray()) ?? []), Body)
      t.match(got, {
        ...{ ETag: put.ETag, ContentType: 'text/x-mine', CacheControl: 'no-store', ContentDisposition: 'inline' },
        ...{ ContentLanguage: 'de', ContentEncoding: 'gzip', TagCount: 2, ContentLength: size, AcceptRanges: 'bytes' },
        Metadata: { mixed: 'Case', 'with.dot': 'x' },
        ChecksumCRC32: put.ChecksumCRC32 ?? 'none',
      })
      const head = await alice.send(
        new HeadObjectCommand({ Bucket, Key: `deep/er/${size}.txt`, ChecksumMode: 'ENABLED' }),
      )
      t.match(head, { ETag: put.ETag, ContentLength: size, ContentType: 'text/x-mine', TagCount: 2 })
      t.equal(head.ChecksumCRC32, put.ChecksumCRC32)
      t.equal(head.StorageClass, undefined, 'STANDARD is not told')
    }
    const bare = await alice.send(new PutObjectCommand({ Bucket, Key: 'bare', Body: 'x' }))
    t.ok(bare.ETag)
    const got = await alice.send(new GetObjectCommand({ Bucket, Key: 'bare' }))
    t.equal(got.ContentType, 'application/octet-stream', 'the SDK sends one')
    const untold = await world.raw({ method: 'PUT', target: '/data/untold.png', body: 'x', as: 'alice' })
    t.equal(untold.status, 200)
    const read = await world.raw({ target: '/data/untold.png', as: 'alice' })
    t.equal(read.headers['content-type'], 'binary/octet-stream', 'whatever its name is')
  })
}

t.test('a file of another door is an object too', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const alice = world.client('alice')
  const web = `http://127.0.0.1:${world.httpPort}/data/`
  const headers = { authorization: 'Bearer alice' }
  await fetch(`${web}by%20hand`, { method: 'MKCOL', headers })
  await fetch(`${web}by%20hand/%C3%A9.json`, { method: 'PUT', body: '{}', headers })
  const Key = 'by hand/é.json'
  const first = await alice.send(new HeadObjectCommand({ Bucket, Key }))
  t.equal(first.ContentType, 'application/json')
  t.match(first.ETag, /^"[^"]+-0"$/)
  t.equal((await alice.send(new HeadObjectCommand({ Bucket, Key }))).ETag, first.ETag, 'stable')
  writeFileSync(world.file('/data/by hand/é.json'), '{"a":1}')
  t.not((await alice.send(new HeadObjectCommand({ Bucket, Key }))).ETag, first.ETag)
  await alice.send(new PutObjectCommand({ Bucket, Key, Body: 'mine', Metadata: { a: 'b' }, ContentType: 'x/y' }))
  t.equal(readFileSync(world.file('/data/by hand/é.json'), 'utf8'), 'mine')
  writeFileSync(world.file('/data/by hand/é.json'), 'theirs')
  const after = await alice.send(new HeadObjectCommand({ Bucket, Key }))
  t.match(after.ETag, /-0"$/, 'bytes that changed behind our back have no MD5')
  t.same(after.Metadata, {}, 'nor metadata')
  t.equal(after.ContentType, 'application/json')
})

t.test('ranges, as S3 has them', async (t) => {
  const world = await openS3(t)
  await world.raw({ method: 'PUT', target: '/data/r', body: '0123456789', as: 'alice' })
  await world.raw({ method: 'PUT', target: '/data/none', body: '', as: 'alice' })
  const get = (range: string, key = 'r', method = 'GET') =>
    world.raw({ method, target: `/data/${key}`, headers: { range }, as: 'alice' })
  const some = await get('bytes=2-4')
  t.equal(some.status, 206)
  t.equal(some.text, '234')
  t.equal(some.headers['content-range'], 'bytes 2-4/10')
  t.equal((await get('bytes=-3')).text, '789')
  t.equal((await get('bytes=-300')).text, '0123456789')
  t.equal((await get('bytes=8-100')).text, '89')
  for (const ignored of ['bytes=4-2', 'bytes=0-1,3-4', 'lines=1-2', 'nonsense']) {
    const whole = await get(ignored)
    t.equal(whole.status, 200, ignored)
    t.equal(whole.text, '0123456789')
  }
  const outside = await get('bytes=10-')
  t.equal(outside.status, 416)
  t.equal(outside.code, 'InvalidRange')
  t.equal(outside.headers['content-range'], 'bytes */10')
  t.match(outside.text, '<RangeRequested>bytes=10-</RangeRequested><ActualObjectSize>10</ActualObjectSize>')
  t.equal((await get('bytes=0-', 'none')).status, 416)
  t.equal((await get('bytes=-1', 'none')).status, 200)
  const head = await get('bytes=2-4', 'r', 'HEAD')
  t.equal(head.status, 206)
  t.equal(head.headers['content-length'], '3')
  t.equal(head.headers['content-range'], 'bytes 2-4/10')
  const etag = String(some.headers.etag)
  const ifRange = (value: string) =>
    world.raw({ target: '/data/r', headers: { range: 'bytes=2-4', 'if-range': value }, as: 'alice' })
  t.equal((await ifRange(etag)).status, 206)
  t.equal((await ifRange(String(some.headers['last-modified']))).status, 206)
  t.equal((await ifRange('"other"')).status, 200, 'other bytes are sent as a whole')
})

t.test('an object in one piece is its own first part', async (t) => {
  const world = await openS3(t)
  await world.raw({ method: 'PUT', target: '/data/one', body: 'hello', as: 'alice' })
  const get = (query: string, headers = {}) => world.raw({ target: `/data/one?${query}`, headers, as: 'alice' })
  const first = await get('partNumber=1')
  t.equal(first.status, 206)
  t.equal(first.text, 'hello')
  t.equal(first.headers['x-amz-mp-parts-count'], undefined)
  const beyond = await get('partNumber=2')
  t.equal(`${beyond.status} ${beyond.code}`, '416 InvalidPartNumber')
  for (const bad of ['0', '10001', '-1', 'x', '']) {
    const answer = await get(`partNumber=${bad}`)
    t.equal(`${answer.status} ${answer.code}`, '400 InvalidArgument', bad)
  }
  const both = await get('partNumber=1', { range: 'bytes=0-1' })
  t.equal(`${both.status} ${both.code}`, '400 InvalidRequest')
})

t.test('conditions of a read', async (t) => {
  const world = await openS3(t)
  const put = await world.raw({ method: 'PUT', target: '/data/c', body: 'hello', as: 'alice' })
  const etag = String(put.headers.etag)
  const status = async (headers: Record<string, string>, method = 'GET') =>
    (await world.raw({ method, target: '/data/c', headers, as: 'alice' })).status
  const early = 'Mon, 01 Jan 2001 00:00:00 GMT'
  const late = 'Fri, 01 Jan 2100 00:00:00 GMT'
  const now = new Date().toUTCString()
  t.equal(await status({ 'if-match': etag }), 200)
  t.equal(await status({ 'if-match': etag.replaceAll('"', '') }), 200, 'without quotes')
  t.equal(await status({ 'if-match': '"x"' }), 412)
  t.equal(await status({ 'if-none-match': etag }), 304)
  t.equal(await status({ 'if-none-match': `"x", ${etag}` }, 'HEAD'), 304)
  t.equal(await status({ 'if-none-match': '"x"' }), 200)
  t.equal(await status({ 'if-unmodified-since': early }), 412)
  t.equal(await status({ 'if-unmodified-since': early, 'if-match': etag }), 200)
  t.equal(await status({ 'if-modified-since': now }), 304)
  t.equal(await status({ 'if-modified-since': now, 'if-none-match': '"x"' }), 200)
  t.equal(await status({ 'if-modified-since': early }), 200)
  t.equal(await status({ 'if-modified-since': late }), 200, 'a time to come says nothing')
  const refused = await world.raw({ target: '/data/c', headers: { 'if-match': '"x"' }, as: 'alice' })
  t.equal(refused.code, 'PreconditionFailed')
  t.match(refused.text, '<Condition>If-Match</Condition>')
  const kept = await world.raw({ target: '/data/c', headers: { 'if-none-match': etag }, as: 'alice' })
  t.equal(kept.text, '')
  t.equal(kept.headers.etag, etag)
})

t.test('what the request wants to be told instead', async (t) => {
  const world = await openS3(t)
  await world.raw({ method: 'PUT', target: '/open/o', body: 'hello', as: 'alice' })
  const query =
    'response-cache-control=no-cache&response-content-disposition=attachment%3B%20filename%3D%22%C3%A9%22&response-content-encoding=x&response-content-language=fr&response-content-type=text%2Fplain&response-expires=never'
  const { headers } = await world.raw({ target: `/open/o?${query}`, as: 'alice' })
  t.match(headers, {
    'cache-control': 'no-cache',
    'content-disposition': 'attachment; filename="\xc3\xa9"',
    'content-encoding': 'x',
    'content-language': 'fr',
    'content-type': 'text/plain',
    expires: 'never',
  })
  const bad = await world.raw({ target: '/open/o?response-content-type=a%0D%0Ab', as: 'alice' })
  t.equal(`${bad.status} ${bad.code}`, '400 InvalidArgument')
  const anonymous = await world.raw({ target: '/open/o?response-content-type=text%2Fhtml' })
  t.equal(`${anonymous.status} ${anonymous.code}`, '400 InvalidRequest')
  t.equal((await world.raw({ target: '/open/o' })).text, 'hello')
  const version = await world.raw({ target: '/open/o?versionId=null', as: 'alice' })
  t.equal(version.status, 200)
  const other = await world.raw({ target: '/open/o?versionId=abc', as: 'alice' })
  t.equal(`${other.status} ${other.code}`, '404 NoSuchVersion')
  t.match(headers['content-security-policy'], /sandbox/, 'no page of a user acts as the site')
})

t.test('what is not there, and what is nobody’s business', async (t) => {
  const world = await openS3(t)
  const alice = world.client('alice')
  const bob = world.client('bob')
  await alice.send(new PutObjectCommand({ Bucket, Key: 'd/f', Body: 'x' }))
  const missing = await world.raw({ target: '/data/none', as: 'alice' })
  t.equal(`${missing.status} ${missing.code}`, '404 NoSuchKey')
  t.match(missing.text, '<Key>none</Key>')
  const head = await world.raw({ method: 'HEAD', target: '/data/none', as: 'alice' })
  t.equal(head.status, 404)
  t.equal(head.text, '')
  t.equal(await refusal(alice.send(new GetObjectCommand({ Bucket, Key: 'd' }))), '404 NoSuchKey', 'a directory')
  t.equal(await refusal(alice.send(new GetObjectCommand({ Bucket, Key: 'd/f/g' }))), '404 NoSuchKey', 'below a file')
  t.equal(await refusal(alice.send(new GetObjectCommand({ Bucket, Key: 'd/f/' }))), '404 NoSuchKey')
  for (const Key of ['d/f', 'd/none', 'none', 'd/']) {
    t.equal(await refusal(bob.send(new GetObjectCommand({ Bucket, Key }))), '403 AccessDenied', Key)
    t.match(await refusal(bob.send(new HeadObjectCommand({ Bucket, Key }))), /^403 /, Key)
    t.equal(await refusal(bob.send(new PutObjectCommand({ Bucket, Key, Body: '' }))), '403 AccessDenied', Key)
  }
})

t.test('what comes is what was announced, or nothing is written', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const put = (headers: Record<string, string>, body = 'hello') =>
    world.raw({ method: 'PUT', target: '/data/x/checked', headers, body, as: 'alice' })
  const refused: ReadonlyArray<readonly [string, Record<string, string>]> = [
    ['400 BadDigest', { 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' }],
    ['400 InvalidDigest', { 'content-md5': 'AAAA' }],
    ['400 InvalidDigest', { 'content-md5': 'nonsense' }],
    ['400 BadDigest', { 'x-amz-checksum-crc32': 'AAAAAA==' }],
    ['400 BadDigest', { 'x-amz-checksum-crc64nvme': 'AAAAAAAAAAA=' }],
    ['400 BadDigest', { 'x-amz-checksum-sha1': 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=' }],
    ['400 InvalidRequest', { 'x-amz-checksum-crc32': 'short' }],
    ['400 InvalidRequest', { 'x-amz-checksum-crc32': 'NhCmhg==', 'x-amz-checksum-crc32c': 'mnG7TA==' }],
    ['400 InvalidRequest', { 'x-amz-sdk-checksum-algorithm': 'CRC32' }],
    ['501 NotImplemented', { 'x-amz-checksum-md5': 'XUFAKrxLKna5cZ2REBfFkg==' }],
    ['501 NotImplemented', { 'x-amz-server-side-encryption': 'AES256' }],
    ['400 MetadataTooLarge', { 'x-amz-meta-a': 'x'.repeat(2048) }],
    ['400 InvalidStorageClass', { 'x-amz-storage-class': 'GLACIER' }],
    ['400 AccessControlListNotSupported', { 'x-amz-acl': 'public-read' }],
    ['400 InvalidTag', { 'x-amz-tagging': 'a=1&a=2' }],
    ['501 NotImplemented', { 'if-none-match': '"x"' }],
    ['501 NotImplemented', { 'if-none-match': '*', 'if-match': '*' }],
  ]
  for (const [expected, headers] of refused) {
    const answer = await put(headers)
    t.equal(`${answer.status} ${answer.code}`, expected, JSON.stringify(headers))
  }
  t.notOk(readdirSync(world.file('/data')).includes('checked'))
  const names = () => readdirSync(world.file('/data'), { recursive: true }).map(String)
  t.notOk(
    names().some((name) => name.endsWith('checked')),
    'nothing can be seen',
  )
  const good = await put({ 'content-md5': 'XUFAKrxLKna5cZ2REBfFkg==', 'x-amz-checksum-crc32c': 'mnG7TA==' })
  t.equal(good.status, 200)
  t.equal(good.headers['x-amz-checksum-crc32c'], 'mnG7TA==')
  t.equal(good.headers['x-amz-checksum-type'], 'FULL_OBJECT')
  const read = await world.raw({
    target: '/data/x/checked',
    headers: { 'x-amz-checksum-mode': 'ENABLED' },
    as: 'alice',
  })
  t.equal(read.headers['x-amz-checksum-crc32c'], 'mnG7TA==')
  const part = await world.raw({
    target: '/data/x/checked',
    headers: { 'x-amz-checksum-mode': 'ENABLED', range: 'bytes=0-1' },
    as: 'alice',
  })
  t.equal(part.headers['x-amz-checksum-crc32c'], undefined, 'of the whole, and so of no part')
})

t.test('a length is announced, or the body comes in chunks', async (t) => {
  const world = await openS3(t)
  const put = (more: Record<string, string>, body = '') => {
    const headers = { host: `127.0.0.1:${world.port}`, ...more }
    const signed = sign({ method: 'PUT', target: '/data/k', headers, payload: 'UNSIGNED-PAYLOAD', key: keyOf('alice') })
    const all = Object.entries({ ...signed.headers, connection: 'close' })
    const socket = connect(world.port, '127.0.0.1')
    socket.end(`PUT /data/k HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`)
    return text(socket)
  }
  t.match(await put({}), /^HTTP\/1\.1 411 .*<Code>MissingContentLength<\/Code>/s)
  t.match(await put({ 'content-length': '0' }), /^HTTP\/1\.1 200 /)
  t.match(await put({ 'transfer-encoding': 'chunked' }, '5\r\nhello\r\n0\r\n\r\n'), /^HTTP\/1\.1 200 /)
  t.equal((await world.raw({ target: '/data/k', as: 'alice' })).text, 'hello')
  t.notMatch(await put({ 'content-length': '9' }, 'part'), /^HTTP\/1\.1 200 /)
  t.equal((await world.raw({ target: '/data/k', as: 'alice' })).text, 'hello', 'what ends early is not written')
})

t.test('no more is taken than the door takes', async (t) => {
  const world = await openS3(t, { limits: { maxUpload: 10 } })
  const put = (body: string, headers = {}) =>
    world.raw({ method: 'PUT', target: '/data/big', body, headers, as: 'alice' })
  t.equal((await put('0123456789')).status, 200)
  const announced = await put('0123456789a')
  t.equal(`${announced.status} ${announced.code}`, '400 EntityTooLarge')
  t.match(announced.text, '<ProposedSize>11</ProposedSize><MaxSizeAllowed>10</MaxSizeAllowed>')
})

t.test('a checksum behind the body counts like one before it', async (t) => {
  const world = await openS3(t)
  const put = (target: string, trailer: string) =>
    world.raw({
      ...{ method: 'PUT', target, as: 'alice', payload: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' },
      headers: { 'x-amz-trailer': 'x-amz-checksum-crc32', 'x-amz-decoded-content-length': '5' },
      body: `5\r\nhello\r\n0\r\n${trailer}\r\n\r\n`,
    })
  const good = await put('/data/good', 'x-amz-checksum-crc32:NhCmhg==')
  t.equal(good.status, 200)
  t.equal(good.headers['x-amz-checksum-crc32'], 'NhCmhg==')
  const bad = await put('/data/bad', 'x-amz-checksum-crc32:AAAAAA==')
  t.equal(`${bad.status} ${bad.code}`, '400 BadDigest')
  const torn = await put('/data/bad', 'x-amz-checksum-crc32:AAAA')
  t.equal(torn.status, 400)
  const other = await put('/data/bad', 'x-amz-checksum-sha1:AAAA')
  t.equal(`${other.status} ${other.code}`, '400 MalformedTrailerError')
  t.equal((await world.raw({ target: '/data/bad', as: 'alice' })).status, 404)
})

t.test('a sender hears 100 Continue only when it may write', async (t) => {
  const world = await openS3(t)
  const conversation = async (user: 'alice' | 'bob', headers: Record<string, string> = {}) => {
    const host = `127.0.0.1:${world.port}`
    const body = 'hello'
    const all = { host, ...headers, 'content-length': '5', expect: '100-continue' }
    const signed = sign({ method: 'PUT', target: '/data/waits', headers: all, body, key: keyOf(user) })
    const socket = connect(world.port, '127.0.0.1')
    const lines = Object.entries({ ...signed.headers, connection: 'close' }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    )
    socket.write(`PUT /data/waits HTTP/1.1\r\n${lines.join('')}\r\n`)
    socket.on('data', (part) => {
      if (String(part).startsWith('HTTP/1.1 100')) socket.write(body)
      if (String(part).includes('</Error>')) socket.end()
    })
    return text(socket)
  }
  t.match(await conversation('alice'), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/)
  t.match(await conversation('bob'), /^HTTP\/1\.1 403 /)
  t.match(await conversation('alice', { 'if-none-match': '*' }), /^HTTP\/1\.1 412 /)
  t.match(await conversation('alice', { 'x-amz-acl': 'public-read' }), /^HTTP\/1\.1 400 /)
})
