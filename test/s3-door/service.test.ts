/** Buckets as a whole, through the SDK and raw requests. */

import {
  CreateBucketCommand,
  DeleteBucketCommand,
  GetBucketLocationCommand,
  HeadBucketCommand,
  ListBucketsCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { openS3 } from './world.ts'

t.test('ListBuckets shows what the caller may see', async (t) => {
  const world = await openS3(t)
  const names = async (user?: 'alice' | 'bob') =>
    ((await world.client(user).send(new ListBucketsCommand({}))).Buckets ?? []).map(({ Name }) => Name)
  t.same(await names('alice'), ['data', 'home', 'open'])
  t.same(await names('bob'), ['home', 'open'])
  t.same(await names(), ['open'])
})

t.test('buckets are made, found and removed below the root', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const alice = world.client('alice')
  await alice.send(new CreateBucketCommand({ Bucket: 'fresh' }))
  t.equal((await alice.send(new HeadBucketCommand({ Bucket: 'fresh' }))).BucketRegion, 'us-east-1')
  t.equal((await alice.send(new GetBucketLocationCommand({ Bucket: 'fresh' }))).LocationConstraint, undefined)
  await alice.send(new CreateBucketCommand({ Bucket: 'fresh' }))
  await t.rejects(world.client('bob').send(new CreateBucketCommand({ Bucket: 'fresh' })), {
    name: 'BucketAlreadyExists',
  })
  await t.rejects(alice.send(new CreateBucketCommand({ Bucket: 'No_Name' })), { name: 'InvalidBucketName' })
  await alice.send(new DeleteBucketCommand({ Bucket: 'fresh' }))
  await t.rejects(alice.send(new DeleteBucketCommand({ Bucket: 'fresh' })), { name: 'NoSuchBucket' })
  await t.rejects(alice.send(new DeleteBucketCommand({ Bucket: 'data' })), { name: 'AccessDenied' })
})
