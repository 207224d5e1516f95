/** Bodies of all kinds through the door: nothing of a bad one is ever seen. */

import { once } from 'node:events'
import { connect } from 'node:net'
import { crc32 } from 'node:zlib'
import t, { type Test } from 'tap'
import { framed } from './framing.ts'
import { sha256, sign } from './signing.ts'
import { keyOf, openS3, type RawRequest, type S3World } from './world.ts'

const base64Crc = (data: string) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32(data))
  return bytes.toString('base64')
}

interface Upload {
  readonly payload: string
  readonly chunks: readonly string[]
  readonly trailer?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly spoil?: (body: string) => string
}

/** Signs the head, then the chunks, and sends them. */
function upload(world: S3World, target: string, { payload, chunks, trailer, headers = {}, spoil }: Upload) {
  const isSigned = payload.startsWith('STREAMING-AWS4')
  const all = {
    host: `127.0.0.1:${world.port}`,
    'content-encoding': 'aws-chunked',
    'x-amz-decoded-content-length': String(chunks.join('').length),
    ...(trailer !== undefined && { 'x-amz-trailer': trailer.split(':', 1)[0] ?? '' }),
    ...headers,
  }
  const signed = sign({ method: 'PUT', target, headers: all, payload, key: keyOf('alice') })
  const trailed = trailer === undefined ? {} : { trailer }
  const body = framed({ chunks, ...trailed, signed: isSigned ? signed : undefined })
  return world.raw({ method: 'PUT', target, headers: signed.headers, body: spoil?.(body) ?? body })
}

const signedKind = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
const signedTrailer = `${signedKind}-TRAILER`
const unsignedTrailer = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'
const text = 'hello world'
const checksum = `x-amz-checksum-crc32:${base64Crc(text)}`

async function absent(t: Test, world: S3World, target: string): Promise<void> {
  const answer = await world.raw({ target, as: 'alice' })
  t.match(answer, { status: 404, code: 'NoSuchKey' }, `${target} is not there`)
}

t.test('chunks of all kinds are stored without their framing', async (t) => {
  const world = await openS3(t)
  const rows: readonly Upload[] = [
    { payload: signedKind, chunks: ['hello', ' world'] },
    { payload: signedKind, chunks: [] },
    { payload: signedTrailer, chunks: ['hello', ' world'], trailer: checksum },
    { payload: unsignedTrailer, chunks: ['hello', ' world'], trailer: checksum },
    { payload: unsignedTrailer, chunks: [], trailer: 'x-amz-checksum-crc32:AAAAAA==' },
    { payload: unsignedTrailer, chunks: ['hello'] },
  ]
  for (const [at, row] of rows.entries()) {
    const answer = await upload(world, `/data/chunks${at}`, {
      ...row,
      headers: { 'content-encoding': 'gzip,aws-chunked' },
    })
    t.equal(answer.status, 200, answer.text)
    const read = await world.raw({ target: `/data/chunks${at}`, as: 'alice' })
    t.match(read, { status: 200, text: row.chunks.join(''), headers: { 'content-encoding': 'gzip' } })
  }
})

t.test('a body that is not what its head or its signatures say is refused and never seen', async (t) => {
  const world = await openS3(t)
  const chunks = ['hello', ' ', 'world']
  const rows: readonly [what: string, upload: Upload, status: number, code: string][] = [
    [
      'a chunk in the middle',
      { payload: signedKind, chunks, spoil: (body) => body.replace('\r\n \r\n', '\r\n_\r\n') },
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'its signature',
      { payload: signedKind, chunks, spoil: (body) => body.replace(/(1;chunk-signature=)..../, '$10000') },
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'the last chunk missing',
      { payload: signedKind, chunks, spoil: (body) => body.replace(/0;chunk.*\r\n\r\n$/, '') },
      400,
      'IncompleteBody',
    ],
    [
      'less than announced',
      { payload: signedKind, chunks, headers: { 'x-amz-decoded-content-length': '12' } },
      400,
      'IncompleteBody',
    ],
    [
      'more than announced',
      { payload: signedKind, chunks, headers: { 'x-amz-decoded-content-length': '10' } },
      400,
      'IncompleteBody',
    ],
    [
      'no number',
      { payload: signedKind, chunks, headers: { 'x-amz-decoded-content-length': '-1' } },
      400,
      'InvalidArgument',
    ],
    [
      'no decoded length',
      { payload: signedKind, chunks, headers: { 'x-amz-decoded-content-length': '' } },
      411,
      'MissingContentLength',
    ],
    [
      'a trailer that does not come',
      { payload: unsignedTrailer, chunks, headers: { 'x-amz-trailer': 'x-amz-checksum-crc32' } },
      400,
      'MalformedTrailerError',
    ],
    [
      'another trailer',
      { payload: unsignedTrailer, chunks, trailer: checksum, headers: { 'x-amz-trailer': 'x-amz-checksum-sha1' } },
      400,
      'MalformedTrailerError',
    ],
    [
      'a wrong checksum',
      { payload: unsignedTrailer, chunks, trailer: 'x-amz-checksum-crc32:AAAAAA==' },
      400,
      'BadDigest',
    ],
    [
      'a wrong checksum that is signed',
      { payload: signedTrailer, chunks, trailer: 'x-amz-checksum-crc32:AAAAAA==' },
      400,
      'BadDigest',
    ],
    [
      'a changed trailer',
      {
        payload: signedTrailer,
        chunks,
        trailer: checksum,
        spoil: (body) => body.replace(checksum, 'x-amz-checksum-crc32:AAAAAA=='),
      },
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'a trailer of an unknown name',
      { payload: unsignedTrailer, chunks, trailer: 'x-amz-meta-a:1' },
      400,
      'InvalidRequest',
    ],
    [
      'a trailer without a place for it',
      { payload: signedKind, chunks, headers: { 'x-amz-trailer': 'x-amz-checksum-crc32' } },
      400,
      'InvalidRequest',
    ],
  ]
  for (const [what, row, status, code] of rows) {
    const answer = await upload(world, '/data/refused', row)
    t.match(answer, { status, code }, what)
    await absent(t, world, '/data/refused')
  }
})

t.test('a plain body is what its digest says', async (t) => {
  const world = await openS3(t)
  const put = (more: Partial<RawRequest>) =>
    world.raw({ method: 'PUT', target: '/data/plain', as: 'alice', body: text, ...more })
  const wrong = await put({ payload: sha256('something else') })
  t.match(wrong, { status: 400, code: 'XAmzContentSHA256Mismatch' })
  t.match(wrong.text, new RegExp(`<S3ComputedContentSHA256>${sha256(text)}`))
  await absent(t, world, '/data/plain')
  for (const payload of [sha256(text), sha256(text).toUpperCase(), 'UNSIGNED-PAYLOAD']) {
    t.equal((await put({ payload })).status, 200, payload)
  }
  t.equal((await world.raw({ target: '/data/plain', as: 'alice' })).text, text)
})

t.test('only what is anonymous may leave its chunks unsigned without a signature', async (t) => {
  const world = await openS3(t)
  const headers = { 'x-amz-content-sha256': signedKind, 'x-amz-decoded-content-length': '5' }
  const answer = await world.raw({
    method: 'PUT',
    target: '/data/k',
    headers,
    body: framed({ chunks: ['hello'], signed: undefined }),
  })
  t.match(answer, { status: 400, code: 'InvalidArgument' })
})

t.test('a body that ends early, or is longer than announced, leaves nothing', async (t) => {
  const world = await openS3(t)
  for (const payload of ['UNSIGNED-PAYLOAD', sha256(text), signedKind]) {
    const target = '/data/early'
    const more = payload === signedKind ? { 'x-amz-decoded-content-length': '11' } : {}
    const headers = { host: `127.0.0.1:${world.port}`, 'content-length': '1000', ...more }
    const signed = sign({ method: 'PUT', target, headers, payload, key: keyOf('alice') })
    const body = payload === signedKind ? framed({ chunks: [text], signed }) : text
    const head = Object.entries(signed.headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const socket = connect(world.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.end(`PUT ${target} HTTP/1.1\r\n${head.join('')}\r\n${body}`)
    let answer = ''
    for await (const chunk of socket) answer += String(chunk)
    t.match(answer, /^HTTP\/1\.1 400 /, payload)
    t.match(answer, /<Code>IncompleteBody</, payload)
    await absent(t, world, target)
  }
})

t.test('a refused upload is refused before its body', async (t) => {
  const world = await openS3(t)
  const headers = { host: `127.0.0.1:${world.port}`, expect: '100-continue', 'content-length': '1000000' }
  const target = '/data/expected'
  for (const [user, first] of [
    ['bob', /^HTTP\/1\.1 403 /],
    ['alice', /^HTTP\/1\.1 100 /],
  ] as const) {
    const signed = sign({ method: 'PUT', target, headers, payload: 'UNSIGNED-PAYLOAD', key: keyOf(user) })
    const head = Object.entries(signed.headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const socket = connect(world.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write(`PUT ${target} HTTP/1.1\r\n${head.join('')}\r\n`)
    const [answer] = await once(socket, 'data')
    t.match(String(answer), first)
    socket.destroy()
  }
})
