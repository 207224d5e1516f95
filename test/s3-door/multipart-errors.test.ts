/** What is refused of uploads in parts, by code and status, and what is then visible: nothing. */

import { createHash } from 'node:crypto'
import { CreateMultipartUploadCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { type Answer, openS3, type RawRequest, type S3World, type UserName } from './world.ts'

const smallest = 5 * 1024 ** 2

interface Begun {
  readonly world: S3World
  readonly id: string
  /** A request about the upload. */
  send(request: Partial<RawRequest> & { readonly query?: string; readonly key?: string }): Promise<Answer>
  put(number: number | string, body: string | Uint8Array, more?: Partial<RawRequest>): Promise<Answer>
  complete(body: string, more?: Partial<RawRequest>): Promise<Answer>
}

async function begin(t: Test, world: S3World, headers: Readonly<Record<string, string>> = {}): Promise<Begun> {
  const answer = await world.raw({ method: 'POST', target: '/data/key?uploads', as: 'alice', headers })
  t.equal(answer.status, 200, answer.text)
  const id = /<UploadId>([^<]+)</.exec(answer.text)?.[1] ?? ''
  const send: Begun['send'] = ({ query = '', key = 'key', ...more }) =>
    world.raw({ as: 'alice', target: `/data/${key}?uploadId=${encodeURIComponent(id)}${query}`, ...more })
  return {
    world,
    id,
    send,
    put: (number, body, more) => send({ method: 'PUT', query: `&partNumber=${number}`, body, ...more }),
    complete: (body, more) => send({ method: 'POST', body, ...more }),
  }
}

function listed(...parts: ReadonlyArray<readonly [number: number | string, etag: string, more?: string]>): string {
  const inside = parts.map(
    ([number, etag, more = '']) => `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag>${more}</Part>`,
  )
  return `<CompleteMultipartUpload>${inside.join('')}</CompleteMultipartUpload>`
}

function md5(text: string | Uint8Array): string {
  return createHash('md5').update(text).digest('hex')
}

function refused(t: Test, answer: Answer, code: string, status = 400): void {
  t.match({ status: answer.status, code: answer.code }, { status, code }, `${code}: ${answer.text.slice(0, 300)}`)
}

async function showsNothing(t: Test, world: S3World): Promise<void> {
  const { Contents = [] } = await world.client('alice').send(new ListObjectsV2Command({ Bucket: 'data' }))
  t.same(Contents, [], 'nothing is to be seen')
}

t.test('uploads are refused before they begin', async (t) => {
  const world = await openS3(t)
  const create = (headers: Readonly<Record<string, string>>, target = '/data/key?uploads', as: UserName = 'alice') =>
    world.raw({ method: 'POST', target, as, headers })
  refused(t, await create({ 'x-amz-checksum-algorithm': 'MD4' }), 'InvalidRequest')
  refused(t, await create({ 'x-amz-checksum-type': 'COMPOSITE' }), 'InvalidRequest')
  refused(
    t,
    await create({ 'x-amz-checksum-algorithm': 'SHA256', 'x-amz-checksum-type': 'FULL_OBJECT' }),
    'InvalidRequest',
  )
  refused(t, await create({ 'x-amz-storage-class': 'NONE' }), 'InvalidStorageClass')
  refused(t, await create({ 'x-amz-meta-a': 'x'.repeat(2100) }), 'MetadataTooLarge')
  refused(t, await create({ 'x-amz-tagging': 'a=1&a=2' }), 'InvalidTag')
  refused(t, await create({}, '/data/dir/?uploads'), 'DirectoryObjectContainsData')
  refused(t, await create({}, '/data/a/../b?uploads'), 'InvalidArgument')
  refused(t, await create({}, `/data/${'k'.repeat(1025)}?uploads`), 'KeyTooLongError')
  refused(t, await create({}, '/data/key?uploads', 'bob'), 'AccessDenied', 403)
  await showsNothing(t, world)
})

t.test('parts are refused', async (t) => {
  const world = await openS3(t)
  const { put, send } = await begin(t, world)
  for (const number of ['0', '10001', '-1', 'one', '']) refused(t, await put(number, 'x'), 'InvalidArgument')
  refused(t, await put(1, 'x', { headers: { 'content-md5': 'AAAA' } }), 'InvalidDigest')
  const wrong = createHash('md5').update('other').digest('base64')
  refused(t, await put(1, 'x', { headers: { 'content-md5': wrong } }), 'BadDigest')
  refused(t, await put(1, 'x', { headers: { 'x-amz-checksum-crc32': 'AAAAAA==' } }), 'BadDigest')
  refused(t, await put(1, 'x', { headers: { 'x-amz-checksum-crc32': 'AA' } }), 'InvalidRequest')
  refused(t, await put(1, 'x', { headers: { 'x-amz-sdk-checksum-algorithm': 'CRC32' } }), 'InvalidRequest')
  const two = { 'x-amz-checksum-crc32': 'AAAAAA==', 'x-amz-checksum-crc32c': 'AAAAAA==' }
  refused(t, await put(1, 'x', { headers: two }), 'InvalidRequest')
  refused(t, await put(1, 'x', { payload: '0'.repeat(64) }), 'XAmzContentSHA256Mismatch')
  refused(
    t,
    await put(1, '', { headers: { 'content-length': String(5 * 1024 ** 3 + 1), expect: '100-continue' } }),
    'EntityTooLarge',
  )
  refused(
    t,
    await put(1, 'x', { spoil: ({ headers }) => ({ ...headers, authorization: `${headers.authorization}0` }) }),
    'SignatureDoesNotMatch',
    403,
  )
  refused(t, await put(1, 'x', { as: 'carol' }), 'NoSuchUpload', 404)
  refused(t, await put(1, 'x', { as: 'bob' }), 'NoSuchUpload', 404)
  refused(t, await send({ method: 'PUT', key: 'other', query: '&partNumber=1', body: 'x' }), 'NoSuchUpload', 404)
  refused(t, await send({ method: 'PUT', key: 'key/', query: '&partNumber=1', body: 'x' }), 'NoSuchUpload', 404)
  const unknown = await world.raw({
    ...{ method: 'PUT', target: '/data/key?uploadId=unknown&partNumber=1', body: 'x', as: 'alice' },
  })
  refused(t, unknown, 'NoSuchUpload', 404)
  t.match(unknown.text, '<UploadId>unknown</UploadId>')
  const parts = await send({})
  t.notMatch(parts.text, '<Part>')
  await showsNothing(t, world)
})

t.test('parts bring the checksum that was chosen', async (t) => {
  const world = await openS3(t)
  const { put } = await begin(t, world, { 'x-amz-checksum-algorithm': 'SHA256' })
  refused(t, await put(1, 'x'), 'InvalidRequest')
  refused(t, await put(1, 'x', { headers: { 'x-amz-checksum-crc32': 'AAAAAA==' } }), 'InvalidRequest')
  const sha256 = createHash('sha256').update('x').digest('base64')
  const sent = await put(1, 'x', { headers: { 'x-amz-checksum-sha256': sha256 } })
  t.match({ status: sent.status, sum: sent.headers['x-amz-checksum-sha256'] }, { status: 200, sum: sha256 })
})

t.test('completion is refused', async (t) => {
  const world = await openS3(t)
  const { put, complete, send, id } = await begin(t, world, {
    'x-amz-checksum-algorithm': 'CRC32',
    'x-amz-checksum-type': 'FULL_OBJECT',
  })
  const large = Buffer.alloc(smallest, 'a')
  for (const [number, body] of [
    [1, large],
    [2, 'small'],
    [3, 'last'],
  ] as const)
    t.equal((await put(number, body)).headers.etag, `"${md5(body)}"`)
  const right = listed([1, md5(large)], [2, md5('small')])
  refused(t, await complete(''), 'MalformedXML')
  refused(t, await complete(listed()), 'MalformedXML')
  refused(t, await complete('<!DOCTYPE a [<!ENTITY b "c">]><CompleteMultipartUpload/>'), 'MalformedXML')
  refused(t, await complete(listed([0, md5(large)])), 'InvalidArgument')
  refused(t, await complete(listed([10_001, md5(large)])), 'InvalidArgument')
  refused(t, await complete(listed([2, md5('small')], [1, md5(large)])), 'InvalidPartOrder')
  refused(t, await complete(listed([1, md5(large)], [1, md5(large)])), 'InvalidPartOrder')
  const wrong = await complete(listed([1, md5('small')]))
  refused(t, wrong, 'InvalidPart')
  t.match(wrong.text, `<UploadId>${id}</UploadId><PartNumber>1</PartNumber><ETag>${md5('small')}</ETag>`)
  refused(t, await complete(listed([1, md5(large)], [4, md5('last')])), 'InvalidPart')
  refused(
    t,
    await complete(listed([1, md5(large), '<ChecksumCRC32>AAAAAA==</ChecksumCRC32>'], [2, md5('small')])),
    'InvalidPart',
  )
  const small = await complete(listed([1, md5(large)], [2, md5('small')], [3, md5('last')]))
  refused(t, small, 'EntityTooSmall')
  t.match(small.text, `<ProposedSize>5</ProposedSize><MinSizeAllowed>${smallest}</MinSizeAllowed><PartNumber>2<`)
  const told = (headers: Readonly<Record<string, string>>) => complete(right, { headers })
  refused(t, await told({ 'x-amz-mp-object-size': '7' }), 'InvalidRequest')
  refused(t, await told({ 'x-amz-mp-object-size': '-7' }), 'InvalidRequest')
  refused(t, await told({ 'x-amz-checksum-type': 'COMPOSITE' }), 'InvalidRequest')
  refused(t, await told({ 'x-amz-checksum-sha1': 'AAAA' }), 'InvalidRequest')
  refused(t, await told({ 'x-amz-checksum-crc32': 'AAAAAA==' }), 'BadDigest')
  refused(t, await told({ 'if-none-match': '"a"' }), 'NotImplemented', 501)
  refused(t, await complete(right, { as: 'carol' }), 'NoSuchUpload', 404)
  refused(t, await send({ method: 'POST', key: 'other', body: right }), 'NoSuchUpload', 404)
  await showsNothing(t, world)
  const done = await told({ 'x-amz-mp-object-size': String(smallest + 5) })
  t.equal(done.status, 200, done.text)
  refused(t, await complete(listed([1, md5('other')])), 'InvalidPart')
  refused(t, await send({ method: 'POST', key: 'other', body: right }), 'NoSuchUpload', 404)
  refused(t, await complete(right, { as: 'carol' }), 'NoSuchUpload', 404)
  t.equal((await complete(right)).status, 200)
})

t.test('a completion is repeated also where another object has come', async (t) => {
  const world = await openS3(t)
  const { put, complete } = await begin(t, world)
  await put(1, 'one')
  const first = await complete(listed([1, md5('one')]))
  await world.raw({ method: 'PUT', target: '/data/key', body: 'another', as: 'alice' })
  const second = await complete(listed([1, md5('one')]))
  t.equal(second.text, first.text)
  const now = await world.raw({ target: '/data/key', as: 'alice' })
  t.equal(now.text, 'another')
})

t.test('what is at the key is not overwritten by mistake', async (t) => {
  const world = await openS3(t)
  const alice = world.client('alice')
  await world.raw({ method: 'PUT', target: '/data/dir/file', body: 'x', as: 'alice' })
  const under = await world.raw({ method: 'POST', target: '/data/dir/file/below?uploads', as: 'alice' })
  refused(t, under, 'ObjectParentIsFile', 409)
  const over = await world.raw({ method: 'POST', target: '/data/dir?uploads', as: 'alice' })
  refused(t, over, 'ExistingObjectIsDirectory', 409)
  await t.rejects(alice.send(new CreateMultipartUploadCommand({ Bucket: 'absent', Key: 'a' })), {
    name: 'NoSuchBucket',
  })
})
