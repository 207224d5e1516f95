import t, { type Test } from 'tap'
import { right } from '../../acl/acl.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { allow, callBy, deny, everything, grants, outcome, person, readAll, user, World } from './world.ts'

const at = parsePath

async function setUp(t: Test): Promise<World> {
  const world = new World({ '/data': {}, '/other': {}, '/data/inner': {} })
  t.teardown(() => world.end())
  for (const top of ['/data/d', '/other/d']) {
    await world.directory(top, 'alice', allow(user('alice'), everything), allow('EVERYONE@', readAll))
  }
  await world.file('/data/d/x', 'x')
  await world.file('/data/d/y', 'y')
  world.audit.records.length = 0
  return world
}

type Rename = readonly [who: string, from: string, to: string, overwrite: boolean, answer: string]

t.test('what a rename answers', async (t) => {
  const world = await setUp(t)
  await world.directory('/data/d/sub')
  await world.file('/data/d/sub/f', 'f')
  const cases: readonly Rename[] = [
    ['bob', '/data/d/x', '/data/d/z', true, 'denied'],
    ['bob', '/data/d/none', '/data/d/z', true, 'not-found'],
    ['alice', '/data/d/none', '/data/d/z', true, 'not-found'],
    ['alice', '/data/d/x', '/data/d/y', false, 'exists'],
    ['alice', '/data/d/x', '/data/d/none/z', true, 'no-parent'],
    ['alice', '/data/d/x', '/data/z', true, 'denied'],
    ['alice', '/data/d/x', '/data/d/sub', true, 'is-directory'],
    ['alice', '/data/d/sub', '/data/d/x', true, 'not-directory'],
    ['alice', '/data/d/sub', '/data/d/sub/deeper', true, 'invalid'],
    ['alice', '/data/d/x', '/data/d/x', true, 'ok'],
    ['alice', '/data/d/x', '/data/d/x', false, 'ok'],
    ['alice', '/data/inner', '/data/d/i', true, 'denied'],
    ['alice', '/data/d/x', '/data/inner', true, 'denied'],
    ['alice', '/data/d/x', '/nowhere', true, 'read-only'],
    ['alice', '/data/d/x', '/data/d/y', true, 'ok'],
    ['alice', '/data/d/sub', '/data/d/moved', true, 'ok'],
  ]
  for (const [who, from, to, overwrite, answer] of cases) {
    const got = await outcome(world.storage.rename(callBy(who), at(from), at(to), { overwrite }))
    t.equal(got, answer, `${who} ${from} ${to} ${overwrite}`)
  }
  t.equal(await world.state('/data/d/y'), 'x')
  t.equal(await world.state('/data/d/x'), 'not-found')
  t.equal(await world.state('/data/d/moved/f'), 'f')
})

t.test('replacing by a rename takes the right to delete what is there', async (t) => {
  const world = await setUp(t)
  await world.directory('/data/e', 'keeper', allow(user('alice'), right.traverse | right.addFile, 0))
  await world.file('/data/e/f', 'theirs', 'keeper', deny(user('alice'), right.delete))
  const call = callBy('alice')
  t.equal(await outcome(world.storage.rename(call, at('/data/d/x'), at('/data/e/f'))), 'denied')
  t.equal(await world.state('/data/e/f'), 'theirs')
  t.equal(await outcome(world.storage.rename(call, at('/data/d/x'), at('/data/e/g'))), 'ok')
})

t.test('a token that may only create renames files inside its paths and replaces none', async (t) => {
  const world = await setUp(t)
  await world.directory('/data/d/sub')
  const job = callBy(person('alice', { grants: grants('create:/data/d') }))
  t.equal(await outcome(world.storage.rename(job, at('/data/d/x'), at('/data/d/free'))), 'ok', 'K21')
  t.equal(await outcome(world.storage.rename(job, at('/data/d/free'), at('/data/d/y'))), 'denied', 'K22')
  t.equal(await world.state('/data/d/y'), 'y')
  t.equal(await outcome(world.storage.rename(job, at('/data/d/sub'), at('/data/d/sub2'))), 'denied', 'a directory')
  t.equal(await outcome(world.storage.rename(job, at('/data/d/y'), at('/other/d/y'))), 'denied', 'out of its paths')
})

t.test('over mounts a file is copied, verified and removed', async (t) => {
  const world = await setUp(t)
  const call = callBy('alice')
  await world.storage.setProperties(call, at('/data/d/x'), new Map([['colour', 'red']]))
  const before = await world.storage.stat(call, at('/data/d/x'))
  const moved = await world.storage.rename(call, at('/data/d/x'), at('/other/d/x'))
  t.match(moved, { created: true, entry: { name: 'x', modified: before.modified } })
  t.equal(await world.state('/other/d/x'), 'x')
  t.equal(await world.state('/data/d/x'), 'not-found')
  t.equal((await world.storage.getProperties(call, at('/other/d/x'))).get('colour'), 'red')
  const lines = world.audit.records.filter(({ action }) => action === 'rename')
  t.match(lines, [{ path: '/data/d/x', to: '/other/d/x', outcome: 'ok', bytes: 1 }])
  t.equal(lines.length, 1)
})

t.test('over mounts each right is asked for before a byte moves', async (t) => {
  const world = await setUp(t)
  await world.file('/data/d/kept', 'kept', 'keeper', deny(user('alice'), right.delete), allow('EVERYONE@', readAll))
  world.acl('/data/d', {
    owner: 'keeper@x',
    group: undefined,
    dialect: 'rfc8881',
    aces: [allow(user('keeper'), everything), allow('EVERYONE@', readAll, 0)],
  })
  world.calls.length = 0
  t.equal(await outcome(world.storage.rename(callBy('alice'), at('/data/d/kept'), at('/other/d/kept'))), 'denied')
  t.notOk(world.calls.includes('open'))
  t.equal(await world.state('/other/d/kept'), 'not-found')
})

t.test('over mounts a copy that differs leaves the source alone', async (t) => {
  const world = await setUp(t)
  const other = world.mounts.find(({ at: path }) => path === '/other')
  const open = other?.backend.open.bind(other.backend)
  if (!other || !open) throw new Error('no mount')
  await world.file('/data/d/long', 'long content')
  other.backend.open = async (file, options, call) => {
    const pending = await open(file, options, call)
    const proceed = async () => {
      const opened = await pending.proceed()
      return {
        ...opened,
        stream: (range: { start: number; end: number }) => opened.stream({ ...range, end: range.end - 1 }),
      }
    }
    return { ...pending, proceed }
  }
  const moved = world.storage.rename(callBy('alice'), at('/data/d/long'), at('/other/d/long'))
  t.equal(await outcome(moved), 'bad-checksum')
  t.equal(await world.state('/data/d/long'), 'long content')
})

t.test('over mounts a tree moves whole, and what changed meanwhile stays', async (t) => {
  const world = await setUp(t)
  const call = callBy('alice')
  await world.directory('/data/d/tree')
  await world.directory('/data/d/tree/sub')
  for (const name of ['a', 'b', 'sub/c']) await world.file(`/data/d/tree/${name}`, name)
  t.equal(await outcome(world.storage.rename(call, at('/data/d/tree'), at('/other/d/tree'))), 'ok')
  for (const name of ['a', 'b', 'sub/c']) t.equal(await world.state(`/other/d/tree/${name}`), name)
  t.equal(await world.state('/data/d/tree'), 'not-found')
  const onto = world.storage.rename(call, at('/data/d/y'), at('/other/d/tree'))
  t.equal(await outcome(onto), 'is-directory')

  const other = world.mounts.find(({ at: path }) => path === '/other')
  const remove = world.mounts[0]?.backend.remove.bind(world.mounts[0].backend)
  if (!other || !remove || !world.mounts[0]) throw new Error('no mount')
  await world.directory('/data/d/busy')
  await world.file('/data/d/busy/f', 'first')
  const walk = other.backend.walk.bind(other.backend)
  other.backend.walk = async (path, callOfBackend) => {
    // By now the file is copied, and somebody writes to the original.
    if (path === '/d/busy/f') await world.put('alice', '/data/d/busy/f', 'second')
    return walk(path, callOfBackend)
  }
  t.equal(await outcome(world.storage.rename(call, at('/data/d/busy'), at('/other/d/busy'))), 'precondition')
  t.equal(await world.state('/data/d/busy/f'), 'second')
})

type Copy = readonly [who: string, from: string, to: string, overwrite: boolean, answer: string]

t.test('what a copy answers, within a mount and over mounts', async (t) => {
  const world = await setUp(t)
  await world.directory('/data/d/sub')
  await world.file('/data/d/sub/f', 'f')
  await world.file('/data/d/secret', 'secret', 'keeper', deny('EVERYONE@', right.readData))
  world.acl('/data/d/secret', {
    owner: 'keeper@x',
    group: undefined,
    dialect: 'rfc8881',
    aces: [allow(user('keeper'), everything), allow('EVERYONE@', right.readAttributes)],
  })
  world.link('/data/d/link', 'x')
  const cases: readonly Copy[] = [
    ['alice', '/data/d/x', '/data/d/x2', true, 'ok'],
    ['alice', '/data/d/x', '/data/d/y', false, 'exists'],
    ['alice', '/data/d/x', '/data/d/y', true, 'ok'],
    ['alice', '/data/d/x', '/other/d/x2', true, 'ok'],
    ['alice', '/data/d/x', '/other/d/x2', false, 'exists'],
    ['alice', '/data/d/x', '/other/none/x2', true, 'no-parent'],
    ['alice', '/data/d/secret', '/data/d/s2', true, 'denied'],
    ['alice', '/data/d/secret', '/other/d/s2', true, 'denied'],
    ['bob', '/data/d/x', '/data/d/x3', true, 'denied'],
    ['alice', '/data/d/none', '/data/d/x3', true, 'not-found'],
    ['alice', '/data/d/x', '/data/d/x', true, 'invalid'],
    ['alice', '/data/d/sub', '/data/d/sub/in', true, 'invalid'],
    ['alice', '/data/d/sub', '/data/d/sub2', true, 'is-directory'],
    ['alice', '/data/d/link', '/data/d/link2', true, 'unsupported'],
    ['alice', '/data/d/x', '/data/d/sub', true, 'is-directory'],
  ]
  for (const [who, from, to, overwrite, answer] of cases) {
    const got = await outcome(world.storage.copy(callBy(who), at(from), at(to), { overwrite }))
    t.equal(got, answer, `${who} ${from} ${to} ${overwrite}`)
  }
  t.equal(await world.state('/data/d/y'), 'x')
  t.equal(await world.state('/other/d/x2'), 'x')
})

t.test('trees are copied within a mount and over mounts', async (t) => {
  const world = await setUp(t)
  await world.directory('/data/d/tree')
  await world.directory('/data/d/tree/sub')
  for (const name of ['a', 'sub/c']) await world.file(`/data/d/tree/${name}`, name)
  for (const to of ['/data/d/copy', '/other/d/copy']) {
    const copied = await world.storage.copy(callBy('alice'), at('/data/d/tree'), at(to), { recursive: true })
    t.match(copied, { created: true, entry: { name: 'copy', type: 'directory' } })
    for (const name of ['a', 'sub/c']) t.equal(await world.state(`${to}/${name}`), name)
    const again = { recursive: true, overwrite: false }
    t.equal(await outcome(world.storage.copy(callBy('alice'), at('/data/d/tree'), at(to), again)), 'exists')
  }
})

t.test('a token must cover both ends of a copy', async (t) => {
  const world = await setUp(t)
  const cases = [
    ['K30', ['read:/data/d', 'modify:/data/d'], '/other/d/x', 'denied'],
    ['no read', ['modify:/'], '/data/d/z', 'denied'],
    ['both', ['read:/data/d', 'create:/other/d'], '/other/d/x', 'ok'],
    ['create only', ['read:/data/d', 'create:/other/d'], '/other/d/x', 'denied'],
  ] as const
  for (const [name, scopes, to, answer] of cases) {
    const job = callBy(person('alice', { grants: grants(...scopes) }))
    t.equal(await outcome(world.storage.copy(job, at('/data/d/x'), at(to))), answer, name)
  }
})
