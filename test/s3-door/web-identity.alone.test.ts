/** awscli and boto3 with nothing but a token file, as a batch job or a virtual machine has one. */

import { execFile, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import type { UserName } from '../gateway/people.ts'
import { makeLab } from '../gateway/tree.ts'

t.setTimeout(180_000)

const run = promisify(execFile)

/** Earlier ones do not know AWS_ENDPOINT_URL, and would ask the token service of Amazon. */
const needs = {
  aws: 'import sys; v = sys.stdin.read().split("/")[1].split()[0].split("."); exit((int(v[0]), int(v[1])) < ((2, 13) if v[0] == "2" else (1, 29)))',
  boto3: 'import boto3; exit(tuple(map(int, boto3.__version__.split(".")[:2])) < (1, 28))',
}

function without(program: keyof typeof needs): string | false {
  const input = program === 'aws' ? spawnSync('aws', ['--version']).stdout : ''
  const isThere = input !== null && spawnSync('python3', ['-c', needs[program]], { input }).status === 0
  return isThere ? false : `needs ${program === 'aws' ? 'awscli 1.29 or 2.13' : 'boto3 1.28'}`
}

const gateway = await startTestGateway(t, {
  mounts: [{ path: '/lab', make: (top) => makeLab(top).file('alice/note.txt', 'alice', 'hello') }],
  s3: { buckets: { lab: '/lab' } },
  more: { trustedProxies: ['127.0.0.1'] },
})
const directory = mkdtempSync(join(tmpdir(), 'portolan-web-identity-'))
t.teardown(() => rmSync(directory, { recursive: true, force: true }))

/** `name` is that of a home of his own. */
async function environment(user: UserName, name: string = user): Promise<Record<string, string>> {
  // awscli remembers sessions there by role, whosever token it was.
  const home = join(directory, name)
  mkdirSync(home)
  const file = join(home, 'token')
  writeFileSync(file, await gateway.standingToken(user), { mode: 0o600 })
  return {
    ...{
      PATH: process.env.PATH ?? '',
      HOME: home,
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_DEFAULT_REGION: 'us-east-1',
    },
    ...{ AWS_WEB_IDENTITY_TOKEN_FILE: file, AWS_ROLE_ARN: 'arn:aws:iam::000000000000:role/vm' },
    ...{ AWS_ROLE_SESSION_NAME: 'vm1', AWS_ENDPOINT_URL: gateway.s3Url, AWS_MAX_ATTEMPTS: '1' },
    // Nothing leaves this machine.
    ...{ HTTPS_PROXY: 'http://127.0.0.1:9', HTTP_PROXY: 'http://127.0.0.1:9', NO_PROXY: '127.0.0.1' },
  }
}

t.test('awscli copies a tree with a token, and is refused what its holder is', { skip: without('aws') }, async (t) => {
  const env = await environment('alice')
  const aws = async (...words: readonly string[]) => (await run('aws', words, { env })).stdout
  t.match(JSON.parse(await aws('sts', 'get-caller-identity', '--output', 'json')), {
    Account: '000000000000',
    Arn: /^arn:aws:sts::000000000000:assumed-role\/portolan\/alice@/,
  })
  mkdirSync(join(directory, 'tree/below'), { recursive: true })
  writeFileSync(join(directory, 'tree/one'), 'one')
  writeFileSync(join(directory, 'tree/below/two'), 'two')
  await aws('s3', 'sync', join(directory, 'tree'), 's3://lab/alice/tree')
  t.equal((await gateway.get('/lab/alice/tree/below/two', 'alice')).text, 'two')
  await aws('s3', 'sync', 's3://lab/alice', join(directory, 'back'))
  t.equal(readFileSync(join(directory, 'back/note.txt'), 'utf8'), 'hello')
  t.equal(readFileSync(join(directory, 'back/tree/below/two'), 'utf8'), 'two')
  const bob = await environment('bob')
  const copying = run('aws', ['s3', 'cp', 's3://lab/alice/note.txt', '-'], { env: bob })
  t.match(await copying.catch((error: unknown) => error), { stderr: /403|Forbidden/ })
  t.equal((await gateway.get('/lab/alice/note.txt', 'bob')).status, 403, 'as WebDAV refuses it')
})

t.test('boto3 assumes a role with a policy', { skip: without('boto3') }, async (t) => {
  const program = `
import boto3, json, os, sys
statement = [{'Effect': 'Allow', 'Action': 's3:GetObject', 'Resource': 'arn:aws:s3:::lab/alice/*'}]
sts = boto3.client('sts')
made = sts.assume_role_with_web_identity(RoleArn=os.environ['AWS_ROLE_ARN'], RoleSessionName='vm2', DurationSeconds=900,
  WebIdentityToken=open(os.environ['AWS_WEB_IDENTITY_TOKEN_FILE']).read(),
  Policy=json.dumps({'Version': '2012-10-17', 'Statement': statement}))
keys = made['Credentials']
s3 = boto3.client('s3', aws_access_key_id=keys['AccessKeyId'], aws_secret_access_key=keys['SecretAccessKey'],
  aws_session_token=keys['SessionToken'])
print(s3.get_object(Bucket='lab', Key='alice/note.txt')['Body'].read().decode())
try:
  s3.put_object(Bucket='lab', Key='alice/new', Body=b'x')
except s3.exceptions.ClientError as error:
  print(error.response['Error']['Code'])
try:
  sts.assume_role_with_web_identity(RoleArn=os.environ['AWS_ROLE_ARN'], RoleSessionName='vm2', WebIdentityToken='rubbish')
except sts.exceptions.InvalidIdentityTokenException:
  print('InvalidIdentityToken')
`
  const { stdout } = await run('python3', ['-c', program], { env: await environment('alice', 'python') })
  t.same(stdout.trim().split('\n'), ['hello', 'AccessDenied', 'InvalidIdentityToken'])
})

t.test('a token that could be read on its way is not looked at', async (t) => {
  const body = new URLSearchParams({
    ...{ Action: 'AssumeRoleWithWebIdentity', RoleArn: 'arn:aws:iam::000000000000:role/vm', RoleSessionName: 'vm' },
    WebIdentityToken: await gateway.standingToken('alice'),
  })
  const ask = async (proto: string) => {
    const answer = await fetch(gateway.s3Url, { method: 'POST', body, headers: { 'X-Forwarded-Proto': proto } })
    return `${answer.status} ${/<Code>(\w+)/.exec(await answer.text())?.[1]}`
  }
  t.equal(await ask('http'), '403 AccessDenied')
  t.equal(await ask('https'), '200 undefined')
})
