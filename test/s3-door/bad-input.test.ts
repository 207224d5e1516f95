/** Bad input of every kind, through the whole door: the exact error of S3, and nothing to be seen in the tree. */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { framed } from './framing.ts'
import { presign, sha256, sign } from './signing.ts'
import { keyOf, openS3, type RawRequest, type S3World } from './world.ts'

/** What a row is answered with: status and code. */
type Row = readonly [what: string, expected: string, request: RawRequest]

const alice = keyOf('alice')
const body = 'hello world'
const put = { method: 'PUT', target: '/data/on/the/way/bad', as: 'alice', body } as const
const md5 = (data: string) => createHash('md5').update(data).digest('base64')

/** Files and directories, hidden ones too, but for what the gateway keeps of uploads that go on. */
function visible(world: S3World): string[] {
  const names = readdirSync(world.file('/data'), { recursive: true }).map(String)
  return names.filter((name) => !/^\.portolan-stage-[0-9a-f]+$/.test(name))
}

async function refuseAll(t: Test, world: S3World, rows: readonly Row[]): Promise<void> {
  for (const [what, expected, request] of rows) {
    const answer = await world.raw(request)
    t.equal(`${answer.status} ${answer.code}`, expected, `${what}: ${answer.text.slice(0, 200)}`)
    t.match(answer.headers, { 'content-type': 'application/xml', 'x-amz-request-id': /./, date: /GMT$/ })
    t.match(answer.text, `<RequestId>${answer.headers['x-amz-request-id']}</RequestId>`)
    t.same(visible(world), [], `${what} leaves nothing`)
  }
  t.match(await world.raw({ target: '/data?uploads', as: 'alice' }), { status: 200, text: /^((?!<Upload>).)*$/s })
}

function tampered(change: (authorization: string) => string): NonNullable<RawRequest['spoil']> {
  return ({ headers }) => ({ ...headers, authorization: change(headers.authorization ?? '') })
}

t.test('signatures', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const unknown = { accessKeyId: 'AKIANOBODY0000000000', secret: 'x' }
  const last = (text: string) => text.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'))
  await refuseAll(t, world, [
    ['a wrong secret', '403 SignatureDoesNotMatch', { ...put, as: { ...alice, secret: 'wrong' } }],
    ['a wrong signature', '403 SignatureDoesNotMatch', { ...put, spoil: tampered(last) }],
    ['an unknown key', '403 InvalidAccessKeyId', { ...put, as: unknown }],
    ['a clock behind', '403 RequestTimeTooSkewed', { ...put, at: Date.now() - 16 * 60_000 }],
    ['a clock ahead', '403 RequestTimeTooSkewed', { ...put, at: Date.now() + 16 * 60_000 }],
    ['another region', '400 AuthorizationHeaderMalformed', { ...put, region: 'eu-west-1' }],
    ['no SigV4', '400 InvalidRequest', { ...put, spoil: tampered(() => `AWS ${alice.accessKeyId}:abc=`) }],
    ['another scheme', '400 InvalidArgument', { ...put, spoil: tampered(() => 'Bearer alice') }],
    ['half a header', '400 AuthorizationHeaderMalformed', { ...put, spoil: tampered((each) => each.slice(0, 60)) }],
    [
      'a header that nobody signed',
      '403 AccessDenied',
      { ...put, spoil: ({ headers }) => ({ ...headers, 'x-amz-meta-a': 'b' }) },
    ],
    ['nobody', '403 AccessDenied', { method: 'PUT', target: '/data/bad', body }],
    ['who may not', '403 AccessDenied', { ...put, as: 'bob' }],
  ])
})

t.test('signed URLs', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const to = { method: 'PUT', path: '/data/bad', host: `127.0.0.1:${world.port}`, key: alice }
  const by = (target: string): RawRequest => ({ method: 'PUT', target, body })
  const good = presign(to)
  await refuseAll(t, world, [
    ['one that has expired', '403 AccessDenied', by(presign({ ...to, at: Date.now() - 10_000, expires: 5 }))],
    ['one that is not valid yet', '403 AccessDenied', by(presign({ ...to, at: Date.now() + 16 * 60_000 }))],
    ['one for more than a week', '400 AuthorizationQueryParametersError', by(presign({ ...to, expires: 604_801 }))],
    ['one for less than no time', '400 AuthorizationQueryParametersError', by(presign({ ...to, expires: -1 }))],
    ['a spoiled one', '403 SignatureDoesNotMatch', by(good.replace('bad', 'worse'))],
    ['one for another method', '403 SignatureDoesNotMatch', by(presign({ ...to, method: 'GET' }))],
    ['one of the old kind', '400 InvalidRequest', by(`${to.path}?AWSAccessKeyId=x&Signature=y&Expires=1900000000`)],
    ['one beside a header', '400 InvalidArgument', { ...put, target: good }],
    ['one of somebody who may not', '403 AccessDenied', by(presign({ ...to, key: keyOf('bob') }))],
  ])
})

interface Streamed {
  readonly payload: string
  readonly trailer?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly spoil?: (body: string) => string
}

/** Signs a head and chunks. */
function streamed(world: S3World, { payload, trailer, headers = {}, spoil = (body) => body }: Streamed): RawRequest {
  const all = {
    host: `127.0.0.1:${world.port}`,
    'x-amz-decoded-content-length': String(body.length),
    ...(trailer !== undefined && { 'x-amz-trailer': 'x-amz-checksum-crc32' }),
    ...headers,
  }
  const { target, method } = put
  const head = sign({ method, target, headers: all, payload, key: alice })
  const signed = payload.startsWith('STREAMING-AWS4') ? head : undefined
  const bytes = framed({ chunks: ['hello', ' ', 'world'], ...(trailer !== undefined && { trailer }), signed })
  return { method, target, headers: head.headers, body: spoil(bytes) }
}

t.test('bodies in chunks', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const signed = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
  const unsigned = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'
  const crc = 'x-amz-checksum-crc32:DUoRhQ=='
  const wrong = 'x-amz-checksum-crc32:AAAAAA=='
  const length = (text: string) => ({ 'x-amz-decoded-content-length': text })
  const middle = (text: string) => text.replace('\r\n \r\n', '\r\n_\r\n')
  const rows: readonly (readonly [string, string, Streamed])[] = [
    [
      'a chunk in the middle that is not the signed one',
      '403 SignatureDoesNotMatch',
      { payload: signed, spoil: middle },
    ],
    [
      'a trailer that is missing',
      '400 MalformedTrailerError',
      { payload: unsigned, headers: { 'x-amz-trailer': crc.split(':')[0] ?? '' } },
    ],
    [
      'a trailer of another name',
      '400 MalformedTrailerError',
      { payload: unsigned, trailer: 'x-amz-checksum-sha1:AAAA' },
    ],
    ['a trailer with another checksum', '400 BadDigest', { payload: unsigned, trailer: wrong }],
    ['a signed trailer with another checksum', '400 BadDigest', { payload: `${signed}-TRAILER`, trailer: wrong }],
    [
      'a trailer that was changed',
      '403 SignatureDoesNotMatch',
      { payload: `${signed}-TRAILER`, trailer: crc, spoil: (text) => text.replace(crc, wrong) },
    ],
    ['a decoded length that is too small', '400 IncompleteBody', { payload: signed, headers: length('10') }],
    ['a decoded length that is too large', '400 IncompleteBody', { payload: signed, headers: length('12') }],
    ['no decoded length', '411 MissingContentLength', { payload: signed, headers: length('') }],
    ['a decoded length below zero', '400 InvalidArgument', { payload: signed, headers: length('-1') }],
    [
      'an end before the end',
      '400 IncompleteBody',
      { payload: unsigned, trailer: crc, spoil: (text) => text.slice(0, 12) },
    ],
    [
      'a kind of body that needs other keys',
      '501 NotImplemented',
      { payload: 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD' },
    ],
    ['a kind of body that nobody knows', '400 InvalidArgument', { payload: 'STREAMING' }],
  ]
  await refuseAll(
    t,
    world,
    rows.map(([what, expected, each]) => [what, expected, streamed(world, each)]),
  )
})

t.test('digests', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const told = (headers: Record<string, string>): RawRequest => ({ ...put, headers })
  await refuseAll(t, world, [
    ['another MD5', '400 BadDigest', told({ 'content-md5': md5('other') })],
    ['no MD5 at all', '400 InvalidDigest', told({ 'content-md5': 'x' })],
    ['another SHA-256 in the signature', '400 XAmzContentSHA256Mismatch', { ...put, payload: sha256('other') }],
    ['another checksum', '400 BadDigest', told({ 'x-amz-checksum-crc64nvme': 'AAAAAAAAAAA=' })],
    ['no checksum at all', '400 InvalidRequest', told({ 'x-amz-checksum-sha256': 'AAAA' })],
    [
      'two checksums',
      '400 InvalidRequest',
      told({ 'x-amz-checksum-crc32': 'DUoRhQ==', 'x-amz-checksum-crc32c': 'AAAAAA==' }),
    ],
  ])
})

/** Sources that nobody escaped are taken as they are, and then there is none. */
function sourceRefusal(expected: string, key: string): string {
  return key === '%zz' ? '404 NoSuchKey' : expected.replace('InvalidURI', 'InvalidArgument')
}

t.test('keys', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const long = 'k'.repeat(1025)
  const keys: readonly (readonly [what: string, expected: string, key: string])[] = [
    ['NUL', '400 InvalidArgument', 'a%00b'],
    ['two dots', '400 InvalidArgument', '..'],
    ['two dots inside', '400 InvalidArgument', 'a/../b'],
    ['two dots that are escaped', '400 InvalidArgument', 'a/%2e%2E/b'],
    ['two dots behind an escaped slash', '400 InvalidArgument', 'a%2F..%2Fb'],
    ['a dot', '400 InvalidArgument', 'a/./b'],
    ['two slashes', '400 InvalidArgument', 'a//b'],
    ['a slash first', '400 InvalidArgument', '/a'],
    ['1,025 bytes', '400 KeyTooLongError', long],
    ['1,025 bytes in 342 characters', '400 KeyTooLongError', `${'%E2%82%AC'.repeat(341)}ab`],
    ['a name of 256 bytes', '400 KeyTooLongError', `a/${'n'.repeat(256)}`],
    ['bytes that are no UTF-8', '400 InvalidURI', '%ff'],
    ['a surrogate', '400 InvalidURI', '%ed%a0%80'],
    ['an escape that is none', '400 InvalidURI', '%zz'],
  ]
  for (const [what, expected, key] of keys) {
    const target = `/data/${key}`
    const copy = { ...put, target: '/data/copy', body: '', headers: { 'x-amz-copy-source': `data/${key}` } }
    await refuseAll(t, world, [
      [`PUT: ${what}`, expected, { ...put, target }],
      [`GET: ${what}`, expected, { target, as: 'alice' }],
      [`DELETE: ${what}`, expected, { method: 'DELETE', target, as: 'alice' }],
      [`uploads: ${what}`, expected, { method: 'POST', target: `${target}?uploads`, as: 'alice' }],
      [`the source of a copy: ${what}`, sourceRefusal(expected, key), copy],
    ])
    t.equal((await world.raw({ method: 'HEAD', target, as: 'alice' })).status, 400, `HEAD: ${what}`)
  }
})

t.test('documents', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const bomb = `<!DOCTYPE a [<!ENTITY a "${'a'.repeat(50)}">${Array.from({ length: 9 }, (_, i) => `<!ENTITY b${i} "&b${i - 1};&b${i - 1};">`).join('')}]>`
  const deep = '<a>'.repeat(10_000)
  const wide = `<Delete>${'<Object><Key>k</Key></Object>'.repeat(1001)}</Delete>`
  const send = (target: string, body: string, method = 'POST'): RawRequest => ({
    ...{ method, target, as: 'alice', body, headers: { 'content-md5': md5(body) } },
  })
  const begun = await world.raw({ method: 'POST', target: '/data/parted?uploads', as: 'alice' })
  const upload = `/data/parted?uploadId=${encodeURIComponent(/<UploadId>([^<]+)</.exec(begun.text)?.[1] ?? '')}`
  const rows: Row[] = []
  for (const [target, root, method] of [
    ['/data?delete', 'Delete', 'POST'],
    [upload, 'CompleteMultipartUpload', 'POST'],
    ['/data/x?tagging', 'Tagging', 'PUT'],
  ] as const) {
    rows.push(
      [`${root}: a bomb`, '400 MalformedXML', send(target, `${bomb}<${root}>&b8;</${root}>`, method)],
      [`${root}: no end of elements`, '400 MalformedXML', send(target, `<${root}>${deep}`, method)],
      [`${root}: something else`, '400 MalformedXML', send(target, '<Other/>', method)],
      [`${root}: no XML`, '400 MalformedXML', send(target, '{}', method)],
      [`${root}: another encoding`, '400 MalformedXML', send(target, `<${root}>\xff`, method)],
    )
  }
  rows.push(
    ['1,001 keys', '400 MalformedXML', send('/data?delete', wide)],
    ['no digest', '400 InvalidRequest', { method: 'POST', target: '/data?delete', as: 'alice', body: wide }],
    ['too long', '400 EntityTooLarge', send('/data?delete', `<Delete>${' '.repeat(9_000_000)}</Delete>`)],
    ['too long for tags', '400 MaxMessageLengthExceeded', send('/data/x?tagging', ' '.repeat(3_000_000), 'PUT')],
  )
  for (const [what, expected, request] of rows) {
    const { status, code } = await world.raw(request)
    t.equal(`${status} ${code}`, expected, what)
    t.same(visible(world), [], what)
  }
})

t.test('parameters', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const get = (target: string): RawRequest => ({ target, as: 'alice' })
  await refuseAll(t, world, [
    ['keys below zero', '400 InvalidArgument', get('/data?list-type=2&max-keys=-1')],
    ['keys below zero, the old way', '400 InvalidArgument', get('/data?max-keys=-1')],
    ['uploads below zero', '400 InvalidArgument', get('/data?uploads&max-uploads=-1')],
    ['a token that nobody gave', '400 InvalidArgument', get('/data?list-type=2&continuation-token=AAAA')],
    ['another type of listing', '400 InvalidArgument', get('/data?list-type=3')],
    ['another encoding', '400 InvalidArgument', get('/data?list-type=2&encoding-type=hex')],
    ['a query that is no UTF-8', '400 InvalidURI', get('/data?prefix=%ff')],
    ['a bucket that is not there', '404 NoSuchBucket', get('/none')],
    ['a key that is not there', '404 NoSuchKey', get('/data/none')],
    ['a version that is not there', '404 NoSuchVersion', get('/data/none?versionId=x')],
    ['a method that nobody knows', '405 MethodNotAllowed', { method: 'PATCH', target: '/data/x', as: 'alice' }],
    ['a method of the service', '405 MethodNotAllowed', { method: 'PUT', target: '/', as: 'alice' }],
    ['a part of objects that there is not', '501 NotImplemented', get('/data/x?torrent')],
    ['another owner', '403 AccessDenied', { ...put, headers: { 'x-amz-expected-bucket-owner': '123456789012' } }],
  ])
})

t.test('parts', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const begun = await world.raw({ method: 'POST', target: '/data/parted?uploads', as: 'alice' })
  const id = encodeURIComponent(/<UploadId>([^<]+)</.exec(begun.text)?.[1] ?? '')
  const part = (number: string, more: Partial<RawRequest> = {}): RawRequest => ({
    ...{ ...put, target: `/data/parted?partNumber=${number}&uploadId=${id}` },
    ...more,
  })
  const complete = (...parts: readonly (readonly [number, string])[]): RawRequest => {
    const inside = parts.map(([number, data]) => {
      const etag = createHash('md5').update(data).digest('hex')
      return `<Part><PartNumber>${number}</PartNumber><ETag>"${etag}"</ETag></Part>`
    })
    const document = `<CompleteMultipartUpload>${inside.join('')}</CompleteMultipartUpload>`
    return { method: 'POST', target: `/data/parted?uploadId=${id}`, as: 'alice', body: document }
  }
  for (const number of ['1', '2']) t.equal((await world.raw(part(number))).status, 200)
  const rows: readonly Row[] = [
    ['part 0', '400 InvalidArgument', part('0')],
    ['part 10,001', '400 InvalidArgument', part('10001')],
    ['a part with another MD5', '400 BadDigest', part('3', { headers: { 'content-md5': md5('other') } })],
    ['a part of somebody else', '404 NoSuchUpload', part('3', { as: 'carol' })],
    ['no such upload', '404 NoSuchUpload', { ...put, target: '/data/parted?partNumber=1&uploadId=none' }],
    ['wrong ETags', '400 InvalidPart', complete([1, 'other'])],
    ['a part that never came', '400 InvalidPart', complete([1, body], [3, body])],
    ['the wrong order', '400 InvalidPartOrder', complete([2, body], [1, body])],
    ['one part twice', '400 InvalidPartOrder', complete([1, body], [1, body])],
    ['a part under 5 MiB that is not the last', '400 EntityTooSmall', complete([1, body], [2, body])],
    ['no parts', '400 MalformedXML', complete()],
    [
      'no upload to give up',
      '404 NoSuchUpload',
      { method: 'DELETE', target: '/data/parted?uploadId=none', as: 'alice' },
    ],
  ]
  for (const [what, expected, request] of rows) {
    const { status, code } = await world.raw(request)
    t.equal(`${status} ${code}`, expected, what)
    t.same(visible(world), [], what)
  }
  const given = await world.raw({ method: 'DELETE', target: `/data/parted?uploadId=${id}`, as: 'alice' })
  t.equal(given.status, 204)
  t.same(visible(world), [])
})

t.test('bodies that are longer or shorter than announced', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const raw = async (length: number, payload: string) => {
    const headers = { host: `127.0.0.1:${world.port}`, 'content-length': String(length) }
    const { target } = put
    const signed = sign({ method: 'PUT', target, headers, payload, key: alice })
    const fields = Object.entries(signed.headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const socket = connect(world.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.end(`PUT ${target} HTTP/1.1\r\n${fields.join('')}\r\n${body}`)
    return text(socket)
  }
  t.match(await raw(12, 'UNSIGNED-PAYLOAD'), /^HTTP\/1\.1 400 .*<Code>IncompleteBody</s)
  t.match(await raw(12, sha256(body)), /^HTTP\/1\.1 400 .*<Code>IncompleteBody</s)
  t.same(visible(world), [])
  t.match(await raw(10, sha256(body)), /^HTTP\/1\.1 400 .*<Code>XAmzContentSHA256Mismatch</s, 'a byte of it is no body')
  t.same(visible(world), [])
  const large = { 'content-length': '9000000000000', expect: '100-continue' }
  t.match(await world.raw({ ...put, headers: large, payload: 'UNSIGNED-PAYLOAD' }), {
    status: 400,
    code: 'EntityTooLarge',
  })
  t.same(visible(world), [])
})

t.test('what is no request', async (t) => {
  const world = await openS3(t)
  const rows = [
    ['no HTTP', 'hello\r\n\r\n', '400', 'BadRequest'],
    ['octets that nobody escaped', 'GET /data/\xe9 HTTP/1.1\r\nHost: x\r\n\r\n', '400', 'BadRequest'],
    [
      'two lengths',
      'PUT /data/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      '400',
      'BadRequest',
    ],
    [
      'a head too large',
      `GET / HTTP/1.1\r\nHost: x\r\nX-A: ${'x'.repeat(70_000)}\r\n\r\n`,
      '400',
      'RequestHeaderSectionTooLarge',
    ],
    ['a tunnel', 'CONNECT other:80 HTTP/1.1\r\nHost: other\r\n\r\n', '405', 'MethodNotAllowed'],
    ['no host', 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n', '400', 'InvalidRequest'],
  ] as const
  for (const [what, bytes, status, code] of rows) {
    const socket = connect(world.port, '127.0.0.1')
    socket.end(Buffer.from(bytes, 'latin1'))
    t.match(await text(socket), new RegExp(`^HTTP/1\\.1 ${status} .*<Code>${code}</Code>`, 's'), what)
  }
})
