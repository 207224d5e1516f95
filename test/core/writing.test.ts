import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import t, { type Test } from 'tap'
import { right } from '../../acl/acl.ts'
import type { Entry } from '../../backends/backend.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Conditions } from '../../gateway/core/storage.ts'
import { allow, callBy, deny, everything, grants, outcome, person, readAll, user, World } from './world.ts'

const at = parsePath

async function setUp(t: Test, mount = {}, limits = {}): Promise<World> {
  const world = new World({ '/data': mount, '/other': {} }, limits)
  t.teardown(() => world.end())
  await world.directory('/data/d', 'alice', allow(user('alice'), everything), allow('EVERYONE@', readAll))
  await world.file('/data/d/x', 'old')
  world.audit.records.length = 0
  return world
}

t.test('an upload is seen by nobody before its commit', async (t) => {
  const world = await setUp(t)
  const writing = await world.storage.write(callBy('alice'), at('/data/d/new'))
  t.equal(writing.replaces, undefined)
  writing.body.end('bytes')
  t.equal(await world.state('/data/d/new'), 'not-found')
  const written = await writing.commit()
  t.match(written, { created: true, entry: { name: 'new', size: 5 }, digests: {} })
  t.equal(await world.state('/data/d/new'), 'bytes')
  const line = world.audit.records.find(({ action }) => action === 'create')
  t.match(line, { outcome: 'ok', bytes: 5, path: '/data/d/new', user: 'alice@x' })
})

t.test('a discarded upload leaves no trace, and two discards are one', async (t) => {
  const world = await setUp(t)
  const writing = await world.storage.write(callBy('alice'), at('/data/d/new'))
  writing.body.write('some')
  await writing.discard(new StorageError('timeout', 'too slow'))
  await writing.discard()
  t.equal(await world.state('/data/d/new'), 'not-found')
  t.equal(await outcome(writing.commit()), 'invalid')
  t.match(
    world.audit.records.filter(({ path, action }) => path === '/data/d/new' && action === 'create'),
    [{ outcome: 'failed', code: 'timeout', bytes: 4 }],
  )
})

t.test('who may write what', async (t) => {
  const world = await setUp(t)
  await world.directory('/data/dropbox', 'keeper', allow('EVERYONE@', right.traverse | right.addFile, 0))
  await world.directory('/data/d/sub')
  world.link('/data/d/link', '/data/d/x')
  const cases: ReadonlyArray<readonly [who: string, path: string, answer: string]> = [
    ['alice', '/data/d/x', 'ok'],
    ['alice', '/data/d/new', 'ok'],
    ['bob', '/data/d/x', 'denied'],
    ['bob', '/data/d/new2', 'denied'],
    ['bob', '/data/dropbox/mine', 'ok'],
    ['alice', '/data/d/sub', 'is-directory'],
    ['alice', '/data/d/link', 'denied'],
    ['alice', '/data/d/none/file', 'no-parent'],
    ['alice', '/data', 'denied'],
    ['keeper', '/data', 'is-directory'],
    ['alice', '/', 'read-only'],
    ['alice', '/elsewhere', 'read-only'],
  ]
  for (const [who, path, answer] of cases) t.equal(await outcome(world.put(who, path, 'new')), answer, `${who} ${path}`)
})

t.test('a token that may only create never replaces', async (t) => {
  const world = await setUp(t)
  const job = person('alice', { grants: grants('create:/data/d') })
  t.equal(await outcome(world.put(job, '/data/d/x', 'new')), 'denied', 'K19')
  t.equal(await world.state('/data/d/x'), 'old')
  t.match(
    world.audit.records.find(({ code }) => code === 'denied'),
    { reason: { rule: 'scope' } },
  )
  t.equal(await outcome(world.storage.remove(callBy(job), at('/data/d/x'))), 'denied', 'K20')

  const writing = await world.storage.write(callBy(job), at('/data/d/y'))
  writing.body.end('late')
  await world.put('alice', '/data/d/y', 'first')
  t.equal(await outcome(writing.commit()), 'denied', 'not even what came up meanwhile')
  t.equal(await world.state('/data/d/y'), 'first')
})

t.test('rights are decided again at the commit', async (t) => {
  const world = await setUp(t)
  const writing = await world.storage.write(callBy('alice'), at('/data/d/x'))
  writing.body.end('new')
  await once(writing.body, 'finish')
  world.acl('/data/d/x', {
    owner: 'keeper@x',
    group: undefined,
    dialect: 'rfc8881',
    aces: [allow(user('keeper'), everything), deny(user('alice'), right.writeData)],
  })
  t.equal(await outcome(writing.commit()), 'denied')
  t.equal(await world.state('/data/d/x'), 'old')
})

t.test('conditions are checked before the body and in the step that makes it visible', async (t) => {
  const world = await setUp(t)
  type Made = (entry: Entry) => Conditions
  const seconds = ({ modified }: Entry) => Number(modified / 1_000_000_000n)
  const cases: ReadonlyArray<readonly [Made, path: string, before: string, meanwhile: string]> = [
    // conditions, path, answer at once, answer of the commit when another wrote meanwhile
    [({ version }) => ({ ifMatch: [version] }), '/data/d/x', 'ok', 'precondition'],
    [() => ({ ifMatch: '*' }), '/data/d/x', 'ok', 'ok'],
    [() => ({ ifMatch: ['other'] }), '/data/d/x', 'precondition', ''],
    [() => ({ ifMatch: '*' }), '/data/d/free', 'precondition', ''],
    [() => ({ ifNoneMatch: '*' }), '/data/d/x', 'precondition', ''],
    [() => ({ ifNoneMatch: '*' }), '/data/d/free', 'ok', 'precondition'],
    [({ version }) => ({ ifNoneMatch: [version] }), '/data/d/x', 'precondition', ''],
    [() => ({ ifNoneMatch: ['other'] }), '/data/d/x', 'ok', 'precondition'],
    [(entry) => ({ ifUnmodifiedSince: seconds(entry) - 10 }), '/data/d/x', 'precondition', ''],
    [(entry) => ({ ifUnmodifiedSince: seconds(entry) + 10 }), '/data/d/x', 'ok', 'precondition'],
  ]
  for (const [made, path, before, meanwhile] of cases) {
    const { entry } = await world.put('alice', '/data/d/x', 'old')
    const conditions = made(entry)
    const name = `${JSON.stringify(conditions)} ${path}`
    const started = world.storage.write(callBy('alice'), at(path), { conditions })
    t.equal(await outcome(started), before, name)
    if (before !== 'ok') continue
    const writing = await started
    writing.body.end('mine')
    await world.put('alice', path, 'theirs')
    t.equal(await outcome(writing.commit()), meanwhile, `${name}, another wrote`)
    t.equal(await world.state(path), meanwhile === 'ok' ? 'mine' : 'theirs')
    await world.storage.remove(callBy('alice'), at(path))
  }
})

t.test('the bytes are as many as announced', async (t) => {
  const world = await setUp(t)
  for (const [content, answer] of [
    ['123', 'invalid'],
    ['12345', 'ok'],
    ['1234567', 'invalid'],
  ] as const) {
    const writing = await world.storage.write(callBy('alice'), at('/data/d/sized'), { size: 5 })
    const sent = await outcome(pipeline(Readable.from([Buffer.from(content)]), writing.body))
    const committed = sent === 'ok' ? await outcome(writing.commit()) : sent
    if (committed !== 'ok') await writing.discard()
    t.equal(committed, answer, content)
    t.equal(await world.state('/data/d/sized'), answer === 'ok' ? '12345' : 'not-found', content)
    if (answer === 'ok') await world.storage.remove(callBy('alice'), at('/data/d/sized'))
  }
})

t.test('digests are computed on the way and compared with what was announced', async (t) => {
  const world = await setUp(t)
  const content = 'x'.repeat(100_000)
  const sha = createHash('sha256').update(content).digest()
  const written = await world.put('alice', '/data/d/a', content, { digests: ['adler32'], expected: { 'sha-256': sha } })
  t.equal(Buffer.compare(written.digests['sha-256'] ?? sha.subarray(1), sha), 0)
  t.equal(written.digests.adler32?.length, 4)
  const kept = await world.storage.checksum(callBy('alice'), at('/data/d/a'), ['sha-256'], { keptOnly: true })
  t.equal(Buffer.compare(kept['sha-256'] ?? sha.subarray(1), sha), 0)
  const wrong = world.put('alice', '/data/d/b', content, { expected: { 'sha-256': Buffer.alloc(32) } })
  t.equal(await outcome(wrong), 'bad-checksum')
  t.equal(await world.state('/data/d/b'), 'not-found')
})

t.test('limits of an upload, announced or not', async (t) => {
  const world = await setUp(t, {}, { maxUpload: 4_000_000, stagedBytesPerPrincipal: 3_000_000 })
  const start = (size?: number) =>
    world.storage.write(callBy('alice'), at('/data/d/big'), size === undefined ? {} : { size })
  t.equal(await outcome(start(4_000_001)), 'too-large')
  t.equal(await outcome(start(3_500_000)), 'busy', 'more than the principal may have staged')
  const first = await start(2_000_000)
  t.equal(await outcome(start(2_000_000)), 'busy')
  await first.discard()
  const second = await start()
  const sent = pipeline(Readable.from([Buffer.alloc(2_000_000), Buffer.alloc(2_000_000)]), second.body)
  t.equal(await outcome(sent), 'busy')
  await second.discard()
  const third = await start(3_000_000)
  await third.discard()
  t.equal(await world.state('/data/d/big'), 'not-found')
})

t.test('parents are made under the rights of the caller, where asked for', async (t) => {
  const world = await setUp(t, { createParents: true })
  t.equal(await outcome(world.put('alice', '/data/d/e/f/g', 'deep')), 'ok')
  t.equal(await world.state('/data/d/e/f/g'), 'deep')
  t.equal(await outcome(world.put('bob', '/data/d/q/f', 'deep')), 'denied')
  t.equal(await world.state('/data/d/q'), 'not-found')
  t.equal(await outcome(world.put('alice', '/data/d/x/f', 'deep')), 'not-directory')
  const job = person('alice', { grants: grants('create:/data/d/h/i') })
  t.equal(await outcome(world.put(job, '/data/d/h/i/f', 'deep')), 'ok', 'K23')
  t.equal(await outcome(world.put('alice', '/other/a/b', 'deep')), 'no-parent', 'the other mount does not')
  const asked = await outcome(world.put('keeper', '/other/a/b', 'deep', { createParents: true }))
  t.equal(asked, 'ok')
})

t.test('parents go again when nothing comes of what they were made for', async (t) => {
  const world = await setUp(t, { createParents: true })
  const begin = (path: string) => world.storage.write(callBy('alice'), at(path))
  const first = await begin('/data/d/e/f/g')
  await first.discard()
  t.equal(await world.state('/data/d/e'), 'not-found', 'all that were made')
  const wrong = await world.storage.write(callBy('alice'), at('/data/d/e/f/g'), { size: 7 })
  wrong.body.end('five!')
  t.equal(await outcome(wrong.commit()), 'invalid')
  t.equal(await world.state('/data/d/e'), 'not-found', 'also when the commit fails')
  const [one, other] = [await begin('/data/d/e/f/g'), await begin('/data/d/e/f/h')]
  await one.discard()
  other.body.end('h')
  t.equal(await outcome(other.commit()), 'ok', 'another upload needs them')
  t.equal(await world.state('/data/d/e/f/h'), 'h')
  const later = await begin('/data/d/e/f/i')
  await later.discard()
  t.equal(await world.state('/data/d/e/f/h'), 'h', 'those that others have made stay')
})

t.test('a read-only mount refuses whatever would change it', async (t) => {
  const world = await setUp(t, { readOnly: false })
  const closed = new World({ '/data': { readOnly: true } })
  t.teardown(() => closed.end())
  const call = callBy('keeper')
  const { storage } = closed
  const attempts = {
    write: storage.write(call, at('/data/f')),
    mkdir: storage.mkdir(call, at('/data/f')),
    remove: storage.remove(call, at('/data/f')),
    edit: storage.edit(call, at('/data/f')),
    rename: storage.rename(call, at('/data/f'), at('/data/g')),
    attributes: storage.setAttributes(call, at('/data/f'), { mode: 0o700 }),
    acl: storage.setAcl(call, at('/data/f'), { owner: undefined, group: undefined, dialect: 'rfc8881', aces: [] }),
    properties: storage.setProperties(call, at('/data/f'), new Map([['a', 'b']])),
  }
  for (const [name, attempt] of Object.entries(attempts)) t.equal(await outcome(attempt), 'read-only', name)
  t.same(closed.calls, [], 'the back end was not asked')
  t.equal(await world.state('/data/d/x'), 'old')
})

t.test('what the back end refuses on the way surfaces in the body', async (t) => {
  const world = await setUp(t)
  const [mount] = world.mounts
  const create = mount?.backend.create.bind(mount.backend)
  if (!mount || !create) throw new Error('no mount')
  mount.backend.create = async (...args) => {
    const pending = await create(...args)
    const proceed = async () => {
      const draft = await pending.proceed()
      draft.body._write = (_chunk, _encoding, done) => done(new StorageError('no-space', 'full'))
      return draft
    }
    return { ...pending, proceed }
  }
  const writing = await world.storage.write(callBy('alice'), at('/data/d/full'))
  t.equal(await outcome(pipeline(Readable.from([Buffer.from('x')]), writing.body)), 'no-space')
  t.equal(await outcome(writing.commit()), 'no-space')
  await writing.discard()
})

t.test('bytes pass through the stream of the draft itself, also many at once', async (t) => {
  const world = await setUp(t)
  const writing = await world.storage.write(callBy('alice'), at('/data/d/corked'), { digests: ['md5'] })
  writing.body.cork()
  writing.body.write('one ')
  writing.body.write(Buffer.from('two '))
  writing.body.end('three')
  const { digests } = await writing.commit()
  t.equal(await world.state('/data/d/corked'), 'one two three')
  t.equal(Buffer.from(digests.md5 ?? []).toString('hex'), createHash('md5').update('one two three').digest('hex'))
})
