/** What a tree has none of, asked for by the SDK; browsers; pages of buckets. */

import * as s3 from '@aws-sdk/client-s3'
import t from 'tap'
import { openS3 } from './world.ts'

const Bucket = 'open'

t.test('what a bucket of a tree has none of is answered as by a bucket without it', async (t) => {
  const alice = (await openS3(t)).client('alice')
  t.equal((await alice.send(new s3.GetBucketVersioningCommand({ Bucket }))).Status, undefined)
  t.equal((await alice.send(new s3.GetBucketAccelerateConfigurationCommand({ Bucket }))).Status, undefined)
  t.equal((await alice.send(new s3.GetBucketLoggingCommand({ Bucket }))).LoggingEnabled, undefined)
  t.equal(
    (await alice.send(new s3.GetBucketNotificationConfigurationCommand({ Bucket }))).TopicConfigurations,
    undefined,
  )
  t.equal((await alice.send(new s3.GetBucketRequestPaymentCommand({ Bucket }))).Payer, 'BucketOwner')
  t.equal((await alice.send(new s3.GetBucketPolicyStatusCommand({ Bucket }))).PolicyStatus?.IsPublic, false)
  const { OwnershipControls } = await alice.send(new s3.GetBucketOwnershipControlsCommand({ Bucket }))
  t.same(OwnershipControls?.Rules, [{ ObjectOwnership: 'BucketOwnerEnforced' }])
  const absences = [
    [new s3.GetBucketPolicyCommand({ Bucket }), 'NoSuchBucketPolicy'],
    [new s3.GetBucketLifecycleConfigurationCommand({ Bucket }), 'NoSuchLifecycleConfiguration'],
    [new s3.GetBucketCorsCommand({ Bucket }), 'NoSuchCORSConfiguration'],
    [new s3.GetBucketTaggingCommand({ Bucket }), 'NoSuchTagSet'],
    [new s3.GetBucketEncryptionCommand({ Bucket }), 'ServerSideEncryptionConfigurationNotFoundError'],
    [new s3.GetObjectLockConfigurationCommand({ Bucket }), 'ObjectLockConfigurationNotFoundError'],
    [new s3.GetBucketWebsiteCommand({ Bucket }), 'NoSuchWebsiteConfiguration'],
    [new s3.GetBucketReplicationCommand({ Bucket }), 'ReplicationConfigurationNotFoundError'],
    [new s3.GetPublicAccessBlockCommand({ Bucket }), 'NoSuchPublicAccessBlockConfiguration'],
  ] as const
  for (const [command, name] of absences) {
    await t.rejects(
      alice.send(command as s3.GetBucketPolicyCommand),
      { name, $metadata: { httpStatusCode: 404 } },
      name,
    )
  }
  const settings = [
    new s3.PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } }),
    new s3.PutBucketPolicyCommand({ Bucket, Policy: '{}' }),
    new s3.DeleteBucketCorsCommand({ Bucket }),
    new s3.GetBucketInventoryConfigurationCommand({ Bucket, Id: 'x' }),
    new s3.GetObjectLegalHoldCommand({ Bucket, Key: 'x' }),
    new s3.SelectObjectContentCommand({
      ...{ Bucket, Key: 'x', Expression: 'SELECT *', ExpressionType: 'SQL' },
      ...{ InputSerialization: { CSV: {} }, OutputSerialization: { CSV: {} } },
    }),
  ]
  for (const command of settings) {
    const refused = { name: 'NotImplemented', $metadata: { httpStatusCode: 501 } }
    await t.rejects(alice.send(command as s3.PutBucketPolicyCommand), refused, command.constructor.name)
  }
})

t.test('who may not see a bucket gets none of the answers', async (t) => {
  const world = await openS3(t)
  const bob = world.client('bob')
  await t.rejects(bob.send(new s3.GetBucketVersioningCommand({ Bucket: 'data' })), { name: 'AccessDenied' })
  await t.rejects(bob.send(new s3.GetBucketPolicyCommand({ Bucket: 'data' })), { name: 'AccessDenied' })
  await t.rejects(bob.send(new s3.GetObjectAclCommand({ Bucket: 'data', Key: 'x' })), { name: 'AccessDenied' })
  await t.rejects(bob.send(new s3.GetBucketVersioningCommand({ Bucket: 'none' })), { name: 'NoSuchBucket' })
  t.equal((await world.raw({ method: 'HEAD', target: '/data', as: 'bob' })).status, 403)
  t.equal((await world.raw({ method: 'HEAD', target: '/none', as: 'bob' })).status, 404)
})

t.test('an ACL is the owner’s alone, and stays so', async (t) => {
  const world = await openS3(t)
  const alice = world.client('alice')
  await alice.send(new s3.PutObjectCommand({ Bucket, Key: 'x', Body: 'x' }))
  for (const { Grants, Owner } of [
    await alice.send(new s3.GetBucketAclCommand({ Bucket })),
    await alice.send(new s3.GetObjectAclCommand({ Bucket, Key: 'x' })),
  ]) {
    t.match(Grants, [{ Grantee: { ID: Owner?.ID, Type: 'CanonicalUser' }, Permission: 'FULL_CONTROL' }])
    const AccessControlPolicy = { Grants, Owner }
    await alice.send(new s3.PutObjectAclCommand({ Bucket, Key: 'x', AccessControlPolicy }))
  }
  await alice.send(new s3.PutBucketAclCommand({ Bucket, ACL: 'private' }))
  const refused = { name: 'AccessControlListNotSupported', $metadata: { httpStatusCode: 400 } }
  await t.rejects(alice.send(new s3.PutBucketAclCommand({ Bucket, ACL: 'public-read' })), refused)
  await t.rejects(alice.send(new s3.PutObjectAclCommand({ Bucket, Key: 'x', GrantRead: 'id=somebody' })), refused)
  const everybody = { Type: 'Group', URI: 'http://acs.amazonaws.com/groups/global/AllUsers' } as const
  const AccessControlPolicy = { Owner: { ID: 'x' }, Grants: [{ Grantee: everybody, Permission: 'READ' } as const] }
  await t.rejects(alice.send(new s3.PutObjectAclCommand({ Bucket, Key: 'x', AccessControlPolicy })), refused)
  await t.rejects(alice.send(new s3.GetObjectAclCommand({ Bucket, Key: 'none' })), { name: 'NoSuchKey' })
  const bad = await world.raw({ method: 'PUT', target: '/open?acl', body: '<AccessControlPolicy>', as: 'alice' })
  t.equal(bad.code, 'MalformedXML')
})

t.test('buckets come in pages', async (t) => {
  const world = await openS3(t)
  const alice = world.client('alice')
  for (const name of ['bucket-b', 'bucket-a', 'zoo']) await alice.send(new s3.CreateBucketCommand({ Bucket: name }))
  const names: (string | undefined)[] = []
  let ContinuationToken: string | undefined
  do {
    const more = ContinuationToken === undefined ? {} : { ContinuationToken }
    const page = await alice.send(new s3.ListBucketsCommand({ MaxBuckets: 2, ...more }))
    t.ok((page.Buckets ?? []).length <= 2)
    names.push(...(page.Buckets ?? []).map(({ Name }) => Name))
    ContinuationToken = page.ContinuationToken
  } while (ContinuationToken !== undefined)
  t.same(names, ['bucket-a', 'bucket-b', 'data', 'home', 'open', 'zoo'])
  const { Buckets, Prefix } = await alice.send(new s3.ListBucketsCommand({ Prefix: 'bucket-' }))
  t.same([Buckets?.map(({ Name }) => Name), Prefix], [['bucket-a', 'bucket-b'], 'bucket-'])
  const elsewhere = await alice.send(new s3.ListBucketsCommand({ BucketRegion: 'eu-central-1' }))
  t.same(elsewhere.Buckets ?? [], [])
  for (const query of [
    'max-buckets=0',
    'max-buckets=10001',
    'max-buckets=-1',
    'max-buckets=x',
    'continuation-token=%21',
  ]) {
    t.equal((await world.raw({ target: `/?${query}`, as: 'alice' })).code, 'InvalidArgument', query)
  }
})

t.test('a bucket is made where it is, with nothing that cannot be', async (t) => {
  const world = await openS3(t)
  const make = (name: string, body?: string, headers = {}) =>
    world.raw({ method: 'PUT', target: `/${name}`, as: 'alice', headers, ...(body !== undefined && { body }) })
  const configuration = (place: string) =>
    `<CreateBucketConfiguration><LocationConstraint>${place}</LocationConstraint></CreateBucketConfiguration>`
  t.equal((await make('new-a', configuration('us-east-1'))).headers.location, '/new-a')
  t.equal((await make('new-b', configuration('mars'))).code, 'InvalidLocationConstraint')
  t.equal((await make('new-b', '<x/>')).code, 'MalformedXML')
  t.equal(
    (await make('new-b', '<!DOCTYPE x [<!ENTITY a "b">]><CreateBucketConfiguration>&a;</CreateBucketConfiguration>'))
      .code,
    'MalformedXML',
  )
  t.equal((await make('new-b', 'x'.repeat(100_000))).code, 'MaxMessageLengthExceeded')
  t.equal((await make('new-b', undefined, { 'x-amz-acl': 'public-read' })).code, 'AccessControlListNotSupported')
  t.equal((await make('new-b', undefined, { 'x-amz-bucket-object-lock-enabled': 'true' })).code, 'NotImplemented')
  t.equal((await make('data')).status, 200)
  for (const name of ['ab', 'Capital', 'under_score', '-dash', '192.168.0.1', 'a..b', 'x'.repeat(64)]) {
    t.equal((await make(name)).code, 'InvalidBucketName', name)
  }
  const alice = world.client('alice')
  await alice.send(new s3.PutObjectCommand({ Bucket: 'new-a', Key: 'x', Body: 'x' }))
  await t.rejects(alice.send(new s3.DeleteBucketCommand({ Bucket: 'new-a' })), { name: 'BucketNotEmpty' })
  await alice.send(new s3.DeleteObjectCommand({ Bucket: 'new-a', Key: 'x' }))
  await alice.send(new s3.PutObjectCommand({ Bucket: 'new-a', Key: 'deep/er/x', Body: 'x' }))
  await t.rejects(alice.send(new s3.DeleteBucketCommand({ Bucket: 'new-a' })), { name: 'BucketNotEmpty' })
  await alice.send(new s3.DeleteObjectCommand({ Bucket: 'new-a', Key: 'deep/er/x' }))
  await alice.send(new s3.DeleteBucketCommand({ Bucket: 'new-a' }))
  await t.rejects(alice.send(new s3.PutObjectCommand({ Bucket: 'new-a', Key: 'x', Body: 'x' })), {
    name: 'NoSuchBucket',
  })
})

t.test('pages of named origins may read answers, those of others may not', async (t) => {
  const origins = ['https://app.example']
  const world = await openS3(t, { door: { origins } })
  const preflight = (headers: Record<string, string>) => world.raw({ method: 'OPTIONS', target: '/open/x', headers })
  const asked = { origin: 'https://app.example', 'access-control-request-method': 'PUT' }
  const allowed = await preflight({ ...asked, 'access-control-request-headers': 'authorization,x-amz-date' })
  t.match(allowed, {
    status: 200,
    headers: {
      'access-control-allow-origin': 'https://app.example',
      'access-control-allow-methods': /PUT/,
      'access-control-allow-headers': 'authorization,x-amz-date',
      vary: /Origin/,
    },
  })
  t.equal((await preflight({ ...asked, origin: 'https://evil.example' })).code, 'AccessForbidden')
  t.equal((await preflight({ ...asked, 'access-control-request-method': 'PATCH' })).code, 'AccessForbidden')
  t.equal((await preflight({})).code, 'BadRequest')
  const get = (origin: string) => world.raw({ target: '/open', as: 'alice', headers: { origin } })
  t.match((await get('https://app.example')).headers, {
    'access-control-allow-origin': 'https://app.example',
    'access-control-expose-headers': /ETag/,
  })
  t.equal((await get('https://evil.example')).headers['access-control-allow-origin'], undefined)
  const { CORSRules } = await world.client('alice').send(new s3.GetBucketCorsCommand({ Bucket }))
  t.same(CORSRules?.[0]?.AllowedOrigins, origins)
  const anybody = await openS3(t, { door: { origins: ['*'] } })
  const answer = await anybody.raw({ target: '/open', headers: { origin: 'https://evil.example' } })
  t.equal(answer.headers['access-control-allow-origin'], '*')
})
