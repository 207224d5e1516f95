/** Storage that is not written in place, and requests that must not be done twice. */

import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Storage, StorageOperations } from '../../gateway/core/storage.ts'
import { alice, callOf, store } from '../http/door.ts'
import { openFs } from './client.ts'

/** As object stores are. */
function withoutEditing(storage: Storage): StorageOperations {
  const edit = async () => {
    throw new StorageError('unsupported', 'files of this mount cannot be changed in place')
  }
  return new Proxy<StorageOperations>(storage, {
    get: (target, name) => {
      if (name === 'edit') return edit
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

const create = { exclusive: false, mode: 0o644 }

async function contentOf(storage: StorageOperations, path: string): Promise<string> {
  const file = await storage.open(callOf(alice), parsePath(path))
  const into = Buffer.alloc(1000)
  const bytes = await file.read(into, 0)
  await file.close()
  return into.toString('utf8', 0, bytes)
}

t.test('a new file is written in order, and is there after the commit', async (t) => {
  const { mount, storage } = await openFs(t, { around: withoutEditing })
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/new', write: true, create })
  t.match(json, { kind: 'draft', created: true, attributes: { size: 0 } })
  const handle = String(json.handle)
  t.equal((await client.write(handle, 0, 'hello ')).status, 204)
  t.match((await client.write(handle, 3, 'xxx')).json, { code: 'unsupported' })
  t.match((await client.write(handle, 100, 'xxx')).json, { code: 'unsupported' })
  t.match((await client.read(handle, 0, 10)).json, { code: 'unsupported' })
  t.match((await client.op('fstat', { handle })).json, { size: 6 })
  t.equal((await client.write(handle, 6, 'world')).status, 204)
  t.match((await client.op('stat', { path: '/data/new' })).json, { code: 'not-found' }, 'nobody sees it before')
  const { json: committed } = await client.op('commit', { handle })
  t.match(committed, { attributes: { size: 11 } })
  t.same((await client.op('commit', { handle })).json, committed, 'twice is as well')
  t.equal(await contentOf(storage, '/data/new'), 'hello world')
  t.match((await client.write(handle, 11, 'more')).json, { code: 'unsupported' })
  t.match((await client.op('stat', { path: '/data/new' })).json, committed.attributes as object)
})

t.test('a whole rewrite takes the place of what was there, and only with its commit', async (t) => {
  const { mount, storage } = await openFs(t, { around: withoutEditing })
  await store(storage, '/data/a', 'old')
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/a', write: true, truncate: true })
  t.match(json, { kind: 'draft', created: false })
  await client.write(String(json.handle), 0, 'wrong')
  t.equal((await client.op('truncate', { handle: json.handle, size: 0 })).status, 200)
  await client.write(String(json.handle), 0, 'new')
  t.equal(await contentOf(storage, '/data/a'), 'old')
  t.equal((await client.op('sync', { handle: json.handle })).status, 200)
  t.equal(await contentOf(storage, '/data/a'), 'new')
})

t.test('what is not committed leaves no trace', async (t) => {
  const { mount, storage } = await openFs(t, { around: withoutEditing })
  await store(storage, '/data/a', 'old')
  const client = await mount()
  const { json } = await client.op('open', { path: '/data/a', write: true, truncate: true })
  await client.write(String(json.handle), 0, 'new')
  await client.op('release', { handle: json.handle })
  const { json: second } = await client.op('open', { path: '/data/b', write: true, create })
  await client.write(String(second.handle), 0, 'new')
  await client.send('DELETE', 'session')
  t.equal(await contentOf(storage, '/data/a'), 'old')
  await t.rejects(storage.stat(callOf(alice), parsePath('/data/b')), { code: 'not-found' })
})

t.test('what would need writing in place is refused, and says so', async (t) => {
  const { mount, storage } = await openFs(t, { around: withoutEditing })
  await store(storage, '/data/a', 'old')
  const client = await mount()
  const rows: ReadonlyArray<readonly [object, string]> = [
    [{ path: '/data/a', write: true }, 'unsupported'],
    [{ path: '/data/a', write: true, create }, 'unsupported'],
    [{ path: '/data/a', write: true, create: { ...create, exclusive: true } }, 'exists'],
    [{ path: '/data/none', write: true }, 'unsupported'],
    [{ path: '/data/none', write: true, truncate: true }, 'not-found'],
  ]
  for (const [members, code] of rows)
    t.match((await client.op('open', members)).json, { code }, JSON.stringify(members))
  t.match((await client.op('change', { path: '/data/a', size: 2 })).json, { code: 'unsupported' })
  t.match((await client.op('change', { path: '/data/a', size: 0 })).json, { size: 0 })
})

t.test('a request that has a name is done once, whoever asks for its answer again', async (t) => {
  const { mount, storage } = await openFs(t, { around: withoutEditing })
  const client = await mount()
  const named = (name: string) => ({ 'portolan-request': name })
  const made = await client.op('mkdir', { path: '/data/d', mode: 0o755 }, named('request-1'))
  t.equal(made.status, 200)
  const again = await client.op('mkdir', { path: '/data/d', mode: 0o755 }, named('request-1'))
  t.same(again.json, made.json)
  t.match((await client.op('mkdir', { path: '/data/d', mode: 0o755 }, named('request-2'))).json, { code: 'exists' })
  t.match((await client.op('mkdir', { path: '/data/e', mode: 0o755 }, named('request-1'))).json, { code: 'invalid' })
  t.match((await client.op('mkdir', { path: '/data/e', mode: 0o755 }, named('!'))).json, { code: 'invalid' })
  await store(storage, '/data/f', 'x')
  const gone = { path: '/data/f', type: 'file' }
  const both = await Promise.all([1, 2, 3].map(() => client.op('remove', gone, named('request-3'))))
  t.same(
    both.map(({ status }) => status),
    [200, 200, 200],
    'also while it is under way',
  )
  const { json } = await client.op('open', { path: '/data/g', write: true, create }, named('request-4'))
  const { json: same } = await client.op('open', { path: '/data/g', write: true, create }, named('request-4'))
  t.same(same, json, 'the same open file')
  const handle = String(json.handle)
  for (let time = 0; time < 3; time++) {
    t.equal((await client.write(handle, 0, 'once', named('request-5'))).status, 204)
  }
  await client.op('commit', { handle })
  t.equal(await contentOf(storage, '/data/g'), 'once')
  for (let index = 0; index < 64; index++) {
    await client.op('remove', { path: '/data/none', type: 'file' }, named(`filler-${index}`))
  }
  t.match((await client.op('mkdir', { path: '/data/d', mode: 0o755 }, named('request-1'))).json, { code: 'exists' })
})
