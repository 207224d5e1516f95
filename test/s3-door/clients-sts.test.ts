/**
 * From a token to files: temporary keys by the token service, with which the usual programs work, bounded by the token;
 * whom the ACL refuses is refused as by WebDAV, and told why by `portolan explain`.
 */

import t, { type Test } from 'tap'
import { portolan } from '../cli/running.ts'
import type { Claims } from '../gateway/harness.ts'
import type { UserName } from '../gateway/people.ts'
import { Desk, filesBelow, startForPrograms, without } from './programs.ts'

t.setTimeout(280_000)

const skip = without('aws') || without('python')
if (skip) t.plan(0, skip)
const gateway = await startForPrograms(t, { trustedProxies: ['127.0.0.1'] })
const role = 'arn:aws:iam::000000000000:role/portolan'

/** Has nothing but a file with a token. */
async function deskWithToken(t: Test, user: UserName, claims: Claims = {}): Promise<Desk> {
  const desk = new Desk(t, gateway, user, {})
  desk.write('token', `${await gateway.token(user, claims)}\n`)
  return desk
}

/** Asks the token service by awscli. */
function assume(desk: Desk, ...more: readonly string[]) {
  const words = ['sts', 'assume-role-with-web-identity', '--role-arn', role, '--role-session-name', 'vm1']
  return desk.run('aws', '--endpoint-url', gateway.s3Url, ...words, '--web-identity-token', 'file://token', ...more)
}

/** One that has the keys that this made. */
async function deskWithKeys(t: Test, user: UserName, desk: Desk, ...more: readonly string[]): Promise<Desk> {
  const { status, out, err } = await assume(desk, ...more)
  t.equal(status, 0, 'a token becomes keys', { diagnostic: true, err })
  const { Credentials } = JSON.parse(out)
  return new Desk(t, gateway, user, {
    AWS_ACCESS_KEY_ID: Credentials.AccessKeyId,
    AWS_SECRET_ACCESS_KEY: Credentials.SecretAccessKey,
    AWS_SESSION_TOKEN: Credentials.SessionToken,
  })
}

t.test('a token becomes keys, a tree is synchronised; Bob is refused, and told why', { skip }, async (t) => {
  const alice = await deskWithKeys(t, 'alice', await deskWithToken(t, 'alice'))
  for (let at = 0; at < 20; at++) alice.write(`tree/${at % 3}/${at}`, `file ${at}`)
  await alice.aws(t, 's3', 'sync', '--no-progress', 'tree', 's3://lab/alice/by-sts')
  await alice.aws(t, 's3', 'sync', '--no-progress', 's3://lab/alice/by-sts', 'back')
  t.same(filesBelow(alice.path('back')), filesBelow(alice.path('tree')))
  t.match(JSON.parse(await alice.aws(t, 'sts', 'get-caller-identity')), { Arn: /alice/ })
  t.equal((await gateway.get('/lab/alice/by-sts/1/4', 'alice')).text, 'file 4', 'Alice reads it by WebDAV')

  const bob = await deskWithKeys(t, 'bob', await deskWithToken(t, 'bob'))
  const s3 = (...words: readonly string[]) => bob.run('aws', '--endpoint-url', gateway.s3Url, 's3', ...words)
  t.match((await s3('sync', 's3://lab/alice/by-sts', 'stolen')).err, /AccessDenied/)
  t.match((await s3('cp', 's3://lab/alice/by-sts/1/4', '-')).err, /403/)
  bob.write('mine', 'mine')
  t.match((await s3('cp', 'mine', 's3://lab/alice/by-sts/1/4')).err, /AccessDenied/)
  t.match((await s3('rm', 's3://lab/alice/by-sts/1/4')).err, /AccessDenied/)
  t.equal((await gateway.get('/lab/alice/by-sts/1/4', 'bob')).status, 403, 'WebDAV refuses him')
  const env = { PORTOLAN_URL: gateway.url, BEARER_TOKEN: await gateway.standingToken('bob') }
  const why = await portolan(['explain', 'read', '/lab/alice/by-sts/1/4'], { env })
  t.equal(why.code, 1)
  t.match(
    why.stdout,
    /bob@lab\.example may not read \/lab\/alice\/by-sts\/1\/4\n.*traverse +NO +a directory on the way is closed \(\/lab\/alice\)/s,
  )
})

t.test('keys do no more than their token, and no more than their policy', { skip }, async (t) => {
  await gateway.request({ method: 'MKCOL', path: '/lab/alice/narrow', user: 'alice' })
  await gateway.put('/lab/alice/narrow/a', 'alice', 'a')
  await gateway.put('/lab/alice/other', 'alice', 'other')
  const refused = async (desk: Desk, ...words: readonly string[]) => {
    const { status, err } = await desk.run('aws', '--endpoint-url', gateway.s3Url, ...words)
    t.equal(status, 1, words.join(' '))
    t.match(err, /AccessDenied|403/)
  }
  const reader = await deskWithKeys(
    t,
    'alice',
    await deskWithToken(t, 'alice', { scope: 'storage.read:/lab/alice/narrow' }),
  )
  t.equal(await reader.aws(t, 's3', 'cp', 's3://lab/alice/narrow/a', '-'), 'a')
  reader.write('new', 'new')
  await refused(reader, 's3', 'cp', 'new', 's3://lab/alice/narrow/new')
  await refused(reader, 's3', 'cp', 's3://lab/alice/other', '-')
  t.match(await reader.aws(t, 's3', 'ls', 's3://lab/alice/'), /^ +PRE narrow\/\n$/)

  const statement = { Effect: 'Allow', Action: ['s3:PutObject'], Resource: ['arn:aws:s3:::lab/alice/narrow/*'] }
  const policy = JSON.stringify({ Version: '2012-10-17', Statement: [statement] })
  const writer = await deskWithKeys(t, 'alice', await deskWithToken(t, 'alice'), '--policy', policy)
  writer.write('new', 'new')
  await writer.aws(t, 's3', 'cp', '--no-progress', 'new', 's3://lab/alice/narrow/new')
  await refused(writer, 's3', 'cp', 'new', 's3://lab/alice/new')
  await refused(writer, 's3', 'cp', 's3://lab/alice/narrow/a', '-')
  await refused(writer, 's3', 'rm', 's3://lab/alice/narrow/a')
  t.same(filesBelow(`${gateway.tree('/lab')}/alice/narrow`), ['a', 'new'])
})

t.test('what is wrong with a token is said in the words of the token service', { skip }, async (t) => {
  const seconds = Math.floor(Date.now() / 1000)
  const expired = await deskWithToken(t, 'alice', { iat: seconds - 7200, nbf: seconds - 7200, exp: seconds - 3600 })
  t.match((await assume(expired)).err, /ExpiredTokenException/)
  const elsewhere = await deskWithToken(t, 'alice', { aud: 'https://elsewhere.example' })
  t.match((await assume(elsewhere)).err, /InvalidIdentityToken/)
  const policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Action: 'ec2:*', Resource: '*' }],
  })
  t.match((await assume(await deskWithToken(t, 'alice'), '--policy', policy)).err, /MalformedPolicyDocument/)
})

t.test('a token that could be read on its way is not looked at', async (t) => {
  const body = new URLSearchParams({
    ...{ Action: 'AssumeRoleWithWebIdentity', RoleArn: role, RoleSessionName: 'vm1' },
    WebIdentityToken: await gateway.standingToken('alice'),
  })
  const ask = async (proto: string) => {
    const answer = await fetch(gateway.s3Url, { method: 'POST', body, headers: { 'X-Forwarded-Proto': proto } })
    return `${answer.status} ${/<Code>(\w+)/.exec(await answer.text())?.[1]}`
  }
  t.equal(await ask('http'), '403 AccessDenied')
  t.equal(await ask('https'), '200 undefined')
})

t.test('programs change tokens for keys by themselves', { skip }, async (t) => {
  const desk = await deskWithToken(t, 'alice')
  const itself = new Desk(t, gateway, 'alice', {
    AWS_WEB_IDENTITY_TOKEN_FILE: desk.path('token'),
    AWS_ROLE_ARN: role,
    AWS_ROLE_SESSION_NAME: 'vm2',
  })
  // These know no AWS_ENDPOINT_URL_STS yet; where services are they read here, too (botocore, "Loaders").
  const endpoint = { endpoint: { url: gateway.s3Url, properties: {}, headers: {} }, conditions: [], type: 'endpoint' }
  const rules = JSON.stringify({ version: '1.0', parameters: parametersOfRules, rules: [endpoint] })
  itself.write('.aws/models/sts/2011-06-15/endpoint-rule-set-1.json', rules)
  itself.write('in', 'by awscli')
  await itself.aws(t, 's3', 'cp', '--no-progress', 'in', 's3://mine/itself')
  t.match(JSON.parse(await itself.aws(t, 'sts', 'get-caller-identity')), { Arn: /alice/ })
  const script = `
import sys, boto3
s3 = boto3.client('s3', endpoint_url=sys.argv[1])
print(s3.get_object(Bucket='mine', Key='itself')['Body'].read().decode(), s3._request_signer._credentials.method)
`
  t.equal(await itself.python(t, script), 'by awscli assume-role-with-web-identity\n')
})

/** Those that clients of the token service give its rules. */
const parametersOfRules = {
  Region: { builtIn: 'AWS::Region', required: false, documentation: '', type: 'String' },
  UseDualStack: flag('AWS::UseDualStack'),
  UseFIPS: flag('AWS::UseFIPS'),
  UseGlobalEndpoint: flag('AWS::STS::UseGlobalEndpoint'),
  Endpoint: { builtIn: 'SDK::Endpoint', required: false, documentation: '', type: 'String' },
}

function flag(builtIn: string) {
  return { builtIn, required: true, default: false, documentation: '', type: 'Boolean' }
}
