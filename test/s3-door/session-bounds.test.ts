/** What a session policy leaves out stays closed, by whatever operation somebody tries (AWS STS, "Session policies"). */

import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  DeleteObjectTaggingCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  ListPartsCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  RestoreObjectCommand,
  type S3Client,
  S3ServiceException,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { root } from '../../gateway/core/path.ts'
import { createSts } from '../../gateway/s3/sts.ts'
import { macaroonWorld } from '../identity/macaroon-world.ts'
import { domain, openS3 } from './world.ts'

const arn = (rest: string) => `arn:aws:s3:::${rest}`
const Bucket = 'data'
const form = { 'content-type': 'application/x-www-form-urlencoded' }

async function setUp(t: Test) {
  const people = await macaroonWorld(t)
  const { service, options } = people
  const issuers = options.issuers.map((issuer) => (issuer.name === 'vo' ? { ...issuer, basePath: root } : issuer))
  await service.reload({ ...options, domain, issuers })
  const { s3: keys } = service
  if (!keys) throw new Error('no access keys')
  const world = await openS3(t, { storage: 'posix', door: { keys, sts: createSts({ identity: service, keys }) } })
  const session = async (...statements: readonly object[]): Promise<S3Client> => {
    const fields = new URLSearchParams({
      ...{ Action: 'AssumeRoleWithWebIdentity', RoleSessionName: 'me', RoleArn: 'arn:aws:iam::000000000000:role/gw' },
      WebIdentityToken: people.token({ sub: 'sub-alice' }),
      ...(statements.length > 0 && { Policy: JSON.stringify({ Statement: statements }) }),
    })
    const { status, text } = await world.raw({ method: 'POST', target: '/', headers: form, body: fields.toString() })
    if (status !== 200) throw new Error(text)
    const read = (name: string) => new RegExp(`<${name}>([^<]+)</${name}>`).exec(text)?.[1] ?? ''
    const [accessKeyId, secretAccessKey] = [read('AccessKeyId'), read('SecretAccessKey')]
    return world.client('alice', { credentials: { accessKeyId, secretAccessKey, sessionToken: read('SessionToken') } })
  }
  const alice = await session()
  for (const Key of ['in/x', 'in/y', 'in/closed/x', 'out/x']) {
    await alice.send(new PutObjectCommand({ Bucket, Key, Body: 'hello' }))
  }
  return { world, session, alice }
}

/** The code of the error, or its status where it has no body; `ok` without one. */
async function outcome(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'ok'
  } catch (error) {
    if (!(error instanceof S3ServiceException)) return String(error)
    return error.name === 'Unknown' ? String(error.$metadata.httpStatusCode) : error.name
  }
}

/** What may be tried at a key. */
function tries(client: S3Client, Key: string, UploadId: string): Readonly<Record<string, () => Promise<unknown>>> {
  const at = { Bucket, Key }
  const CopySource = `${Bucket}/${Key}`
  const Tagging = { TagSet: [{ Key: 'a', Value: 'b' }] }
  const part = { ...at, UploadId, PartNumber: 1 }
  return {
    get: () => client.send(new GetObjectCommand(at)),
    head: () => client.send(new HeadObjectCommand(at)),
    attributes: () => client.send(new GetObjectAttributesCommand({ ...at, ObjectAttributes: ['ETag'] })),
    tags: () => client.send(new GetObjectTaggingCommand(at)),
    'copy from': () => client.send(new CopyObjectCommand({ Bucket, Key: 'in/copy', CopySource })),
    put: () => client.send(new PutObjectCommand({ ...at, Body: 'new' })),
    'put beside': () => client.send(new PutObjectCommand({ Bucket, Key: `${Key}-new`, Body: 'new' })),
    'copy to': () => client.send(new CopyObjectCommand({ ...at, CopySource: `${Bucket}/in/y` })),
    'tag it': () => client.send(new PutObjectTaggingCommand({ ...at, Tagging })),
    'untag it': () => client.send(new DeleteObjectTaggingCommand(at)),
    describe: () =>
      client.send(new CopyObjectCommand({ ...at, CopySource, MetadataDirective: 'REPLACE', Metadata: { a: '1' } })),
    begin: () => client.send(new CreateMultipartUploadCommand(at)),
    part: () => client.send(new UploadPartCommand({ ...part, Body: 'part' })),
    'part of a copy': () => client.send(new UploadPartCopyCommand({ ...part, CopySource: `${Bucket}/in/x` })),
    parts: () => client.send(new ListPartsCommand({ ...at, UploadId })),
    complete: () =>
      client.send(
        new CompleteMultipartUploadCommand({
          ...at,
          UploadId,
          MultipartUpload: { Parts: [{ PartNumber: 1, ETag: '"00000000000000000000000000000000"' }] },
        }),
      ),
    restore: () => client.send(new RestoreObjectCommand({ ...at, RestoreRequest: { Days: 1 } })),
    delete: () => client.send(new DeleteObjectCommand(at)),
    'delete many': async () => {
      const { Errors = [] } = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key }] } }))
      for (const { Code: name = '' } of Errors) throw new S3ServiceException({ name, $fault: 'client', $metadata: {} })
    },
  }
}

const looks = ['get', 'head', 'attributes', 'tags', 'copy from']
const refused = new Set(['AccessDenied', '403', 'NoSuchUpload'])
/** What is on disk needs no restoring: whoever may see it is told so before anything else. */
const isRefused = (name: string, found: string) =>
  refused.has(found) || (name === 'restore' && found === 'ObjectAlreadyInActiveTierError')

t.test('a place that is closed is closed to every operation', async (t) => {
  const { session, alice } = await setUp(t)
  const begun = await alice.send(new CreateMultipartUploadCommand({ Bucket, Key: 'in/closed/x' }))
  const narrow = await session(
    { Effect: 'Allow', Action: 's3:*', Resource: [arn('data'), arn('data/in/*')] },
    { Effect: 'Deny', Action: 's3:*', Resource: arn('data/in/closed/*') },
  )
  for (const key of ['in/closed/x', 'out/x']) {
    for (const [name, run] of Object.entries(tries(narrow, key, begun.UploadId ?? ''))) {
      const found = await outcome(run())
      t.ok(isRefused(name, found), `${name} of ${key}: ${found}`)
    }
  }
  t.equal(await outcome(narrow.send(new CreateBucketCommand({ Bucket: 'another' }))), 'AccessDenied')
  const listed = await narrow.send(new ListObjectsV2Command({ Bucket, Prefix: 'in/' }))
  t.same(
    listed.Contents?.map(({ Key }) => Key),
    ['in/x', 'in/y'],
    'nor is anything in it listed',
  )
  const { Uploads } = await narrow.send(new ListMultipartUploadsCommand({ Bucket }))
  t.equal(Uploads, undefined)
  const { Body } = await alice.send(new GetObjectCommand({ Bucket, Key: 'in/closed/x' }))
  t.equal(await Body?.transformToString(), 'hello')
})

t.test('who may read may do nothing else', async (t) => {
  const { session, alice } = await setUp(t)
  const begun = await alice.send(new CreateMultipartUploadCommand({ Bucket, Key: 'in/x' }))
  const reader = await session({ Effect: 'Allow', Action: 's3:GetObject', Resource: arn('data/in/*') })
  for (const [name, run] of Object.entries(tries(reader, 'in/x', begun.UploadId ?? ''))) {
    const found = await outcome(run())
    const isOpen = looks.includes(name) && name !== 'copy from'
    t.ok(isOpen ? found === 'ok' : isRefused(name, found), `${name}: ${found}`)
  }
  const lists = [
    new ListObjectsCommand({ Bucket }),
    new ListObjectsV2Command({ Bucket, Prefix: 'in/' }),
    new ListObjectVersionsCommand({ Bucket, Prefix: 'in/' }),
  ]
  for (const command of lists) {
    const found = await reader.send(command as ListObjectsV2Command).then(
      ({ Contents = [] }) => Contents.length,
      (error: Error) => error.name,
    )
    t.ok(found === 0 || found === 'AccessDenied', `${command.constructor.name}: ${found}`)
  }
  t.equal(await outcome(reader.send(new HeadBucketCommand({ Bucket: 'open' }))), '403')
})

t.test('who may write may not read', async (t) => {
  const { session } = await setUp(t)
  const writer = await session({ Effect: 'Allow', Action: 's3:PutObject', Resource: arn('data/in/*') })
  const closed = ['get', 'tags', 'copy from', 'describe', 'copy to', 'delete', 'delete many', 'tag it', 'untag it']
  const open = ['put', 'put beside', 'begin']
  const all = tries(writer, 'in/x', 'none')
  for (const name of open) t.equal(await outcome(all[name]?.() ?? Promise.reject()), 'ok', name)
  for (const name of closed) t.equal(await outcome(all[name]?.() ?? Promise.reject()), 'AccessDenied', name)
  t.equal(await outcome(all.head?.() ?? Promise.reject()), '403')
})
