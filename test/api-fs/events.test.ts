/** What mounts are told of changes. */

import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { right } from '../../acl/acl.ts'
import type { Principal } from '../../acl/principal.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Storage } from '../../gateway/core/storage.ts'
import { ace, aclOf, alice, callOf, everything, identity, looking, person, store } from '../http/door.ts'
import { type FsClient, openFs } from './client.ts'

interface Told {
  readonly path: string
  readonly kind: string
}

/** The stream of a client's session; `next` skips signs of life. */
async function listen(t: Test, client: FsClient) {
  const call = request({
    ...{ host: '127.0.0.1', port: client.port, path: '/.portolan/fs/v1/events', agent: false },
    headers: { authorization: `Bearer ${client.user}`, 'portolan-session': client.session },
  })
  call.end()
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  t.teardown(() => response.destroy())
  response.on('error', () => {})
  const lines = createInterface(response)[Symbol.asyncIterator]()
  const line = async () => (await lines.next()).value as string | undefined
  t.equal(response.headers['content-type'], 'application/x-ndjson')
  t.equal(await line(), '{}', 'it is alive at once')
  return {
    response,
    async next(): Promise<Told | undefined> {
      for (;;) {
        const text = await line()
        if (text === undefined) return undefined
        if (text !== '{}') return JSON.parse(text) as Told
      }
    },
  }
}

t.test('changes are told where the session has looked, and nowhere else', async (t) => {
  const { mount, storage } = await openFs(t)
  const call = callOf(alice)
  for (const name of ['seen', 'unseen']) await storage.mkdir(call, parsePath(`/data/${name}`))
  await store(storage, '/data/seen/a', 'x')
  const client = await mount()
  const stream = await listen(t, client)
  await client.op('list', { path: '/data/seen' })
  await store(storage, '/data/unseen/b', 'x')
  await store(storage, '/data/seen/c', 'x')
  t.same(await stream.next(), { path: '/data/seen/c', kind: 'entry' })
  const { json } = await client.op('open', { path: '/data/seen/a', write: true })
  await client.write(String(json.handle), 0, 'y')
  await client.op('release', { handle: json.handle })
  t.match(await stream.next(), { path: '/data/seen/a' }, 'its own changes too')
})

t.test('whoever may not list a directory is told nothing of it', async (t) => {
  const acl = aclOf(ace('EVERYONE@', looking), ace({ user: 'bob@desy.de' }, everything))
  const { mount, storage } = await openFs(t, { acl })
  const call = callOf(alice)
  await storage.mkdir(call, parsePath('/data/closed'))
  const view = await storage.getAcl(call, parsePath('/data/closed'))
  const bob = await mount('bob')
  await bob.op('stat', { path: '/data/closed/x' })
  const aces = view.acl.aces.filter(
    ({ who }) => typeof who === 'object' && 'user' in who && who.user === 'alice@desy.de',
  )
  await storage.setAcl(call, parsePath('/data/closed'), { ...view.acl, aces })
  const stream = await listen(t, bob)
  await bob.op('stat', { path: '/data/open' })
  await store(storage, '/data/closed/x', 'x')
  await store(storage, '/data/open', 'x')
  t.same(await stream.next(), { path: '/data/open', kind: 'entry' })
})

t.test('whoever may list no more is told no more, although he was a moment ago', async (t) => {
  const acl = aclOf(ace('EVERYONE@', looking), ace({ user: 'bob@desy.de' }, everything))
  const { mount, storage } = await openFs(t, { acl })
  const call = callOf(alice)
  await storage.mkdir(call, parsePath('/data/closed'))
  const bob = await mount('bob')
  for (const path of ['/data', '/data/closed']) await bob.op('list', { path })
  const stream = await listen(t, bob)
  await store(storage, '/data/closed/x', 'x')
  t.same(await stream.next(), { path: '/data/closed/x', kind: 'entry' })
  const view = await storage.getAcl(call, parsePath('/data/closed'))
  const aces = view.acl.aces.filter(
    ({ who }) => typeof who === 'object' && 'user' in who && who.user === 'alice@desy.de',
  )
  await storage.setAcl(call, parsePath('/data/closed'), { ...view.acl, aces })
  t.same(await stream.next(), { path: '/data/closed', kind: 'attributes' })
  await store(storage, '/data/closed/secret', 'x')
  await store(storage, '/data/open', 'x')
  t.same(await stream.next(), { path: '/data/open', kind: 'entry' })
})

t.test('a credential bound to a path is told of nothing beside it', async (t) => {
  const grants = [{ kind: 'read', path: parsePath('/data/open'), directoryOnly: false }] as const
  const bound = { ...identity, authenticate: async () => person('alice', { grants }) }
  const { mount, storage } = await openFs(t, { identity: bound })
  const call = callOf(alice)
  await storage.mkdir(call, parsePath('/data/open'))
  const client = await mount()
  await client.op('list', { path: '/data' })
  await client.op('list', { path: '/data/open' })
  const stream = await listen(t, client)
  await store(storage, '/data/other', 'x')
  await store(storage, '/data/open/a', 'x')
  t.same(await stream.next(), { path: '/data/open/a', kind: 'entry' })
})

t.test('a tree that moves is told to those who looked into it', async (t) => {
  const { mount, storage } = await openFs(t)
  const call = callOf(alice)
  for (const path of ['/data/a', '/data/a/b', '/data/a/b/c']) await storage.mkdir(call, parsePath(path))
  const client = await mount()
  await client.op('list', { path: '/data/a/b/c' })
  const stream = await listen(t, client)
  await storage.rename(call, parsePath('/data/a'), parsePath('/data/z'))
  const told = [await stream.next(), await stream.next()].map((each) => each?.path)
  t.ok(told.includes('/data/a/b/c'), String(told))
})

t.test('a tree that moves is told also where its name may not be listed', async (t) => {
  const acl = aclOf(ace('EVERYONE@', looking))
  const { mount, storage } = await openFs(t, { acl })
  const call = callOf(alice)
  for (const path of ['/data/hidden', '/data/hidden/open', '/data/hidden/open/d'])
    await storage.mkdir(call, parsePath(path))
  const view = await storage.getAcl(call, parsePath('/data/hidden'))
  const passing = ace('EVERYONE@', looking & ~right.readData, 0)
  const own = view.acl.aces.filter(({ who }) => who !== 'EVERYONE@')
  await storage.setAcl(call, parsePath('/data/hidden'), { ...view.acl, aces: [...own, passing] })
  const bob = await mount('bob')
  t.equal((await bob.op('list', { path: '/data/hidden' })).status, 403)
  t.equal((await bob.op('stat', { path: '/data/hidden/open' })).status, 200)
  t.equal((await bob.op('list', { path: '/data/hidden/open' })).status, 200)
  const stream = await listen(t, bob)
  await storage.rename(call, parsePath('/data/hidden/open'), parsePath('/data/hidden/else'))
  t.same(await stream.next(), { path: '/data/hidden/open', kind: 'tree' })
})

t.test('what happens while a directory is listed is told', async (t) => {
  let meanwhile = async () => {}
  const around = (storage: Storage) =>
    new Proxy(storage, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        if (name !== 'list') return value.bind(target)
        return async (...parts: Parameters<Storage['list']>) => {
          const listed = await target.list(...parts)
          await meanwhile()
          return listed
        }
      },
    })
  const { mount, storage } = await openFs(t, { around })
  const client = await mount()
  const stream = await listen(t, client)
  meanwhile = async () => void (await storage.mkdir(callOf(alice), parsePath('/data/new')))
  await client.op('list', { path: '/data' })
  t.same(await stream.next(), { path: '/data/new', kind: 'entry' })
})

t.test('a second stream ends the first one', async (t) => {
  const { mount } = await openFs(t)
  const client = await mount()
  const first = await listen(t, client)
  await listen(t, client)
  t.equal(await first.next(), undefined)
})

t.test('a credential that has had its time hears nothing any more', async (t) => {
  const expiring = {
    ...identity,
    authenticate: async (): Promise<Principal> => person('alice', { expires: Date.now() / 1000 + 1 }),
  }
  const { mount } = await openFs(t, { identity: expiring })
  const client = await mount()
  const stream = await listen(t, client)
  t.equal(await stream.next(), undefined)
})
