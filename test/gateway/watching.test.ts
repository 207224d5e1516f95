/** Mounts on several processes of one gateway: each hears of the others' changes, and meets their locks. */

import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { startTestGateway } from './harness.ts'
import type { UserName } from './people.ts'
import { gone } from './processes.ts'
import { makeLab } from './tree.ts'

t.setTimeout(180_000)

const gateway = await startTestGateway(t, {
  workers: 2,
  mounts: [{ path: '/lab', make: (top) => void makeLab(top) }],
})

type Json = Readonly<Record<string, unknown>>

/** A session, over one connection that stays at its process. */
class Session {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  readonly #streams: Agent[] = []
  readonly #token: string
  id = ''
  worker = ''

  constructor(t: Test, token: string) {
    this.#token = token
    t.teardown(() => this.end())
  }

  async begin(more: object = {}): Promise<this> {
    const { json } = await this.post('session', { versions: [1], client: 'test/1', ...more })
    this.id = String(json.session)
    this.worker = String(json.worker)
    return this
  }

  async post(what: string, body: object): Promise<{ readonly status: number; readonly json: Json }> {
    const response = await this.#send('POST', what, JSON.stringify(body))
    const status = response.statusCode ?? 0
    return { status, json: JSON.parse(await text(response)) as Json }
  }

  /** Lines of the stream of events, over a connection of its own: others are tried until one is at the process. */
  async events(): Promise<() => Promise<string>> {
    for (;;) {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      this.#streams.push(agent)
      const response = await this.#send('GET', 'events', undefined, agent)
      if (response.statusCode === 200) return linesOf(response)
      response.resume()
    }
  }

  end(): void {
    for (const agent of [this.#agent, ...this.#streams]) agent.destroy()
  }

  async #send(method: string, what: string, body?: string, agent = this.#agent): Promise<IncomingMessage> {
    const headers = {
      authorization: `Bearer ${this.#token}`,
      ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      ...(this.id && { 'portolan-session': this.id }),
    }
    const path = `/.portolan/fs/v1/${what}`
    const call = request({ host: '127.0.0.1', port: gateway.port, method, path, agent, headers })
    // A connection that was on its way to a process that has died is never answered.
    call.setTimeout(25_000, () => call.destroy(new Error('no answer')))
    call.end(body)
    const [response] = (await once(call, 'response')) as [IncomingMessage]
    return response
  }
}

function linesOf(response: IncomingMessage): () => Promise<string> {
  // The test ends it.
  response.on('error', () => {})
  const lines = createInterface(response)
  lines.on('error', () => {})
  const iterator = lines[Symbol.asyncIterator]()
  return async () => String((await iterator.next()).value)
}

/** Two sessions of one person that are at different processes. */
async function sessions(t: Test, user: UserName): Promise<readonly [Session, Session]> {
  const token = await gateway.token(user)
  const one = await new Session(t, token).begin()
  for (;;) {
    const two = await new Session(t, token).begin()
    if (two.worker !== one.worker) return [one, two]
    two.end()
  }
}

t.test('a change made by either process is told to mounts of both, within a second', async (t) => {
  const watchers = await sessions(t, 'alice')
  const streams = [await watchers[0].events(), await watchers[1].events()]
  for (const session of watchers) await session.post('op/list', { path: '/lab/alice' })
  for (const next of streams) await next()
  // All that happened until the processes knew of each other’s watchers may be wrong.
  for (let round = 0; round < 6; round++) {
    const path = `/lab/alice/made-${round}`
    const told = streams.map(async (next) => {
      while (!(await next()).includes(path));
      return performance.now()
    })
    // Connections go round the processes.
    const { status } = await gateway.put(path, 'alice', 'x')
    const done = performance.now()
    t.equal(status, 201)
    for (const at of await Promise.all(told)) t.ok(at - done < 1000, `${Math.round(at - done)} ms`)
  }
})

/** A file that is open for writing, as the kernel's side of a mount would lock it. */
async function lockable(session: Session, path: string) {
  const { json } = await session.post('op/open', { path, write: true })
  const owner = { handle: json.handle, owner: '1', pid: 1, kind: 'posix' }
  return {
    lock: (start: number, wait = false) =>
      session.post('op/lock', { ...owner, start, end: start + 10, type: 'exclusive', ...(wait && { wait }) }),
    unlock: () => session.post('op/unlock', { ...owner, start: 0, end: null }),
  }
}

t.test(
  'a lock of bytes through one process is in the way of the other, and given on when it is released',
  async (t) => {
    await gateway.put('/lab/alice/locked', 'alice', 'x')
    const [one, two] = await sessions(t, 'alice')
    const [a, b] = [await lockable(one, '/lab/alice/locked'), await lockable(two, '/lab/alice/locked')]
    t.equal((await a.lock(0)).status, 200)
    t.equal((await b.lock(5)).status, 409)
    t.equal((await b.lock(20)).status, 200)
    const waiting = b.lock(5, true)
    await a.unlock()
    t.equal((await waiting).status, 200)
  },
)

t.test('locks of a process that dies are adopted by the mount that had them, and kept for nobody else', async (t) => {
  const path = '/lab/alice/adopted'
  await gateway.put(path, 'alice', 'x')
  const [one, other] = await sessions(t, 'alice')
  t.equal((await (await lockable(one, path)).lock(0)).status, 200)
  t.equal((await (await lockable(other, path)).lock(20)).status, 200)
  const dead = gateway.pids().filter((pid) => pid !== gateway.pid)
  for (const pid of dead) process.kill(pid, 'SIGKILL')
  await gone(dead)
  const token = await gateway.token('alice')
  const begun = async (more: object = {}) => {
    for (;;) {
      const session = new Session(t, token)
      try {
        return await session.begin(more)
      } catch {
        // Nobody listens until the first process is replaced.
        session.end()
      }
    }
  }
  const again = await begun({ previous: one.id })
  const stranger = await lockable(await begun(), path)
  t.equal((await stranger.lock(0)).status, 409, 'it has gone on')
  t.equal((await stranger.lock(20, true)).status, 200, 'nobody came back for that one')
  await (await lockable(again, path)).unlock()
  t.equal((await stranger.lock(0)).status, 200)
})
