import t, { type Test } from 'tap'
import { right } from '../../acl/acl.ts'
import { anonymous } from '../../acl/principal.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Conditions } from '../../gateway/core/storage.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { allow, callBy, deny, everything, grants, outcome, person, readAll, user, World } from './world.ts'

const at = parsePath

async function setUp(t: Test): Promise<World> {
  const world = new World()
  t.teardown(() => world.end())
  await world.directory('/data/open', 'alice', allow('EVERYONE@', readAll), allow(user('alice'), everything))
  await world.file('/data/open/file', '0123456789')
  await world.directory('/data/closed', 'alice', allow(user('alice'), everything))
  await world.file('/data/closed/file', 'secret')
  world.calls.length = 0
  world.audit.records.length = 0
  return world
}

t.test('a read costs one call to the back end and one audit line with its bytes', async (t) => {
  const world = await setUp(t)
  const reading = await world.storage.read(callBy('bob'), at('/data/open/file'))
  t.equal(reading.kind, 'bytes')
  if (reading.kind !== 'bytes') return
  t.equal(Buffer.from(reading.content ?? []).toString(), '0123456789')
  t.equal(world.audit.records.length, 0, 'the line waits for the end of the transfer')
  await reading.close({ bytes: 10 })
  await reading.close({ bytes: 10 })
  t.same(world.calls, ['open'])
  t.match(world.audit.records, [
    { action: 'read', path: '/data/open/file', outcome: 'ok', bytes: 10, principal: 'bob' },
  ])
  t.equal(world.audit.records.length, 1)
})

t.test('a refusal by the credential costs the back end nothing', async (t) => {
  const world = await setUp(t)
  const job = person('alice', { grants: grants('read:/data/other') })
  t.equal(await outcome(world.storage.read(callBy(job), at('/data/open/file'))), 'denied')
  t.same(world.calls, [])
  t.match(world.audit.records, [{ outcome: 'refused', code: 'denied', reason: { rule: 'scope' } }])
})

t.test('whoever may not look gets the same answer for what is there and what is not', async (t) => {
  const world = await setUp(t)
  const errors: unknown[] = []
  for (const path of ['/data/closed/file', '/data/closed/none', '/data/closed/none/deeper']) {
    for (const operation of ['stat', 'read', 'list', 'getAcl', 'rights', 'mkdir', 'write', 'remove'] as const) {
      try {
        await world.storage[operation](callBy('bob'), at(path))
        t.fail(`${operation} ${path} was allowed`)
      } catch (thrown) {
        const error = StorageError.from(thrown)
        errors.push({ code: error.code, message: error.message, retryAfter: error.retryAfter })
      }
    }
  }
  t.equal(new Set(errors.map((error) => JSON.stringify(error))).size, 1)
  t.match(errors[0], { code: 'denied' })
})

t.test('the reason is in the audit line and not in the error', async (t) => {
  const world = await setUp(t)
  const error = await world.storage.read(callBy('bob'), at('/data/closed/file')).catch((thrown) => thrown)
  t.equal(JSON.stringify(error).includes('traverse'), false)
  t.match(world.audit.records, [{ code: 'denied', reason: { rule: 'traverse', path: '/data/closed' } }])
})

t.test('what is answered, by what is there', async (t) => {
  const world = await setUp(t)
  world.link('/data/open/link', '/etc/passwd')
  await world.file('/data/open/noacl')
  world.acl('/data/open/noacl', undefined)
  const cases: ReadonlyArray<readonly [operation: 'stat' | 'read', path: string, answer: string]> = [
    ['read', '/data/open/file', 'bytes'],
    ['read', '/data/open', 'directory'],
    ['read', '/data/open/none', 'not-found'],
    ['read', '/data/open/file/below', 'not-found'],
    ['read', '/data/open/link', 'denied'],
    ['read', '/data/open/noacl', 'denied'],
    ['read', '/nowhere', 'not-found'],
    ['read', '/', 'directory'],
    ['stat', '/data/open/link', 'symlink'],
    ['stat', '/data/open/file', 'file'],
    ['stat', '/data', 'directory'],
    ['stat', '/', 'directory'],
    ['stat', '/data/open/noacl', 'denied'],
  ]
  for (const [operation, path, answer] of cases) {
    let got: string
    try {
      const result = await world.storage[operation](callBy('bob'), at(path))
      got = 'kind' in result ? result.kind : result.type
      if ('kind' in result && result.kind === 'bytes') await result.close()
    } catch (error) {
      got = StorageError.from(error).code
    }
    t.equal(got, answer, `${operation} ${path}`)
  }
  t.equal((await world.storage.stat(callBy('bob'), at('/data'))).name, 'data', 'a mount root goes by its mount point')
})

t.test('a directory shows its attributes only to whom stat would', async (t) => {
  const world = await setUp(t)
  const list = right.listDirectory | right.traverse
  await world.directory('/data/d', 'keeper', allow(user('bob'), list), allow(user('carol'), readAll))
  const reading = async (principal: Parameters<typeof callBy>[0]) => {
    const read = await world.storage.read(callBy(principal), at('/data/d'), { headOnly: true })
    return { kind: read.kind, entry: read.entry }
  }
  const closed = { name: 'd', type: 'directory', size: 0, modified: 0n, changed: 0n, version: '', id: '' }
  t.equal(await outcome(world.storage.stat(callBy('bob'), at('/data/d'))), 'denied')
  t.same(await reading('bob'), { kind: 'directory', entry: closed })
  const job = person('bob', { grants: grants('read:/data/d/below') })
  t.same(await reading(job), { kind: 'directory', entry: closed }, 'nor by a token for something below')
  t.same(await reading('carol'), {
    kind: 'directory',
    entry: await world.storage.stat(callBy('carol'), at('/data/d')),
  })
})

t.test('conditions of a read', async (t) => {
  const world = await setUp(t)
  const entry = await world.storage.stat(callBy('bob'), at('/data/open/file'))
  const cases: ReadonlyArray<readonly [Conditions, string]> = [
    [{ ifMatch: [entry.version] }, 'bytes'],
    [{ ifMatch: ['other'] }, 'precondition'],
    [{ ifNoneMatch: [entry.version] }, 'unmodified'],
    [{ ifNoneMatch: ['other'] }, 'bytes'],
    [{ ifModifiedSince: Number(entry.modified / 1_000_000_000n) }, 'unmodified'],
  ]
  for (const [conditions, answer] of cases) {
    const got = await world.storage.read(callBy('bob'), at('/data/open/file'), { conditions }).then(
      (reading) => reading.kind,
      (error) => StorageError.from(error).code,
    )
    t.equal(got, answer, JSON.stringify(conditions))
  }
  const missing = world.storage.read(callBy('bob'), at('/data/open/none'), { conditions: { ifMatch: '*' } })
  t.equal(await outcome(missing), 'not-found', 'existence comes before preconditions')
  const closed = world.storage.read(callBy('bob'), at('/data/closed/file'), { conditions: { ifMatch: ['x'] } })
  t.equal(await outcome(closed), 'denied', 'rights come first')
})

t.test('ranges see the entry, and several are read one after the other', async (t) => {
  const world = await setUp(t)
  const reading = await world.storage.read(callBy('bob'), at('/data/open/file'), {
    ranges: ({ size }) => [
      { start: 0, end: 2 },
      { start: size - 3, end: size },
    ],
  })
  if (reading.kind !== 'bytes') throw new Error(reading.kind)
  const got: string[] = []
  for (const range of reading.ranges ?? []) got.push(Buffer.concat(await reading.stream(range).toArray()).toString())
  t.same(got, ['01', '789'])
  await reading.close({ bytes: 5 })
  const bad = world.storage.read(callBy('bob'), at('/data/open/file'), {
    ranges: () => {
      throw new StorageError('range', 'outside')
    },
  })
  t.equal(await outcome(bad), 'range')
})

t.test('after the close of a reading no byte comes out of it', async (t) => {
  const world = await setUp(t)
  await world.file('/data/open/long', 'x'.repeat(200_000))
  const reading = await world.storage.read(callBy('bob'), at('/data/open/long'))
  if (reading.kind !== 'bytes') throw new Error(reading.kind)
  const read = await reading.stream({ start: 0, end: 10 }).toArray()
  t.equal(Buffer.concat(read).length, 10)
  const streams = [reading.stream({ start: 0, end: 200_000 }), reading.stream({ start: 0, end: 200_000 })]
  await reading.close({ bytes: 10 })
  for (const stream of streams) {
    t.equal(stream.destroyed, true)
    t.equal(await outcome(stream.toArray()), 'invalid')
  }
  t.throws(() => reading.stream({ start: 0, end: 1 }), { code: 'invalid' })
  t.match(world.audit.records.at(-1), { outcome: 'ok', bytes: 10 })
})

t.test('HEAD decides as a read and opens nothing', async (t) => {
  const world = await setUp(t)
  const reading = await world.storage.read(callBy('bob'), at('/data/open/file'), { headOnly: true })
  if (reading.kind !== 'bytes') throw new Error(reading.kind)
  t.equal(reading.entry.size, 10)
  t.throws(() => reading.stream({ start: 0, end: 1 }), { code: 'invalid' })
  await reading.close()
  const head = world.storage.read(callBy('bob'), at('/data/closed/file'), { headOnly: true })
  t.equal(await outcome(head), 'denied')
})

t.test('callers without a credential are let in only where the mount says so', async (t) => {
  const world = new World({
    '/public': { anonymous: true },
    '/data': {},
    '/area/private': {},
    '/area/open': { anonymous: true },
  })
  t.teardown(() => world.end())
  await world.file('/public/free', 'free', 'keeper', allow('EVERYONE@', readAll))
  await world.file('/public/members', 'members', 'keeper', deny('ANONYMOUS@', everything), allow('EVERYONE@', readAll))
  const cases = [
    ['/public/free', 'bytes'],
    ['/public/members', 'unauthenticated'],
    ['/data/x', 'unauthenticated'],
    ['/', 'directory'],
    ['/area', 'directory'],
    ['/area/private', 'unauthenticated'],
    ['/nowhere', 'unauthenticated'],
  ] as const
  for (const [path, answer] of cases) {
    const got = await world.storage.read(callBy(anonymous), at(path)).then(
      (reading) => reading.kind,
      (error) => StorageError.from(error).code,
    )
    t.equal(got, answer, path)
  }
  t.same(await world.names(anonymous, '/'), ['area', 'public'])
  t.same(await world.names(anonymous, '/area'), ['open'])
})

t.test('token vectors of reads', async (t) => {
  const world = await setUp(t)
  await world.file('/data/foo', 'x', 'keeper', allow('EVERYONE@', readAll))
  await world.file('/data/foobar', 'x', 'keeper', allow('EVERYONE@', readAll))
  const cases = [
    ['K16', ['read:/data/foo'], '/data/foobar', 'denied'],
    ['K24', ['stage:/data'], '/data/foo', 'denied'],
    ['K26', [], '/data/foo', 'denied'],
    ['K31', ['read:/other'], '/data/foo', 'denied'],
    ['own', ['read:/data/foo'], '/data/foo', 'ok'],
  ] as const
  for (const [name, scopes, path, answer] of cases) {
    const job = person('bob', { grants: grants(...scopes) })
    t.equal(await outcome(world.get(job, path)), answer, name)
  }
  const member = person('carol', { groups: new Set(['vo-sub@x']) })
  await world.file('/data/group', 'x', 'keeper', allow({ group: 'vo@x' }, readAll))
  t.equal(await outcome(world.get(member, '/data/group')), 'denied', 'K27')
})

t.test('a mount of a subdirectory does not ask for rights above it', async (t) => {
  const world = new World({ '/data': { base: at('/deep/base') } })
  t.teardown(() => world.end())
  const memory = world.memories.get(at('/data'))
  const keeper = callBy('keeper')
  for (const path of ['/deep', '/deep/base']) {
    const pending = await memory?.mkdir(at(path), keeper)
    await pending?.proceed()
  }
  world.acl('/data', {
    owner: 'keeper@x',
    group: undefined,
    dialect: 'rfc8881',
    aces: [allow('EVERYONE@', everything)],
  })
  memory?.replaceAcl(at('/deep'), { owner: 'keeper@x', group: undefined, dialect: 'rfc8881', aces: [] })
  await world.put('bob', '/data/file', 'mine')
  t.equal(await world.get('bob', '/data/file'), 'mine')
  t.equal(await outcome(world.storage.remove(callBy('bob'), at('/data'))), 'denied', 'the mount point stays')

  const lost = new World({ '/data': { base: at('/not/there') } })
  t.teardown(() => lost.end())
  t.equal(await outcome(lost.get('bob', '/data/file')), 'unavailable')
})

t.test('a file on tape is not read unless the mount recalls by itself', async (t) => {
  const world = await setUp(t)
  const [mount] = world.mounts
  if (!mount) return
  const { backend } = mount
  const open = backend.open.bind(backend)
  let locality: 'tape' | 'lost' = 'tape'
  backend.open = async (...args) => {
    const pending = await open(...args)
    const { entry } = pending.trail
    return { ...pending, trail: { ...pending.trail, entry: entry && { ...entry, locality } } }
  }
  t.equal(await outcome(world.get('bob', '/data/open/file')), 'nearline')
  const head = await world.storage.read(callBy('bob'), at('/data/open/file'), { headOnly: true })
  t.equal(head.kind, 'bytes', 'its attributes are there all the same')
  locality = 'lost'
  t.equal(await outcome(world.get('bob', '/data/open/file')), 'unavailable')
})

t.test('a credential that has expired since it was checked is void', async (t) => {
  const world = await setUp(t)
  const late = person('bob', { expires: Date.now() / 1000 - 1 })
  t.equal(await outcome(world.storage.stat(callBy(late), at('/data/open/file'))), 'unauthenticated')
  t.same(world.calls, [])
  const error = Object.assign(new Error('closed'), { code: 'ERR_STREAM_PREMATURE_CLOSE' })
  const reading = await world.storage.read(callBy('bob'), at('/data/open/file'))
  if (reading.kind === 'bytes') await reading.close({ bytes: 3, error })
  t.match(world.audit.records.at(-1), { outcome: 'failed', code: 'cancelled', bytes: 3 })
})

t.test('a new mount table is for calls that begin after it', async (t) => {
  const world = await setUp(t)
  const reading = await world.storage.read(callBy('bob'), at('/data/open/file'))
  const listed = await world.storage.list(callBy('bob'), at('/data/open'))
  const pages = listed.pages()[Symbol.asyncIterator]()
  t.equal((await pages.next()).value?.length, 1)
  let over = false
  const left = world.storage.useNamespace(new Namespace([])).then(() => {
    over = true
  })
  t.equal(await outcome(world.storage.stat(callBy('bob'), at('/data/open/file'))), 'not-found')
  if (reading.kind !== 'bytes') throw new Error(reading.kind)
  t.equal(Buffer.concat(await reading.stream({ start: 0, end: 10 }).toArray()).toString(), '0123456789')
  await reading.close({ bytes: 10 })
  t.equal(over, false, 'a listing still runs')
  await pages.next()
  await left
})
