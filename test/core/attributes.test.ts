import t, { type Test } from 'tap'
import { right } from '../../acl/acl.ts'
import type { Changes } from '../../backends/backend.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { allow, callBy, everything, grants, outcome, person, readAll, user, World } from './world.ts'

const at = parsePath
const f = at('/data/d/f')

async function setUp(t: Test): Promise<World> {
  const world = new World()
  t.teardown(() => world.end())
  const bits = right.readData | right.writeData | right.traverse | right.readAttributes
  await world.directory('/data/d', 'alice', allow(user('alice'), everything), allow(user('carol'), bits))
  await world.file('/data/d/f', '0123456789')
  world.acl('/data/d/f', {
    owner: 'alice@x',
    group: 'staff@x',
    dialect: 'rfc8881',
    aces: [allow(user('keeper'), everything), allow(user('alice'), everything), allow(user('carol'), bits)],
  })
  return world
}

t.test('each change needs its own right', async (t) => {
  const world = await setUp(t)
  const cases: ReadonlyArray<readonly [who: string, changes: Changes, answer: string]> = [
    ['alice', { modified: 5n }, 'ok'],
    ['carol', { modified: 'now' }, 'ok'],
    ['carol', { modified: 5n }, 'denied'],
    ['carol', { modified: 'now', accessed: 5n }, 'denied'],
    ['carol', { mode: 0o600 }, 'denied'],
    ['bob', { modified: 'now' }, 'denied'],
    ['alice', { owner: 'bob@x' }, 'denied'],
    ['alice', { owner: 'alice@x', group: 'staff@x' }, 'ok'],
    ['alice', { group: 'wheel@x' }, 'denied'],
    ['alice', { mode: 0o4700 }, 'denied'],
    ['alice', { mode: 0o2700 }, 'denied'],
    ['alice', { mode: 0o10000 }, 'invalid'],
    ['alice', { mode: 1.5 }, 'invalid'],
    ['alice', {}, 'invalid'],
    ['alice', { mode: 0o700 }, 'ok'],
  ]
  for (const [who, changes, answer] of cases) {
    const name = `${who} ${Object.entries(changes).join(' ')}`
    t.equal(await outcome(world.storage.setAttributes(callBy(who), f, changes)), answer, name)
  }
  t.equal(await outcome(world.storage.setAttributes(callBy('alice'), at('/data/d/none'), { mode: 0o700 })), 'not-found')
})

t.test('an ACL is shown to whoever may read it and set with a condition', async (t) => {
  const world = await setUp(t)
  t.equal(await outcome(world.storage.getAcl(callBy('carol'), f)), 'denied')
  const { entry, acl } = await world.storage.getAcl(callBy('alice'), f)
  t.equal(acl.owner, 'alice@x')
  t.equal(await outcome(world.storage.setAcl(callBy('carol'), f, acl)), 'denied')
  t.equal(await outcome(world.storage.setAcl(callBy('alice'), f, acl, { ifChanged: 1n })), 'precondition')
  const more = { ...acl, aces: [...acl.aces, allow(user('bob'), readAll)] }
  const set = await world.storage.setAcl(callBy('alice'), f, more, { ifChanged: entry.changed })
  t.equal(set.acl.aces.length, acl.aces.length + 1)
  const long = { ...acl, aces: Array.from({ length: 1025 }, () => allow(user('bob'), 1)) }
  t.equal(await outcome(world.storage.setAcl(callBy('alice'), f, long)), 'too-large')
})

t.test('rights are those of the ACL within the bounds of the credential', async (t) => {
  const world = await setUp(t)
  const own = await world.storage.rights(callBy('carol'), f)
  t.ok(own.actions.includes('read') && own.actions.includes('replace'))
  t.notOk(own.actions.includes('write-acl'))
  t.equal(Number(own.rights) & (right.readData | right.writeData | right.writeAcl), right.readData | right.writeData)
  const job = person('carol', { grants: grants('read:/data/d') })
  const bounded = await world.storage.rights(callBy(job), f)
  t.ok(bounded.actions.includes('read'))
  t.notOk(bounded.actions.includes('replace'))
  t.equal(Number(bounded.rights) & right.writeData, 0)
  t.equal(await outcome(world.storage.rights(callBy('bob'), f)), 'denied')
  t.equal(await outcome(world.storage.rights(callBy('alice'), at('/data/d/none'))), 'not-found')
  t.same((await world.storage.rights(callBy('bob'), at('/'))).actions.includes('list'), true)
})

t.test('properties are kept with the file, within bounds', async (t) => {
  const world = await setUp(t)
  const { storage } = world
  await storage.setProperties(
    callBy('alice'),
    f,
    new Map([
      ['a', '1'],
      ['b', '2'],
    ]),
  )
  await storage.setProperties(callBy('alice'), f, new Map([['a', undefined]]))
  t.same([...(await storage.getProperties(callBy('carol'), f))], [['b', '2']])
  t.equal(await outcome(storage.setProperties(callBy('carol'), f, new Map([['a', '1']]))), 'denied')
  t.equal(await outcome(storage.getProperties(callBy('bob'), f)), 'denied')
  t.equal(await outcome(storage.setProperties(callBy('alice'), f, new Map([['a', 'x'.repeat(70_000)]]))), 'too-large')
  t.equal(await outcome(storage.setProperties(callBy('alice'), f, new Map([['', 'x']]))), 'invalid')
})

t.test('whoever may not read the bytes may not know their digests', async (t) => {
  const world = await setUp(t)
  const { storage } = world
  const computed = await storage.checksum(callBy('carol'), f, ['md5', 'adler32'])
  t.equal(Buffer.from(computed.md5 ?? []).toString('hex'), '781e5e245d69b566979b86e28d23f2c7')
  t.equal(computed.adler32?.length, 4)
  t.equal(await outcome(storage.checksum(callBy('bob'), f, ['md5'])), 'denied')
  t.same(Object.keys(await storage.checksum(callBy('carol'), f, ['sha-256'], { keptOnly: true })), [])
  t.equal(await outcome(storage.checksum(callBy('alice'), at('/data/d'), ['md5'])), 'is-directory')
  const [mount] = world.mounts
  if (mount) Object.defineProperty(mount.backend, 'checksums', { value: undefined })
  const here = await storage.checksum(callBy('carol'), f, ['md5'])
  t.equal(Buffer.from(here.md5 ?? []).toString('hex'), '781e5e245d69b566979b86e28d23f2c7', 'without the facet')
})

t.test('usage is for whoever may look', async (t) => {
  const world = await setUp(t)
  t.equal((await world.storage.usage(callBy('carol'), f)).used, 10)
  t.equal(await outcome(world.storage.usage(callBy('bob'), f)), 'denied')
  t.equal(await outcome(world.storage.usage(callBy('bob'), at('/'))), 'unsupported')
})

t.test('editing in place, with one audit line at its end', async (t) => {
  const world = await setUp(t)
  world.audit.records.length = 0
  const file = await world.storage.edit(callBy('carol'), f)
  await file.write(Buffer.from('ab'), 2)
  await file.sync()
  const into = Buffer.alloc(4)
  t.equal(await file.read(into, 0), 4)
  t.equal(into.toString(), '01ab')
  await file.truncate(3)
  await file.close()
  await file.close()
  t.match(world.audit.records, [{ action: 'edit', outcome: 'ok', bytes: 6 }], 'two written, four read')
  t.equal(world.audit.records.length, 1)
  t.equal(await world.state('/data/d/f'), '01a')
  const job = person('carol', { grants: grants('create:/data/d') })
  t.equal(await outcome(world.storage.edit(callBy(job), f, { truncate: true })), 'denied')
  t.equal(await outcome(world.storage.edit(callBy('bob'), f)), 'denied')
  t.equal(await outcome(world.storage.edit(callBy('alice'), at('/data/d'))), 'is-directory')
  t.equal(await outcome(world.storage.edit(callBy('alice'), at('/data/d/none'))), 'not-found')
})
