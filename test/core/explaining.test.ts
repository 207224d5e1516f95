import t, { type Test } from 'tap'
import { type Ace, aceFlag, right } from '../../acl/acl.ts'
import type { Action } from '../../acl/needs.ts'
import { anonymous, type Principal } from '../../acl/principal.ts'
import { Secret } from '../../acl/secret.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Explanation } from '../../gateway/core/storage.ts'
import { aclOf, allow, callBy, deny, everything, grants, look, outcome, person, readAll, user, World } from './world.ts'

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

/** Nobody but alice may read the ACL; bob is denied by an entry that came from the directory above. */
async function setUpMatrix(t: Test): Promise<World> {
  const world = new World({ '/data': {}, '/open': { anonymous: true } })
  t.teardown(() => world.end())
  const auditor = allow(user('auditor'), right.readAcl | look)
  const no = deny(user('bob'), right.readData)
  const everybody = allow('EVERYONE@', look)
  await world.directory('/data/d', 'alice', allow(user('alice'), everything), no, auditor, everybody)
  await world.file('/data/d/f', 'f', 'alice')
  const inherited = (ace: Ace): Ace => ({ ...ace, flags: aceFlag.inherited })
  world.acl('/data/d/f', aclOf('alice', ...[allow(user('alice'), everything), no, auditor, everybody].map(inherited)))
  await world.directory('/data/dark', 'alice', allow(user('alice'), everything), allow(user('bob'), right.traverse, 0))
  await world.file('/data/dark/f', 'f', 'alice')
  await world.file('/open/f', 'f', 'alice', allow('EVERYONE@', readAll))
  world.calls.length = 0
  return world
}

t.test('who asks sees what he may see, step by step', async (t) => {
  const world = await setUpMatrix(t)
  const administrator = person('admin', { administrator: true })
  const bounded = person('alice', { grants: grants('read:/data/d') })
  // Asker, subject, path: is the entry told, where it came from, who the owner is, how many directories, and is the storage asked?
  const table: ReadonlyArray<
    readonly [
      Principal,
      Principal | undefined,
      string,
      entry: boolean,
      from: boolean,
      owner: boolean,
      way: number,
      asked: boolean,
    ]
  > = [
    [person('bob'), undefined, '/data/d/f', false, false, true, 2, true],
    [person('auditor'), undefined, '/data/d/f', false, false, true, 2, true],
    [administrator, person('bob'), '/data/d/f', true, true, true, 2, true],
    [administrator, person('auditor'), '/data/d/f', false, false, true, 2, true],
    [bounded, undefined, '/data/d/f', true, true, false, 2, true],
    [person('bob', { grants: grants('read:/data/d') }), undefined, '/data/d/f', false, false, true, 2, true],
    [person('bob', { grants: grants('read:/data/other') }), undefined, '/data/d/f', false, false, false, 0, false],
    [person('carol'), undefined, '/data/dark/f', false, false, false, 2, true],
    [administrator, person('carol'), '/data/dark/f', false, false, true, 2, true],
    [person('bob'), undefined, '/data/dark/f', false, false, false, 2, true],
    [anonymous, undefined, '/data/d/f', false, false, false, 0, false],
    [anonymous, undefined, '/open/f', false, false, false, 0, false],
  ]
  for (const [asker, subject, path, entry, from, owner, way, asked] of table) {
    world.calls.length = 0
    const told = await world.storage.explain(callBy(asker), 'read', at(path), subject)
    const name = `${asker.id} about ${subject?.id ?? 'himself'} at ${path}`
    const text = JSON.stringify(told)
    const acl = told.steps.find(({ check }) => check === 'acl')
    t.equal(acl?.entry !== undefined, entry, `${name}: the entry`)
    t.equal(acl?.reason.ace !== undefined, entry, `${name}: its index`)
    const mayRead = asker.administrator === true || ['alice', 'auditor'].includes(asker.id)
    // The top shows its ACL to everybody.
    const hidden = text.replaceAll('A::EVERYONE@:rxtnc', '')
    if (!mayRead) t.notMatch(hidden, /[AD]:\w*:\S+:[a-zA-Z]+/, `${name}: no entry anywhere`)
    t.equal(acl?.entry?.from !== undefined, from, `${name}: where it came from`)
    t.equal(told.advice?.includes('alice@x') ?? false, owner, `${name}: the owner (${told.advice})`)
    const directories = told.steps.find(({ check }) => check === 'traverse')?.directories ?? []
    t.equal(directories.length, way, `${name}: the way`)
    t.equal(world.calls.length > 0, asked, `${name}: the storage was ${asked ? '' : 'not '}asked`)
  }
})

t.test('an inherited entry is told with the directory it came from', async (t) => {
  const world = await setUpMatrix(t)
  const administrator = person('admin', { administrator: true })
  const { steps } = await world.storage.explain(callBy(administrator), 'read', at('/data/d/f'), person('bob'))
  t.match(
    steps.find(({ check }) => check === 'acl'),
    {
      allowed: false,
      entry: { path: '/data/d/f', index: 2, text: 'D:I:bob@x:r', inherited: true, from: '/data/d' },
      reason: { text: /D:I:bob@x:r, inherited from \/data\/d$/ },
    },
  )
})

t.test('for callers without a credential nobody is asked, whatever the path', async (t) => {
  const world = await setUpMatrix(t)
  for (const path of ['/open', '/open/f', '/open/none', '/data/d/f', '/']) {
    const told = await world.storage.explain(callBy(anonymous), 'read', at(path))
    t.equal(told.allowed, path.startsWith('/open') || path === '/' ? 'unknown' : false, path)
    t.match(told.advice, /credential/, path)
  }
  t.same(world.calls, [])
})

t.test('the directories on the way are told up to the first closed one', async (t) => {
  const world = await setUp(t)
  await world.directory('/data/closed/inner')
  const { steps } = await world.storage.explain(callBy('bob'), 'read', at('/data/closed/inner/deep/f'))
  const traverse = steps.find(({ check }) => check === 'traverse')
  t.same(
    traverse?.directories?.map(({ path, allowed }) => [path, allowed]),
    [
      ['/data', true],
      ['/data/closed', false],
    ],
  )
  const own = await world.storage.explain(callBy('alice'), 'read', at('/data/d/f'))
  const way = own.steps.find(({ check }) => check === 'traverse')?.directories
  t.same(
    way?.map(({ path, allowed }) => [path, allowed]),
    [
      ['/data', true],
      ['/data/d', true],
    ],
  )
  t.match(way?.[1], { entry: { path: '/data/d', text: /A:fd:/ } }, 'with the entry, for who may read the ACL')
})

t.test('a sentence says what can be done', async (t) => {
  const world = await setUp(t)
  const token = person('alice', { grants: grants('read:/data/other') })
  const link = person('alice', { grants: grants('read:/data/other'), macaroon: new Secret('m') })
  const rows: ReadonlyArray<readonly [Principal, Action, string, RegExp | undefined]> = [
    [person('alice'), 'read', '/data/d/f', undefined],
    [person('bob'), 'read', '/data/d/f', /^Ask alice@x, the owner of \/data\/d\/f, for read access\.$/],
    [person('bob'), 'remove', '/data/d/f', /^Ask alice@x.*the right to delete it/],
    [person('bob'), 'create', '/data/d/new', /^Ask alice@x, the owner of \/data\/d, for the right to add files there/],
    [person('bob'), 'read', '/data/closed/f', /^Ask whoever manages \/data\/closed for the right to pass/],
    [person('bob'), 'read', '/data/d/none', /spelling/],
    [token, 'read', '/data/d/f', /^The token lacks storage\.read:\/data\/d\/f, /],
    [token, 'create', '/data/d/f', /lacks storage\.create:\/data\/d\/f \(or storage\.modify:/],
    [token, 'write-acl', '/data/other/f', /No token with storage scopes/],
    [link, 'read', '/data/d/f', /too narrow/],
    [person('alice', { expires: 1 }), 'read', '/data/d/f', /expired/],
    [person('alice'), 'create', '/frozen/f', /somewhere else/],
    [anonymous, 'read', '/data/d/f', /Sign in/],
  ]
  for (const [principal, action, path, expected] of rows) {
    const { advice } = await world.storage.explain(callBy(principal), action, at(path))
    const name = `${principal.id} ${action} ${path}: ${advice}`
    if (expected === undefined) t.equal(advice, undefined, name)
    else t.match(advice, expected, name)
  }
  t.same((await world.storage.explain(callBy(link), 'read', at('/data/d/f'))).principal.groups, [], 'of its maker')
  const admin = person('admin', { administrator: true })
  const about = await world.storage.explain(callBy(admin), 'read', at('/data/d/f'), person('bob'))
  t.equal(about.advice, 'alice@x, the owner of /data/d/f, can give read access.')
  world.acl('/data/d/f', aclOf('alice', deny(user('alice'), 1)))
  const mine = await world.storage.explain(callBy('alice'), 'read', at('/data/d/f'))
  t.equal(mine.allowed, false)
})

t.test('hostile names come through as they are and are nobody elses', async (t) => {
  const world = await setUp(t)
  const names = ['a: A::EVERYONE@:rwx', '\u001b[31mred', '<script>', 'x\u202ey', '"', '; rm -rf ~']
  for (const name of names) {
    await world.file(`/data/d/${name}`, 'x')
    const told = await world.storage.explain(callBy('bob'), 'write-acl', at(`/data/d/${name}`))
    t.equal(told.path, `/data/d/${name}`)
    t.equal(told.allowed, false)
  }
})

t.test('the bytes of a link are nobodys, and the scope that covers a path is named', async (t) => {
  const world = await setUp(t)
  world.link('/data/d/link', '/data/d/f')
  for (const action of ['read', 'replace', 'stat'] as const) {
    const told = await world.storage.explain(callBy('keeper'), action, at('/data/d/link'))
    t.equal(told.allowed, action === 'stat', action)
    if (action !== 'stat') t.match(told, { advice: /the path that the link leads to/ })
  }
  t.equal(await outcome(world.storage.read(callBy('keeper'), at('/data/d/link'))), 'denied')
  const job = person('alice', { grants: grants('create:/data', 'read:/data/d/') })
  const { steps } = await world.storage.explain(callBy(job), 'read', at('/data/d/f'))
  t.match(steps[1], { check: 'scope', allowed: true, reason: { text: 'read:/data/d/ covers the path' } })
})

t.test('a link below a closed directory is not told of, wherever it leads', async (t) => {
  const world = new World({ '/data': {}, '/data/d/m': {} })
  t.teardown(() => world.end())
  await world.directory('/data/closed', 'alice', allow(user('alice'), everything))
  await world.file('/data/closed/f', 'f')
  world.link('/data/closed/link', '/data/d')
  const told = async (path: string) => {
    const { steps, advice } = await world.storage.explain(callBy('bob'), 'read', at(path))
    return JSON.stringify([steps.slice(3), advice?.replace(path, 'PATH')])
  }
  const usual = await told('/data/closed/none/x')
  t.equal(await told('/data/closed/link/x'), usual, 'one that the storage does not follow')
  const [mount] = world.mounts
  const backend = mount?.backend
  if (backend === undefined) throw new Error('no mount')
  const walk = backend.walk.bind(backend)
  let target = ''
  const follow: typeof walk = async (path, task) => {
    if (!path.startsWith('/closed/link/')) return walk(path, task)
    const closed = await walk(parsePath(path.replace(/link.*/, 'f')), task)
    return { ...closed, resolved: at(target), parentExists: true }
  }
  backend.walk = follow
  for (const [resolved, text] of [
    ['/d/m/x', 'one that leads away'],
    ['/closed/x', 'one that leads further in'],
  ] as const) {
    target = resolved
    t.equal(await told('/data/closed/link/x'), usual, text)
  }
  target = '/d/m/x'
  const mine = await world.storage.explain(callBy('alice'), 'read', at('/data/closed/link/x'))
  t.match(mine.steps[3], { check: 'traverse', allowed: false }, 'who may pass is told')
})

t.test('directories behind a link are not taken for those of the path', async (t) => {
  const world = await setUp(t)
  const backend = world.mounts[0]?.backend
  if (backend === undefined) throw new Error('no mount')
  const walk = backend.walk.bind(backend)
  backend.walk = async (path, task) => {
    if (!path.includes('/link/')) return walk(path, task)
    const real = path.replace(/\/d\/link\//, '/closed/a/')
    const way = await walk(parsePath(real), task)
    const [top, closed] = way.ancestors.slice(-2)
    if (top === undefined || closed === undefined) throw new Error('no way')
    const a = { ...closed, name: 'a', acl: aclOf('carol', allow('EVERYONE@', everything)) }
    return { ancestors: [top, closed, a], parentExists: true, entry: a, resolved: parsePath(real) }
  }
  const told = await world.storage.explain(callBy('bob'), 'read', at('/data/d/link/f'))
  const way = told.steps.find(({ check }) => check === 'traverse')
  t.match(way, { allowed: false, reason: { rule: 'traverse' } })
  t.equal(way?.reason.path, undefined)
  t.equal(way?.reason.ace, undefined)
  t.notMatch(told.advice, /carol/, 'nor is the owner of what lies behind told')
})

t.test('a credential for other addresses asks no storage', async (t) => {
  const world = await setUp(t)
  const elsewhere = person('alice', { addresses: { networks: [['192.0.2.0/24']], includes: () => false } })
  const told = await world.storage.explain(callBy(elsewhere), 'read', at('/data/d/f'))
  t.equal(told.allowed, false)
  t.match(told.steps[0], { check: 'credential', allowed: false, reason: { rule: 'address' } })
  t.match(told.advice, /address/)
  t.same(world.calls, [])
})

t.test('what holds a mount point stays where it is, as the operation says', async (t) => {
  const world = new World({ '/data': {}, '/data/d/m': {} })
  t.teardown(() => world.end())
  await world.directory('/data/d', 'alice', allow('EVERYONE@', everything))
  for (const path of ['/data/d', '/data/d/m', '/data']) {
    for (const action of ['remove', 'move-away'] as const) {
      const told = await world.storage.explain(callBy('alice'), action, at(path))
      t.equal(told.allowed, false, `${action} ${path}`)
      t.match(told.steps[2], { check: 'mount', allowed: false, reason: { rule: 'mount-point' } })
    }
    t.equal(await outcome(world.storage.remove(callBy('alice'), at(path), { recursive: true })), 'denied')
  }
})

t.test('whoever was handed a macaroon owns nothing by it', async (t) => {
  const world = await setUp(t)
  await world.file('/data/d/mine', 'f', 'alice', allow(user('alice'), look))
  const holder = person('alice', { macaroon: new Secret('m'), grants: grants('read:/data/d') })
  const { advice } = await world.storage.explain(callBy(holder), 'read', at('/data/d/mine'))
  t.notMatch(advice, /You own/)
  t.match((await world.storage.explain(callBy('alice'), 'read', at('/data/d/mine'))).advice, /You own/)
})
