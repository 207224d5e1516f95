import t, { type Test } from 'tap'
import { right } from '../../acl/acl.ts'
import { anonymous } from '../../acl/principal.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { aclOf, allow, callBy, deny, everything, grants, look, outcome, person, readAll, user, World } from './world.ts'

const at = parsePath
const closedToo = { closedToo: true }

async function setUp(t: Test): Promise<World> {
  const world = new World()
  t.teardown(() => world.end())
  await world.directory('/data/d', 'alice', allow(user('alice'), everything), allow('EVERYONE@', readAll))
  await world.file('/data/d/open', 'content')
  await world.file('/data/d/closed', 'content', 'alice', allow(user('alice'), everything))
  await world.directory('/data/d/shut', 'alice', allow(user('alice'), everything))
  await world.file('/data/d/shut/below', 'content', 'alice', allow('EVERYONE@', readAll))
  // One may go through, and not look at it.
  await world.directory(
    '/data/d/passage',
    'alice',
    allow('EVERYONE@', right.traverse),
    allow(user('alice'), everything),
  )
  await world.file('/data/d/passage/open', 'content', 'alice', allow('EVERYONE@', readAll))
  world.calls.length = 0
  return world
}

t.test('of an object whose attributes may be seen it is the same as stat', async (t) => {
  const world = await setUp(t)
  for (const path of ['/data/d/open', '/data/d', '/data/d/passage/open', '/data', '/']) {
    const seen = await world.storage.stat(callBy('bob'), at(path), closedToo)
    t.same(seen, await world.storage.stat(callBy('bob'), at(path)), path)
  }
  const own = await world.storage.stat(callBy('alice'), at('/data/d/closed'), closedToo)
  t.equal(own.size, 'content'.length)
  t.ok(own.acl)
})

t.test('of one whose attributes are closed it tells name and type, and nothing else', async (t) => {
  const world = await setUp(t)
  for (const [path, name, type] of [
    ['/data/d/closed', 'closed', 'file'],
    ['/data/d/shut', 'shut', 'directory'],
    ['/data/d/passage', 'passage', 'directory'],
  ] as const) {
    t.equal(await outcome(world.storage.stat(callBy('bob'), at(path))), 'denied', path)
    t.same(
      await world.storage.stat(callBy('bob'), at(path), closedToo),
      { name, type, size: 0, modified: 0n, changed: 0n, version: '', id: '' },
      path,
    )
  }
})

t.test('below a closed directory the answer is the same for what is there and what is not', async (t) => {
  const world = await setUp(t)
  for (const path of ['/data/d/shut/below', '/data/d/shut/none', '/data/d/shut/none/none']) {
    const [glance, stat] = [closedToo, undefined].map((options) =>
      world.storage.stat(callBy('bob'), at(path), options).then(
        () => 'seen',
        (error: Error & { readonly code?: string }) => `${error.code} ${error.message}`,
      ),
    )
    t.match(await glance, /^denied/, path)
    t.equal(await glance, await stat, path)
  }
})

t.test('what is missing is told to whoever may go there', async (t) => {
  const world = await setUp(t)
  for (const path of ['/data/d/none', '/data/d/passage/none', '/data/none/none']) {
    t.equal(await outcome(world.storage.stat(callBy('bob'), at(path), closedToo)), 'not-found', path)
  }
  t.equal(await outcome(world.storage.stat(callBy('bob'), at('/data/d/open/below'), closedToo)), 'not-found')
})

t.test('a list that cannot be read is closed, and not open', async (t) => {
  const world = await setUp(t)
  world.acl('/data/d/open', undefined)
  const entry = await world.storage.stat(callBy('bob'), at('/data/d/open'), closedToo)
  t.same([entry.name, entry.size, entry.version], ['open', 0, ''])
  world.acl('/data/d', undefined)
  t.equal(await outcome(world.storage.stat(callBy('bob'), at('/data/d/open'), closedToo)), 'denied')
})

t.test('what a credential does not reach it does not see by a glance either', async (t) => {
  const world = await setUp(t)
  const elsewhere = person('alice', { grants: grants('read:/data/other') })
  const nothing = person('alice', { grants: grants() })
  const expired = person('alice', { expires: 1 })
  for (const path of ['/data/d/open', '/data/d/closed', '/data/d/none']) {
    t.equal(await outcome(world.storage.stat(callBy(elsewhere), at(path), closedToo)), 'denied', path)
    t.equal(await outcome(world.storage.stat(callBy(nothing), at(path), closedToo)), 'denied', path)
    t.equal(await outcome(world.storage.stat(callBy(expired), at(path), closedToo)), 'unauthenticated', path)
    t.equal(await outcome(world.storage.stat(callBy(anonymous), at(path), closedToo)), 'unauthenticated', path)
  }
  // The bound of the credential opens nothing that the list closes.
  const bounded = person('bob', { grants: grants('read:/data/d') })
  t.equal((await world.storage.stat(callBy(bounded), at('/data/d/closed'), closedToo)).size, 0)
})

t.test('a denial in the list closes the attributes, also where they are allowed later on', async (t) => {
  const world = await setUp(t)
  world.acl('/data/d/open', aclOf('alice', deny(user('bob'), right.readAttributes), allow('EVERYONE@', look)))
  t.equal((await world.storage.stat(callBy('bob'), at('/data/d/open'), closedToo)).version, '')
  t.not((await world.storage.stat(callBy('carol'), at('/data/d/open'), closedToo)).version, '')
})

t.test('it costs one look at the storage, and is one line of the audit log', async (t) => {
  const world = await setUp(t)
  for (const path of ['/data/d/open', '/data/d/closed']) {
    const [calls, lines] = [world.calls.length, world.audit.records.length]
    await world.storage.stat(callBy('bob'), at(path), closedToo)
    t.same(world.calls.slice(calls), ['walk'], path)
    t.equal(world.audit.records.length - lines, 1, path)
  }
})
