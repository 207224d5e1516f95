/** What is kept with an object, changed by several at the same time. */

import {
  CopyObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { openS3 } from './world.ts'

const Bucket = 'data'

for (const storage of ['memory', 'posix'] as const) {
  t.test(`tags and metadata that are set at the same time are both kept, in ${storage}`, async (t) => {
    let meanwhile: (() => Promise<unknown>) | undefined
    const world = await openS3(t, {
      storage,
      around: (plain) =>
        new Proxy(plain, {
          get(target, name) {
            const value: unknown = Reflect.get(target, name, target)
            if (typeof value !== 'function') return value
            if (name !== 'setRecord') return value.bind(target)
            return async (...args: unknown[]) => {
              const other = meanwhile
              meanwhile = undefined
              await other?.()
              return value.apply(target, args)
            }
          },
        }),
    })
    const alice = world.client('alice')
    const Key = 'k'
    const { ETag } = await alice.send(new PutObjectCommand({ Bucket, Key, Body: 'x', Metadata: { a: '1' } }))
    const tag = () =>
      alice.send(new PutObjectTaggingCommand({ Bucket, Key, Tagging: { TagSet: [{ Key: 't', Value: 'v' }] } }))
    meanwhile = tag
    await alice.send(
      new CopyObjectCommand({
        ...{ Bucket, Key, CopySource: `${Bucket}/${Key}` },
        ...{ MetadataDirective: 'REPLACE', Metadata: { b: '2' } },
      }),
    )
    const { TagSet } = await alice.send(new GetObjectTaggingCommand({ Bucket, Key }))
    t.same(TagSet, [{ Key: 't', Value: 'v' }], 'the tags that were acknowledged are there')
    const head = await alice.send(new HeadObjectCommand({ Bucket, Key }))
    t.same(head.Metadata, { b: '2' })
    t.equal(head.ETag, ETag)
  })
}
