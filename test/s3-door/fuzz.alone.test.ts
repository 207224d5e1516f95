/**
 * Requests that no S3 client would send, mutated from those that clients do send: never a failure of ours, always the
 * words of S3, never more memory. ROUNDS, SEED and STORAGE make it another run.
 */

import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { buffer } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import type { Call } from '../../gateway/core/call.ts'
import { parsePath, root } from '../../gateway/core/path.ts'
import { s3Errors } from '../../gateway/s3/error.ts'
import { createSts } from '../../gateway/s3/sts.ts'
import { Dice, mutated } from '../dice.ts'
import { macaroonWorld } from '../identity/macaroon-world.ts'
import { type Known, type Made, Requests } from './fuzz-requests.ts'
import { openS3, principalOf, type S3World } from './world.ts'

t.setTimeout(7_200_000)

const rounds = Number(process.env.ROUNDS ?? 20_000)
const seed = Number(process.env.SEED ?? 1)
const storages = (['memory', 'posix'] as const).filter((each) => each === (process.env.STORAGE ?? each))
/** Requests at a time. */
const abreast = 8

interface Answer {
  readonly status: number
  readonly type: string
  readonly text: string
}

/** Resolves to status 0 where the connection was cut, to -1 where what came was no answer. */
async function send(port: number, agent: Agent, { method, target, headers, body }: Made): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const call = request({ host: '127.0.0.1', port, method, path: target, agent, headers })
  call.on('response', (response) => {
    const { statusCode: status = 0, headers } = response
    const type = String(headers['content-type'])
    buffer(response).then((bytes) => resolve({ status, type, text: bytes.toString() }), reject)
  })
  call.on('error', reject)
  call.end(body)
  return promise.catch((error: NodeJS.ErrnoException) => {
    // Of a head that cannot be read nobody knows that it asks for no body.
    const unread = method === 'HEAD' && error.code === 'HPE_CLOSED_CONNECTION'
    if (unread || error.code === 'ECONNRESET' || error.code === 'EPIPE') return { status: 0, type: '', text: '' }
    return { status: -1, type: '', text: String(error) }
  })
}

/** Sends a head whose bytes were changed, and ends: the door has to be content with what came. */
async function sendBytes(port: number, { method, target, headers, body }: Made, dice: Dice): Promise<Answer> {
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const head = `${method} ${target} HTTP/1.1\r\n${fields.join('')}connection: close\r\n\r\n`
  const pieces = [
    '\r\n',
    '\r\n\r\n',
    '\0',
    ' ',
    ':',
    'content-length: 3\r\n',
    'transfer-encoding: chunked\r\n',
    'HTTP/1.0',
  ] as const
  const bytes = dice.below(3) === 0 ? Buffer.from(head, 'latin1') : mutated(Buffer.from(head, 'latin1'), dice, pieces)
  const socket = connect(port, '127.0.0.1')
  const gone = once(socket, 'close')
  const parts: Buffer[] = []
  socket.on('error', () => {})
  socket.on('data', (part: Buffer) => parts.push(part))
  socket.end(Buffer.concat([bytes, body ?? Buffer.alloc(0)]))
  socket.setTimeout(30_000, () => socket.destroy(new Error('no answer')))
  const [failed] = await gone
  const text = Buffer.concat(parts).toString('latin1')
  // Of the last answer: what came may have been several requests.
  const status =
    failed || !text.includes('HTTP/1.1 ') ? 0 : Number(text.slice(text.lastIndexOf('HTTP/1.1 ')).slice(9, 12))
  return { status, type: '', text }
}

/** What is wrong with an answer, in the words of this test. */
function faultOf({ status, type, text }: Answer, { method, what }: Made): string | undefined {
  if (status < 0) return 'no answer'
  // Two that are about one upload in parts may be in each other's way, and of two in one directory the one that
  // removes it leaves nothing to write into; SDKs try again then.
  const without = text.includes('The directory of the key was removed meanwhile.')
  const inTheWay = status === 503 && (what.includes('Upload') || without) && text.includes('<Code>SlowDown<')
  if (status >= 500 && status !== 501 && !inTheWay) return `a ${status}`
  if (status < 400 && !text.includes('<Error>')) return undefined
  if (method === 'HEAD' || status === 0 || type === '') return undefined
  const code = /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? ''
  if (text.includes('sts.amazonaws.com') || what === 'STS') return code === '' ? 'no code' : undefined
  const [expected] = s3Errors[code as keyof typeof s3Errors] ?? []
  if (expected === undefined) return `the code "${code}"`
  if (status >= 400 && expected !== status) return `${code} with ${status}`
  return status >= 400 && type !== 'application/xml' ? `the type ${type}` : undefined
}

function learn(known: Known, text: string): void {
  const find = (name: string) => new RegExp(`<${name}>([^<]+)</${name}>`).exec(text)?.[1]
  known.uploadId = find('UploadId') ?? known.uploadId
  known.etag = find('ETag')?.replaceAll('&quot;', '"') ?? known.etag
  known.token = find('NextContinuationToken') ?? known.token
}

const callOfAlice: Call = {
  ...{ id: 'fuzz', principal: principalOf('alice'), protocol: 'internal', from: '127.0.0.1' },
  signal: new AbortController().signal,
}

/** As it was in the beginning. */
async function tidy({ storage, lines, audit }: S3World): Promise<void> {
  for (const top of ['/data', '/made/fresh', '/home/alice']) {
    const listed = await storage.list(callOfAlice, parsePath(top)).catch(() => undefined)
    if (!listed) continue
    for await (const page of listed.pages()) {
      for (const { name } of page) {
        await storage.remove(callOfAlice, parsePath(`${top}/${name}`), { recursive: true }).catch(() => {})
      }
    }
  }
  for (const { id } of await storage.parts.uploads(callOfAlice, root, { limit: 1000 })) {
    await storage.parts.abort(callOfAlice, id)
  }
  for (const path of ['/data/a', '/data/d/b']) {
    const writing = await storage.write(callOfAlice, parsePath(path), { createParents: true })
    writing.body.end('hello')
    await writing.commit()
  }
  // What this test is told of each request is not the door's to keep.
  lines.length = 0
  audit.records.length = 0
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

async function fuzz(t: Test, storage: 'memory' | 'posix', rounds: number): Promise<void> {
  const { service } = await macaroonWorld(t)
  const { s3: keys } = service
  if (!keys) throw new Error('no access keys')
  const world = await openS3(t, {
    storage,
    door: { sts: createSts({ identity: service, keys }), origins: ['https://page.example'] },
  })
  const agent = new Agent({ keepAlive: true, maxSockets: abreast })
  t.teardown(() => agent.destroy())
  const dice = new Dice(seed)
  const known: Known = { uploadId: 'none', etag: '"x"', token: 'none' }
  const requests = new Requests(dice, `127.0.0.1:${world.port}`, known)
  const statuses: Record<string, number> = {}
  const understood: Record<string, number> = {}
  const faults: object[] = []
  const one = async () => {
    const made = requests.next()
    const answer = await (dice.below(12) === 0 ? sendBytes(world.port, made, dice) : send(world.port, agent, made))
    statuses[answer.status] = (statuses[answer.status] ?? 0) + 1
    if (answer.status >= 200 && answer.status < 300) understood[made.what] = (understood[made.what] ?? 0) + 1
    const fault = faultOf(answer, made)
    if (fault !== undefined)
      faults.push({ fault, ...made, body: made.body?.toString('latin1'), answer: answer.text.slice(0, 1000) })
    learn(known, answer.text)
  }
  let before = { rss: 0, fds: 0 }
  for (let round = 0; round < rounds && faults.length < 10; round += abreast) {
    if (round % (20 * abreast) === 0) {
      const failed = world.lines.filter((line) => 'text' in line && line.text === 'request failed')
      if (failed.length > 0) faults.push({ fault: 'an error was logged', lines: failed.slice(0, 3) })
      await tidy(world)
    }
    if (round >= rounds / 4 && before.rss === 0) before = { rss: process.memoryUsage().rss, fds: descriptors() }
    await Promise.all(Array.from({ length: abreast }, one))
  }
  const grown = Math.round((process.memoryUsage().rss - before.rss) / 2 ** 20)
  for (const each of faults) t.fail(JSON.stringify(each, undefined, 1).slice(0, 4000))
  t.equal(faults.length, 0, `no answer was wrong: ${JSON.stringify(statuses)}`)
  t.ok((statuses[0] ?? 0) < rounds / 20, 'connections are cut rarely')
  t.ok((statuses[200] ?? 0) > rounds / 20, 'some were understood')
  t.ok(Object.keys(understood).length > Math.min(30, rounds / 100), `of each kind: ${JSON.stringify(understood)}`)
  t.ok(grown < 100 + rounds / 10_000, `memory grew by ${grown} MiB`)
  t.ok(descriptors() < before.fds + 30, `descriptors: ${before.fds}, then ${descriptors()}`)
  await tidy(world)
  t.match(await world.raw({ target: '/data/d/b', as: 'alice' }), { status: 200, text: 'hello' })
}

for (const storage of storages) {
  t.test(`no request makes us fail, on ${storage}`, (t) => fuzz(t, storage, rounds / storages.length))
}
