import t, { type Test } from 'tap'
import { right } from '../../acl/acl.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { allow, callBy, deny, everything, outcome, readAll, user, World } from './world.ts'

const at = parsePath

async function setUp(t: Test): Promise<World> {
  const world = new World({ '/data': {}, '/data/deep/er': {} })
  t.teardown(() => world.end())
  await world.directory('/data/d', 'alice', allow(user('alice'), everything), allow('EVERYONE@', readAll))
  await world.file('/data/d/x', 'x')
  await world.directory('/data/d/tree')
  await world.directory('/data/d/tree/sub')
  await world.directory('/data/d/tree/sub/subsub')
  for (const name of ['a', 'sub/b', 'sub/subsub/c']) await world.file(`/data/d/tree/${name}`, name)
  world.audit.records.length = 0
  return world
}

t.test('what a removal answers', async (t) => {
  const world = await setUp(t)
  world.link('/data/d/link', '/etc')
  const { version } = await world.storage.stat(callBy('alice'), at('/data/d/x'))
  const cases = [
    ['bob', '/data/d/x', {}, 'denied'],
    ['bob', '/data/d/none', {}, 'not-found'],
    ['alice', '/data/d/none', {}, 'not-found'],
    ['alice', '/data/d/tree', {}, 'not-empty'],
    ['alice', '/data/d/link', {}, 'ok'],
    ['alice', '/data', {}, 'denied'],
    ['alice', '/data/deep', { recursive: true }, 'denied'],
    ['alice', '/', {}, 'read-only'],
    ['alice', '/data/d/x', { conditions: { ifMatch: ['other'] } }, 'precondition'],
    ['alice', '/data/d/x', { type: 'directory' }, 'not-directory'],
    ['bob', '/data/d/x', { type: 'directory' }, 'denied'],
    ['alice', '/data/d/tree/sub/subsub', { type: 'other' }, 'is-directory'],
    ['alice', '/data/d/none', { type: 'other' }, 'not-found'],
    ['alice', '/data/d/x', { conditions: { ifMatch: [version] } }, 'ok'],
    ['alice', '/data/d/x', { conditions: { ifMatch: '*' } }, 'not-found'],
  ] as const
  for (const [who, path, options, answer] of cases) {
    t.equal(await outcome(world.storage.remove(callBy(who), at(path), options)), answer, `${who} ${path}`)
  }
})

t.test('a tree goes with one audit line', async (t) => {
  const world = await setUp(t)
  const { failed } = await world.storage.remove(callBy('alice'), at('/data/d/tree'), { recursive: true })
  t.same(failed, [])
  t.equal(await world.state('/data/d/tree'), 'not-found')
  t.match(
    world.audit.records.filter(({ action }) => action === 'remove'),
    [{ outcome: 'ok', items: 6, path: '/data/d/tree' }],
  )
})

t.test('what may not go stays with its ancestors, and everything else goes', async (t) => {
  const world = await setUp(t)
  // Sub may be deleted, but not what is in it.
  world.acl('/data/d/tree/sub/subsub', {
    owner: 'keeper@x',
    group: undefined,
    dialect: 'rfc8881',
    aces: [allow(user('keeper'), everything), allow(user('alice'), readAll | right.delete)],
  })
  await world.file('/data/d/tree/sub/subsub/kept', 'kept', 'keeper', deny(user('alice'), right.delete))
  const { failed } = await world.storage.remove(callBy('alice'), at('/data/d/tree'), { recursive: true })
  t.same(
    failed.map(({ path }) => path),
    ['/data/d/tree/sub/subsub/kept'],
  )
  t.match(failed, [{ error: { code: 'denied' } }])
  t.equal(await world.state('/data/d/tree/sub/subsub/kept'), 'kept')
  for (const gone of ['a', 'sub/b', 'sub/subsub/c']) t.equal(await world.state(`/data/d/tree/${gone}`), 'not-found')
})

t.test('a directory that may not go keeps what is in it', async (t) => {
  const world = await setUp(t)
  const aces = [allow(user('keeper'), everything), allow(user('alice'), everything & ~right.deleteChild, 0)]
  world.acl('/data/d/tree', { owner: 'keeper@x', group: undefined, dialect: 'rfc8881', aces })
  world.acl('/data/d/tree/sub', {
    owner: 'keeper@x',
    group: undefined,
    dialect: 'rfc8881',
    aces: [allow(user('keeper'), everything), deny(user('alice'), right.delete), allow(user('alice'), everything)],
  })
  const { failed } = await world.storage.remove(callBy('alice'), at('/data/d/tree'), { recursive: true })
  t.same(
    failed.map(({ path }) => path),
    ['/data/d/tree/sub'],
  )
  t.equal(await world.state('/data/d/tree/sub/b'), 'sub/b')
})

t.test('a directory that cannot be listed is named', async (t) => {
  const world = await setUp(t)
  world.acl('/data/d/tree/sub', {
    owner: 'keeper@x',
    group: undefined,
    dialect: 'rfc8881',
    aces: [allow(user('keeper'), everything), allow(user('alice'), everything & ~right.listDirectory)],
  })
  const { failed } = await world.storage.remove(callBy('alice'), at('/data/d/tree'), { recursive: true })
  t.match(failed, [{ path: '/data/d/tree/sub', error: { code: 'denied' } }])
})

t.test('the list of failures is bounded', async (t) => {
  const world = await setUp(t)
  await world.directory('/data/d/many')
  for (let count = 0; count < 1100; count++) {
    await world.file(`/data/d/many/${count}`, '', 'keeper', deny(user('alice'), right.delete))
  }
  const aces = [allow(user('keeper'), everything), allow(user('alice'), readAll)]
  world.acl('/data/d/many', { owner: 'keeper@x', group: undefined, dialect: 'rfc8881', aces })
  const { failed } = await world.storage.remove(callBy('alice'), at('/data/d/many'), { recursive: true })
  t.equal(failed.length, 1000)
})

t.test('an object that changes between look and act is looked at again', async (t) => {
  const world = await setUp(t)
  const [mount] = world.mounts
  const remove = mount?.backend.remove.bind(mount.backend)
  if (!mount || !remove) throw new Error('no mount')
  let looks = 0
  mount.backend.remove = async (path, call) => {
    const pending = await remove(path, call)
    // Another one of the same name comes up after the first look.
    if (looks++ === 0) await world.put('alice', '/data/d/x', 'new')
    return pending
  }
  t.equal(await outcome(world.storage.remove(callBy('alice'), at('/data/d/x'))), 'ok')
  t.equal(looks, 2)
})
