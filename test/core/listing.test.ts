import t, { type Test } from 'tap'
import { right } from '../../acl/acl.ts'
import type { Entry } from '../../backends/backend.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { allow, callBy, deny, everything, grants, outcome, person, readAll, user, World } from './world.ts'

const at = parsePath

async function setUp(t: Test): Promise<World> {
  const world = new World({ '/data': {}, '/data/inner': {}, '/data/deep/er': {}, '/z/other': {} })
  t.teardown(() => world.end())
  await world.directory('/data/d', 'alice', allow('EVERYONE@', readAll))
  for (const name of ['b', 'a', 'é', 'Z', '\u{1f600}', '\uffff']) await world.file(`/data/d/${name}`, name)
  return world
}

async function entriesOf(world: World, who: Parameters<typeof callBy>[0], path: string): Promise<Map<string, Entry>> {
  const listed = await world.storage.list(callBy(who), at(path))
  const entries = new Map<string, Entry>()
  for await (const page of listed.pages()) for (const entry of page) entries.set(entry.name, entry)
  return entries
}

t.test('names come in the order of the back end or by their UTF-8 bytes', async (t) => {
  const world = await setUp(t)
  t.same(await world.names('bob', '/data/d'), ['b', 'a', 'é', 'Z', '\u{1f600}', '\uffff'])
  t.same(await world.names('bob', '/data/d', 'name'), ['Z', 'a', 'b', 'é', '\uffff', '\u{1f600}'])
})

t.test('mount points are merged in and cover what has their name', async (t) => {
  const world = await setUp(t)
  // Below the mount point only the back end itself still sees these.
  const call = callBy('keeper')
  for (const name of ['/inner', '/m']) {
    const pending = await world.memories.get(at('/data'))?.mkdir(at(name), call)
    await pending?.proceed()
  }
  await world.file('/data/inner/x', 'x')
  t.same(await world.names('bob', '/'), ['data', 'z'])
  t.same(await world.names('bob', '/data'), ['deep', 'inner', 'd', 'm'], 'mount points first')
  t.same(await world.names('bob', '/data', 'name'), ['d', 'deep', 'inner', 'm'])
  t.same(await world.names('bob', '/data/deep'), ['er'], 'a directory that no back end has')
  t.same(await world.names('bob', '/z'), ['other'])
  t.same(await world.names('bob', '/data/inner'), ['x'])
  t.equal((await world.storage.stat(callBy('bob'), at('/data/deep'))).type, 'directory')
  t.equal((await world.storage.read(callBy('bob'), at('/data/deep'))).kind, 'directory')
  const entries = await entriesOf(world, 'bob', '/data')
  const inner = await world.storage.stat(callBy('bob'), at('/data/inner'))
  t.equal(entries.get('inner')?.version, inner.version, 'with the attributes of the mounted root')
})

t.test('a mount that hangs or is closed keeps its name in the listing', async (t) => {
  const world = await setUp(t)
  const mount = world.mounts.find(({ at: path }) => path === '/data/inner')
  if (mount) mount.backend.walk = () => new Promise(() => {})
  const started = performance.now()
  t.same(await world.names('bob', '/data'), ['deep', 'inner', 'd'])
  t.ok(performance.now() - started < 2000)
  world.acl('/z/other', { owner: undefined, group: undefined, dialect: 'rfc8881', aces: [] })
  const entries = await entriesOf(world, 'bob', '/z')
  t.match(entries.get('other'), { type: 'directory', version: 'between' })
})

t.test('a path-bound token sees the names that lead to its path and no others', async (t) => {
  const world = await setUp(t)
  await world.directory('/data/d/sub')
  await world.file('/data/d/sub/mine', 'mine', 'keeper', allow('EVERYONE@', readAll))
  await world.file('/data/d/sub/other', 'other', 'keeper', allow('EVERYONE@', readAll))
  const job = person('bob', { grants: grants('read:/data/d/sub/mine', 'create:/z/other/drop') })
  t.same(await world.names(job, '/'), ['data', 'z'])
  t.same(await world.names(job, '/data'), ['d'])
  t.same(await world.names(job, '/data/d'), ['sub'])
  t.same(await world.names(job, '/data/d/sub'), ['mine'])
  t.same(await world.names(job, '/z'), ['other'])
  t.equal((await world.storage.read(callBy(job), at('/data/d'))).kind, 'directory', 'GET of an ancestor')
  t.equal(await outcome(world.storage.read(callBy(job), at('/data/d/a'))), 'denied')
  t.equal(await outcome(world.storage.stat(callBy(job), at('/data/d/a'))), 'denied')
  t.equal(await outcome(world.storage.list(callBy(job), at('/data/inner'))), 'denied')
})

t.test('attributes are shown as far as READ_ATTRIBUTES goes', async (t) => {
  const world = await setUp(t)
  await world.file(
    '/data/d/hidden',
    'hidden',
    'keeper',
    deny(user('bob'), right.readAttributes),
    allow('EVERYONE@', readAll),
  )
  await world.file('/data/d/noacl', 'noacl')
  world.acl('/data/d/noacl', undefined)
  const seen = await entriesOf(world, 'bob', '/data/d')
  t.same(seen.get('hidden'), {
    name: 'hidden',
    type: 'file',
    size: 0,
    modified: 0n,
    changed: 0n,
    version: '',
    id: '',
  })
  t.equal(seen.get('noacl')?.version, '')
  t.equal(seen.get('a')?.size, 1)
  t.equal((await entriesOf(world, 'carol', '/data/d')).get('hidden')?.size, 6)
})

t.test('the decision is made before the promise resolves', async (t) => {
  const world = await setUp(t)
  await world.directory('/data/closed', 'alice', allow(user('alice'), everything))
  await world.directory('/data/blind', 'alice', allow('EVERYONE@', right.traverse))
  for (const [path, answer] of [
    ['/data/closed', 'denied'],
    ['/data/blind', 'denied'],
    ['/data/d/a', 'not-directory'],
    ['/data/none', 'not-found'],
    ['/none', 'not-found'],
    ['/data/d', 'ok'],
  ] as const) {
    t.equal(await outcome(world.storage.list(callBy('bob'), at(path))), answer, path)
  }
  const lines = world.audit.records.filter(({ action, principal }) => action === 'list' && principal === 'bob')
  t.same(
    lines.map(({ outcome }) => outcome),
    ['refused', 'refused', 'failed', 'failed', 'failed', 'ok'],
  )
})

t.test('many entries come in pages, and whoever stops early leaves nothing behind', async (t) => {
  const world = await setUp(t)
  await world.directory('/data/many')
  for (let count = 0; count < 2500; count++) await world.file(`/data/many/${count}`, '')
  const listed = await world.storage.list(callBy('keeper'), at('/data/many'))
  let pages = 0
  for await (const page of listed.pages()) {
    pages++
    t.ok(page.length <= 1000)
    break
  }
  t.equal(pages, 1)
  t.equal((await world.names('keeper', '/data/many', 'name')).length, 2500)
  t.equal(world.storage.limits.inFlight, 0)
})
