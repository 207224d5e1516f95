import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { store } from '../http/door.ts'
import { openFs } from './client.ts'

t.test('a session tells who the caller is and what it may ask for', async (t) => {
  const { mount } = await openFs(t)
  const client = await mount()
  const { status, json } = await client.begin()
  t.equal(status, 201)
  t.match(json, { version: 1, workers: 1, lease: 60, user: 'alice@desy.de', page: 1000 })
  t.match(json.largest, { read: 4194304, write: 1048576 })
})

t.test('a file is looked at, opened and read', async (t) => {
  const { mount, storage } = await openFs(t)
  await store(storage, '/data/a.txt', 'hello world')
  const client = await mount()
  const { json: seen } = await client.op('stat', { path: '/data/a.txt' })
  t.match(seen, { type: 'file', size: 11, mine: true, owner: 'alice@desy.de', version: String, id: String })
  const { json: opened } = await client.op('open', { path: '/data/a.txt' })
  t.match(opened, { kind: 'read', created: false, attributes: seen })
  const all = await client.read(String(opened.handle), 0, 65536)
  t.equal(all.status, 200)
  t.equal(all.body.toString(), 'hello world')
  t.equal((await client.read(String(opened.handle), 6, 3)).body.toString(), 'wor')
  t.equal((await client.read(String(opened.handle), 11, 3)).body.length, 0)
  t.same((await client.op('fstat', { handle: opened.handle })).json, seen)
  t.same((await client.op('release', { handle: opened.handle })).json, {})
  t.same((await client.op('release', { handle: opened.handle })).json, {}, 'twice is as well')
  t.match((await client.read(String(opened.handle), 0, 1)).json, { code: 'stale' })
})

t.test('what a storage tells late of bytes that it took is told when they are committed', async (t) => {
  let full = true
  const late = async () => {
    if (full) throw new StorageError('quota', 'the quota is used up')
  }
  const { mount } = await openFs(t, {
    around: (storage) =>
      new Proxy(storage, {
        get(target, name) {
          if (name === 'edit')
            return async (...args: Parameters<typeof storage.edit>) => {
              return Object.assign(await storage.edit(...args), { flush: late })
            }
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === 'function' ? value.bind(target) : value
        },
      }),
  })
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/late', create: { exclusive: true, mode: 0o644 } })
  t.match(json, { kind: 'edit', flushes: true })
  const handle = String(json.handle)
  t.equal((await client.write(handle, 0, 'text')).status, 204)
  t.match((await client.op('commit', { handle })).json, { code: 'quota' })
  full = false
  t.same((await client.op('commit', { handle })).json, {})
  t.match((await client.op('open', { path: '/data/late' })).json, { kind: 'read', flushes: undefined })
})
