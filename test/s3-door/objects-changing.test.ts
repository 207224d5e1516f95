/** Objects written under conditions, deleted, tagged, and directories as objects. */

import { createHash } from 'node:crypto'
import { closeSync, existsSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  DeleteObjectTaggingCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import * as sys from '../../backends/posix/native/sys.ts'
import { refusal } from './refusal.ts'
import { openS3, type S3World } from './world.ts'

const Bucket = 'data'
const emptyMd5 = '"d41d8cd98f00b204e9800998ecf8427e"'

/** Writes as another door does. */
async function putByWebdav(world: S3World, path: string, body: string, headers = {}): Promise<Response> {
  const authorization = 'Bearer alice'
  return fetch(`http://127.0.0.1:${world.httpPort}${path}`, {
    method: 'PUT',
    body,
    headers: { authorization, ...headers },
  })
}

t.test('a write may ask for what is there', async (t) => {
  const world = await openS3(t)
  const alice = world.client('alice')
  const put = (Key: string, more: { IfMatch?: string; IfNoneMatch?: string }) =>
    alice.send(new PutObjectCommand({ Bucket, Key, Body: 'x', ...more }))
  t.equal(await refusal(put('k', { IfMatch: '"x"' })), '404 NoSuchKey')
  t.equal(await refusal(put('k', { IfMatch: '*' })), '412 PreconditionFailed')
  const { ETag = '' } = await put('k', { IfNoneMatch: '*' })
  t.equal(await refusal(put('k', { IfNoneMatch: '*' })), '412 PreconditionFailed')
  t.equal(await refusal(put('k', { IfMatch: '"x"' })), '412 PreconditionFailed')
  t.ok(await put('k', { IfMatch: ETag }))
  t.ok(await put('k', { IfMatch: '*' }))
  await putByWebdav(world, '/data/k', 'of another door')
  t.equal(await refusal(put('k', { IfMatch: ETag })), '412 PreconditionFailed', 'whoever has changed it')
  const now = await alice.send(new HeadObjectCommand({ Bucket, Key: 'k' }))
  t.ok(await put('k', { IfMatch: now.ETag ?? '' }), 'with the ETag of a file of another door')
})

t.test('one of many writers wins, in two processes and through two doors', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const other = await world.another()
  const clients = [world.client('alice'), other.client('alice')]
  for (let round = 0; round < 5; round++) {
    const Key = `race-${round}`
    const writers = Array.from({ length: 12 }, async (_, index) => {
      const Body = `writer ${index}`
      if (index % 4 === 3) {
        const { status } = await putByWebdav(world, `/data/${Key}`, Body, { 'if-none-match': '*' })
        return status === 201 ? Body : undefined
      }
      const client = clients[index % 2]
      const answer = await refusal(
        client?.send(new PutObjectCommand({ Bucket, Key, Body, IfNoneMatch: '*' })) ?? Promise.reject(),
      )
      if (answer === 'no error') return Body
      t.match(answer, /^(412 PreconditionFailed|409 ConditionalRequestConflict)$/)
      return undefined
    })
    const winners = (await Promise.all(writers)).filter((each) => each !== undefined)
    t.equal(winners.length, 1, `round ${round}`)
    t.equal(readFileSync(world.file(`/data/${Key}`), 'utf8'), winners[0])
    const { ETag = '' } = await world.client('alice').send(new HeadObjectCommand({ Bucket, Key }))
    const replaced = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        refusal(
          (clients[index % 2] ?? world.client('alice')).send(
            new PutObjectCommand({ Bucket, Key, Body: `again ${index} ${round}`, IfMatch: ETag }),
          ),
        ),
      ),
    )
    t.equal(replaced.filter((each) => each === 'no error').length, 1, 'one replaces it')
  }
})

t.test('a key that ends in a slash is a directory', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const alice = world.client('alice')
  const put = (Key: string, Body = '', more = {}) => alice.send(new PutObjectCommand({ Bucket, Key, Body, ...more }))
  t.equal((await put('a/b/')).ETag, emptyMd5)
  t.ok(statSync(world.file('/data/a/b')).isDirectory())
  t.ok(await put('a/b/'), 'again')
  t.equal(await refusal(put('a/b/', '', { IfNoneMatch: '*' })), '412 PreconditionFailed')
  t.equal(await refusal(put('a/c/', 'data')), '400 DirectoryObjectContainsData')
  t.notOk(existsSync(world.file('/data/a/c')))
  t.equal(await refusal(put('a', 'data')), '409 ExistingObjectIsDirectory')
  await put('f', 'data')
  t.equal(await refusal(put('f/g', 'data')), '409 ObjectParentIsFile')
  t.equal(await refusal(put('f/')), '409 ObjectParentIsFile')
  const head = await alice.send(new HeadObjectCommand({ Bucket, Key: 'a/' }))
  t.match(head, { ETag: emptyMd5, ContentLength: 0, ContentType: 'application/x-directory' }, 'also one nobody has put')
  const got = await alice.send(new GetObjectCommand({ Bucket, Key: 'a/b/' }))
  t.equal(await got.Body?.transformToString(), '')
  t.equal(await refusal(alice.send(new HeadObjectCommand({ Bucket, Key: 'f/' }))), '404 NotFound')
  await put('s/', '', { Metadata: { mode: '16877', mtime: '1.5' }, ContentType: 'application/x-directory' })
  const known = await alice.send(new HeadObjectCommand({ Bucket, Key: 's/' }))
  t.same(known.Metadata, { mode: '16877', mtime: '1.5' }, 's3fs keeps attributes there')
  t.equal((await alice.send(new HeadObjectCommand({ Bucket, Key: 's/', IfMatch: emptyMd5 }))).ContentLength, 0)
})

t.test('what cannot be a key', async (t) => {
  const world = await openS3(t)
  const put = async (key: string) => {
    const answer = await world.raw({ method: 'PUT', target: `/data/${key}`, body: 'x', as: 'alice' })
    return `${answer.status} ${answer.code}`
  }
  t.equal(await put('a%00b'), '400 InvalidArgument')
  t.equal(await put('a/../b'), '400 InvalidArgument')
  t.equal(await put('a//b'), '400 InvalidArgument')
  t.equal(await put('x'.repeat(1025)), '400 KeyTooLongError')
  t.equal(await put('x'.repeat(256)), '400 KeyTooLongError')
  t.equal(await put('x'.repeat(255)), '200 undefined')
  t.equal(await put(Array.from({ length: 8 }, () => 'x'.repeat(127)).join('/')), '200 undefined')
  for (const key of [
    '%20',
    '%22',
    '%24',
    '%25',
    '%26',
    '%27',
    '%3C',
    '%3E',
    '_%20',
    '%5C',
    '%09',
    '%F0%9F%98%80',
    '%2B',
  ]) {
    t.equal(await put(key), '200 undefined', key)
    t.equal((await world.raw({ target: `/data/${key}`, as: 'alice' })).text, 'x', key)
  }
})

t.test('deleting is never too late', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const alice = world.client('alice')
  const put = async (Key: string, Body = 'x') =>
    (await alice.send(new PutObjectCommand({ Bucket, Key, Body }))).ETag ?? ''
  const remove = (Key: string, more = {}) => refusal(alice.send(new DeleteObjectCommand({ Bucket, Key, ...more })))
  const isThere = (path: string) => existsSync(world.file(`/data/${path}`))
  await put('d/e/f')
  t.equal(await remove('d/e/none'), 'no error')
  t.equal(await remove('none/none'), 'no error')
  t.equal(await remove('d/e/f/below'), 'no error')
  t.equal(await remove('d/e/f/'), 'no error', 'no directory')
  t.equal(await remove('d/e'), 'no error', 'no object')
  t.equal(await remove('d/'), 'no error', 'others live there')
  t.ok(isThere('d/e/f'))
  t.equal(await remove('d/e/f'), 'no error')
  t.notOk(isThere('d/e/f'))
  t.ok(isThere('d/e'), 'directories stay')
  t.equal(await remove('d/e'), 'no error')
  t.ok(isThere('d/e'), 'under its own key alone')
  t.equal(await remove('d/e/'), 'no error')
  t.notOk(isThere('d/e'))
  const etag = await put('c')
  t.equal(await remove('c', { IfMatch: '"x"' }), '412 PreconditionFailed')
  t.equal(await remove('c', { IfMatchSize: 2 }), '412 PreconditionFailed')
  t.equal(await remove('c', { IfMatchLastModifiedTime: new Date(0) }), '412 PreconditionFailed')
  t.equal(await remove('c', { VersionId: 'v1' }), '404 NoSuchVersion')
  t.ok(isThere('c'))
  const { LastModified } = await alice.send(new HeadObjectCommand({ Bucket, Key: 'c' }))
  const all = { IfMatch: etag, IfMatchSize: 1, IfMatchLastModifiedTime: LastModified, VersionId: 'null' }
  t.equal(await remove('c', all), 'no error')
  t.notOk(isThere('c'))
  t.equal(await remove('c', { IfMatch: '*' }), 'no error')
  await put('mine')
  t.equal(await refusal(world.client('bob').send(new DeleteObjectCommand({ Bucket, Key: 'mine' }))), '403 AccessDenied')
  t.equal(await refusal(world.client('bob').send(new DeleteObjectCommand({ Bucket, Key: 'none' }))), '403 AccessDenied')
  t.ok(isThere('mine'))
})

t.test('many keys go with one request', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const alice = world.client('alice')
  for (const Key of ['a', 'b', 'ä & <b>', 'd/']) await alice.send(new PutObjectCommand({ Bucket, Key, Body: '' }))
  const Objects = [
    ...[{ Key: 'a' }, { Key: 'ä & <b>' }, { Key: 'none' }, { Key: 'd/' }, { Key: '../x' }, { Key: 'a//b' }],
    ...[{ Key: 'b', VersionId: 'v' }, { Key: 'b', ETag: '"x"' }, { Key: 'x'.repeat(1025) }],
  ]
  const done = await alice.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }))
  t.same(
    done.Deleted?.map(({ Key }) => Key),
    ['a', 'ä & <b>', 'none', 'd/'],
  )
  t.same(
    done.Errors?.map(({ Key, Code }) => [Key?.slice(0, 5), Code]),
    [
      ['../x', 'InvalidArgument'],
      ['a//b', 'InvalidArgument'],
      ['b', 'NoSuchVersion'],
      ['b', 'PreconditionFailed'],
      ['xxxxx', 'KeyTooLongError'],
    ],
  )
  t.notOk(existsSync(world.file('/data/a')))
  t.ok(existsSync(world.file('/data/b')))
  const quiet = await alice.send(
    new DeleteObjectsCommand({ Bucket, Delete: { Quiet: true, Objects: [{ Key: 'b' }, { Key: '..' }] } }),
  )
  t.equal(quiet.Deleted, undefined)
  t.equal(quiet.Errors?.length, 1)
  await alice.send(new PutObjectCommand({ Bucket, Key: 'hers', Body: '' }))
  const bob = await world
    .client('bob')
    .send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'hers' }] } }))
  t.same(
    bob.Errors?.map(({ Code }) => Code),
    ['AccessDenied'],
  )
  t.ok(existsSync(world.file('/data/hers')))
  const raw = async (body: string, headers?: Record<string, string>) => {
    const md5 = { 'content-md5': createHash('md5').update(body).digest('base64') }
    const answer = await world.raw({
      method: 'POST',
      target: '/data?delete',
      body,
      headers: headers ?? md5,
      as: 'alice',
    })
    return `${answer.status} ${answer.code}`
  }
  const wish = '<Delete><Object><Key>hers</Key></Object></Delete>'
  t.equal(await raw(wish, {}), '400 InvalidRequest', 'without a digest')
  t.equal(await raw(wish, { 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' }), '400 BadDigest')
  t.equal(await raw(wish, { 'x-amz-checksum-crc32': 'AAAAAA==' }), '400 BadDigest')
  t.equal(await raw('<Delete></Delete>'), '400 MalformedXML')
  t.equal(await raw('<Delete><Object/></Delete>'), '400 MalformedXML')
  t.equal(await raw('<Deleted/>'), '400 MalformedXML')
  t.equal(await raw(`<Delete>${'<Object><Key>k</Key></Object>'.repeat(1001)}</Delete>`), '400 MalformedXML')
  t.equal(
    await raw('<!DOCTYPE a [<!ENTITY b "c">]><Delete><Object><Key>&b;</Key></Object></Delete>'),
    '400 MalformedXML',
  )
  t.ok(existsSync(world.file('/data/hers')))
  t.equal(await raw(`<Delete>${'<Object><Key>hers</Key></Object>'.repeat(1000)}</Delete>`), '200 undefined')
})

for (const storage of ['memory', 'posix'] as const) {
  t.test(`tags are kept with the bytes, on ${storage}`, async (t) => {
    const world = await openS3(t, { storage })
    const alice = world.client('alice')
    const Key = 'tagged.txt'
    const put = await alice.send(new PutObjectCommand({ Bucket, Key, Body: 'x', Metadata: { a: 'b' } }))
    const tagsOf = async (client = alice) => (await client.send(new GetObjectTaggingCommand({ Bucket, Key }))).TagSet
    t.same(await tagsOf(), [])
    const TagSet = [
      { Key: 'project', Value: 'ä b' },
      { Key: 'empty', Value: '' },
    ]
    await alice.send(new PutObjectTaggingCommand({ Bucket, Key, Tagging: { TagSet } }))
    t.same(await tagsOf(), TagSet)
    const head = await alice.send(new HeadObjectCommand({ Bucket, Key }))
    t.match(head, { TagCount: 2, ETag: put.ETag ?? '', Metadata: { a: 'b' } })
    const again = { TagSet: [...TagSet, { Key: 'project', Value: 'x' }] }
    t.equal(await refusal(alice.send(new PutObjectTaggingCommand({ Bucket, Key, Tagging: again }))), '400 InvalidTag')
    t.equal(await refusal(tagsOf(world.client('bob'))), '403 AccessDenied')
    await alice.send(new DeleteObjectTaggingCommand({ Bucket, Key }))
    t.same(await tagsOf(), [])
    t.equal((await alice.send(new HeadObjectCommand({ Bucket, Key }))).ETag, put.ETag)
    const bare = await world.raw({ method: 'PUT', target: `/data/${Key}?tagging`, body: '<Tagging/>', as: 'alice' })
    t.equal(`${bare.status} ${bare.code}`, '400 InvalidRequest', 'without a digest')
    const none = new PutObjectTaggingCommand({ Bucket, Key: 'none', Tagging: { TagSet } })
    t.equal(await refusal(alice.send(none)), '404 NoSuchKey')
    await putByWebdav(world, '/data/foreign.json', '{}')
    const before = await alice.send(new HeadObjectCommand({ Bucket, Key: 'foreign.json' }))
    await alice.send(new PutObjectTaggingCommand({ Bucket, Key: 'foreign.json', Tagging: { TagSet } }))
    const after = await alice.send(new HeadObjectCommand({ Bucket, Key: 'foreign.json' }))
    t.match(
      after,
      { ETag: before.ETag ?? '', ContentType: 'application/json', TagCount: 2 },
      'a foreign file stays one',
    )
  })
}

t.test('what is kept goes with the file, and away with its bytes', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const alice = world.client('alice')
  const Metadata = { a: 'b' }
  const { ETag = '' } = await alice.send(
    new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', Metadata, Tagging: 'a=b' }),
  )
  const headers = { authorization: 'Bearer alice', destination: `http://127.0.0.1:${world.httpPort}/data/moved` }
  const moved = await fetch(`http://127.0.0.1:${world.httpPort}/data/k`, { method: 'MOVE', headers })
  t.equal(moved.status, 201)
  t.match(await alice.send(new HeadObjectCommand({ Bucket, Key: 'moved' })), { ETag, Metadata, TagCount: 1 })
  writeFileSync(world.file('/data/moved'), 'other bytes')
  const after = await alice.send(new HeadObjectCommand({ Bucket, Key: 'moved' }))
  t.match(after.ETag, /-0"$/)
  t.same([after.Metadata, after.TagCount], [{}, undefined])
})

t.test('attributes of an object', async (t) => {
  const world = await openS3(t)
  const alice = world.client('alice')
  const put = await alice.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'hello', ChecksumAlgorithm: 'SHA256' }))
  const got = await alice.send(
    new GetObjectAttributesCommand({
      ...{ Bucket, Key: 'k' },
      ObjectAttributes: ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize'],
    }),
  )
  t.match(got, {
    ETag: put.ETag?.replaceAll('"', '') ?? '',
    Checksum: { ChecksumSHA256: put.ChecksumSHA256 ?? '', ChecksumType: 'FULL_OBJECT' },
    StorageClass: 'STANDARD',
    ObjectSize: 5,
  })
  t.equal(got.ObjectParts, undefined)
  t.ok(got.LastModified)
  const raw = async (headers: Record<string, string>, key = 'k') => {
    const answer = await world.raw({ target: `/data/${key}?attributes`, headers, as: 'alice' })
    return `${answer.status} ${answer.code}`
  }
  t.equal(await raw({}), '400 InvalidRequest')
  t.equal(await raw({ 'x-amz-object-attributes': 'Nothing' }), '400 InvalidArgument')
  t.equal(await raw({ 'x-amz-object-attributes': 'ETag', 'x-amz-max-parts': '-1' }), '400 InvalidArgument')
  t.equal(await raw({ 'x-amz-object-attributes': 'ETag' }, 'none'), '404 NoSuchKey')
})

t.test('a directory into which a file is being uploaded stays, as one that holds a file', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const alice = world.client('alice')
  await alice.send(new PutObjectCommand({ Bucket, Key: 'busy/' }))
  const draft = openSync(`${world.file('/data/busy')}/.portolan-stage-0123456789abcdef01234567`, 'w', 0o600)
  t.teardown(() => closeSync(draft))
  sys.flock(draft, sys.LOCK_EX)
  const { $metadata } = await alice.send(new DeleteObjectCommand({ Bucket, Key: 'busy/' }))
  t.equal($metadata.httpStatusCode, 204)
  t.ok(existsSync(world.file('/data/busy')))
  sys.flock(draft, sys.LOCK_UN)
  await alice.send(new DeleteObjectCommand({ Bucket, Key: 'busy/' }))
  t.notOk(existsSync(world.file('/data/busy')), 'an abandoned draft keeps none')
})
