/** The token service at the S3 door: tokens become keys that are never more than the token. */

import { request } from 'node:http'
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import type { Principal } from '../../acl/principal.ts'
import { root } from '../../gateway/core/path.ts'
import { createSts } from '../../gateway/s3/sts.ts'
import { bearer, macaroonWorld } from '../identity/macaroon-world.ts'
import { type SigningKey, sign } from './signing.ts'
import { domain, openS3 } from './world.ts'

const form = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }
const role = 'arn:aws:iam::000000000000:role/science/gw'

async function setUp(t: Test) {
  const people = await macaroonWorld(t)
  const { service, options } = people
  const issuers = options.issuers.map((issuer) => (issuer.name === 'vo' ? { ...issuer, basePath: root } : issuer))
  await service.reload({ ...options, domain, issuers })
  const { s3 } = service
  if (!s3) throw new Error('no access keys')
  const world = await openS3(t, {
    identity: { isRevoked: (principal: Principal) => service.isRevoked?.(principal) === true },
    door: { keys: s3, sts: createSts({ identity: service, keys: s3 }) },
  })
  const token = (more: Readonly<Record<string, unknown>> = {}) => people.token({ sub: 'sub-alice', ...more })
  const ask = (fields: Readonly<Record<string, string | undefined>>) => {
    const given = Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
    return world.raw({ method: 'POST', target: '/', headers: form, body: new URLSearchParams(given).toString() })
  }
  const assume = (more: Readonly<Record<string, string | undefined>> = {}) =>
    ask({
      ...{ Action: 'AssumeRoleWithWebIdentity', Version: '2011-06-15', RoleArn: role, RoleSessionName: 'me' },
      WebIdentityToken: token(),
      ...more,
    })
  const keyFor = async (more: Readonly<Record<string, string | undefined>> = {}): Promise<SigningKey> => {
    const answer = await assume(more)
    if (answer.status !== 200) throw new Error(answer.text)
    const read = (name: string) => new RegExp(`<${name}>([^<]+)</${name}>`).exec(answer.text)?.[1] ?? ''
    return { accessKeyId: read('AccessKeyId'), secret: read('SecretAccessKey'), sessionToken: read('SessionToken') }
  }
  const client = (key: SigningKey) => {
    const { accessKeyId, secret, sessionToken = '' } = key
    return world.client('alice', { credentials: { accessKeyId, secretAccessKey: secret, sessionToken } })
  }
  return { ...people, world, s3, token, ask, assume, keyFor, client }
}

const put = (Key: string, Body = 'hello', Bucket = 'data') => new PutObjectCommand({ Bucket, Key, Body })
const get = (Key: string, Bucket = 'data') => new GetObjectCommand({ Bucket, Key })
const refused = { name: 'AccessDenied' }

t.test('a token becomes keys that open what its holder may', async (t) => {
  const { keyFor, client, token } = await setUp(t)
  const alice = client(await keyFor())
  await alice.send(put('a/x'))
  t.equal(await (await alice.send(get('a/x'))).Body?.transformToString(), 'hello')
  await client(await keyFor({ WebIdentityToken: `${token()}\n` })).send(get('a/x'))
  const robot = client(await keyFor({ WebIdentityToken: token({ sub: 'robot', 'wlcg.groups': ['/vo'] }) }))
  await t.rejects(robot.send(get('a/x')), refused, 'whom the ACL refuses')
})

t.test('the answer is that of the token service', async (t) => {
  const { assume, clock } = await setUp(t)
  const { status, headers, text } = await assume({ DurationSeconds: '900' })
  t.equal(status, 200)
  t.equal(headers['content-type'], 'text/xml')
  t.equal(headers['cache-control'], 'no-store')
  const head = '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
  t.ok(text.startsWith(`${head}<AssumeRoleWithWebIdentityResult>`))
  t.match(text, '<SubjectFromWebIdentityToken>sub-alice</SubjectFromWebIdentityToken>')
  t.match(text, '<Audience>https://gw.example.org</Audience>')
  t.match(text, '<Arn>arn:aws:sts::000000000000:assumed-role/gw/me</Arn>')
  t.match(text, /<AssumedRoleId>AROA[A-Z2-7]{16}:me<\/AssumedRoleId>/)
  t.match(text, /<AccessKeyId>ASIA[A-Z2-7]{16}<\/AccessKeyId><SecretAccessKey>[\w+/]{40}<\/SecretAccessKey>/)
  t.match(text, `<Expiration>${new Date(clock.now() + 900_000).toISOString().replace('.000', '')}</Expiration>`)
  t.match(text, '<Provider>https://vo.example.org</Provider>')
  t.match(text, /<PackedPolicySize>\d{1,3}<\/PackedPolicySize>/)
  t.match(text, `<RequestId>${headers['x-amz-request-id']}</RequestId>`)
})

t.test('the parameters may stand in the query', async (t) => {
  const { world, token } = await setUp(t)
  const query = new URLSearchParams({ Action: 'AssumeRoleWithWebIdentity', RoleArn: role, RoleSessionName: 'me' })
  query.append('WebIdentityToken', token())
  t.equal((await world.raw({ target: `/?${query}` })).status, 200)
  t.notMatch(JSON.stringify(world.lines), token().slice(0, 40))
})

t.test('scopes and a policy both bound what the keys open', async (t) => {
  const { keyFor, client, token } = await setUp(t)
  const alice = client(await keyFor())
  for (const key of ['in/x', 'in/closed/x', 'out/x']) await alice.send(put(key))
  const scope = { WebIdentityToken: token({ scope: 'storage.read:/data storage.create:/data/in' }) }
  const scoped = client(await keyFor(scope))
  await scoped.send(get('out/x'))
  await scoped.send(put('in/new/y'))
  await t.rejects(scoped.send(put('out/y')), refused)
  await t.rejects(scoped.send(put('in/x')), refused, 'no right to replace')
  const Policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Action: ['s3:GetObject', 's3:PutObject'], Resource: 'arn:aws:s3:::data/in/*' },
      { Effect: 'Deny', Action: 's3:*', Resource: 'arn:aws:s3:::data/in/closed/*' },
    ],
  })
  for (const more of [{}, scope]) {
    const narrow = client(await keyFor({ ...more, Policy }))
    t.equal(await (await narrow.send(get('in/x'))).Body?.transformToString(), 'hello')
    await t.rejects(narrow.send(get('out/x')), refused)
    await t.rejects(narrow.send(get('in/closed/x')), refused)
    await t.rejects(narrow.send(put('in/closed/y')), refused)
    await t.rejects(narrow.send(new ListObjectsV2Command({ Bucket: 'data', Prefix: 'in/' })), refused)
  }
  const both = client(await keyFor({ ...scope, Policy }))
  await t.rejects(both.send(put('in/x')), refused, 'the policy gives nothing that the token does not')
})

t.test('a policy that comes without escapes means what it says', async (t) => {
  const { keyFor, client, token, world } = await setUp(t)
  const alice = client(await keyFor())
  for (const key of ['größe/x', 'other/x']) await alice.send(put(key))
  const Policy = JSON.stringify({
    Statement: [
      { Effect: 'Allow', Action: 's3:GetObject', Resource: 'arn:aws:s3:::data/*' },
      { Effect: 'Deny', Action: 's3:GetObject', Resource: 'arn:aws:s3:::data/größe/*' },
    ],
  })
  const fields = {
    Action: 'AssumeRoleWithWebIdentity',
    RoleArn: role,
    RoleSessionName: 'me',
    WebIdentityToken: token(),
  }
  const body = `${new URLSearchParams(fields)}&Policy=${Policy}`
  const { status, text } = await world.raw({ method: 'POST', target: '/', headers: form, body })
  t.equal(status, 200, text)
  const read = (name: string) => new RegExp(`<${name}>([^<]+)</${name}>`).exec(text)?.[1] ?? ''
  const narrow = client({
    ...{ accessKeyId: read('AccessKeyId'), secret: read('SecretAccessKey'), sessionToken: read('SessionToken') },
  })
  t.equal(await (await narrow.send(get('other/x'))).Body?.transformToString(), 'hello')
  await t.rejects(narrow.send(get('größe/x')), refused)
})

t.test('bad input has the errors of the token service', async (t) => {
  const { assume, ask, token, world, clock, service, s3 } = await setUp(t)
  const long = (length: number) => 'x'.repeat(length)
  const rows: ReadonlyArray<readonly [Readonly<Record<string, string | undefined>>, number, string]> = [
    [{ Action: undefined }, 400, 'MissingParameter'],
    [{ Action: 'AssumeRoleWithSAML' }, 400, 'InvalidAction'],
    [{ Version: '2006-03-01' }, 400, 'InvalidParameterValue'],
    [{ RoleArn: undefined }, 400, 'MissingParameter'],
    [{ RoleArn: 'arn:aws:iam::1:x' }, 400, 'InvalidParameterValue'],
    [{ RoleArn: `${role}<` }, 400, 'InvalidParameterValue'],
    [{ RoleArn: `${role}${long(2048)}` }, 400, 'InvalidParameterValue'],
    [{ RoleSessionName: undefined }, 400, 'MissingParameter'],
    [{ RoleSessionName: 'x' }, 400, 'InvalidParameterValue'],
    [{ RoleSessionName: long(65) }, 400, 'InvalidParameterValue'],
    [{ RoleSessionName: 'a b' }, 400, 'InvalidParameterValue'],
    [{ WebIdentityToken: undefined }, 400, 'MissingParameter'],
    [{ WebIdentityToken: 'x' }, 400, 'InvalidParameterValue'],
    [{ WebIdentityToken: 'rubbish' }, 400, 'InvalidIdentityToken'],
    [{ WebIdentityToken: `${token().slice(0, -8)}AAAAAAAA` }, 400, 'InvalidIdentityToken'],
    [{ WebIdentityToken: token({ aud: 'https://elsewhere.example' }) }, 400, 'InvalidIdentityToken'],
    [{ WebIdentityToken: token({ exp: Math.floor(clock.now() / 1000) - 10 }) }, 400, 'ExpiredTokenException'],
    [{ WebIdentityToken: token({ sub: 'nobody' }) }, 403, 'IDPRejectedClaim'],
    [{ WebIdentityToken: long(20_001) }, 400, 'InvalidParameterValue'],
    ...['899', '43201', '-1', '1e3', '', '900.5'].map((each) => {
      return [{ DurationSeconds: each }, 400, 'InvalidParameterValue'] as const
    }),
    [{ Policy: '{}' }, 400, 'MalformedPolicyDocument'],
    [{ Policy: '' }, 400, 'InvalidParameterValue'],
    [{ Policy: long(2049) }, 400, 'InvalidParameterValue'],
    [{ 'PolicyArns.member.1.arn': 'arn:aws:iam::aws:policy/ReadOnlyAccess' }, 400, 'MalformedPolicyDocument'],
    [{ ProviderId: 'www.example.com' }, 400, 'InvalidParameterValue'],
  ]
  for (const [fields, status, code] of rows) {
    const answer = await assume(fields)
    const about = JSON.stringify(fields).slice(0, 120)
    t.same([answer.status, answer.code], [status, code], about)
    t.match(answer.text, '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>')
    t.match(answer.text, /<RequestId>[^<]+<\/RequestId><\/ErrorResponse>$/)
  }
  const twice = await world.raw({ method: 'POST', target: '/', headers: form, body: 'Action=a&Action=b' })
  t.same([twice.status, twice.code], [400, 'InvalidParameterValue'])
  const bytes = await world.raw({ method: 'POST', target: '/', headers: form, body: 'Action=%ff' })
  t.same([bytes.status, bytes.code], [400, 'InvalidParameterValue'])
  const raw = await world.raw({
    method: 'POST',
    target: '/',
    headers: form,
    body: Buffer.from('Action=\xff', 'latin1'),
  })
  t.same([raw.status, raw.code], [400, 'InvalidParameterValue'])
  const large = await world.raw({ method: 'POST', target: '/', headers: form, body: `Action=${long(100_000)}` })
  t.same([large.status, large.code], [413, 'RequestEntityTooLarge'])
  t.equal((await ask({ Action: 'DecodeAuthorizationMessage' })).code, 'InvalidAction')
  const alice = await service.authenticate({ kind: 'none' })
  await service.bans?.add(alice, { name: 'user:alice@lab.example', note: '', until: undefined })
  t.equal((await assume()).code, 'IDPRejectedClaim')
  t.same(await s3.list(alice, false), [])
})

t.test('session tokens are refused as S3 refuses them', async (t) => {
  const { keyFor, world, clock } = await setUp(t)
  const [key, other] = [await keyFor(), await keyFor()]
  const list = async (as: SigningKey) => {
    const { status, code, text } = await world.raw({ target: '/data?list-type=2', as })
    t.notMatch(text, as.sessionToken ?? 'none')
    return `${status} ${code}`
  }
  t.equal(await list(key), '200 undefined')
  const { sessionToken: _, ...bare } = key
  t.equal(await list(bare), '403 InvalidAccessKeyId')
  t.equal(await list({ ...key, sessionToken: other.sessionToken ?? '' }), '400 InvalidToken')
  t.equal(await list({ ...key, sessionToken: `${key.sessionToken}x` }), '400 InvalidToken')
  t.equal(await list({ ...key, secret: other.secret }), '403 SignatureDoesNotMatch')
  clock.pass(3600)
  t.equal(await list(key), '400 ExpiredToken')
})

t.test('a ban cuts what a session is doing', async (t) => {
  const { keyFor, world, service } = await setUp(t)
  const key = await keyFor()
  const { headers } = sign({
    ...{ method: 'PUT', target: '/data/slow', payload: 'UNSIGNED-PAYLOAD', key },
    headers: { host: `127.0.0.1:${world.port}`, 'content-length': '1000000' },
  })
  const { promise, resolve } = Promise.withResolvers<string>()
  const sent = request({ host: '127.0.0.1', port: world.port, method: 'PUT', path: '/data/slow', headers })
  sent.on('response', (response) => resolve(String(response.statusCode)))
  sent.on('error', () => resolve('cut'))
  sent.write('some')
  const began = Date.now()
  const admin = await service.authenticate({ kind: 'none' })
  await service.bans?.add(admin, { name: `s3-key:${key.accessKeyId}`, note: '', until: undefined })
  t.match(await promise, /^(?:cut|403)$/)
  t.ok(Date.now() - began < 4000, 'soon')
  sent.destroy()
  t.equal((await world.raw({ target: '/data/slow', as: key })).status, 403)
})

t.test('GetCallerIdentity tells who signs', async (t) => {
  const { keyFor, world, s3, service, token } = await setUp(t)
  const session = await keyFor()
  const body = 'Action=GetCallerIdentity&Version=2011-06-15'
  const ask = (key: SigningKey | undefined, service = 'sts', text = body) => {
    const plain = { host: `127.0.0.1:${world.port}`, ...form }
    const signed = key && sign({ method: 'POST', target: '/', headers: plain, body, key, service }).headers
    return world.raw({ method: 'POST', target: '/', headers: signed ?? form, body: text })
  }
  const answer = await ask(session)
  t.equal(answer.status, 200, answer.text)
  t.match(answer.text, '<Arn>arn:aws:sts::000000000000:assumed-role/portolan/alice@lab.example</Arn>')
  t.match(answer.text, `<UserId>${session.accessKeyId}</UserId><Account>000000000000</Account>`)
  const alice = await service.authenticate(bearer(token()))
  const made = await s3.create(alice, { name: 'mine', networks: [] })
  const key = { accessKeyId: made.id, secret: made.secret.reveal() }
  t.match((await ask(key)).text, '<Arn>arn:aws:iam::000000000000:user/alice@lab.example</Arn>')
  const rows: ReadonlyArray<readonly [Promise<{ status: number; code: string | undefined }>, string]> = [
    [ask(undefined), '403 MissingAuthenticationToken'],
    [ask({ ...key, secret: 'wrong' }), '403 SignatureDoesNotMatch'],
    [ask({ ...key, accessKeyId: 'AKIANOBODY234567' }), '403 InvalidClientTokenId'],
    [ask({ ...session, sessionToken: 'x' }), '403 InvalidClientTokenId'],
    [ask(key, 's3'), '400 IncompleteSignature'],
    [ask(key, 'sts', `${body}&More=1`), '403 SignatureDoesNotMatch'],
  ]
  for (const [asked, expected] of rows) {
    const { status, code } = await asked
    t.equal(`${status} ${code}`, expected)
  }
})

t.test('asking who one is, is a use, and a ban of who asks is written down', async (t) => {
  const { world, s3, service, token } = await setUp(t)
  const alice = await service.authenticate(bearer(token()))
  const { id, secret } = await s3.create(alice, { name: 'mine', networks: [] })
  const ask = () => {
    const body = 'Action=GetCallerIdentity&Version=2011-06-15'
    const headers = { host: `127.0.0.1:${world.port}`, ...form }
    const key = { accessKeyId: id, secret: secret.reveal() }
    const signed = sign({ method: 'POST', target: '/', headers, body, key, service: 'sts' })
    return world.raw({ method: 'POST', target: '/', headers: signed.headers, body })
  }
  t.equal((await ask()).status, 200)
  t.type((await s3.list(alice, false))[0]?.used, 'number')
  await service.bans?.add(alice, { name: `s3-key:${id}`, note: '', until: undefined })
  t.match(await ask(), { status: 403, code: 'AccessDenied' })
  t.match(
    world.audit.records.filter(({ action }) => action === 'authenticate'),
    [{ outcome: 'refused', reason: { rule: 'revoked' } }],
  )
})

t.test('what was made and refused is in the audit log, without what opens anything', async (t) => {
  const { keyFor, assume, world } = await setUp(t)
  const key = await keyFor()
  await assume({ WebIdentityToken: 'rubbish' })
  const text = JSON.stringify(world.audit.records)
  t.match(text, `session ${key.accessKeyId} (\\"me\\") until`)
  t.match(text, 'macaroon-format')
  for (const secret of [key.secret, key.sessionToken ?? '']) t.notOk(text.includes(secret))
})
