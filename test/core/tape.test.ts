import { text } from 'node:stream/consumers'
import t from 'tap'
import { anonymous } from '../../acl/principal.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Storage } from '../../gateway/core/storage.ts'
import { delay, queue, states, TapeWorld, wishes } from './tape-world.ts'
import { callBy, grants, outcome, person } from './world.ts'

const a = parsePath('/pnfs/a')

async function localities(storage: Storage, principal: Parameters<typeof callBy>[0], ...paths: string[]) {
  const answers = await storage.locality(
    callBy(principal),
    paths.map((path) => parsePath(path)),
  )
  return answers.map((answer) => (answer instanceof StorageError ? answer.code : answer))
}

t.test('ten thousand files are decided with few calls to the back end and one order', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  const names = Array.from({ length: 10_000 }, (_, index) => `/pnfs/d${index % 4}/f${index}`)
  for (const index of [0, 1, 2, 3]) await storage.mkdir(callBy('keeper'), parsePath(`/pnfs/d${index}`))
  await world.closedDirectory(storage, '/pnfs/closed')
  for (const name of names.slice(0, 2000)) await world.fill(storage, name)
  await world.fill(storage, '/pnfs/closed/x')
  world.calls.length = 0
  const id = await storage.staging.stage(callBy('bob'), wishes(...names, '/pnfs/closed/x'), { key: 'big' })
  t.ok(world.calls.length <= 10, `${world.calls.join(' ')}`)
  t.same(
    world.tapeCalls.filter(([name]) => name === 'stage'),
    [['stage', 2000]],
  )
  t.equal(await storage.staging.stage(callBy('bob'), wishes(...names, '/pnfs/closed/x'), { key: 'big' }), id)
  t.equal(world.orders.length, 1)
  world.time += queue + delay
  const seen = await states(storage, 'bob', id)
  t.equal(seen['/pnfs/d0/f0'], 'completed')
  t.equal(seen['/pnfs/d1/f9997'], 'failed: no such file or directory')
  t.equal(seen['/pnfs/closed/x'], 'failed: not allowed')
  t.equal(Object.values(seen).filter((state) => state === 'completed').length, 2000)
})

t.test('a back end that decides itself is asked once, with what the credential covers', async (t) => {
  const world = new TapeWorld(t)
  const filling = await world.open()
  await world.fill(filling, '/pnfs/a', '/pnfs/b')
  const enforcing = new TapeWorld(t, { enforcing: true })
  const storage = await enforcing.open()
  await enforcing.fill(storage, '/pnfs/a')
  enforcing.calls.length = 0
  const bound = person('alice', { grants: grants('stage:/pnfs/a', 'stage:/pnfs/none') })
  const id = await storage.staging.stage(callBy(bound), wishes('/pnfs/a', '/pnfs/b', '/pnfs/none'))
  t.same(enforcing.calls, [])
  t.same(
    enforcing.orders.map(({ files }) => files.map(({ path }) => path)),
    [['/a', '/none']],
  )
  t.match(await states(storage, bound, id), { '/pnfs/b': 'failed: not allowed', '/pnfs/none': 'failed: no such file' })
  const poll = person('alice', { grants: grants('poll:/pnfs') })
  t.same(await localities(storage, poll, '/pnfs/a', '/pnfs/none'), ['tape', 'not-found'])
  t.same(
    enforcing.tapeCalls.filter(([name]) => name === 'locality'),
    [['locality', 2]],
  )
})

t.test('opening never makes a tape move, also where reading does', async (t) => {
  const world = new TapeWorld(t, { mount: { recall: 'on-read' } })
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a')
  t.equal(await outcome(storage.open(callBy('alice'), parsePath('/pnfs/a'))), 'nearline')
  t.notOk(world.tapeCalls.some(([name]) => name === 'stage'))
})

t.test('who does too much at once is busy, and what he has asked for goes on', async (t) => {
  for (const enforcing of [false, true]) {
    const world = new TapeWorld(t, { enforcing })
    const storage = await world.open()
    await world.fill(storage, '/pnfs/a')
    const id = await storage.staging.stage(callBy('alice'), wishes('/pnfs/a'))
    const full = await world.open(world.namespace, { inFlightPerPrincipal: 0 })
    t.equal(await outcome(full.staging.stage(callBy('alice'), wishes('/pnfs/a', '/pnfs/b'))), 'busy')
    t.same(await states(full, 'alice', id), { '/pnfs/a': 'submitted' })
    t.equal(await outcome(full.staging.cancel(callBy('alice'), id)), 'busy')
  }
})

t.test('locality tells where files are, each for itself', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  await world.closedDirectory(storage, '/pnfs/closed')
  await world.fill(storage, '/pnfs/a', '/pnfs/b', '/pnfs/c', '/pnfs/closed/x', '/disk/d')
  world.tape().put(parsePath('/b'), 'disk-and-tape')
  world.tape().put(parsePath('/c'), 'lost')
  t.same(
    await localities(
      storage,
      'bob',
      '/pnfs/a',
      '/pnfs/b',
      '/pnfs/c',
      '/pnfs/a',
      '/pnfs/none',
      '/pnfs/closed/x',
      '/pnfs/closed/none',
      '/pnfs',
      '/disk/d',
      '/disk',
      '/',
    ),
    ['tape', 'disk-and-tape', 'lost', 'tape', 'not-found', 'denied', 'denied', 'none', 'disk', 'none', 'none'],
  )
  t.equal(await outcome(storage.locality(callBy(anonymous), [a])), 'unauthenticated')
  t.same(await localities(storage, 'bob'), [])
  const elsewhere = person('bob', { grants: grants('read:/disk') })
  t.same(await localities(storage, elsewhere, '/pnfs/a', '/disk/d'), ['denied', 'disk'])
})

t.test('attributes, listings, copies and digests never make a tape move', async (t) => {
  for (const recall of ['explicit', 'on-read'] as const) {
    for (const enforcing of [false, true]) {
      const world = new TapeWorld(t, { mount: { recall }, enforcing })
      const storage = await world.open()
      await world.fill(storage, '/pnfs/a', '/pnfs/kept')
      world.tape().put(parsePath('/kept'), 'disk-and-tape')
      const kept = parsePath('/pnfs/kept')
      const digests = await storage.checksum(callBy('keeper'), kept, ['adler32'])
      world.toTape('/pnfs/kept')
      const call = callBy('keeper')
      t.match(await storage.stat(call, a), { locality: 'tape', size: 10 })
      for await (const page of (await storage.list(call, parsePath('/pnfs'))).pages()) {
        t.equal(page.find(({ name }) => name === 'a')?.locality, 'tape')
      }
      const head = await storage.read(call, a, { headOnly: true })
      t.equal(head.kind, 'bytes')
      if (head.kind === 'bytes') await head.close()
      const probe = storage.read(call, a, { ranges: () => [{ start: 0, end: 1 }] })
      t.equal(await outcome(probe), 'nearline', 'a range probe')
      t.same(await storage.checksum(call, a, ['md5'], { keptOnly: true }), {})
      t.equal(await outcome(storage.checksum(call, a, ['md5'])), 'nearline')
      t.same(await storage.checksum(call, kept, ['adler32']), digests, 'what is kept is told')
      t.equal(await outcome(storage.checksum(call, kept, ['adler32', 'md5'])), 'nearline')
      t.equal(await outcome(storage.copy(call, a, parsePath('/pnfs/copy'))), 'nearline')
      t.equal(await outcome(storage.copy(call, a, parsePath('/disk/copy'))), 'nearline')
      t.equal(await outcome(storage.edit(call, a)), 'nearline')
      t.equal(await outcome(storage.rename(call, a, parsePath('/disk/moved'))), 'nearline')
      t.same(await localities(storage, 'keeper', '/pnfs/a'), ['tape'])
      t.equal(world.orders.length, 0, `${recall}, enforcing: ${enforcing}`)
    }
  }
})

t.test('where the mount recalls on reading, a read starts a recall and is to come back', async (t) => {
  for (const enforcing of [false, true]) {
    const world = new TapeWorld(t, { mount: { recall: 'on-read' }, enforcing })
    const storage = await world.open()
    await world.fill(storage, '/pnfs/a', '/pnfs/b')
    await t.rejects(storage.read(callBy('alice'), a), { code: 'busy', retryAfter: 60 })
    await t.rejects(storage.read(callBy('alice'), a, { ranges: () => [{ start: 0, end: 10 }] }), { code: 'busy' })
    t.equal(world.orders.length, 1, 'read twice, asked for once')
    world.time += queue + delay
    // The robot of the test works when it is looked at.
    await world.tape().locality([parsePath('/a')], callBy('keeper'))
    const reading = await storage.read(callBy('alice'), a)
    if (reading.kind !== 'bytes') throw new Error(reading.kind)
    t.equal(await text(reading.stream({ start: 0, end: 10 })), '0123456789')
    await reading.close()
  }
})

t.test('who may read and not stage is told that the file is on tape', async (t) => {
  const world = new TapeWorld(t, { mount: { recall: 'on-read', anonymous: true } })
  const storage = await world.open()
  await world.fill(storage, '/pnfs/a')
  const reader = person('alice', { grants: grants('read:/pnfs') })
  t.equal(await outcome(storage.read(callBy(reader), a)), 'nearline')
  t.equal(await outcome(storage.read(callBy(anonymous), a)), 'nearline')
  t.equal(world.orders.length, 0)
  world.trouble.before = () => {
    throw new StorageError('unavailable', 'the door is down')
  }
  t.equal(await outcome(storage.read(callBy('alice'), a)), 'unavailable')
})
