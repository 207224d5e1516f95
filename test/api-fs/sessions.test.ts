/** Whose a session is, what it refuses, and how it ends. */

import { connect } from 'node:net'
import t from 'tap'
import type { Principal } from '../../acl/principal.ts'
import { defaultMountLimits } from '../../gateway/api/fs/limits.ts'
import { Sessions } from '../../gateway/api/fs/sessions.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Storage, StorageOperations } from '../../gateway/core/storage.ts'
import type { Exchange } from '../../gateway/http/exchange.ts'
import { identity, person, store } from '../http/door.ts'
import { FsClient, openFs } from './client.ts'

t.test('a session and its files are nobody elses', async (t) => {
  const { mount, port, storage } = await openFs(t)
  await store(storage, '/data/a', 'secret of alice')
  const alice = await mount('alice')
  const { json } = await alice.op('open', { path: '/data/a' })
  for (const user of ['bob', 'reader', 'admin', '']) {
    const other = new FsClient(port, user)
    other.session = alice.session
    for (const answer of [
      await other.read(String(json.handle), 0, 10),
      await other.op('stat', { path: '/data/a' }),
      await other.send('DELETE', 'session'),
      await other.send('GET', 'events'),
    ]) {
      t.equal(answer.status, 410, `${user}: ${answer.status}`)
      t.match(answer.json, { code: 'session-over' })
    }
  }
  const mine = await mount('bob')
  t.match((await mine.read(String(json.handle), 0, 10)).json, { code: 'stale' })
  t.equal((await alice.read(String(json.handle), 0, 6)).body.toString(), 'secret')
})

t.test('a credential that failed gets nowhere, whatever it names', async (t) => {
  const { mount, port } = await openFs(t)
  const alice = await mount('alice')
  const other = new FsClient(port, 'expired')
  other.session = alice.session
  t.equal((await other.op('stat', { path: '/data' })).status, 401)
  t.equal((await other.begin()).status, 401)
})

t.test('sessions of other processes are told from those that are over', async (t) => {
  const { mount } = await openFs(t)
  const client = await mount()
  const [worker, secret] = client.session.split('.')
  client.session = `${'A'.repeat(12)}.${secret}`
  const elsewhere = await client.op('stat', { path: '/data' })
  t.equal(elsewhere.status, 421)
  t.match(elsewhere.json, { code: 'other-worker' })
  t.equal(elsewhere.headers['portolan-worker'], worker)
  client.session = `${worker}.${'A'.repeat(32)}`
  t.equal((await client.op('stat', { path: '/data' })).status, 410)
  for (const session of ['x', '', `${worker}.${secret}x`, `${worker}.${secret}, ${worker}.${secret}`, '../../etc']) {
    client.session = session
    t.equal((await client.op('stat', { path: '/data' })).status, 400, session)
  }
})

t.test('a deleted session is over, and its open files with it', async (t) => {
  const { mount, storage } = await openFs(t)
  await store(storage, '/data/a', 'x')
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/a' })
  t.equal((await client.send('DELETE', 'session')).status, 204)
  t.match((await client.read(String(json.handle), 0, 1)).json, { code: 'session-over' })
})

t.test('a session that ends under a request is told as such, not as a file that is gone', async (t) => {
  const { mount, storage, port } = await openFs(t)
  await store(storage, '/data/a', 'x')
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/a' })
  const body = JSON.stringify({ handle: json.handle })
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => void socket.destroy())
  const head = `Host: localhost\r\nAuthorization: Bearer alice\r\nPortolan-Session: ${client.session}\r\nExpect: 100-continue`
  const length = `Content-Type: application/json\r\nContent-Length: ${body.length}`
  socket.write(`POST /.portolan/fs/v1/op/fstat HTTP/1.1\r\n${head}\r\n${length}\r\n\r\n`)
  const next = () => new Promise<string>((resolve) => socket.once('data', (chunk) => resolve(String(chunk))))
  t.match(await next(), /^HTTP\/1\.1 100 /)
  await client.send('DELETE', 'session')
  socket.write(body)
  t.match(await next(), /^HTTP\/1\.1 410 [\s\S]*session-over/)
})

t.test('a session that nobody uses ends with its lease, one with an event stream does not', async (t) => {
  const { mount } = await openFs(t, { fs: { limits: { lease: 0 } } })
  const idle = await mount()
  const listening = await mount()
  const stream = connect(listening.port, '127.0.0.1')
  t.teardown(() => stream.destroy())
  stream.write(
    `GET /.portolan/fs/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alice\r\nPortolan-Session: ${listening.session}\r\n\r\n`,
  )
  for (;;) {
    const { status } = await idle.op('stat', { path: '/data' })
    if (status === 410) break
    await new Promise((resolve) => setTimeout(resolve, 1200))
  }
  t.equal((await listening.op('stat', { path: '/data' })).status, 200)
})

t.test('a ban ends the session with its files', async (t) => {
  const banned = new Set<string>()
  const isRevoked = ({ id }: Principal) => banned.has(id)
  const { mount, storage } = await openFs(t, { fs: { isRevoked } })
  await store(storage, '/data/a', 'x')
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/a' })
  banned.add(person('alice').id)
  for (;;) {
    const { status } = await client.read(String(json.handle), 0, 1)
    if (status === 410) break
    t.equal(status, 200)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.pass('it ended')
})

t.test('sessions and files are bounded', async (t) => {
  const { mount, port, storage } = await openFs(t, { fs: { limits: { sessionsPerPrincipal: 2, filesPerSession: 2 } } })
  await store(storage, '/data/a', 'x')
  const client = await mount()
  await mount()
  const third = new FsClient(port, 'alice')
  const refused = await third.begin()
  t.equal(refused.status, 503)
  t.ok(refused.headers['retry-after'])
  t.equal((await new FsClient(port, 'bob').begin()).status, 201, 'others do not notice')
  const open = () => client.op('open', { path: '/data/a' })
  const { json } = await open()
  t.equal((await open()).status, 200)
  t.match((await open()).json, { code: 'busy' })
  await client.op('release', { handle: json.handle })
  t.equal((await open()).status, 200)
  await client.send('DELETE', 'session')
  t.equal((await third.begin()).status, 201)
})

t.test('a renewed credential goes on with the session, one with other bounds does not', async (t) => {
  let grants: Principal['grants'] = 'unbounded'
  const renewing = {
    ...identity,
    authenticate: async () => person('alice', { grants, expires: Date.now() / 1000 + 3600 }),
  }
  const { mount } = await openFs(t, { identity: renewing })
  const client = await mount()
  t.equal((await client.op('stat', { path: '/data' })).status, 200)
  grants = []
  t.equal((await client.op('stat', { path: '/data' })).status, 410)
})

t.test('a file outlives the credential that it was opened with, as long as another takes its place', async (t) => {
  let expires = Date.now() / 1000 + 1
  const renewing = { ...identity, authenticate: async () => person('alice', { expires }) }
  const calls: Call[] = []
  const around = (inner: Storage) =>
    new Proxy<StorageOperations>(inner, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        return (...args: [Call, ...unknown[]]) => {
          if (name === 'edit') calls.push(args[0])
          return value.apply(target, args)
        }
      },
    })
  const { mount, storage } = await openFs(t, { identity: renewing, around })
  await store(storage, '/data/a', 'hello')
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/a', write: true })
  const handle = String(json.handle)
  while (Date.now() / 1000 <= expires) await new Promise((resolve) => setTimeout(resolve, 100))
  expires += 3600
  t.equal((await client.write(handle, 5, ' again')).status, 204)
  t.equal((await client.read(handle, 0, 20)).body.toString(), 'hello again')
  t.equal((await client.op('fstat', { handle })).status, 200)
  t.equal((await client.op('sync', { handle })).status, 200)
  t.equal(calls[0]?.principal.expires, expires, 'a storage that is shown the credential is shown the new one')
})

t.test('what the process has open when it ends is closed, and clients are told to go elsewhere', async (t) => {
  const { mount, storage, door, audit } = await openFs(t)
  await store(storage, '/data/a', 'x')
  const client = await mount()
  const socket = connect(client.port, '127.0.0.1')
  const head = `Host: localhost\r\nAuthorization: Bearer alice\r\nPortolan-Session: ${client.session}\r\n`
  const ask = (path: string) => socket.write(`GET /.portolan/fs/v1/${path} HTTP/1.1\r\n${head}\r\n`)
  await client.op('open', { path: '/data/a' })
  ask('events')
  await new Promise((resolve) => socket.once('data', resolve))
  const ended = new Promise((resolve) => socket.once('close', resolve))
  await door.close({ deadline: 10_000 })
  await ended
  t.ok(audit.records.some(({ action, path, door }) => action === 'read' && path === '/data/a' && door === 'fuse'))
})

t.test('a body that does not come holds nobody up when the process ends', async (t) => {
  const { mount, storage, door } = await openFs(t)
  await store(storage, '/data/a', 'x')
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/a', write: true })
  const socket = connect(client.port, '127.0.0.1')
  socket.on('error', () => {})
  const line = `PUT /.portolan/fs/v1/data?handle=${json.handle}&offset=0 HTTP/1.1`
  const head = `Host: localhost\r\nAuthorization: Bearer alice\r\nPortolan-Session: ${client.session}\r\nExpect: 100-continue`
  socket.write(`${line}\r\n${head}\r\nContent-Length: 9\r\n\r\n`)
  await new Promise((resolve) => socket.once('data', resolve))
  await door.close({ deadline: 100 })
  t.pass('it ended')
})

t.test('a version that is not spoken here is said so', async (t) => {
  const { port } = await openFs(t)
  const client = new FsClient(port, 'alice')
  for (const [body, code] of [
    [{ versions: [2, 3], client: 'x' }, 'unsupported'],
    [{ versions: [], client: 'x' }, 'unsupported'],
    [{ versions: 1, client: 'x' }, 'invalid'],
    [{ versions: [1] }, 'invalid'],
    [{ versions: [1], client: 'x', more: 1 }, 'invalid'],
  ] as const) {
    t.match((await client.post('session', body)).json, { code, status: 400 }, JSON.stringify(body))
  }
})

t.test('locks that could not be given back at the end are given back later', async (t) => {
  let failures = 2
  const unlocked: string[] = []
  const done = Promise.withResolvers<void>()
  const sessions = new Sessions({
    limits: defaultMountLimits,
    isRevoked: () => false,
    unlock: async (lockName) => {
      if (failures-- > 0) throw new StorageError('busy', 'the state store is busy')
      unlocked.push(lockName)
      done.resolve()
    },
    onLockLoss: () => {},
  })
  t.teardown(() => sessions.close())
  const x = { principal: person('alice'), from: '127.0.0.1' } as Exchange
  const session = sessions.create(x)
  session.hasLocked = true
  await sessions.end(session)
  t.same(unlocked, [])
  const alive = setInterval(() => {}, 1000)
  await done.promise
  clearInterval(alive)
  t.same(unlocked, [session.lockName])
})

t.test('sessions whose locks others may have are over, and no others', async (t) => {
  const losses: (() => void)[] = []
  const sessions = new Sessions({
    limits: defaultMountLimits,
    isRevoked: () => false,
    unlock: async () => {},
    onLockLoss: (lost) => losses.push(lost),
  })
  t.teardown(() => sessions.close())
  const x = { principal: person('alice'), from: '127.0.0.1' } as Exchange
  const [one, two] = [sessions.create(x), sessions.create(x)]
  one.hasLocked = true
  t.equal(losses.length, 1)
  for (const lost of losses) lost()
  t.equal(one.signal.aborted, true)
  t.equal(two.signal.aborted, false)
})
