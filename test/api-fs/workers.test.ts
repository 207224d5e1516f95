/** Mounts of a gateway with two processes. */

import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { createInterface } from 'node:readline'
import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import { Guarded, openToAll } from '../gateway/tree.ts'

t.setTimeout(120_000)

const gateway = await startTestGateway(t, {
  workers: 2,
  mounts: [
    {
      path: '/data',
      make: (top) => {
        const tree = new Guarded(top)
        tree.directory('', 'alice', openToAll)
        for (const name of ['a', 'locked', 'handed']) tree.file(name, 'alice', 'hello', openToAll)
      },
    },
  ],
})

type Json = Readonly<Record<string, unknown>>

/** One connection that is kept, and so one process. */
class Wire {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  session = ''
  worker = ''

  async open(method: string, what: string, body?: object): Promise<IncomingMessage> {
    const headers = {
      authorization: `Bearer ${await gateway.standingToken('alice')}`,
      ...(this.session && { 'portolan-session': this.session }),
      ...(body && { 'content-type': 'application/json' }),
    }
    const { port } = gateway
    const path = `/.portolan/fs/v1/${what}`
    const call = request({ host: '127.0.0.1', port, method, path, headers, agent: this.#agent })
    call.end(body && JSON.stringify(body))
    const [response] = (await once(call, 'response')) as [IncomingMessage]
    this.worker = String(response.headers['portolan-worker'])
    return response
  }

  async ask(method: string, what: string, body?: object): Promise<{ readonly status: number; readonly json: Json }> {
    const response = await this.open(method, what, body)
    const parts: Buffer[] = []
    for await (const part of response as AsyncIterable<Buffer>) parts.push(part)
    const text = Buffer.concat(parts).toString()
    return { status: response.statusCode ?? 0, json: text.startsWith('{') ? (JSON.parse(text) as Json) : {} }
  }

  async begin(more: object = {}): Promise<Json> {
    const { json } = await this.ask('POST', 'session', { versions: [1], client: 'test', ...more })
    this.session = String(json.session)
    return json
  }

  async op(name: string, members: object): Promise<Json & { readonly status: number }> {
    const { status, json } = await this.ask('POST', `op/${name}`, members)
    return { ...json, status }
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** Two sessions in two processes. */
async function twoMounts(): Promise<readonly [Wire, Wire]> {
  const one = new Wire()
  await one.begin()
  t.teardown(() => one.close())
  for (let attempt = 0; attempt < 50; attempt++) {
    const other = new Wire()
    await other.begin()
    t.teardown(() => other.close())
    if (other.worker !== one.worker) return [one, other]
  }
  throw new Error('all connections came to one process')
}

t.test('a session is known to one process, and the other one says that it is not its own', async (t) => {
  const [one, other] = await twoMounts()
  other.session = one.session
  t.match(await other.op('stat', { path: '/data/a' }), { status: 421, code: 'other-worker' })
  t.match(await one.op('stat', { path: '/data/a' }), { status: 200, size: 5 })
})

t.test('changes made in one process are told by the other within a second', async (t) => {
  const [one, other] = await twoMounts()
  await one.op('list', { path: '/data' })
  // A connection of its own to the same process.
  let stream: IncomingMessage | undefined
  for (let attempt = 0; attempt < 50 && stream?.statusCode !== 200; attempt++) {
    const wire = new Wire()
    wire.session = one.session
    t.teardown(() => wire.close())
    stream = await wire.open('GET', 'events')
    if (stream.statusCode !== 200) stream.resume()
  }
  if (!stream) throw new Error('no stream')
  stream.on('error', () => {})
  const lines = createInterface(stream)[Symbol.asyncIterator]()
  t.equal((await lines.next()).value, '{}')
  await other.op('mkdir', { path: '/data/made', mode: 0o755 })
  const began = performance.now()
  for (;;) {
    const { value, done } = await lines.next()
    if (done) throw new Error('the stream ended')
    const { path, kind } = JSON.parse(String(value)) as Json
    if (path !== '/data/made') continue
    t.equal(kind, 'entry')
    break
  }
  t.ok(performance.now() - began < 1000)
  stream.destroy()
})

t.test('locks meet each other in all processes', async (t) => {
  const [one, other] = await twoMounts()
  const { handle: mine } = await one.op('open', { path: '/data/locked', write: true })
  const { handle: theirs } = await other.op('open', { path: '/data/locked', write: true })
  const lock = { start: 0, end: 10, type: 'exclusive', owner: '1', pid: 17, kind: 'posix' }
  t.same(await one.op('lock', { handle: mine, ...lock }), { status: 200 })
  t.match(await other.op('lock', { handle: theirs, ...lock }), { status: 409, code: 'busy' })
  t.match(await other.op('test-lock', { handle: theirs, ...lock, start: 5, end: null }), {
    lock: { start: 0, end: 10, type: 'exclusive', pid: 17 },
  })
  t.match(await other.op('test-lock', { handle: theirs, ...lock, start: 10, end: null }), { lock: null })
  t.match(await other.op('lock', { handle: theirs, ...lock, kind: 'flock', end: null }), { status: 200 })
  const waiting = other.op('lock', { handle: theirs, ...lock, wait: true })
  const { type: _, ...range } = lock
  t.same(await one.op('unlock', { handle: mine, ...range }), { status: 200 })
  t.same(await waiting, { status: 200 }, 'whoever waited has it')
  t.match(await one.op('lock', { handle: mine, ...lock }), { code: 'busy' })
  await other.ask('DELETE', 'session')
  t.match(
    await one.op('lock', { handle: mine, ...lock, wait: true }),
    { status: 200 },
    'a session takes its locks along',
  )
})

t.test('an exclusive lock takes the right to write', async (t) => {
  const [one] = await twoMounts()
  const { handle } = await one.op('open', { path: '/data/a' })
  const lock = { handle, start: 0, end: null, owner: '1', pid: 17, kind: 'posix' }
  t.match(await one.op('lock', { ...lock, type: 'shared' }), { status: 200 })
  t.match(await one.op('lock', { ...lock, type: 'exclusive' }), { status: 200 }, 'alice may write')
  t.match(await one.op('lock', { ...lock, type: 'exclusive', start: 5, end: 5 }), { status: 400 })
})

t.test('after the gateway was killed a new session takes the locks over', async (t) => {
  const [one] = await twoMounts()
  const lock = { start: 0, end: null, type: 'exclusive', owner: '1', pid: 17, kind: 'posix' }
  const { handle } = await one.op('open', { path: '/data/handed', write: true })
  t.match(await one.op('lock', { handle, ...lock }), { status: 200 })
  const previous = one.session
  await gateway.kill9()
  await gateway.start()
  const again = new Wire()
  t.teardown(() => again.close())
  const { adopted } = await again.begin({ previous })
  const { handle: reopened } = await again.op('open', { path: '/data/handed', write: true })
  const { json } = { json: await again.op('lock', { handle: reopened, ...lock, wait: true }) }
  t.match(json, { status: 200 }, `adopted ${String(adopted)}`)
})

t.test('SIGTERM ends a gateway with mounts at once', async (t) => {
  const one = new Wire()
  t.teardown(() => one.close())
  await one.begin()
  await one.op('open', { path: '/data/a', write: true })
  const began = performance.now()
  await gateway.stop()
  t.ok(performance.now() - began < 8000, 'well before its time limit')
})
