/** `portolan s3-key` and the token service, against a whole gateway with two workers. */

import { HeadObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import { named, type UserName } from '../gateway/people.ts'
import { eventually } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'
import { resident } from './resident.ts'

t.setTimeout(120_000)

const portolan = resident(t)

const gateway = await startTestGateway(t, {
  mounts: [{ path: '/lab', make: (top) => makeLab(top).file('alice/note.txt', 'alice', 'hello') }],
  s3: { buckets: { lab: '/lab' } },
  workers: 2,
})

async function run(
  words: readonly string[],
  { as = 'alice', env = {} }: { as?: UserName; env?: Readonly<Record<string, string>> } = {},
) {
  const own = { PORTOLAN_URL: gateway.url, BEARER_TOKEN: await gateway.standingToken(as) }
  return portolan(words, { env: { ...own, ...env } })
}

/** The line about a key. */
async function listed(id: string, as: UserName = 'alice'): Promise<string | undefined> {
  const { stdout } = await run(['s3-key', 'list'], { as })
  return stdout.split('\n').find((line) => line.startsWith(id))
}

interface Pair {
  readonly id: string
  readonly secret: string
  readonly token?: string
}

/** A connection of its own each time, so that it may reach any worker. */
async function answerTo(key: Pair, command: HeadObjectCommand | PutObjectCommand): Promise<string> {
  const client = new S3Client({
    ...{ endpoint: gateway.s3Url, region: 'us-east-1', forcePathStyle: true, maxAttempts: 1 },
    credentials: {
      ...{ accessKeyId: key.id, secretAccessKey: key.secret },
      ...(key.token !== undefined && { sessionToken: key.token }),
    },
  })
  try {
    const { $metadata } = await client.send(command as HeadObjectCommand)
    return String($metadata.httpStatusCode)
  } catch (error) {
    return error instanceof Error && '$metadata' in error
      ? String((error.$metadata as { httpStatusCode?: number }).httpStatusCode)
      : String(error)
  } finally {
    client.destroy()
  }
}

const look = (Key = 'alice/note.txt') => new HeadObjectCommand({ Bucket: 'lab', Key })
const write = (Key: string) => new PutObjectCommand({ Bucket: 'lab', Key, Body: 'hello' })

/** What all of many connections are answered. */
async function allAnswer(key: Pair): Promise<string> {
  const answers = await Promise.all(Array.from({ length: 8 }, () => answerTo(key, look())))
  return [...new Set(answers)].toSorted().join()
}

t.test(
  'create prints a key pair once; list, disable, enable and delete do what they say within two seconds',
  async (t) => {
    const made = await run(['s3-key', 'create', 'laptop', '--path', '/lab/alice', '--until', '30m'])
    t.equal(made.code, 0, made.stderr)
    const [, id = '', secret = ''] =
      /^AWS_ACCESS_KEY_ID=(AKIA\w{16})\nAWS_SECRET_ACCESS_KEY=([\w+/]{40})\n$/.exec(made.stdout) ?? []
    t.match(made.stderr, /for user alice@\S+, until 20\S+Z; the secret is not shown again/)
    gateway.credentials.add(secret)
    const key = { id, secret }
    t.match(
      await listed(id),
      new RegExp(`^${id} {2}enabled {2}20\\S+Z {2}never used {2}read,write {2}/lab/alice {2}laptop$`),
    )
    t.equal(await allAnswer(key), '200')
    t.equal(await answerTo(key, write('alice/new.txt')), '200')
    t.equal(await answerTo(key, write('public/new.txt')), '403', 'not below its path')
    t.match(await listed(id), / used 20\S+Z /)
    t.match((await run(['s3-key', 'list', '--all'], { as: 'admin' })).stdout, named('alice'))
    t.equal(await listed(id, 'bob'), undefined)
    t.equal((await run(['s3-key', 'disable', id], { as: 'bob' })).code, 1)
    t.equal((await run(['s3-key', 'create', 'laptop'])).code, 1, 'its name is taken')
    t.equal((await run(['s3-key', 'disable', 'no id'])).code, 2)
    const soon = async (state: string) => {
      const began = Date.now()
      await eventually(async () => (await allAnswer(key)) === state, 10_000, state)
      t.ok(Date.now() - began < 2000, `${state} in all processes`)
    }
    t.equal((await run(['s3-key', 'disable', id])).code, 0)
    await soon('403')
    t.match(await listed(id), / disabled /)
    t.equal((await run(['s3-key', 'enable', id])).code, 0)
    await soon('200')
    t.equal((await run(['s3-key', 'delete', id])).code, 0)
    await soon('403')
    t.equal(await listed(id), undefined)
    t.equal((await run(['s3-key', 'delete', id])).code, 1)
  },
)

t.test('--read makes a key that reads alone', async (t) => {
  const made = JSON.parse((await run(['s3-key', 'create', 'reader', '--read', '--json'])).stdout)
  gateway.credentials.add(made.secret)
  t.same(made.allow, ['read'])
  t.equal(await answerTo(made, look()), '200')
  t.equal(await answerTo(made, write('alice/no.txt')), '403')
})

t.test('a token becomes temporary keys, and whoever has them ends them', async (t) => {
  const form = new URLSearchParams({
    ...{ Action: 'AssumeRoleWithWebIdentity', Version: '2011-06-15', RoleSessionName: 'vm1', DurationSeconds: '900' },
    ...{ RoleArn: 'arn:aws:iam::000000000000:role/gw', WebIdentityToken: await gateway.standingToken('alice') },
  })
  const text = await (await fetch(gateway.s3Url, { method: 'POST', body: form })).text()
  const read = (name: string) => new RegExp(`<${name}>([^<]+)<`).exec(text)?.[1] ?? ''
  const key = { id: read('AccessKeyId'), secret: read('SecretAccessKey'), token: read('SessionToken') }
  gateway.credentials.add(key.secret)
  gateway.credentials.add(key.token)
  t.equal(await allAnswer(key), '200', text.slice(0, 300))
  t.equal((await run(['s3-key', 'end-session'])).code, 2)
  t.equal((await run(['s3-key', 'end-session'], { env: { AWS_SESSION_TOKEN: 'rubbish' } })).code, 1)
  t.equal((await run(['s3-key', 'end-session'], { env: { AWS_SESSION_TOKEN: key.token } })).code, 0)
  const began = Date.now()
  await eventually(async () => (await allAnswer(key)) === '403', 10_000, 'the end')
  t.ok(Date.now() - began < 2000)
})
