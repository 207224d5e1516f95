import t from 'tap'
import { anonymous } from '../../acl/principal.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { maxLifetime, maxStagedFiles } from '../../gateway/core/staging.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { delay, queue, states, TapeWorld, wishes } from './tape-world.ts'
import { callBy, grants, mountOf, outcome, person } from './world.ts'

t.test('a file goes from tape to disk and stays there for its lifetime', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a')
  t.equal(await outcome(storage.read(callBy('alice'), parsePath('/pnfs/a'))), 'nearline')
  const id = await storage.staging.stage(callBy('alice'), [{ path: parsePath('/pnfs/a'), lifetime: 3600 }])
  t.same(await states(storage, 'alice', id), { '/pnfs/a': 'submitted' })
  world.time += queue
  t.same(await states(storage, 'alice', id), { '/pnfs/a': 'started' })
  world.time += delay
  const done = await storage.staging.progress(callBy('alice'), id)
  t.match(done, {
    id,
    created: 1_000_000_000,
    started: 1_000_000_000 + queue,
    completed: world.time,
    files: [{ path: '/pnfs/a', state: 'completed', finished: 1_000_000_000 + queue + delay }],
  })
  const reading = await storage.read(callBy('alice'), parsePath('/pnfs/a'))
  if (reading.kind === 'bytes') await reading.close()
  t.equal(reading.kind, 'bytes')
  t.equal(world.tape().evict(parsePath('/a')), true, 'kept on disk')
  world.time += 3600_000
  t.equal(world.tape().evict(parsePath('/a')), false, 'no longer')
})

t.test('files fail alone: the rest is staged', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.closedDirectory(storage, '/pnfs/closed')
  await world.fill(storage, '/pnfs/a', '/pnfs/closed/b', '/disk/d')
  await storage.mkdir(callBy('keeper'), parsePath('/pnfs/dir'))
  const wanted = ['/pnfs/a', '/pnfs/closed/b', '/pnfs/closed/none', '/pnfs/none', '/pnfs/dir', '/pnfs', '/disk/d', '/']
  const id = await storage.staging.stage(callBy('bob'), wishes(...wanted))
  world.time += queue + delay
  t.same(await states(storage, 'bob', id), {
    '/pnfs/a': 'completed',
    '/pnfs/closed/b': 'failed: not allowed',
    '/pnfs/closed/none': 'failed: not allowed',
    '/pnfs/none': 'failed: no such file or directory',
    '/pnfs/dir': 'failed: this is a directory',
    '/pnfs': 'failed: this is a directory',
    '/disk/d': 'completed',
    '/': 'failed: this is a directory',
  })
  t.same(
    world.orders.map(({ files }) => files.map(({ path }) => path)),
    [['/a']],
    'nothing that was refused reached the tape',
  )
  const refused = world.audit.records.filter(({ action, outcome }) => action === 'stage' && outcome === 'refused')
  t.same(
    refused.map(({ path }) => path),
    ['/pnfs/closed/b', '/pnfs/closed/none'],
  )
})

t.test('the credential bounds what may be staged, and a refusal costs the back end nothing', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a', '/pnfs/b')
  const bound = (...scopes: string[]) => person('alice', { grants: grants(...scopes) })
  world.calls.length = 0
  for (const scope of ['poll:/pnfs', 'read:/pnfs', 'stage:/store', 'stage:/pnfs/a/']) {
    t.equal(await outcome(storage.staging.stage(callBy(bound(scope)), wishes('/pnfs/a'))), 'denied', scope)
  }
  t.equal(await outcome(storage.staging.stage(callBy(anonymous), wishes('/pnfs/a'))), 'unauthenticated')
  t.same(world.calls, [])
  const half = await storage.staging.stage(callBy(bound('stage:/pnfs/a')), wishes('/pnfs/a', '/pnfs/b'))
  t.same(await states(storage, bound('stage:/pnfs/a'), half), {
    '/pnfs/a': 'submitted',
    '/pnfs/b': 'failed: not allowed',
  })
  t.equal(await outcome(storage.staging.progress(callBy(bound('stage:/pnfs/b')), half)), 'denied')
  t.equal(await outcome(storage.staging.cancel(callBy(bound('read:/pnfs/a')), half)), 'denied')
})

t.test('one request spans mounts, with one order for each', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a', '/pnfs/b', '/store/c')
  const id = await storage.staging.stage(callBy('alice'), wishes('/pnfs/a', '/store/c', '/pnfs/b'))
  t.same(world.orders.map(({ files }) => files.map(({ path }) => path)).toSorted(), [['/a', '/b'], ['/c']])
  world.time += queue + delay
  t.same(Object.values(await states(storage, 'alice', id)), ['completed', 'completed', 'completed'])
})

t.test('files on disk are pinned too', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a')
  world.tape().put(parsePath('/a'), 'disk-and-tape')
  const id = await storage.staging.stage(callBy('alice'), wishes('/pnfs/a'))
  t.same(await states(storage, 'alice', id), { '/pnfs/a': 'completed' })
  t.equal(world.tape().evict(parsePath('/a')), true)
  await storage.staging.release(callBy('alice'), id, [parsePath('/pnfs/a')])
  t.equal(world.tape().evict(parsePath('/a')), false)
})

t.test('the same files and lifetimes are one request while it waits', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a', '/pnfs/b')
  const id = await storage.staging.stage(callBy('alice'), wishes('/pnfs/a', '/pnfs/b'))
  t.equal(await storage.staging.stage(callBy('alice'), wishes('/pnfs/b', '/pnfs/a', '/pnfs/a')), id, 'in any order')
  t.not(await storage.staging.stage(callBy('bob'), wishes('/pnfs/a', '/pnfs/b')), id)
  t.not(await storage.staging.stage(callBy('alice'), wishes('/pnfs/a')), id)
  const longer = [{ path: parsePath('/pnfs/a'), lifetime: 60 }, ...wishes('/pnfs/b')]
  t.not(await storage.staging.stage(callBy('alice'), longer), id)
  t.equal(world.orders.length, 4)
  world.time += queue + delay
  await states(storage, 'alice', id)
  t.not(await storage.staging.stage(callBy('alice'), wishes('/pnfs/a', '/pnfs/b')), id, 'done: asked anew')
})

t.test('an idempotency key is one request for good, and for these files alone', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a', '/pnfs/b')
  const stage = (key: string, ...paths: string[]) => storage.staging.stage(callBy('alice'), wishes(...paths), { key })
  const id = await stage('k', '/pnfs/a')
  world.time += queue + delay
  t.same(await states(storage, 'alice', id), { '/pnfs/a': 'completed' })
  t.equal(await stage('k', '/pnfs/a'), id)
  await t.rejects(stage('k', '/pnfs/b'), { code: 'invalid' })
  t.not(await stage('other', '/pnfs/a'), id)
  t.not(await storage.staging.stage(callBy('bob'), wishes('/pnfs/a'), { key: 'k' }), id)
  t.equal(world.orders.length, 3)
})

t.test('a request is found again by its key, by who made it', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a')
  const { staging } = storage
  t.equal(await staging.find(callBy('alice'), 'k'), undefined)
  const id = await staging.stage(callBy('alice'), [{ path: parsePath('/pnfs/a'), lifetime: 60 }], { key: 'k' })
  const files = [{ path: '/pnfs/a', lifetime: 60, state: 'submitted' }]
  t.match(await staging.find(callBy('alice'), 'k'), { id, files })
  t.equal(await staging.find(callBy('bob'), 'k'), undefined)
  t.equal(await staging.find(callBy('alice'), 'other'), undefined)
  await staging.forget(callBy('alice'), id)
  t.equal(await staging.find(callBy('alice'), 'k'), undefined)
})

t.test('a crash between the order and its answer makes no second request', async (t) => {
  const world = new TapeWorld(t)
  const first = await world.open()
  await world.fill(first, '/pnfs/a')
  world.trouble.after = () => {
    throw new StorageError('unavailable', 'the connection broke')
  }
  await t.rejects(first.staging.stage(callBy('alice'), wishes('/pnfs/a')), { code: 'unavailable' })
  delete world.trouble.after
  const second = await world.open()
  world.time += 5000
  const id = await second.staging.stage(callBy('alice'), wishes('/pnfs/a'))
  t.equal(world.tape().orders, 1)
  t.equal(world.orders[0]?.key, world.orders[1]?.key)
  t.equal(world.orders[0]?.earlier, undefined)
  t.equal(world.orders[1]?.earlier?.at, 1_000_000_000, 'the back end is told that this is a repetition')
  world.time += queue + delay
  t.same(await states(second, 'alice', id), { '/pnfs/a': 'completed' })
})

t.test('an order that could not be placed is placed when its principal asks again', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a', '/store/b')
  world.trouble.before = ({ files }) => {
    if (files[0]?.path === '/a') throw new StorageError('unavailable', 'the door is down')
  }
  const id = await storage.staging.stage(callBy('alice'), wishes('/pnfs/a', '/store/b'))
  t.same(
    await states(storage, 'alice', id),
    { '/pnfs/a': 'submitted', '/store/b': 'submitted' },
    'the other one goes on',
  )
  delete world.trouble.before
  await states(storage, person('root', { administrator: true }), id)
  t.equal(world.tape().orders, 0, 'an administrator looks; it is not his request')
  await states(storage, 'alice', id)
  t.equal(world.tape().orders, 1)
})

t.test('rights that have gone meanwhile are missed when an order is placed late', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.closedDirectory(storage, '/pnfs/closed')
  await world.fill(storage, '/pnfs/closed/a', '/pnfs/b')
  world.trouble.before = () => {
    throw new StorageError('busy', 'later')
  }
  const wanted = wishes('/pnfs/closed/a', '/pnfs/b')
  await t.rejects(storage.staging.stage(callBy('alice'), wanted), { code: 'busy' })
  delete world.trouble.before
  const acl = (await storage.getAcl(callBy('keeper'), parsePath('/pnfs/closed'))).acl
  world.memories['/pnfs'].replaceAcl(parsePath('/closed'), { ...acl, aces: acl.aces.slice(0, 1) })
  const id = await storage.staging.stage(callBy('alice'), wanted)
  t.same(await states(storage, 'alice', id), { '/pnfs/closed/a': 'failed: not allowed', '/pnfs/b': 'submitted' })
})

t.test('processes that are asked for the same at once place one order', async (t) => {
  const world = new TapeWorld(t)
  const processes = await Promise.all([world.open(), world.open(), world.open()])
  const [first] = processes
  if (!first) return
  await world.fill(first, '/pnfs/a', '/pnfs/b')
  const ids = await Promise.all(
    processes.map((storage) => storage.staging.stage(callBy('alice'), wishes('/pnfs/a', '/pnfs/b'))),
  )
  t.equal(new Set(ids).size, 1)
  t.equal(world.orders.length, 1)
})

t.test('a refusal of the back end is the end of its files', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a')
  world.trouble.before = () => {
    throw new StorageError('denied', 'not allowed')
  }
  const id = await storage.staging.stage(callBy('alice'), wishes('/pnfs/a'))
  t.same(await states(storage, 'alice', id), { '/pnfs/a': 'failed: not allowed' })
})

t.test('only what waits is cancelled', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a', '/pnfs/b', '/pnfs/c')
  world.tape().put(parsePath('/a'), 'disk-and-tape')
  const id = await storage.staging.stage(callBy('alice'), wishes('/pnfs/a', '/pnfs/b', '/pnfs/c'))
  await states(storage, 'alice', id)
  const cancel = (...paths: string[]) =>
    storage.staging.cancel(
      callBy('alice'),
      id,
      paths.map((path) => parsePath(path)),
    )
  await t.rejects(cancel('/pnfs/b', '/pnfs/foreign'), { code: 'invalid' })
  t.same(
    world.tapeCalls.filter(([name]) => name === 'cancel'),
    [],
    'nothing done',
  )
  await cancel('/pnfs/a', '/pnfs/b')
  world.time += queue + delay
  t.same(await states(storage, 'alice', id), {
    '/pnfs/a': 'completed',
    '/pnfs/b': 'cancelled',
    '/pnfs/c': 'completed',
  })
  t.same(await world.tape().locality([parsePath('/b'), parsePath('/c')], callBy('keeper')), ['tape', 'disk-and-tape'])
  await cancel('/pnfs/b')
})

t.test('a whole request is cancelled, and one forgotten is gone', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a', '/store/b')
  const stage = () => storage.staging.stage(callBy('alice'), wishes('/pnfs/a', '/store/b'))
  const first = await stage()
  await storage.staging.cancel(callBy('alice'), first)
  t.same(await states(storage, 'alice', first), { '/pnfs/a': 'cancelled', '/store/b': 'cancelled' })
  const second = await stage()
  t.not(second, first)
  await storage.staging.forget(callBy('alice'), second)
  await t.rejects(states(storage, 'alice', second), { code: 'not-found' })
  world.time += queue + delay
  t.same(await world.tape().locality([parsePath('/a')], callBy('keeper')), ['tape'])
})

t.test('what is released while it waits is not kept for nobody', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a', '/pnfs/b')
  const id = await storage.staging.stage(callBy('alice'), wishes('/pnfs/a', '/pnfs/b'))
  await t.rejects(storage.staging.release(callBy('alice'), id, [parsePath('/pnfs/c')]), { code: 'invalid' })
  await storage.staging.release(callBy('alice'), id, [parsePath('/pnfs/a')])
  world.time += queue + delay
  t.same(await states(storage, 'alice', id), { '/pnfs/a': 'cancelled', '/pnfs/b': 'completed' })
})

t.test('the requests of others do not exist, but for administrators', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a')
  const { staging } = storage
  const id = await staging.stage(callBy('alice'), wishes('/pnfs/a'))
  const path = parsePath('/pnfs/a')
  for (const attempt of [
    () => staging.progress(callBy('bob'), id),
    () => staging.cancel(callBy('bob'), id),
    () => staging.release(callBy('bob'), id, [path]),
    () => staging.forget(callBy('bob'), id),
    () => staging.progress(callBy('bob'), 'no-such-id'),
  ]) {
    t.equal(await outcome(attempt()), 'not-found')
  }
  t.equal(await outcome(staging.progress(callBy(anonymous), id)), 'unauthenticated')
  const admin = callBy(person('root', { administrator: true }))
  t.match(await staging.progress(admin, id), { files: [{ state: 'submitted' }] })
  await staging.cancel(admin, id)
  await staging.forget(admin, id)
})

t.test('the back end is looked at now and then, however often callers ask', async (t) => {
  const world = new TapeWorld(t)
  const [storage, other] = [await world.open(), await world.open()]
  await world.fill(storage, '/pnfs/a')
  const id = await storage.staging.stage(callBy('alice'), wishes('/pnfs/a'))
  const looks = () => world.tapeCalls.filter(([name]) => name === 'progress').length
  await Promise.all(Array.from({ length: 20 }, (_, turn) => states(turn % 2 ? storage : other, 'alice', id)))
  t.equal(looks(), 1)
  world.time += 2000
  await states(storage, 'alice', id)
  t.equal(looks(), 2)
  world.time += 48_000
  await states(storage, 'alice', id)
  world.time += 4000
  await states(storage, 'alice', id)
  t.equal(looks(), 3, 'an older request less often')
  world.time += 60_000
  t.same(await states(storage, 'alice', id), { '/pnfs/a': 'completed' })
  await states(storage, 'alice', id)
  world.time += 600_000
  await states(storage, 'alice', id)
  t.equal(looks(), 4, 'a finished one not at all')
})

t.test('a back end that does not answer is no news, one that has forgotten is', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a')
  const id = await storage.staging.stage(callBy('alice'), wishes('/pnfs/a'))
  world.trouble.progress = () => {
    throw new StorageError('unavailable', 'the door is down')
  }
  t.same(await states(storage, 'alice', id), { '/pnfs/a': 'submitted' })
  world.trouble.progress = () => {
    throw new StorageError('not-found', 'no such request')
  }
  world.time += 60_000
  t.match(await states(storage, 'alice', id), { '/pnfs/a': /^failed: the storage does not know/ })
})

t.test('a mount that is gone takes its orders along', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a', '/store/b')
  const id = await storage.staging.stage(callBy('alice'), wishes('/pnfs/a', '/store/b'))
  const [, store] = world.namespace.mounts
  if (!store) return
  const other = await world.open(new Namespace([mountOf('/pnfs', world.memories['/disk']), store]))
  world.time += queue + delay
  t.same(await states(other, 'alice', id), { '/pnfs/a': 'submitted', '/store/b': 'completed' })
  await other.staging.cancel(callBy('alice'), id)
  t.match(await states(other, 'alice', id), { '/pnfs/a': /^failed: the storage is not mounted/ })
})

t.test('nonsense is refused whole', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  const path = parsePath('/pnfs/a')
  t.equal(await outcome(storage.staging.stage(callBy('alice'), [])), 'invalid')
  for (const lifetime of [0, -1, 1.5, Number.NaN, maxLifetime + 1]) {
    t.equal(await outcome(storage.staging.stage(callBy('alice'), [{ path, lifetime }])), 'invalid', `${lifetime}`)
  }
  const many = Array.from({ length: maxStagedFiles + 1 }, (_, index) => ({ path: parsePath(`/pnfs/f${index}`) }))
  t.equal(await outcome(storage.staging.stage(callBy('alice'), many)), 'too-large')
  t.equal(world.orders.length, 0)
})
