/** Objects at the edges of what can be: times that no calendar has, parts without bytes, names with meanings. */

import { createHash } from 'node:crypto'
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { Secret } from '../../acl/secret.ts'
import type { Backend } from '../../backends/backend.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { openS3, principalOf, type S3World } from './world.ts'

const Bucket = 'data'
const far = 2n ** 62n

function setTime(world: S3World, path: string, modified: bigint): Promise<unknown> {
  const call = { id: 'test', principal: principalOf('alice'), protocol: 'internal', from: '127.0.0.1' } as const
  return world.storage.setAttributes({ ...call, signal: new AbortController().signal }, parsePath(path), { modified })
}

t.test('times that no Date can hold are told all the same', async (t) => {
  const world = await openS3(t)
  const alice = world.client('alice')
  await alice.send(new PutObjectCommand({ Bucket, Key: 'far', Body: 'x' }))
  await alice.send(new PutObjectCommand({ Bucket, Key: 'near', Body: 'x' }))
  for (const time of [far * 1_000_000_000n, -far * 1_000_000_000n, -1n]) {
    await setTime(world, '/data/far', time)
    const { Contents = [] } = await alice.send(new ListObjectsV2Command({ Bucket }))
    t.same(
      Contents.map(({ Key }) => Key),
      ['far', 'near'],
      'one file does not spoil a listing',
    )
    t.ok(await alice.send(new HeadObjectCommand({ Bucket, Key: 'far' })))
    const { Body } = await alice.send(new GetObjectCommand({ Bucket, Key: 'far' }))
    t.equal(await Body?.transformToString(), 'x')
    await setTime(world, '/data', time)
    const { Buckets = [] } = await alice.send(new ListBucketsCommand())
    t.ok(Buckets.some(({ Name }) => Name === Bucket))
  }
})

t.test('what is meant for a part of a bucket or object never hits the whole', async (t) => {
  const world = await openS3(t)
  const { raw } = world
  t.equal((await raw({ as: 'alice', method: 'PUT', target: '/some-bucket' })).status, 200)
  for (const part of [
    'metadataConfiguration',
    'metadataAnnotationTable',
    'metadataInventoryTable',
    'metadataJournalTable=',
    'somethingOfTomorrow',
  ]) {
    for (const method of ['PUT', 'DELETE']) {
      t.equal((await raw({ as: 'alice', method, target: `/some-bucket?${part}` })).code, 'NotImplemented', part)
      t.equal((await raw({ as: 'alice', method, target: `/other-bucket?${part}` })).status >= 400, true)
    }
    t.equal((await raw({ as: 'alice', method: 'GET', target: `/other-bucket` })).code, 'NoSuchBucket', 'none is made')
  }
  t.equal((await raw({ as: 'alice', method: 'HEAD', target: '/some-bucket' })).status, 200, 'it is still there')
  await raw({ as: 'alice', method: 'PUT', target: '/data/k', body: 'mine' })
  for (const part of ['annotation', 'somethingOfTomorrow', 'somethingOfTomorrow=', 'lifecycle']) {
    for (const method of ['PUT', 'DELETE']) {
      const answer = await raw({ as: 'alice', method, target: `/data/k?${part}`, body: '<Xml/>' })
      t.equal(answer.code, 'NotImplemented', `${method} ${part}`)
    }
  }
  t.equal((await raw({ as: 'alice', target: '/data/k' })).text, 'mine')
  t.equal((await raw({ as: 'alice', method: 'PUT', target: '/data/k?x-id=PutObject', body: 'new' })).status, 200)
  t.equal((await raw({ as: 'alice', method: 'DELETE', target: '/data/k?versionId=&x-id=DeleteObject' })).status, 204)
  t.equal((await raw({ as: 'alice', method: 'DELETE', target: '/some-bucket?x-id=DeleteBucket' })).status, 204)
})

t.test('a name of a user means itself in a path', async (t) => {
  const key = (accessKeyId: string, user: string) => ({
    ...{ accessKeyId, secret: new Secret('a secret of a user 0123456789') },
    principal: principalOf('alice', { id: `s3:${accessKeyId}`, user }),
  })
  const names = ['a$$', '$&', "$'", 'a$']
  const known = new Map(names.map((name, index) => [`AKIA${index}`, key(`AKIA${index}`, `${name}@lab.example`)]))
  const world = await openS3(t, { key: async (id) => known.get(id) })
  for (const id of known.keys()) {
    const as = { accessKeyId: id, secret: 'a secret of a user 0123456789' }
    await world.raw({ as, method: 'PUT', target: '/home/k', body: id })
  }
  for (const [index, name] of names.entries()) {
    const home = world.backends.get('/home')
    const call = { id: 'test', principal: principalOf('alice'), protocol: 'internal', from: '127.0.0.1' } as const
    const trail = await home?.walk(parsePath(`/${name}`), { ...call, signal: new AbortController().signal })
    t.equal(trail?.entry?.type, 'directory', `the place of ${name} (${index})`)
  }
})

t.test('a storage that does not answer takes no other bucket out of the list', async (t) => {
  const world = await openS3(t, {
    aroundBackend: (plain, at) => (at === '/open' ? hanging(plain) : plain),
    mount: { deadline: 300 },
  })
  const { Buckets = [] } = await world.client('alice').send(new ListBucketsCommand())
  t.same(
    Buckets.map(({ Name }) => Name),
    ['data', 'home'],
  )
})

/** As a file system that hangs. */
function hanging(plain: Backend): Backend {
  return new Proxy(plain, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (name === 'walk') return () => new Promise(() => {})
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

t.test('a part without bytes is not the whole object', async (t) => {
  for (const storage of ['memory', 'posix'] as const) {
    const { raw, storage: core } = await openS3(t, { storage })
    await raw({ as: 'alice', method: 'PUT', target: '/data/k', body: 'abc' })
    const call = { id: 'test', principal: principalOf('alice'), protocol: 'internal', from: '127.0.0.1' } as const
    const known = { ...call, signal: new AbortController().signal }
    const { entry } = await core.getKept(known, parsePath('/data/k'))
    const record = JSON.stringify({
      v: 1,
      etag: 'x-2',
      parts: [
        [3, 1],
        [0, 1],
      ],
    })
    await core.setRecord(known, parsePath('/data/k'), record, { version: entry.version })
    const first = await raw({ as: 'alice', target: '/data/k?partNumber=1' })
    t.match(first, { status: 206, text: 'abc', headers: { 'x-amz-mp-parts-count': '2' } })
    for (const method of ['GET', 'HEAD']) {
      const last = await raw({ as: 'alice', method, target: '/data/k?partNumber=2' })
      t.match(last, { status: 206, text: '', headers: { 'x-amz-mp-parts-count': '2', 'content-length': '0' } })
      t.equal(last.headers['content-range'], undefined)
    }
    t.equal((await raw({ as: 'alice', target: '/data/k?partNumber=3' })).code, 'InvalidPartNumber')
  }
})

t.test('the checksums of nothing have to be right too', async (t) => {
  const { raw } = await openS3(t)
  const put = (headers: Record<string, string>) =>
    raw({ as: 'alice', method: 'PUT', target: '/data/d/', body: '', headers })
  t.equal((await put({ 'content-md5': 'XUFAKrxLKna5cZ2REBfFkg==' })).code, 'BadDigest')
  t.equal((await put({ 'x-amz-checksum-crc32': 'NhCmhg==' })).code, 'BadDigest')
  t.equal((await raw({ as: 'alice', method: 'HEAD', target: '/data/d/' })).status, 404, 'nothing is there')
  const right = { 'content-md5': '1B2M2Y8AsgTpgAmY7PhCfg==', 'x-amz-checksum-crc32': 'AAAAAA==' }
  t.equal((await put(right)).status, 200)
})

t.test('a directory goes with what is in it when both are to be deleted', async (t) => {
  const { raw } = await openS3(t, { storage: 'posix' })
  for (let round = 0; round < 3; round++) {
    for (const key of ['d/', 'd/e/', 'd/e/f', 'd/g', 'keep/', 'keep/k'])
      await raw({ as: 'alice', method: 'PUT', target: `/data/${key}`, body: '' })
    const names = ['d/', 'keep/', 'd/e/', 'd/g', 'd/e/f'].map((key) => `<Object><Key>${key}</Key></Object>`)
    const body = `<Delete>${names.join('')}</Delete>`
    const md5 = createHash('md5').update(body).digest('base64')
    const answer = await raw({
      as: 'alice',
      method: 'POST',
      target: '/data?delete',
      body,
      headers: { 'content-md5': md5 },
    })
    t.equal(answer.status, 200)
    t.same(
      [...answer.text.matchAll(/<Deleted><Key>([^<]*)/g)].map(([, key]) => key),
      ['d/', 'keep/', 'd/e/', 'd/g', 'd/e/f'],
    )
    for (const key of ['d/', 'd/e/', 'd/e/f', 'd/g'])
      t.equal((await raw({ as: 'alice', method: 'HEAD', target: `/data/${key}` })).status, 404, key)
    t.equal((await raw({ as: 'alice', method: 'HEAD', target: '/data/keep/k' })).status, 200)
  }
})

t.test('a directory that cannot be described is not made', async (t) => {
  const refused = new Set<string>()
  const world = await openS3(t, {
    storage: 'posix',
    around: (plain) =>
      new Proxy(plain, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target)
          if (name === 'setProperties' && refused.has(name)) {
            return () => Promise.reject(new StorageError('denied', 'not allowed'))
          }
          return typeof value === 'function' ? value.bind(target) : value
        },
      }),
  })
  const put = (key: string) =>
    world.raw({ as: 'alice', method: 'PUT', target: `/data/${key}`, body: '', headers: { 'x-amz-meta-mode': '493' } })
  t.equal((await put('old/')).status, 200)
  refused.add('setProperties')
  t.equal((await put('new/')).code, 'AccessDenied')
  t.equal((await world.raw({ as: 'alice', method: 'HEAD', target: '/data/new/' })).status, 404)
  t.equal((await put('old/')).code, 'AccessDenied')
  t.equal((await world.raw({ as: 'alice', method: 'HEAD', target: '/data/old/' })).headers['x-amz-meta-mode'], '493')
})

t.test('a directory has its ACL under its own key alone', async (t) => {
  const { raw } = await openS3(t)
  await raw({ as: 'alice', method: 'PUT', target: '/data/d/k', body: 'x' })
  const headers = { 'x-amz-acl': 'private' }
  for (const [target, status] of [
    ['/data/d?acl', 404],
    ['/data/d/?acl', 200],
    ['/data/d/k?acl', 200],
    ['/data/d/k/?acl', 404],
  ] as const) {
    t.equal((await raw({ as: 'alice', target })).status, status, target)
    t.equal((await raw({ as: 'alice', method: 'PUT', target, headers })).status, status, target)
  }
})
