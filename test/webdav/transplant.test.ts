/** COPY, MOVE and DELETE: where to, over what, and what is told of what failed. */

import t from 'tap'
import { right } from '../../acl/acl.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { ace, aclOf, alice, callOf, everything, looking, store } from '../http/door.ts'
import { openDav, propfindFor, responsesOf } from './door.ts'

const to = (destination: string, more: Readonly<Record<string, string>> = {}) => ({ headers: { destination, ...more } })

t.test('files and directories are copied and moved, with their properties', async (t) => {
  const { dav, storage } = await openDav(t)
  await storage.mkdir(callOf(alice), parsePath('/data/d'))
  await store(storage, '/data/d/a', 'abc')
  const property = '<propertyupdate xmlns="DAV:"><set><prop><x xmlns="urn:x">1</x></prop></set></propertyupdate>'
  for (const path of ['/data/d/', '/data/d/a']) await dav('PROPPATCH', path, { body: property })
  const copied = await dav('COPY', '/data/d/', to('/data/e/'))
  t.equal(copied.status, 201)
  t.equal(copied.headers.location, 'http://localhost/data/e')
  t.equal((await dav('GET', '/data/e/a')).text, 'abc')
  const moved = await dav('MOVE', '/data/e', to('/data/f'))
  t.equal(moved.status, 201)
  t.equal((await dav('GET', '/data/e/a')).status, 404)
  const asked = { headers: { depth: '1' }, body: propfindFor('<x xmlns="urn:x"/>') }
  const found = responsesOf(await dav('PROPFIND', '/data/f', asked))
  t.match(found.get('/data/f/')?.get(200), '>1<')
  t.match(found.get('/data/f/a')?.get(200), '>1<')
})

t.test('what is written over by a copy leaves none of its properties', async (t) => {
  const { dav, storage } = await openDav(t)
  const patch = (name: string) =>
    `<propertyupdate xmlns="DAV:"><set><prop><${name} xmlns="urn:x">1</${name}></prop></set></propertyupdate>`
  for (const path of ['/data/a', '/data/b', '/data/c', '/data/bare']) await store(storage, path, path)
  await dav('PROPPATCH', '/data/a', { body: patch('one') })
  for (const path of ['/data/b', '/data/c']) await dav('PROPPATCH', path, { body: patch('two') })
  t.equal((await dav('COPY', '/data/a', to('/data/b'))).status, 204)
  t.equal((await dav('COPY', '/data/bare', to('/data/c'))).status, 204)
  const asked = { headers: { depth: '0' }, body: propfindFor('<one xmlns="urn:x"/>', '<two xmlns="urn:x"/>') }
  const missing = async (path: string) =>
    responsesOf(await dav('PROPFIND', path, asked))
      .get(path)
      ?.get(404)
  t.equal(await missing('/data/b'), '<two xmlns="urn:x"/>')
  t.equal(await missing('/data/c'), '<one xmlns="urn:x"/><two xmlns="urn:x"/>')
})

t.test('a copy of depth 0 is the directory alone', async (t) => {
  const { dav, storage } = await openDav(t)
  await storage.mkdir(callOf(alice), parsePath('/data/d'))
  await store(storage, '/data/d/a', 'abc')
  t.equal((await dav('COPY', '/data/d', to('/data/e', { depth: '0' }))).status, 201)
  t.equal((await dav('GET', '/data/e/a')).status, 404)
  t.equal((await dav('COPY', '/data/d', to('/data/e', { depth: '1' }))).status, 400)
  t.equal((await dav('MOVE', '/data/d', to('/data/e', { depth: '0' }))).status, 400)
})

t.test('DELETE and MOVE take directories as a whole; of files every Depth says the same', async (t) => {
  const { dav, storage } = await openDav(t)
  await storage.mkdir(callOf(alice), parsePath('/data/d'))
  for (const depth of ['0', '1', 'one']) {
    t.equal((await dav('DELETE', '/data/d', { headers: { depth } })).status, 400)
    t.equal((await dav('MOVE', '/data/d', to('/data/e', { depth }))).status, 400)
  }
  await store(storage, '/data/a', 'abc')
  t.equal((await dav('MOVE', '/data/a', to('/data/b', { depth: '0' }))).status, 201)
  t.equal((await dav('DELETE', '/data/b', { headers: { depth: '0' } })).status, 204)
  t.equal((await dav('DELETE', '/data/d', { headers: { depth: 'Infinity' } })).status, 204)
})

t.test('what is at the target gives way as a whole, unless Overwrite is F', async (t) => {
  for (const method of ['COPY', 'MOVE']) {
    const { dav, storage } = await openDav(t)
    const make = async (name: string) => {
      await storage.mkdir(callOf(alice), parsePath(`/data/${name}`))
      await store(storage, `/data/${name}/${name}-1`, name)
    }
    await make('d')
    await make('e')
    await store(storage, '/data/a', 'abc')
    await store(storage, '/data/b', 'b')
    t.equal((await dav(method, '/data/d', to('/data/e', { overwrite: 'F' }))).status, 412)
    t.equal((await dav(method, '/data/a', to('/data/e', { overwrite: 'F' }))).status, 412)
    t.equal((await dav(method, '/data/a', to('/data/b', { overwrite: 'F' }))).status, 412)
    t.equal((await dav(method, '/data/a', to('/data/b', { overwrite: 'maybe' }))).status, 400)
    t.equal((await dav(method, '/data/d', to('/data/e'))).status, 204, 'a directory over a directory')
    t.equal((await dav('GET', '/data/e/e-1')).status, 404, 'nothing is merged')
    t.equal((await dav('GET', '/data/e/d-1')).text, 'd')
    t.equal((await dav(method, '/data/e', to('/data/b'))).status, 204, 'a directory over a file')
    t.equal((await dav('GET', '/data/b/d-1')).text, 'd')
    t.equal((await dav(method, '/data/a', to('/data/b/'))).status, 204, 'a file over a directory')
    t.equal((await dav('GET', '/data/b')).text, 'abc')
  }
})

t.test('a source that may not be read leaves the target alone', async (t) => {
  const { dav, storage } = await openDav(t, { acl: aclOf(ace({ user: 'bob@desy.de' }, everything & ~right.readData)) })
  await storage.mkdir(callOf(alice), parsePath('/data/d'))
  await store(storage, '/data/d/keep', 'keep')
  await store(storage, '/data/a', 'abc')
  t.equal((await dav('COPY', '/data/a', { ...to('/data/d'), as: 'bob' })).status, 403)
  t.equal((await dav('COPY', '/data/none', { ...to('/data/d'), as: 'bob' })).status, 404)
  t.equal((await dav('MOVE', '/data/none', { ...to('/data/d'), as: 'bob' })).status, 404)
  t.equal((await dav('GET', '/data/d/keep')).text, 'keep')
})

t.test('nothing is copied or moved into itself, or over what it lies in', async (t) => {
  const { dav, storage } = await openDav(t)
  await storage.mkdir(callOf(alice), parsePath('/data/d'))
  await storage.mkdir(callOf(alice), parsePath('/data/d/e'))
  await store(storage, '/data/d/e/a', 'abc')
  for (const method of ['COPY', 'MOVE']) {
    for (const [from, target] of [
      ['/data/d', '/data/d'],
      ['/data/d/', '/data/d/x'],
      ['/data/d/e', '/data/d'],
      ['/data/d/e/a', '/data/d'],
      ['/data/d/e/a', '/data'],
    ] as const) {
      t.equal((await dav(method, from, to(target))).status, 403, `${method} ${from} to ${target}`)
    }
    t.equal((await dav(method, '/data/d/e/a', to('/data/none/a'))).status, 409, 'a parent that is missing')
    t.equal((await dav(method, '/data/d/e/a', to('/data/d/e/a/b'))).status, 403)
  }
  t.equal((await dav('GET', '/data/d/e/a')).text, 'abc')
})

t.test('a Destination is ours by its name and port', async (t) => {
  const hosts = { publicUrl: 'https://gw.example', hosts: ['alias.example'] }
  const { dav, storage, port } = await openDav(t, hosts)
  for (const [destination, status] of [
    ['/data/b', 201],
    [`http://127.0.0.1:${port}/data/b`, 204],
    [`http://localhost:${port}/data/b`, 502],
    ['https://gw.example/data/b', 204],
    ['https://gw.example:443/data/b', 204],
    ['http://gw.example/data/b', 204],
    ['https://alias.example/data/b', 204],
    [`https://alias.example:${port}/data/b`, 204],
    ['https://gw.example:8443/data/b', 502],
    [`http://127.0.0.1:${port + 1}/data/b`, 502],
    ['https://other.example/data/b', 502],
    ['https://gw.example.evil/data/b', 502],
    ['https://user:secret@gw.example/data/b', 400],
    ['ftp://gw.example/data/b', 502],
    ['//gw.example/data/b', 400],
    ['data/b', 400],
    ['/data/%2e%2e/b', 400],
    ['/data/b#c', 400],
    ['', 400],
  ] as const) {
    await store(storage, '/data/a', 'abc')
    t.equal((await dav('MOVE', '/data/a', to(destination))).status, status, destination)
  }
  t.equal((await dav('MOVE', '/data/a')).status, 400, 'without one')
})

t.test('members that fail are named, and the rest is copied', async (t) => {
  const { dav, storage } = await openDav(t)
  await storage.mkdir(callOf(alice), parsePath('/data/d'))
  for (const name of ['a', 'b', 'c']) await store(storage, `/data/d/${name}`, name)
  const closed = aclOf(ace('EVERYONE@', right.readData, 0, 'deny'))
  await storage.setAcl(callOf(alice), parsePath('/data/d/b'), { ...closed, aces: closed.aces.toReversed() })
  const answer = await dav('COPY', '/data/d', to('/data/e'))
  t.equal(answer.status, 207)
  t.strictSame(
    [...responsesOf(answer)].map(([href, stats]) => [href, ...stats.keys()]),
    [['/data/d/b', 403]],
  )
  t.equal((await dav('GET', '/data/e/c')).text, 'c')
})

t.test('conditions are about the source', async (t) => {
  const { dav, storage } = await openDav(t)
  await store(storage, '/data/a', 'abc')
  const { etag } = (await dav('HEAD', '/data/a')).headers
  for (const method of ['COPY', 'MOVE']) {
    t.equal((await dav(method, '/data/a', to('/data/b', { 'if-match': '"other"' }))).status, 412)
    t.equal((await dav(method, '/data/a', to('/data/b', { 'if-match': String(etag) }))).status < 300, true)
  }
  await store(storage, '/data/a', 'abc')
  t.equal((await dav('MOVE', '/data/a/', to('/data/c'))).status, 404, 'a file is no directory')
})

t.test('OPTIONS says what there is, and to who may look what makes sense here', async (t) => {
  const { dav, storage } = await openDav(t, { acl: aclOf(ace('EVERYONE@', looking)) })
  await store(storage, '/data/a', 'abc')
  for (const path of ['*', '/', '/data/', '/data/a', '/data/none']) {
    const { status, headers } = await dav('OPTIONS', path)
    t.equal(status, 200, path)
    t.match(headers.dav, /^1, (2, )?3, extended-mkcol, /)
    t.equal(headers['ms-author-via'], 'DAV')
  }
  t.notMatch((await dav('OPTIONS', '/data/')).headers.allow, /PUT|MKCOL/)
  t.notMatch((await dav('OPTIONS', '/data/a')).headers.allow, /MKCOL/)
  t.notMatch((await dav('OPTIONS', '/data/none')).headers.allow, /GET|PROPFIND/)
})
