/** A key that was switched off or removed, a user who was banned, a session that was ended: all is over in two seconds. */

import { existsSync, readdirSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { leftovers } from '../faults/leftovers.ts'
import { startTestGateway } from '../gateway/harness.ts'
import { type Answer, open, send } from '../gateway/http.ts'
import { named } from '../gateway/people.ts'
import { eventually } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'
import { codeOf } from './racing.ts'
import { type SigningKey, sign } from './signing.ts'

t.setTimeout(240_000)

const gibibyte = 1024 ** 3
const piece = Buffer.alloc(64 * 1024, 'x')
/** ms in which it holds in all processes, for what is under way too. */
const promised = 2000

const gateway = await startTestGateway(t, {
  workers: 2,
  mounts: [{ path: '/lab', make: (top) => makeLab(top).file('alice/big', 'alice', '') }],
  s3: { buckets: { lab: '/lab' } },
})
const tree = gateway.tree('/lab')
truncateSync(join(tree, 'alice/big'), gibibyte)

/** In parts, begun and not finished. */
let uploads = 0

interface Asked {
  readonly method: string
  readonly path: string
  readonly body?: Readable
  readonly length?: number
}

function signed(key: SigningKey, { method, path, length }: Asked): Record<string, string> {
  const headers = {
    host: `127.0.0.1:${gateway.s3Port}`,
    ...(length !== undefined && { 'content-length': String(length) }),
  }
  const payload = length === undefined ? {} : { payload: 'UNSIGNED-PAYLOAD' }
  return sign({ method, target: path, headers, key, ...payload }).headers
}

function ask(key: SigningKey, asked: Asked): Promise<Answer> {
  const { method, path, body } = asked
  return send(gateway.s3Port, { method, path, headers: signed(key, asked), timeout: 120_000, ...(body && { body }) })
}

/** Something that takes minutes unless it is cut. */
interface Running {
  readonly name: string
  /** When it ended, on the clock of `performance`; with a complete answer it is `undefined`. */
  readonly ended: Promise<number | undefined>
}

/** Reads what is there, slowly. */
function get(key: SigningKey): Running {
  const read = async () => {
    const path = '/lab/alice/big'
    const response = await open(gateway.s3Port, {
      path,
      headers: signed(key, { method: 'GET', path }),
      timeout: 120_000,
    })
    try {
      for await (const _ of response) await sleep(5)
      return undefined
    } catch {
      return performance.now()
    }
  }
  return { name: 'GET', ended: read() }
}

/** Sends a piece every now and then, and never stops. */
function put(key: SigningKey, name: string, path: string): Running {
  const body = new Readable({ read() {} })
  const pushing = setInterval(() => body.push(piece), 20)
  t.teardown(() => clearInterval(pushing))
  const sent = ask(key, { method: 'PUT', path, body, length: gibibyte })
  const over = sent.then(
    ({ status }) => (status === 200 ? undefined : performance.now()),
    () => performance.now(),
  )
  return { name, ended: over.finally(() => clearInterval(pushing)) }
}

/** Over connections of their own, so that they reach all workers. */
async function allAnswer(key: SigningKey): Promise<string> {
  const answers = Array.from({ length: 8 }, () => ask(key, { method: 'GET', path: '/lab/?max-keys=1' }))
  return [...new Set((await Promise.all(answers)).map(codeOf))].toSorted().join()
}

async function requireEnd(t: Test, key: SigningKey, code: string, end: () => Promise<void>): Promise<void> {
  t.equal(await allAnswer(key), '200')
  const begun = await ask(key, { method: 'POST', path: '/lab/alice/parts?uploads' })
  const id = /<UploadId>([^<]+)</.exec(begun.text)?.[1] ?? ''
  const running = [
    ...Array.from({ length: 4 }, () => get(key)),
    ...Array.from({ length: 4 }, (_, index) => put(key, 'PutObject', `/lab/alice/new-${index}`)),
    ...[1, 2].map((part) => put(key, 'UploadPart', `/lab/alice/parts?partNumber=${part}&uploadId=${id}`)),
  ]
  const early = await Promise.race([...running.map(({ ended }) => ended), sleep(1000, 'running')])
  t.equal(early, 'running', 'they are under way')
  await end()
  const began = performance.now()
  await eventually(async () => (await allAnswer(key)) === code, 10_000, `not all answers are ${code}`)
  const refused = performance.now() - began
  t.ok(refused < promised, `new requests are refused after ${Math.round(refused)} ms`)
  for (const { name, ended } of running) {
    const at = await ended
    const took = Math.round((at ?? Number.NaN) - began)
    t.ok(took < promised, `${name} is over after ${took} ms`)
  }
  t.notOk(existsSync(join(tree, 'alice/new-0')), 'nothing came of it')
  const drafts = () => leftovers(gateway, tree).filter((name) => !name.startsWith('journal:'))
  // The upload in parts goes on when its user is back.
  await eventually(() => drafts().every((name) => name.includes('alice/.portolan-stage-')), 5000, 'drafts are left')
  uploads++
  t.ok(drafts().length <= uploads, `${drafts().length} drafts of ${uploads} uploads`)
}

async function api(method: string, path: string, body?: unknown, user: 'admin' | 'alice' = 'alice'): Promise<Answer> {
  const json = body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const answer = await gateway.request({ method, path: `/.portolan/api/v1${path}`, user, ...json })
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`)
  return answer
}

async function newKey(name: string): Promise<SigningKey> {
  const { id, secret } = (await api('POST', '/s3-keys', { name })).json()
  return { accessKeyId: id, secret }
}

async function newSession(): Promise<SigningKey & { readonly sessionToken: string }> {
  const form = new URLSearchParams({
    ...{ Action: 'AssumeRoleWithWebIdentity', Version: '2011-06-15', RoleSessionName: 'vm1', DurationSeconds: '900' },
    ...{ RoleArn: 'arn:aws:iam::000000000000:role/gw', WebIdentityToken: await gateway.standingToken('alice') },
  })
  const type = { 'content-type': 'application/x-www-form-urlencoded' }
  const { text } = await send(gateway.s3Port, { method: 'POST', path: '/', headers: type, body: form.toString() })
  const read = (name: string) => new RegExp(`<${name}>([^<]+)<`).exec(text)?.[1] ?? ''
  return { accessKeyId: read('AccessKeyId'), secret: read('SecretAccessKey'), sessionToken: read('SessionToken') }
}

t.test('a key that is switched off', async (t) => {
  const key = await newKey('off')
  await requireEnd(t, key, 'InvalidAccessKeyId', async () => {
    await api('PUT', `/s3-keys/${key.accessKeyId}`, { enabled: false })
  })
  await api('PUT', `/s3-keys/${key.accessKeyId}`, { enabled: true })
  await eventually(async () => (await allAnswer(key)) === '200', 5000, 'it is not on again')
})

t.test('a key that is removed', async (t) => {
  const key = await newKey('gone')
  await requireEnd(t, key, 'InvalidAccessKeyId', async () => {
    await api('DELETE', `/s3-keys/${key.accessKeyId}`)
  })
})

t.test('a session that is ended', async (t) => {
  const key = await newSession()
  await requireEnd(t, key, 'InvalidAccessKeyId', async () => {
    await api('POST', '/s3-keys/sessions/revoke', { sessionToken: key.sessionToken })
  })
})

t.test('a user who is banned, whatever he signs with', async (t) => {
  const key = await newKey('banned')
  const session = await newSession()
  const name = `user:${named('alice')}`
  await requireEnd(t, key, 'AccessDenied', async () => {
    await api('POST', '/bans', { name }, 'admin')
  })
  t.equal(await allAnswer(session), 'AccessDenied')
  await api('DELETE', `/bans?name=${encodeURIComponent(name)}`, undefined, 'admin')
  await eventually(async () => (await allAnswer(key)) === '200', 5000, 'the ban is not lifted')
  t.equal(readdirSync(join(tree, 'alice')).includes('parts'), false)
})
