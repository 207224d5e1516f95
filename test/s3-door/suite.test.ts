/** All that @aws-sdk/client-s3 can ask for: each operation is done, answered for a tree that has none of it, or refused. */

import { Agent } from 'node:http'
import * as s3 from '@aws-sdk/client-s3'
import { S3ServiceException } from '@aws-sdk/client-s3'
import t from 'tap'
import { type ErrorCode, StorageError } from '../../gateway/core/errors.ts'
import type { Storage, StorageOperations } from '../../gateway/core/storage.ts'
import { refusal } from './refusal.ts'
import { openS3, type S3World } from './world.ts'

const Bucket = 'data'
const Key = 'd/object'
const text = { Body: 'hello' }
const Tagging = { TagSet: [{ Key: 'k', Value: 'v' }] }

type Input = Readonly<Record<string, unknown>>
interface SdkCommand {
  new (input: Input): Parameters<s3.S3Client['send']>[0]
}
const commands = new Map(
  Object.entries(s3).flatMap(([name, value]) =>
    /^[A-Z]\w+Command$/.test(name) ? [[name.slice(0, -'Command'.length), value as unknown as SdkCommand]] : [],
  ),
)

/** The answer, or as `refusal`. */
async function ask(client: s3.S3Client, name: string, input: Input): Promise<Input | string> {
  const Command = commands.get(name)
  if (!Command) throw new Error(`no command ${name}`)
  try {
    return (await client.send(new Command(input))) as unknown as Input
  } catch (error) {
    if (!(error instanceof S3ServiceException)) throw error
    return `${error.$metadata.httpStatusCode} ${error.name}`
  }
}

/** In this order: what was asked, and how it is answered; a function is given what was learned. */
type Step = readonly [name: string, input: (known: { id: string; etag: string }) => Input, answer: Input | string]

const none = '501 NotImplemented'
const object = { Bucket, Key }
const there = '/data/d/object'

const steps: readonly Step[] = [
  ['ListBuckets', () => ({}), { Buckets: [{ Name: 'data' }, { Name: 'home' }, { Name: 'open' }] }],
  ['HeadBucket', () => ({ Bucket }), { BucketRegion: 'us-east-1' }],
  ['GetBucketLocation', () => ({ Bucket }), {}],
  ['CreateBucket', () => ({ Bucket: 'fresh' }), { Location: '/fresh' }],
  ['DeleteBucket', () => ({ Bucket: 'fresh' }), {}],
  ['PutObject', () => ({ ...object, ...text, Metadata: { a: 'b' } }), { ETag: '"5d41402abc4b2a76b9719d911017c592"' }],
  ['HeadObject', () => object, { ContentLength: 5, Metadata: { a: 'b' } }],
  ['GetObject', () => ({ ...object, Range: 'bytes=1-2' }), { ContentRange: 'bytes 1-2/5', ContentLength: 2 }],
  ['GetObjectAttributes', () => ({ ...object, ObjectAttributes: ['ObjectSize'] }), { ObjectSize: 5 }],
  ['PutObjectTagging', () => ({ ...object, Tagging }), {}],
  ['GetObjectTagging', () => object, Tagging],
  ['DeleteObjectTagging', () => object, {}],
  ['PutObjectAcl', () => ({ ...object, ACL: 'private' }), {}],
  ['GetObjectAcl', () => object, { Grants: [{ Permission: 'FULL_CONTROL' }] }],
  ['PutBucketAcl', () => ({ Bucket, ACL: 'private' }), {}],
  ['GetBucketAcl', () => ({ Bucket }), { Grants: [{ Permission: 'FULL_CONTROL' }] }],
  ['CopyObject', () => ({ Bucket, Key: 'copy', CopySource: there }), { CopyObjectResult: { ETag: /5d4140/ } }],
  ['ListObjects', () => ({ Bucket, Prefix: 'c' }), { Contents: [{ Key: 'copy' }] }],
  ['ListObjectsV2', () => ({ Bucket, Delimiter: '/' }), { KeyCount: 2, CommonPrefixes: [{ Prefix: 'd/' }] }],
  ['ListObjectVersions', () => ({ Bucket, Prefix: 'c' }), { Versions: [{ Key: 'copy', VersionId: 'null' }] }],
  ['CreateMultipartUpload', () => ({ Bucket, Key: 'parts' }), { Key: 'parts' }],
  ['ListMultipartUploads', () => ({ Bucket }), { Uploads: [{ Key: 'parts' }] }],
  ['UploadPart', ({ id }) => ({ Bucket, Key: 'parts', UploadId: id, PartNumber: 1, ...text }), { ETag: /5d4140/ }],
  [
    'UploadPartCopy',
    ({ id }) => ({ Bucket, Key: 'parts', UploadId: id, PartNumber: 1, CopySource: there }),
    { CopyPartResult: { ETag: /5d4140/ } },
  ],
  ['ListParts', ({ id }) => ({ Bucket, Key: 'parts', UploadId: id }), { Parts: [{ PartNumber: 1, Size: 5 }] }],
  [
    'CompleteMultipartUpload',
    ({ id, etag }) => ({
      ...{ Bucket, Key: 'parts', UploadId: id },
      MultipartUpload: { Parts: [{ PartNumber: 1, ETag: etag }] },
    }),
    { ETag: /-1"$/ },
  ],
  ['AbortMultipartUpload', () => ({ Bucket, Key: 'parts', UploadId: 'none' }), '404 NoSuchUpload'],
  ['RestoreObject', () => ({ ...object, RestoreRequest: { Days: 1 } }), '403 ObjectAlreadyInActiveTierError'],
  ['DeleteObjects', () => ({ Bucket, Delete: { Objects: [{ Key: 'copy' }] } }), { Deleted: [{ Key: 'copy' }] }],
  ['DeleteObject', () => ({ Bucket, Key: 'parts' }), {}],
  ['GetBucketVersioning', () => ({ Bucket }), {}],
  ['GetBucketAccelerateConfiguration', () => ({ Bucket }), {}],
  ['GetBucketLogging', () => ({ Bucket }), {}],
  ['GetBucketNotificationConfiguration', () => ({ Bucket }), {}],
  ['GetBucketRequestPayment', () => ({ Bucket }), { Payer: 'BucketOwner' }],
  ['GetBucketPolicyStatus', () => ({ Bucket }), { PolicyStatus: { IsPublic: false } }],
  ['GetBucketOwnershipControls', () => ({ Bucket }), { OwnershipControls: { Rules: [{}] } }],
  ['GetBucketPolicy', () => ({ Bucket }), '404 NoSuchBucketPolicy'],
  ['GetBucketLifecycleConfiguration', () => ({ Bucket }), '404 NoSuchLifecycleConfiguration'],
  ['GetBucketCors', () => ({ Bucket }), '404 NoSuchCORSConfiguration'],
  ['GetBucketTagging', () => ({ Bucket }), '404 NoSuchTagSet'],
  ['GetBucketEncryption', () => ({ Bucket }), '404 ServerSideEncryptionConfigurationNotFoundError'],
  ['GetObjectLockConfiguration', () => ({ Bucket }), '404 ObjectLockConfigurationNotFoundError'],
  ['GetBucketWebsite', () => ({ Bucket }), '404 NoSuchWebsiteConfiguration'],
  ['GetBucketReplication', () => ({ Bucket }), '404 ReplicationConfigurationNotFoundError'],
  ['GetPublicAccessBlock', () => ({ Bucket }), '404 NoSuchPublicAccessBlockConfiguration'],
]

/** Of directory buckets, or answered by somebody else than S3: an SDK asks other hosts for them. */
const elsewhere = ['ListDirectoryBuckets', 'WriteGetObjectResponse']

/** What the SDK insists on. */
const rest: Input = {
  ...{ Bucket, Key, Id: 'x', UploadId: 'x', PartNumber: 1, RenameSource: there, AnnotationName: 'x' },
  ...{
    Expression: 'SELECT *',
    ExpressionType: 'SQL',
    InputSerialization: { CSV: {} },
    OutputSerialization: { CSV: {} },
  },
}

for (const storage of ['memory', 'posix'] as const) {
  t.test(`each operation that there is, on ${storage}`, async (t) => {
    const alice = (await openS3(t, { storage })).client('alice')
    const known = { id: '', etag: '' }
    for (const [name, input, expected] of steps) {
      const answer = await ask(alice, name, input(known))
      t.match(answer, expected, name)
      if (typeof answer === 'string') continue
      if (typeof answer.UploadId === 'string') known.id = answer.UploadId
      if (name === 'UploadPart' && typeof answer.ETag === 'string') known.etag = answer.ETag
    }
  })
}

t.test('all other operations are not implemented, and change nothing', async (t) => {
  const alice = (await openS3(t)).client('alice')
  const { ETag = '' } = await alice.send(new s3.PutObjectCommand({ ...object, ...text }))
  const told = new Set([...steps.map(([name]) => name), ...elsewhere])
  for (const name of commands.keys()) {
    if (!told.has(name)) t.equal(await ask(alice, name, rest), none, name)
  }
  t.match(await alice.send(new s3.HeadObjectCommand(object)), { ETag, ContentLength: 5 })
})

t.test('who may nothing gets nothing of any operation', async (t) => {
  const world = await openS3(t)
  await world.client('alice').send(new s3.PutObjectCommand({ ...object, ...text }))
  const bob = world.client('bob')
  const free = new Set(['ListBuckets', 'CreateBucket', 'DeleteBucket', 'DeleteObjects', 'ListMultipartUploads'])
  for (const [name, input] of steps) {
    if (free.has(name)) continue
    const asked = {
      ...input({ id: 'none', etag: '"x"' }),
      ...(name === 'CopyObject' && { Bucket: 'home', Key: 'bob/x' }),
    }
    t.match(await ask(bob, name, asked), /^(403 (AccessDenied|403|Forbidden|Unknown\w*)|404 NoSuchUpload)$/, name)
  }
  const { Errors } = (await ask(bob, 'DeleteObjects', { Bucket, Delete: { Objects: [{ Key }] } })) as Input
  t.match(Errors, [{ Code: 'AccessDenied' }])
  t.notMatch(await ask(bob, 'ListMultipartUploads', { Bucket }), { Uploads: [{}] })
  t.match(await ask(world.client('alice'), 'GetObject', object), { ContentLength: 5 })
})

t.test('buckets are hosts too', async (t) => {
  const world = await openS3(t)
  const lookup = (_name: string, _options: object, done: (error: null, found: object[]) => void) =>
    done(null, [{ address: '127.0.0.1', family: 4 }])
  const httpAgent = new Agent({ keepAlive: true, lookup: lookup as never })
  t.teardown(() => httpAgent.destroy())
  const endpoint = `http://s3.lab.example:${world.port}`
  const alice = world.client('alice', { endpoint, forcePathStyle: false, requestHandler: { httpAgent } })
  const key = { Bucket, Key: 'ä b/+%2F' }
  await alice.send(new s3.PutObjectCommand({ ...key, ...text }))
  t.equal(await (await alice.send(new s3.GetObjectCommand(key))).Body?.transformToString(), 'hello')
  t.match(await alice.send(new s3.ListObjectsV2Command({ Bucket })), { Contents: [{ Key: key.Key }] })
  t.match(await world.client('alice').send(new s3.HeadObjectCommand(key)), { ContentLength: 5 }, 'the same object')
  t.equal(await refusal(alice.send(new s3.HeadObjectCommand({ Bucket: 'none', Key: 'x' }))), '404 NotFound')
})

t.test('what fails behind the door has its code', async (t) => {
  let code: ErrorCode = 'internal'
  const world = await openS3(t, { around: (storage) => failing(storage, () => new StorageError(code, 'of this test')) })
  const rows: readonly (readonly [ErrorCode, string])[] = [
    ['quota', '403 QuotaExceeded'],
    ['no-space', '507 InsufficientStorage'],
    ['busy', '503 SlowDown'],
    ['unavailable', '503 ServiceUnavailable'],
    ['locked', '409 OperationAborted'],
    ['stale', '409 ConditionalRequestConflict'],
    ['read-only', '403 AccessDenied'],
    ['internal', '500 InternalError'],
    ['name-too-long', '400 KeyTooLongError'],
    ['unsupported', '501 NotImplemented'],
    ['nearline', '403 InvalidObjectState'],
    ['timeout', '400 RequestTimeout'],
  ]
  for (const [each, expected] of rows) {
    code = each
    for (const asked of requestsOf(world)) {
      const { status, code, text } = await asked()
      t.equal(`${status} ${code}`, expected)
      if (each !== 'name-too-long' && each !== 'unsupported')
        t.notMatch(text, 'of this test', 'its message is not told')
    }
  }
})

function requestsOf(world: S3World) {
  const as = 'alice' as const
  return [
    () => world.raw({ method: 'PUT', target: there, as, body: 'hello' }),
    () => world.raw({ target: there, as }),
    () => world.raw({ target: '/data?list-type=2', as }),
    () => world.raw({ method: 'POST', target: `${there}?uploads`, as }),
  ]
}

/** Storage that cannot do what the door asks of it. */
function failing(storage: Storage, error: () => StorageError): StorageOperations {
  const fail = async () => {
    throw error()
  }
  const broken: ReadonlyMap<string | symbol, unknown> = new Map<string | symbol, unknown>([
    ...['write', 'read', 'walk', 'getKept'].map((name) => [name, fail] as const),
    ['parts', { ...storage.parts, available: true, create: fail }],
  ])
  return new Proxy(storage, {
    get: (target, name) => {
      if (broken.has(name)) return broken.get(name)
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
