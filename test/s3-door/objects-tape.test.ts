/** Objects whose bytes are on tape (Amazon S3 API Reference: RestoreObject, HeadObject, GetObject). */

import {
  CopyObjectCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  RestoreObjectCommand,
} from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { right } from '../../acl/acl.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { refusal } from './refusal.ts'
import { domain, openS3, type S3WorldOptions } from './world.ts'

const Bucket = 'data'
const day = 86_400_000

async function openTape(t: Test, around: NonNullable<S3WorldOptions['around']> = (storage) => storage) {
  let time = Date.now()
  const mask = 0x1f01ff
  const reading = right.readAttributes | right.traverse
  const aces = [
    { type: 'allow', who: { user: `alice@${domain}` }, mask, flags: 3 },
    { type: 'allow', who: { user: `bob@${domain}` }, mask: reading, flags: 3 },
  ] as const
  const acl = { owner: `keeper@${domain}`, group: undefined, dialect: 'rfc8881', aces } as const
  const memory = new MemoryBackend(acl, { name: 'tape', tape: { now: () => time, queue: 1000, delay: 1000 } })
  t.teardown(() => memory.close())
  const world = await openS3(t, { around, aroundBackend: (backend, at) => (at === '/data' ? memory : backend) })
  const alice = world.client('alice')
  return {
    world,
    alice,
    /** Written, and moved to tape. */
    fill: async (...keys: readonly string[]) => {
      for (const Key of keys) {
        await alice.send(new PutObjectCommand({ Bucket, Key, Body: 'hello' }))
        memory.tape?.put(parsePath(`/${Key}`), 'tape')
      }
    },
    hurry: () => {
      time += 10_000
    },
    head: (Key: string) => alice.send(new HeadObjectCommand({ Bucket, Key })),
    restore: (Key: string, Days = 2) =>
      alice.send(
        new RestoreObjectCommand({ Bucket, Key, RestoreRequest: { Days, GlacierJobParameters: { Tier: 'Bulk' } } }),
      ),
  }
}

t.test('an object on tape is told, and restored', async (t) => {
  const { alice, fill, hurry, head, restore } = await openTape(t)
  await fill('a', 'b')
  const before = await head('a')
  t.equal(before.StorageClass, 'GLACIER')
  t.equal(before.Restore, undefined)
  t.equal(before.ContentLength, 5)
  t.equal(await refusal(alice.send(new GetObjectCommand({ Bucket, Key: 'a' }))), '403 InvalidObjectState')
  const copy = new CopyObjectCommand({ Bucket, Key: 'c', CopySource: 'data/a' })
  t.equal(await refusal(alice.send(copy)), '403 ObjectNotInActiveTierError')
  t.equal((await restore('a')).$metadata.httpStatusCode, 202)
  t.equal((await restore('b')).$metadata.httpStatusCode, 202)
  t.equal((await head('a')).Restore, 'ongoing-request="true"')
  t.equal(await refusal(restore('a', 5)), '409 RestoreAlreadyInProgress')
  hurry()
  const after = await head('b')
  t.equal(after.StorageClass, 'GLACIER')
  const [, until = ''] = /^ongoing-request="false", expiry-date="([^"]+ GMT)"$/.exec(after.Restore ?? '') ?? []
  const left = Date.parse(until) - Date.now()
  t.ok(left > 1.9 * day && left < 2.1 * day, String(after.Restore))
  const got = await alice.send(new GetObjectCommand({ Bucket, Key: 'b' }))
  t.equal(await got.Body?.transformToString(), 'hello')
  t.equal((await restore('b', 5)).$metadata.httpStatusCode, 200, 'for longer')
  await fill('d')
  const attributes = new GetObjectAttributesCommand({ Bucket, Key: 'd', ObjectAttributes: ['StorageClass'] })
  t.equal((await alice.send(attributes)).StorageClass, 'GLACIER')
})

t.test('what cannot be restored', async (t) => {
  const { world, alice, fill, restore } = await openTape(t)
  await alice.send(new PutObjectCommand({ Bucket, Key: 'disk', Body: 'x' }))
  await alice.send(new PutObjectCommand({ Bucket: 'home', Key: 'tapeless', Body: 'x' }))
  await fill('a')
  t.equal(await refusal(restore('disk')), '403 ObjectAlreadyInActiveTierError')
  const home = new RestoreObjectCommand({ Bucket: 'home', Key: 'tapeless', RestoreRequest: { Days: 1 } })
  t.equal(await refusal(alice.send(home)), '403 ObjectAlreadyInActiveTierError')
  t.equal(await refusal(restore('none')), '404 NoSuchKey')
  const post = async (body: string) => {
    const answer = await world.raw({ method: 'POST', target: '/data/a?restore', body, as: 'alice' })
    return `${answer.status} ${answer.code}`
  }
  t.equal(await post('<RestoreRequest/>'), '400 MalformedXML')
  t.equal(await post('<RestoreRequest><Days>0</Days></RestoreRequest>'), '400 MalformedXML')
  t.equal(await post('<RestoreRequest><Days>1</Days><Tier>Slow</Tier></RestoreRequest>'), '400 MalformedXML')
  t.equal(await post('<RestoreRequest><Days>1</Days><SelectParameters/></RestoreRequest>'), '501 NotImplemented')
  t.equal(await post(''), '400 MissingRequestBodyError')
  const bob = world.client('bob').send(new RestoreObjectCommand({ Bucket, Key: 'a', RestoreRequest: { Days: 1 } }))
  t.match(await refusal(bob), /^403 /, 'bringing it takes the right to read it')
  t.equal((await world.raw({ method: 'HEAD', target: '/data/a', as: 'alice' })).headers['x-amz-restore'], undefined)
})

t.test('whoever may not restore any more keeps what was restored', async (t) => {
  let isAllowed = true
  const { fill, hurry, head, restore } = await openTape(
    t,
    (plain) =>
      new Proxy(plain, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target)
          if (name === 'rights' && !isAllowed) return async () => ({ actions: [] })
          return typeof value === 'function' ? value.bind(target) : value
        },
      }),
  )
  await fill('a')
  await restore('a')
  hurry()
  const before = (await head('a')).Restore
  t.match(before, /^ongoing-request="false", expiry-date=/)
  isAllowed = false
  t.equal(await refusal(restore('a', 5)), '403 AccessDenied')
  t.equal((await head('a')).Restore, before)
})
