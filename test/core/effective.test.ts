import t, { type Test } from 'tap'
import { right } from '../../acl/acl.ts'
import { type Action, actions } from '../../acl/needs.ts'
import { anonymous, type Principal } from '../../acl/principal.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { allow, callBy, deny, everything, grants, look, outcome, person, readAll, user, World } from './world.ts'

const at = parsePath

async function setUp(t: Test): Promise<World> {
  const world = new World({ '/data': {}, '/frozen': { readOnly: true }, '/open': { anonymous: true } })
  t.teardown(() => world.end())
  const mine = allow(user('alice'), everything)
  await world.directory('/data/d', 'alice', mine, allow('EVERYONE@', look), allow({ group: 'cms@x' }, right.addFile))
  await world.file(
    '/data/d/f',
    'f',
    'alice',
    mine,
    deny(user('bob'), right.readData),
    allow({ group: 'cms@x' }, readAll),
  )
  await world.directory('/data/closed', 'alice', mine, allow({ group: 'cms@x' }, right.traverse))
  await world.file('/data/closed/f', 'f', 'alice', mine, allow('EVERYONE@', readAll))
  await world.file('/open/f', 'f', 'alice', mine, allow('EVERYONE@', readAll))
  world.calls.length = 0
  return world
}

const cms = (name: string) => person(name, { groups: new Set(['cms@x']) })

t.test('everybody is judged by one look at the object', async (t) => {
  const world = await setUp(t)
  const people: readonly Principal[] = [person('alice'), cms('bob'), cms('carol'), person('dave'), person('keeper')]
  const allowed = async (action: Action, path: string) => {
    world.calls.length = 0
    const seen = await world.storage.effective(callBy('alice'), action, at(path))
    const names = people.filter((one) => seen.judge(one).allowed).map(({ id }) => id)
    t.same(world.calls, ['walk'], 'one look')
    return names
  }
  t.same(await allowed('read', '/data/d/f'), ['alice', 'carol', 'keeper'])
  t.same(await allowed('read', '/data/closed/f'), ['alice', 'bob', 'carol', 'keeper'])
  t.same(await allowed('create', '/data/d/new'), ['alice', 'bob', 'carol', 'keeper'])
  t.same(await allowed('write-acl', '/data/d/f'), ['alice', 'keeper'])
  const seen = await world.storage.effective(callBy('alice'), 'read', at('/data/d/f'))
  t.match(seen, { type: 'file', owner: 'alice@x', group: 'staff@x', exact: true, anonymous: false, groups: ['cms@x'] })
  t.match(seen.judge(cms('bob')), { allowed: false, reason: { rule: 'ace', ace: 2, text: /D:fd:bob@x:r/ } })
  t.match(seen.judge(cms('carol')), { allowed: true, reason: { rule: 'ace', ace: 3 }, entry: { text: /cms@x/ } })
  t.match(seen.judge(person('dave')), { allowed: false, reason: { rule: 'not-granted' } })
  const open = await world.storage.effective(callBy('alice'), 'read', at('/open/f'))
  t.equal(open.anonymous, true)
})

t.test('it says what the operations themselves say', async (t) => {
  const world = await setUp(t)
  for (const path of ['/data/d/f', '/data/closed/f', '/data/d', '/open/f']) {
    for (const action of actions) {
      const { judge } = await world.storage.effective(callBy('keeper'), action, at(path))
      for (const one of [person('alice'), cms('bob'), person('dave')]) {
        const { allowed } = await world.storage.explain(callBy(one), action, at(path))
        t.equal(judge(one).allowed, allowed, `${one.id} ${action} ${path}`)
      }
    }
  }
})

t.test('only administrators and who may read the ACL are told', async (t) => {
  const world = await setUp(t)
  const ask = (who: Principal, path: string) => outcome(world.storage.effective(callBy(who), 'read', at(path)))
  const admin = person('admin', { administrator: true })
  const rows: ReadonlyArray<readonly [Principal, string, string]> = [
    [person('alice'), '/data/d/f', 'ok'],
    [cms('carol'), '/data/d/f', 'ok'],
    [person('dave'), '/data/d/f', 'denied'],
    [person('alice', { grants: grants('read:/data') }), '/data/d/f', 'denied'],
    [person('dave'), '/data/closed/f', 'denied'],
    [cms('dave'), '/data/closed/f', 'ok'],
    [admin, '/data/closed/f', 'ok'],
    [admin, '/data/closed/none', 'not-found'],
    [person('dave'), '/data/closed/none', 'denied'],
    [anonymous, '/open/f', 'unauthenticated'],
    [anonymous, '/data/d/f', 'unauthenticated'],
  ]
  for (const [who, path, expected] of rows) t.equal(await ask(who, path), expected, `${who.id} ${path}`)
  t.match(world.audit.records.at(-1), { action: 'effective', outcome: 'refused' })
})

t.test('a read-only mount, an unseen ACL and a storage that decides itself', async (t) => {
  const world = await setUp(t)
  const frozen = await world.storage.effective(callBy('keeper'), 'create', at('/frozen/new'))
  t.match(frozen.judge(person('keeper')), { allowed: false, reason: { rule: 'read-only' } })
  world.acl('/data/d/f', undefined)
  const admin = person('admin', { administrator: true })
  t.equal(await outcome(world.storage.effective(callBy(admin), 'read', at('/data/d/f'))), 'unsupported')
  const delegated = new World({ '/data': { enforce: 'delegated' } })
  t.teardown(() => delegated.end())
  t.equal(await outcome(delegated.storage.effective(callBy(admin), 'read', at('/data'))), 'unsupported')
})

t.test('what the directory alone decides is told only to who may read its ACL', async (t) => {
  const world = await setUp(t)
  const ask = (who: string, action: Action, path: string) =>
    outcome(world.storage.effective(callBy(who), action, at(path)))
  await world.directory('/data/shared', 'alice', allow(user('alice'), everything), allow('EVERYONE@', right.traverse))
  await world.file('/data/shared/bobs', 'f', 'alice', allow(user('bob'), everything))
  t.equal(await ask('bob', 'read', '/data/shared/bobs'), 'ok')
  for (const action of ['create', 'mkdir', 'move-in-file', 'move-in-directory'] as const) {
    t.equal(await ask('bob', action, '/data/shared/bobs'), 'denied', action)
    t.equal(await ask('alice', action, '/data/shared/new'), 'ok', action)
  }
  const bounded = person('alice', { within: grants('read:/data') })
  t.equal(await outcome(world.storage.effective(callBy(bounded), 'read', at('/data/d/f'))), 'denied')
})
