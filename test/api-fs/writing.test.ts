/** What is told along with bytes that were written, and files that are given back together. */

import t from 'tap'
import type { EditableFile } from '../../backends/editing.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { StorageOperations } from '../../gateway/core/storage.ts'
import { type FsClient, openFs } from './client.ts'

async function anew(client: FsClient, path: string): Promise<string> {
  const { json } = await client.op('open', { path, create: { exclusive: true, mode: 0o644 } })
  return String(json.handle)
}

function put(client: FsClient, query: string, body: string, headers: Readonly<Record<string, string>> = {}) {
  return client.send('PUT', `data?${query}`, headers, body)
}

/** Of files that are edited `stat` is another one. */
function statting(stat: (file: EditableFile) => EditableFile['stat']) {
  return (storage: StorageOperations) =>
    new Proxy(storage, {
      get(target, name) {
        if (name !== 'edit') {
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === 'function' ? value.bind(target) : value
        }
        return async (...args: Parameters<typeof storage.edit>) => {
          const file = await storage.edit(...args)
          return Object.assign(file, { stat: stat(file) })
        }
      },
    })
}

t.test('attributes come along with a write that asks for them, as they are after it', async (t) => {
  const { mount } = await openFs(t)
  const client = await mount()
  const handle = await anew(client, '/data/file')
  const first = await put(client, `handle=${handle}&offset=0&attributes=1`, 'hello')
  t.equal(first.status, 200)
  t.equal(first.headers['content-type'], 'application/json')
  t.match(first.headers, { 'portolan-worker': String, 'cache-control': 'no-store' })
  t.match(first.json, { type: 'file', size: 5, mine: true })
  t.same(first.json, (await client.op('fstat', { handle })).json)
  const second = await put(client, `handle=${handle}&offset=0&attributes=1`, 'HELLO')
  t.equal(second.json.size, 5)
  t.not(second.json.version, first.json.version, 'other bytes are another version')
  t.same(second.json, (await client.op('fstat', { handle })).json)
  const plain = await put(client, `handle=${handle}&offset=5`, '!')
  t.equal(plain.status, 204)
  t.equal(plain.body.length, 0)
  const empty = await put(client, `handle=${handle}&offset=0&attributes=1`, '')
  t.equal(empty.json.size, 6)
})

t.test('the question is asked in one way, and of writes', async (t) => {
  const { mount } = await openFs(t)
  const client = await mount()
  const handle = await anew(client, '/data/file')
  for (const value of ['0', 'true', '', '1&attributes=1']) {
    const { json } = await put(client, `handle=${handle}&offset=0&attributes=${value}`, 'x')
    t.match(json, { code: 'invalid' }, value)
  }
  const { json } = await client.send('GET', `data?handle=${handle}&offset=0&length=1&attributes=1`)
  t.match(json, { code: 'invalid' })
  t.equal((await client.op('fstat', { handle })).json.size, 0, 'nothing was written')
})

t.test('bytes are written also where attributes are not to be had', async (t) => {
  const failing = async () => {
    throw new StorageError('unavailable', 'the storage does not answer')
  }
  const { mount } = await openFs(t, { around: statting(() => failing) })
  const client = await mount()
  const handle = await anew(client, '/data/file')
  t.equal((await put(client, `handle=${handle}&offset=0&attributes=1`, 'hello')).status, 204)
  t.equal((await client.op('stat', { path: '/data/file' })).json.size, 5)
})

t.test('what is closed to the caller is closed in the answer to a write as in any other', async (t) => {
  const { mount } = await openFs(t, {
    around: statting((file) => {
      const stat = file.stat.bind(file)
      return async () => ({ ...(await stat()), size: 0, version: '', id: '' })
    }),
  })
  const client = await mount()
  const handle = await anew(client, '/data/file')
  const { json } = await put(client, `handle=${handle}&offset=0&attributes=1`, 'hello')
  t.match(json, { size: 0, version: '', id: 'path /data/file' })
})

t.test('a write that is sent again by its name is answered as before', async (t) => {
  const { mount } = await openFs(t)
  const client = await mount()
  const handle = await anew(client, '/data/file')
  const named = { 'portolan-request': 'write-number-1' }
  const query = `handle=${handle}&offset=0&attributes=1`
  const first = await put(client, query, 'hello', named)
  await put(client, `handle=${handle}&offset=5`, ' world')
  const again = await put(client, query, 'hello', named)
  t.equal(again.status, 200)
  t.same(again.json, first.json)
})

t.test('several files are given back with one request, whether they are open or not', async (t) => {
  const { mount } = await openFs(t, { fs: { limits: { filesPerSession: 3 } } })
  const client = await mount()
  const handles = [await anew(client, '/data/a'), await anew(client, '/data/b'), await anew(client, '/data/c')]
  const [a, b, c] = handles
  t.match((await client.op('open', { path: '/data/a' })).json, { code: 'busy' })
  t.same((await client.op('release', { handles: [a, b, 'none', a] })).json, {})
  for (const handle of [a, b]) t.match((await client.op('fstat', { handle })).json, { code: 'stale' })
  t.equal((await client.op('fstat', { handle: c })).status, 200, 'the others stay')
  t.match((await client.op('open', { path: '/data/a' })).json, { kind: 'read' }, 'there is room again')
  t.same((await client.op('release', { handles: [] })).json, {})
})

t.test('a list of files is read strictly, and nothing is given back by half of one', async (t) => {
  const { mount } = await openFs(t)
  const client = await mount()
  const handle = await anew(client, '/data/a')
  const wrong = [
    { handles: [handle, 7] },
    { handles: [handle, 'x'.repeat(33)] },
    { handles: new Array(257).fill(handle) },
    { handles: handle },
    { handles: null },
    { handles: [handle], handle },
    {},
  ]
  for (const members of wrong) t.match((await client.op('release', members)).json, { code: 'invalid' })
  t.equal((await client.op('fstat', { handle })).status, 200)
  t.same((await client.op('release', { handles: new Array(256).fill(handle) })).json, {})
  t.match((await client.op('fstat', { handle })).json, { code: 'stale' })
})
