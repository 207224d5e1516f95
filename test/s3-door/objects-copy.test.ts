/** CopyObject (Amazon S3 API Reference), within a mount, over mounts, and onto itself. */

import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import {
  CopyObjectCommand,
  type CopyObjectCommandInput,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { refusal } from './refusal.ts'
import { openS3, type S3World } from './world.ts'

const Bucket = 'data'

function tools(world: S3World) {
  const alice = world.client('alice')
  return {
    alice,
    copy: (CopySource: string, Key: string, more: Partial<CopyObjectCommandInput> = {}) =>
      alice.send(new CopyObjectCommand({ Bucket, CopySource, Key, ...more })),
    head: (Key: string, more = {}) =>
      alice.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED', ...more })),
    put: (Key: string, Body: string, more = {}) => alice.send(new PutObjectCommand({ Bucket, Key, Body, ...more })),
  }
}

for (const storage of ['memory', 'posix'] as const) {
  t.test(`a copy has what the original has, or what it is given, on ${storage}`, async (t) => {
    const world = await openS3(t, { storage })
    const { alice, copy, head, put } = tools(world)
    const described = { Metadata: { a: 'b' }, ContentType: 'text/x', Tagging: 'k=v' }
    const { ETag = '', ChecksumCRC32 = '' } = await put('dir/ä +b', 'hello', described)
    for (const [target, more] of [
      ['new/parents/same', {}],
      ['other mount', { Bucket: 'home' }],
    ] as const) {
      const done = await copy('data/dir/%C3%A4%20%2Bb', target, more)
      t.match(done.CopyObjectResult, { ETag, ChecksumCRC32, ChecksumType: 'FULL_OBJECT' }, target)
      t.ok(done.CopyObjectResult?.LastModified)
      const now = await head(target, more)
      t.match(now, { ETag, ContentType: 'text/x', Metadata: { a: 'b' }, TagCount: 1, ChecksumCRC32 }, target)
      const got = await alice.send(new GetObjectCommand({ Bucket, Key: target, ...more }))
      t.equal(await got.Body?.transformToString(), 'hello')
    }
    await copy('/data/dir/%C3%A4%20%2Bb', 'replaced', {
      ...{ MetadataDirective: 'REPLACE', Metadata: { c: 'd' }, ContentType: 'text/y' },
      ...{ TaggingDirective: 'REPLACE', Tagging: 'x=y&z=' },
    })
    const replaced = await head('replaced')
    t.match(replaced, { ETag, ContentType: 'text/y', TagCount: 2, ChecksumCRC32 })
    t.same(replaced.Metadata, { c: 'd' })
    await copy('data%2Fdir%2F%C3%A4%20%2Bb?versionId=null', 'summed', { ChecksumAlgorithm: 'SHA256' })
    const sha256 = createHash('sha256').update('hello').digest('base64')
    t.match(await head('summed'), { ETag, ChecksumSHA256: sha256, ChecksumType: 'FULL_OBJECT' })
  })
}

t.test('a copy onto itself changes what is kept, and no byte', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const { alice, copy, head, put } = tools(world)
  const { ETag = '' } = await put('k', 'hello', { Metadata: { a: 'b' }, Tagging: 'k=v' })
  t.equal(await refusal(copy('data/k', 'k')), '400 InvalidRequest')
  const done = await copy('data/k', 'k', { MetadataDirective: 'REPLACE', Metadata: { mtime: '1' }, ContentType: 'x/y' })
  t.equal(done.CopyObjectResult?.ETag, ETag)
  const now = await head('k')
  t.match(now, { ETag, ContentType: 'x/y', TagCount: 1 })
  t.same(now.Metadata, { mtime: '1' })
  await copy('data/k', 'k', { TaggingDirective: 'REPLACE', Tagging: 'other=tag' })
  const { TagSet } = await alice.send(new GetObjectTaggingCommand({ Bucket, Key: 'k' }))
  t.same(TagSet, [{ Key: 'other', Value: 'tag' }])
  t.same((await head('k')).Metadata, { mtime: '1' })
  writeFileSync(world.file('/data/k'), 'by hand')
  const foreign = await head('k')
  await copy('data/k', 'k', { MetadataDirective: 'REPLACE', Metadata: { mtime: '2' } })
  t.match(await head('k'), { ETag: foreign.ETag ?? '', Metadata: { mtime: '2' } }, 'an ETag is stable')
  t.equal(
    await refusal(copy('data/k', 'k', { MetadataDirective: 'REPLACE', IfNoneMatch: '*' })),
    '412 PreconditionFailed',
  )
  t.equal(await refusal(copy('data/none', 'none', { MetadataDirective: 'REPLACE' })), '404 NoSuchKey')
})

t.test('conditions on both ends of a copy', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const { copy, put } = tools(world)
  const { ETag = '' } = await put('from', 'hello')
  const { ETag: other = '' } = await put('there', 'other')
  const past = new Date(1_000_000_000_000)
  const future = new Date(4_000_000_000_000)
  const expected: ReadonlyArray<readonly [string, Partial<CopyObjectCommandInput>]> = [
    ['no error', { CopySourceIfMatch: ETag }],
    ['412 PreconditionFailed', { CopySourceIfMatch: '"x"' }],
    ['412 PreconditionFailed', { CopySourceIfNoneMatch: ETag }],
    ['no error', { CopySourceIfNoneMatch: '"x"' }],
    ['412 PreconditionFailed', { CopySourceIfUnmodifiedSince: past }],
    ['no error', { CopySourceIfUnmodifiedSince: past, CopySourceIfMatch: ETag }],
    ['no error', { CopySourceIfModifiedSince: past }],
    ['412 PreconditionFailed', { CopySourceIfModifiedSince: new Date() }],
    ['no error', { CopySourceIfUnmodifiedSince: future }],
    ['412 PreconditionFailed', { IfNoneMatch: '*' }],
    ['412 PreconditionFailed', { IfMatch: ETag.replace(/^".{4}/, '"0000') }],
    ['501 NotImplemented', { IfNoneMatch: '"x"' }],
  ]
  for (const [outcome, more] of expected)
    t.equal(await refusal(copy('data/from', 'there', more)), outcome, JSON.stringify(more))
  await put('there', 'other')
  t.equal(await refusal(copy('data/from', 'there', { IfMatch: other })), 'no error')
  t.equal(await refusal(copy('data/from', 'there', { IfMatch: other })), '412 PreconditionFailed')
  t.equal(await refusal(copy('data/from', 'new', { IfMatch: other })), '404 NoSuchKey')
  t.equal(await refusal(copy('data/from', 'new', { IfNoneMatch: '*' })), 'no error')
})

t.test('what cannot be copied', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const { copy, put } = tools(world)
  await put('from', 'hello')
  await put('d/', '')
  const raw = async (source: string, headers = {}) => {
    const answer = await world.raw({
      ...{ method: 'PUT', target: '/data/to', as: 'alice' },
      headers: { 'x-amz-copy-source': source, ...headers },
    })
    return `${answer.status} ${answer.code}`
  }
  t.equal(await raw('data/none'), '404 NoSuchKey')
  t.equal(await raw('data/from/below'), '404 NoSuchKey')
  t.equal(await raw('data/d'), '404 NoSuchKey')
  t.equal(await raw('nobucket/from'), '404 NoSuchBucket')
  t.equal(await raw('data'), '400 InvalidArgument')
  t.equal(await raw('data/'), '400 InvalidArgument')
  t.equal(await raw('data/a/..%2Ffrom'), '400 InvalidArgument')
  t.equal(await raw('data/%00'), '400 InvalidArgument')
  t.equal(await raw('data/from?versionId=x'), '404 NoSuchVersion')
  t.equal(await raw('data/d/'), '400 InvalidRequest', 'a directory becomes no file')
  t.equal(await raw('data/from', { 'x-amz-metadata-directive': 'MAYBE' }), '400 InvalidArgument')
  t.equal(await raw('data/from', { 'x-amz-checksum-algorithm': 'MAYBE' }), '400 InvalidRequest')
  t.equal(await raw('data/from', { 'x-amz-storage-class': 'GLACIER' }), '400 InvalidStorageClass')
  t.equal(await raw('data/from', { 'x-amz-acl': 'public-read' }), '400 AccessControlListNotSupported')
  await put('file', 'x')
  t.equal(await refusal(copy('data/from', 'file/below')), '409 ObjectParentIsFile')
  t.equal(await refusal(copy('data/from', 'from/below')), '400 InvalidRequest')
  t.equal(await refusal(copy('data/from', 'd')), '409 ExistingObjectIsDirectory')
  t.equal(await refusal(copy('data/from', 'x/')), '400 InvalidRequest')
  const bob = world.client('bob')
  const steal = new CopyObjectCommand({ Bucket: 'home', Key: 'mine', CopySource: 'data/from' })
  t.equal(await refusal(bob.send(steal)), '403 AccessDenied')
  const look = new CopyObjectCommand({ Bucket: 'home', Key: 'mine', CopySource: 'data/none' })
  t.equal(await refusal(bob.send(look)), '403 AccessDenied', 'and nothing is told of what is there')
  await put('open', 'x', { Bucket: 'open' })
  const plant = new CopyObjectCommand({ Bucket, Key: 'planted', CopySource: 'open/open' })
  t.equal(await refusal(bob.send(plant)), '403 AccessDenied')
})

t.test('directories are copied alone, with what is kept with them', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const { copy, head, put } = tools(world)
  await put('d/', '', { Metadata: { mode: '1' } })
  await put('d/f', 'x')
  t.match((await copy('data/d/', 'e/')).CopyObjectResult, { ETag: '"d41d8cd98f00b204e9800998ecf8427e"' })
  t.same((await head('e/')).Metadata, { mode: '1' })
  t.equal(await refusal(head('e/f')), '404 NotFound')
  await copy('data/d/', 'd/', { MetadataDirective: 'REPLACE', Metadata: { mode: '2' } })
  t.same((await head('d/')).Metadata, { mode: '2' }, 's3fs changes attributes so')
  t.equal(await refusal(copy('data/d/', 'e/', { IfNoneMatch: '*' })), '412 PreconditionFailed')
})
