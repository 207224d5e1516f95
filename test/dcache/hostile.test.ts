/** Storage that fails half way, answers by halves or lets callers wait: nothing is lost, widened or stuck by it. */

import { once } from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { Secret } from '../../acl/secret.ts'
import { Breaker } from '../../backends/dcache/breaker.ts'
import type { Door, DoorResponse } from '../../backends/dcache/door.ts'
import { Events } from '../../backends/dcache/events.ts'
import { stagingPrefix } from '../../backends/dcache/names.ts'
import { type Path, parsePath, root } from '../../gateway/core/path.ts'
import { Area, act, fails } from '../backends/conformance/area.ts'
import { Failure } from '../doubles/dcache/failure.ts'
import { Tape } from '../doubles/dcache/tape.ts'
import { Tree } from '../doubles/dcache/tree.ts'
import { alice, callBy, type DcacheWorld, stagedIn, type WorldOptions, worldFor } from './world.ts'

const file = parsePath('/file')

async function prepared(t: Test, options: WorldOptions = {}): Promise<{ world: DcacheWorld; area: Area }> {
  const world = await worldFor(t, { ...options, options: { deadline: 1000, stall: 500, ...options.options } })
  await world.dcache.tree.add({ path: '/data/file', text: 'the old bytes', owner: 'alice', mode: 0o600 })
  return { world, area: new Area(world, root) }
}

/** As Storage does it: what fails is discarded. */
async function upload(area: Area, path: Path, data: string, decide = () => {}): Promise<void> {
  const draft = await act(area.backend.create(path, {}, area.call))
  try {
    await pipeline(Readable.from([Buffer.from(data)]), draft.body)
    await area.commit(draft, { decide })
  } finally {
    await draft.discard()
  }
}

/** The namespace fails when something is to get a new name for these times, after all that comes before it is done. */
function failMoves(t: Test, ...which: readonly number[]): void {
  const { move } = Tree.prototype
  let count = 0
  onMove(t, function (this: Tree, ...to) {
    if (which.includes(++count)) throw new Failure('internal', 'the namespace is not there')
    move.apply(this, to)
  })
}

function onMove(t: Test, work: Tree['move']): void {
  t.teardown(() => {
    Tree.prototype.move = move
  })
  const { move } = Tree.prototype
  Tree.prototype.move = work
}

t.test('a door that fails in the middle of replacing a file leaves the old one or the new', async (t) => {
  for (const which of [[1], [2], [3], [1, 2], [2, 3], [2, 3, 4]]) {
    await t.test(`move ${which}`, async (t) => {
      const { world, area } = await prepared(t, { withoutFrontend: true })
      failMoves(t, ...which)
      await upload(area, file, 'the new bytes').catch(() => {})
      const found = world.dcache.tree.has('/data/file') ? await area.text(file) : 'nothing'
      t.ok(['the old bytes', 'the new bytes'].includes(found), found)
      t.same(await area.leftovers(), [])
    })
  }
  await t.test('for long', async (t) => {
    const { world, area } = await prepared(t, { withoutFrontend: true })
    failMoves(t, 2, 3, 4, 5)
    await fails(t, upload(area, file, 'the new bytes'), 'unavailable')
    const [hidden = ''] = stagedIn(world.dcache)
    t.equal(world.dcache.tree.get(hidden).type, 'file', 'the old bytes are not lost')
    t.ok(
      world.messages.some((message) => message.includes(hidden.slice(6))),
      'and the log says where they are',
    )
    await world.backend.sweep(0)
    t.same(stagedIn(world.dcache), [hidden])
  })
})

t.test('a rename over a file that fails half way loses nothing', async (t) => {
  const { world, area } = await prepared(t, { withoutFrontend: true })
  await world.dcache.tree.add({ path: '/data/other', text: 'others', owner: 'alice' })
  failMoves(t, 2)
  await fails(t, act(world.backend.rename(parsePath('/other'), file, { condition: 'any' }, area.call)), 'unavailable')
  t.same((await area.names(root)).sort(), ['file', 'other'])
})

t.test('a frontend that fails for a moment does not make a replaced file readable for others', async (t) => {
  const { world, area } = await prepared(t)
  const decide = () => {
    world.dcache.faults.add({
      at: 'frontend',
      path: '/api/v1/namespace/data/file',
      times: 1,
      fault: { type: 'status', status: 500 },
    })
  }
  await upload(area, file, 'the new bytes', decide).catch((error) => t.equal(error.code, 'unavailable'))
  t.equal((await area.known(file)).mode, 0o600)
})

t.test('what a pool refuses says nothing about the rights of the caller, nor of what is there', async (t) => {
  for (const status of [400, 401, 403, 404, 409]) {
    const { world, area } = await prepared(t)
    const well = world.dcache.faults.add({ at: 'pool', kind: 'PUT', fault: { type: 'status', status } })
    await fails(t, upload(area, parsePath('/new'), 'bytes'), 'unavailable', `${status}`)
    well()
    t.same(await area.leftovers(), [])
    world.dcache.faults.add({ at: 'pool', kind: 'PUT', times: 1, fault: { type: 'status', status } })
    await upload(area, parsePath('/new'), 'bytes')
    t.equal(await area.text(parsePath('/new')), 'bytes', `${status}: another pool takes it`)
  }
})

t.test('answers whose unwanted bodies never end do not use up the connections', async (t) => {
  const { world, area } = await prepared(t, { withoutFrontend: true, options: { connections: 2, deadline: 5000 } })
  world.dcache.tree.setMode('/data', 0o555)
  world.dcache.faults.add({ at: 'door', kind: 'MKCOL', fault: { type: 'slow-body', after: 1 } })
  for (const name of ['/a', '/b', '/c']) await fails(t, area.mkdir(parsePath(name)), 'denied')
  t.ok(await area.exists(file))
})

t.test('slow transfers through the door leave connections for questions', async (t) => {
  const double = { redirectReads: false, redirectWrites: false }
  const { world, area } = await prepared(t, { double, options: { connections: 1 } })
  await world.dcache.tree.add({ path: '/data/big', size: 50_000_000, owner: 'alice' })
  const draft = await act(area.backend.create(parsePath('/new'), {}, area.call))
  draft.body.write('the first bytes')
  const restart = await world.dcache.refuse('frontend')
  t.ok(await area.exists(file), 'while an upload waits for its caller')
  await draft.discard()
  const opened = await act(area.backend.open(parsePath('/big'), {}, area.call))
  const stream = opened.stream({ start: 0, end: 50_000_000 })
  await once(stream, 'readable')
  t.ok(await area.exists(file), 'while a reader is slow')
  stream.destroy()
  await opened.close()
  await restart()
})

t.test('an upload that cannot be taken away does not keep the sweep from others', async (t) => {
  const { world, area } = await prepared(t)
  await world.dcache.tree.add({ path: '/data/closed', directory: true, owner: 'alice', mode: 0o700 })
  await world.dcache.tree.add({ path: `/data/closed/${stagingPrefix}1`, text: '', owner: 'alice' })
  world.services.places.add(`/closed/${stagingPrefix}1`)
  await area.draft(parsePath('/new'), 'never committed')
  t.equal(stagedIn(world.dcache).length, 2)
  t.equal(await world.backend.sweep(0), 1)
  t.same(stagedIn(world.dcache), [`/data/closed/${stagingPrefix}1`])
  t.same([...world.services.places], [`/closed/${stagingPrefix}1`], 'it is tried again another time')
})

t.test('an upload is taken away also when the token of its caller has ended', async (t) => {
  const { world, area } = await prepared(t, { double: { macaroons: false } })
  mock.timers.enable({ apis: ['Date'], now: Date.now() })
  t.teardown(() => mock.timers.reset())
  const brief = { ...alice, expires: Date.now() / 1000 + 60 }
  const draft = await area.draft(parsePath('/new'), 'bytes', callBy(brief))
  mock.timers.tick(120_000)
  await fails(t, area.commit(draft), 'unauthenticated')
  await draft.discard()
  t.same(await area.leftovers(), [])
  t.notOk(world.dcache.tree.has('/data/new'))
})

t.test('a directory full of what is hidden can be listed', async (t) => {
  const { world, area } = await prepared(t)
  const names = Array.from({ length: 3100 }, (_, index) => `${stagingPrefix}${index}`)
  await world.fill?.(root, names)
  t.same(await area.names(root), ['file'])
})

t.test('where nobody tells what is on tape, nothing is recalled for those who only look', async (t) => {
  const { world, area } = await prepared(t)
  const { tree, counters } = world.dcache
  await tree.add({ path: '/data/taped', text: 'on tape', owner: 'alice', locality: 'NEARLINE' })
  // Older doors do not know FileLocality.
  const { locality } = Tape.prototype
  t.teardown(() => {
    Tape.prototype.locality = locality
  })
  Tape.prototype.locality = () => 'NOT TOLD' as 'NONE'
  const restart = await world.dcache.refuse('frontend')
  const taped = parsePath('/taped')
  await fails(t, act(world.backend.checksums.compute(taped, ['crc32c'], area.call)), 'unavailable')
  const any = { condition: 'any', decide() {} } as const
  await fails(t, act(world.backend.copying.copy(taped, parsePath('/to'), any, area.call)), 'unavailable')
  const opened = await act(world.backend.open(taped, { inlineUpTo: 4096 }, area.call))
  t.equal(opened.content, undefined)
  await opened.close()
  t.equal(counters.recalls, 0)
  await restart()
})

t.test('events go on after an id that cannot be sent back', async (t) => {
  // Waiting for the next try keeps no process alive.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const asked: (string | undefined)[] = []
  const { promise: again, resolve } = Promise.withResolvers<void>()
  const stream = 'id: \u20ac\nevent: metronome\ndata: {}\n\n'
  const answers = {
    POST: () => ({ status: 201, headers: { location: 'http://h/x/1' }, body: Readable.from([]) }),
    GET: () => ({
      status: 200,
      headers: { 'content-type': 'text/event-stream' },
      body: Readable.from([Buffer.from(stream)]),
    }),
    DELETE: () => ({ status: 204, headers: {}, body: Readable.from([]) }),
  }
  const request: Door['request'] = async ({ method, headers = {} }) => {
    if (method === 'GET') {
      asked.push(headers['Last-Event-ID'])
      if (asked.length === 2) resolve()
    }
    const answer = answers[method as keyof typeof answers]()
    return { ...answer, answered: answer, discard() {} } as unknown as DoorResponse
  }
  const login = async () => new Secret('Basic eA==')
  const patience = { first: 1, most: 2 }
  const events = new Events({ frontend: { request }, root, login, log: () => {}, patience })
  events.want(file)
  await again
  await events.close()
  t.same(asked.slice(0, 2), [undefined, undefined])
})

t.test('a property of any name is kept or refused', async (t) => {
  const { world, area } = await prepared(t)
  const { properties } = world.backend
  await act(properties?.set(file, new Map([['__proto__', 'x']]), area.call) ?? Promise.reject())
  const kept = await act(properties?.get(file, area.call) ?? Promise.reject())
  t.equal(kept.get('__proto__'), 'x')
})

t.test('an upload that has its name is there, even if nobody can look at it', async (t) => {
  const { world, area } = await prepared(t)
  const { faults } = world.dcache
  const { move } = Tree.prototype
  onMove(t, function (this: Tree, ...to) {
    move.apply(this, to)
    for (const at of ['frontend', 'door'] as const) faults.add({ at, times: 1, fault: { type: 'status', status: 500 } })
  })
  const draft = await area.draft(file, 'the new bytes')
  const made = await area.commit(draft)
  faults.clear()
  t.same(made.version, (await area.known(file)).version)
  t.equal(made.name, 'file')
})

t.test('a breaker lets somebody else try when a probe takes long', async (t) => {
  let now = 1
  const breaker = new Breaker({ failures: 1, pause: 1000, now: () => now })
  breaker.enter()('failed')
  now += 1001
  const slow = breaker.enter()
  t.throws(() => breaker.enter(), { code: 'unavailable' })
  now += 30_001
  const second = breaker.enter()
  t.throws(() => breaker.enter(), { code: 'unavailable' })
  second('answered')
  t.notOk(breaker.isOpen)
  slow('failed')
  t.ok(breaker.isOpen, 'a late end of the first is a failure like every other')
})

t.test('a breaker that many callers open at once stays open for one pause', async (t) => {
  let now = 1
  const breaker = new Breaker({ failures: 5, pause: 1000, now: () => now })
  const leaves = Array.from({ length: 64 }, () => breaker.enter())
  for (const leave of leaves) leave('failed')
  now += 1001
  t.doesNotThrow(() => breaker.enter())
})
