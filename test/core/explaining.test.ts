import t, { type Test } from 'tap'
import type { Action } from '../../acl/needs.ts'
import { anonymous, type Principal } from '../../acl/principal.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Explanation } from '../../gateway/core/storage.ts'
import { allow, callBy, deny, everything, grants, outcome, person, readAll, user, World } from './world.ts'

const at = parsePath

async function setUp(t: Test): Promise<World> {
  const world = new World({ '/data': {}, '/frozen': { readOnly: true } })
  t.teardown(() => world.end())
  await world.directory('/data/d', 'alice', allow(user('alice'), everything), allow('EVERYONE@', readAll))
  await world.file('/data/d/f', 'f', 'alice', deny(user('bob'), readAll & 1), allow('EVERYONE@', readAll))
  await world.directory('/data/closed', 'alice', allow(user('alice'), everything))
  await world.file('/data/closed/f', 'f')
  world.calls.length = 0
  return world
}

/** "credential:true scope:true ..." */
const summary = ({ steps }: Explanation) => steps.map(({ check, allowed }) => `${check}:${allowed}`).join(' ')
const rest = (from: number) =>
  ['credential', 'scope', 'mount', 'traverse', 'acl', 'back end']
    .slice(from)
    .map((check) => `${check}:not reached`)
    .join(' ')

t.test('the steps are those of the checks, in their order', async (t) => {
  const world = await setUp(t)
  const job = person('alice', { grants: grants('read:/data/other') })
  const expired = person('alice', { expires: 1 })
  const cases: ReadonlyArray<readonly [Principal, Action, string, Explanation['allowed'], string]> = [
    [
      person('alice'),
      'read',
      '/data/d/f',
      true,
      'credential:true scope:true mount:true traverse:true acl:true back end:true',
    ],
    [job, 'read', '/data/d/f', false, `credential:true scope:false ${rest(2)}`],
    [anonymous, 'read', '/data/d/f', false, `credential:false ${rest(1)}`],
    [expired, 'read', '/data/d/f', false, `credential:false ${rest(1)}`],
    [person('alice'), 'create', '/frozen/f', false, `credential:true scope:true mount:false ${rest(3)}`],
    [person('bob'), 'read', '/data/closed/f', false, `credential:true scope:true mount:true traverse:false ${rest(4)}`],
    [
      person('bob'),
      'read',
      '/data/d/f',
      false,
      `credential:true scope:true mount:true traverse:true acl:false ${rest(5)}`,
    ],
    [
      person('bob'),
      'read',
      '/data/d/none',
      false,
      'credential:true scope:true mount:true traverse:true acl:true back end:false',
    ],
    [
      person('alice'),
      'create',
      '/data/d/new',
      true,
      'credential:true scope:true mount:true traverse:true acl:true back end:true',
    ],
    [person('bob'), 'list', '/', true, 'credential:true scope:true mount:true traverse:true acl:true back end:true'],
  ]
  for (const [principal, action, path, allowed, steps] of cases) {
    const explanation = await world.storage.explain(callBy(principal), action, at(path))
    const name = `${principal.id} ${action} ${path}`
    t.equal(explanation.allowed, allowed, name)
    t.equal(summary(explanation), steps, name)
  }
})

t.test('it says what the operation itself says', async (t) => {
  const world = await setUp(t)
  for (const who of ['alice', 'bob', 'carol']) {
    for (const path of ['/data/d/f', '/data/closed/f', '/data/d/none', '/data/closed/none']) {
      const { allowed } = await world.storage.explain(callBy(who), 'stat', at(path))
      const got = await outcome(world.storage.stat(callBy(who), at(path)))
      t.equal(got === 'ok', allowed, `${who} ${path} ${got}`)
    }
  }
})

t.test('a refusal by the credential asks no back end', async (t) => {
  const world = await setUp(t)
  const job = person('alice', { grants: grants('read:/data/other') })
  await world.storage.explain(callBy(job), 'read', at('/data/d/f'))
  t.same(world.calls, [])
})

t.test('below the first closed directory it says which one is closed and nothing else', async (t) => {
  const world = await setUp(t)
  const texts = new Set<string>()
  for (const name of ['f', 'none', 'none/deeper']) {
    const { steps } = await world.storage.explain(callBy('bob'), 'read', at(`/data/closed/${name}`))
    const closed = steps.find(({ check }) => check === 'traverse')
    t.match(closed, { allowed: false, reason: { rule: 'traverse', path: '/data/closed' } })
    texts.add(JSON.stringify(steps.slice(3)))
  }
  t.equal(texts.size, 1)
})

t.test('the entry is told only to who may read the ACL', async (t) => {
  const world = await setUp(t)
  const denial = async (call: Parameters<typeof callBy>[0], subject?: Principal) => {
    const { steps } = await world.storage.explain(callBy(call), 'read', at('/data/d/f'), subject)
    return steps.find(({ check }) => check === 'acl')?.reason
  }
  t.match(await denial('bob'), { rule: 'ace', ace: 1, text: /D:.*:bob@x:r/ })
  world.acl('/data/d/f', {
    owner: 'alice@x',
    group: undefined,
    dialect: 'rfc8881',
    aces: [deny(user('bob'), 1), allow('EVERYONE@', 1)],
  })
  const hidden = await denial('bob')
  t.equal(hidden?.ace, undefined)
  t.notMatch(hidden?.text, /bob/)
  const admin = person('admin', { administrator: true })
  t.match(await denial(admin, person('bob')), { ace: 0, text: /D:.*:bob@x:r/ })
})

t.test('asking about somebody else takes an administrator', async (t) => {
  const world = await setUp(t)
  const ask = (who: Principal) => world.storage.explain(callBy(who), 'read', at('/data/d/f'), person('bob'))
  t.equal(await outcome(ask(person('alice'))), 'denied')
  const admin = person('admin', { administrator: true })
  const { principal, allowed } = await ask(admin)
  t.match(principal, { id: 'bob', user: 'bob@x', groups: ['staff@x'] })
  t.equal(allowed, false)
  t.equal(
    await outcome(world.storage.read(callBy(admin), at('/data/closed/f'))),
    'denied',
    'and gives no right on data',
  )
})

t.test('where the back end decides as the caller, that is what is said', async (t) => {
  const world = await setUp(t)
  const [mount] = world.mounts
  if (mount) Object.defineProperty(mount.backend, 'enforces', { value: () => true, configurable: true })
  const explanation = await world.storage.explain(callBy('bob'), 'read', at('/data/d/f'))
  t.equal(explanation.allowed, 'unknown')
  t.match(summary(explanation), /acl:decided elsewhere back end:decided elsewhere$/)
})
