/** Objects at the edges of what can be: times that no calendar has, parts without bytes, names with meanings. */

import {
  GetObjectCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
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
