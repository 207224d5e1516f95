/** Doors and pools that are ill: an answer in time, never a hang, a crash, or bytes that nobody vouches for. */

import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import t, { type Test } from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parsePath, root } from '../../gateway/core/path.ts'
import { Area, act, fails, pattern } from '../backends/conformance/area.ts'
import type { Fault, Place } from '../doubles/dcache/faults.ts'
import { type DcacheWorld, stagedIn, type WorldOptions, worldFor } from './world.ts'

const file = parsePath('/file')
const bytes = pattern(300_000)

/** A world with /file in it, impatient. */
async function prepared(t: Test, options: WorldOptions = {}): Promise<{ world: DcacheWorld; area: Area }> {
  const world = await worldFor(t, { ...options, options: { deadline: 1000, stall: 500, ...options.options } })
  await world.dcache.tree.add({ path: '/data/file', bytes, owner: 'alice', mode: 0o664 })
  return { world, area: new Area(world, root) }
}

/** As Storage does it: what fails is discarded. */
async function upload(area: Area, path: Path, data: string | Uint8Array): Promise<void> {
  const draft = await act(area.backend.create(path, {}, area.call))
  try {
    await pipeline(Readable.from([Buffer.from(data)]), draft.body)
    await area.commit(draft)
  } finally {
    await draft.discard()
  }
}

function ill(
  { dcache }: DcacheWorld,
  at: Place,
  fault: Fault,
  more: { kind?: string; times?: number } = {},
): () => void {
  return dcache.faults.add({ at, fault, ...more })
}

t.test('a door that is down is unavailable, and works again when it is back', async (t) => {
  const { world, area } = await prepared(t)
  const restart = await world.dcache.refuse('frontend')
  const restartDoor = await world.dcache.refuse('door')
  await fails(t, area.read(file), 'unavailable')
  await fails(t, area.write(file, 'x'), 'unavailable')
  await restart()
  await restartDoor()
  t.ok((await area.read(file)).equals(bytes))
})

t.test('a frontend that is down leaves reading and listing to the door', async (t) => {
  const { world, area } = await prepared(t)
  const { entry } = await world.backend.walk(file, area.call)
  const restart = await world.dcache.refuse('frontend')
  const without = await world.backend.walk(file, area.call)
  t.equal(without.entry?.version, entry?.version)
  t.equal(without.entry?.id, entry?.id)
  t.ok((await area.read(file)).equals(bytes))
  t.same(await area.names(root), ['file'])
  await restart()
})

t.test('a door that says nothing is unavailable after the deadline', async (t) => {
  const { world, area } = await prepared(t)
  ill(world, 'frontend', { type: 'slow-headers' })
  ill(world, 'door', { type: 'slow-headers' })
  await fails(t, area.entry(file), 'unavailable')
})

t.test('a door that fails again and again is left alone for a while', async (t) => {
  const { world, area } = await prepared(t, { withoutFrontend: true })
  const restart = await world.dcache.refuse('door')
  for (let round = 0; round < 6; round++) await fails(t, area.entry(file), 'unavailable')
  await restart()
  try {
    await area.entry(file)
    t.fail('the breaker should be open')
  } catch (error) {
    const { code, retryAfter } = StorageError.from(error)
    t.equal(code, 'unavailable')
    t.ok(retryAfter !== undefined && retryAfter >= 1 && retryAfter <= 5, `try again after ${retryAfter} s`)
  }
})

t.test('a question whose connection is reset is asked again, a change is not', async (t) => {
  const { world, area } = await prepared(t)
  ill(world, 'frontend', { type: 'reset' }, { times: 1 })
  t.equal((await area.entry(file))?.size, bytes.length)
  await area.entry(root)
  world.dcache.counters.reset()
  ill(world, 'door', { type: 'reset' }, { kind: 'MKCOL', times: 1 })
  await fails(t, area.mkdir(parsePath('/new')), 'unavailable')
  t.equal(world.dcache.counters.requests('door', 'MKCOL'), 1)
  t.notOk(world.dcache.tree.has('/data/new'))
})

t.test('HTML in the place of an answer is unavailable', async (t) => {
  const { world, area } = await prepared(t)
  const html: Fault = { type: 'html' }
  const wells = [ill(world, 'frontend', html), ill(world, 'door', html)]
  await fails(t, area.entry(file), 'unavailable')
  await fails(t, area.list(root), 'unavailable')
  await fails(t, area.mkdir(parsePath('/new')), 'unavailable')
  await fails(t, area.remove(file), 'unavailable')
  await fails(t, area.write(parsePath('/new'), 'x'), 'unavailable')
  for (const well of wells) well()
  ill(world, 'door', html, { kind: 'PUT' })
  await fails(t, area.write(parsePath('/new'), 'x'), 'unavailable', 'the door')
  ill(world, 'door', html, { kind: 'GET' })
  await fails(t, area.read(file), ['unavailable', 'stale'], 'the door')
  t.same(await area.names(root), ['file'])
  t.same(stagedIn(world.dcache), [])
})

t.test('an answer that is cut short is unavailable', async (t) => {
  for (const withoutFrontend of [false, true]) {
    const { world, area } = await prepared(t, { withoutFrontend })
    ill(world, 'frontend', { type: 'truncate', after: 40 })
    ill(world, 'door', { type: 'truncate', after: 40 }, { kind: 'PROPFIND' })
    await fails(t, area.entry(file), 'unavailable')
    await fails(t, area.list(root), 'unavailable')
  }
})

t.test('bytes that break off, stop, are too few or too many are unavailable', async (t) => {
  const { world, area } = await prepared(t)
  const faults: readonly Fault[] = [
    { type: 'reset', after: 100_000 },
    { type: 'truncate', after: 100_000 },
    { type: 'slow-body', after: 100_000 },
    { type: 'wrong-length', by: -1000 },
    { type: 'wrong-length', by: 1000 },
  ]
  for (const fault of faults) {
    const well = ill(world, 'pool', fault)
    await fails(t, area.read(file), ['unavailable', 'stale'], fault.type)
    well()
    t.ok((await area.read(file)).equals(bytes), `well again after ${fault.type}`)
  }
  const over = ill(world, 'pool', { type: 'wrong-length', by: 1000 })
  const opened = await act(world.backend.open(file, {}, area.call))
  await fails(t, buffer(opened.stream({ start: 10, end: 20 })), 'unavailable', 'a range')
  over()
  await opened.close()
})

t.test('a small file whose checksum is another is refused', async (t) => {
  const { world, area } = await prepared(t)
  await world.dcache.tree.add({ path: '/data/small', text: 'some bytes', owner: 'alice' })
  ill(world, 'pool', { type: 'corrupt' }, { times: 1 })
  const small = parsePath('/small')
  await fails(t, act(world.backend.open(small, { inlineUpTo: 4096 }, area.call)), 'bad-checksum')
  const opened = await act(world.backend.open(small, { inlineUpTo: 4096 }, area.call))
  t.equal(Buffer.from(opened.content ?? []).toString(), 'some bytes')
  await opened.close()
})

t.test('an upload whose checksum is another is refused and taken away', async (t) => {
  const { world, area } = await prepared(t)
  ill(world, 'pool', { type: 'wrong-checksum' }, { kind: 'PUT', times: 1 })
  await fails(t, upload(area, file, 'new bytes'), 'bad-checksum')
  t.ok((await area.read(file)).equals(bytes), 'the old file is there')
  t.same(await area.leftovers(), [])
})

t.test('an upload that breaks off is not sent again and leaves nothing', async (t) => {
  const { world, area } = await prepared(t)
  await area.entry(file)
  for (const fault of [
    { type: 'reset-upload', after: 1000 },
    { type: 'reset' },
    { type: 'status', status: 500 },
  ] as const) {
    world.dcache.counters.reset()
    const well = ill(world, 'pool', fault, { kind: 'PUT' })
    await fails(t, upload(area, parsePath('/new'), pattern(5_000_000)), 'unavailable', fault.type)
    well()
    t.equal(world.dcache.counters.requests('pool', 'PUT'), 1, `${fault.type}: sent once`)
    t.same(await area.leftovers(), [], fault.type)
  }
  t.same(await area.names(root), ['file'])
})

t.test('a pool that died between redirect and connection is replaced by another', async (t) => {
  const { world, area } = await prepared(t)
  ill(world, 'door', { type: 'dead-pool' }, { kind: 'GET', times: 1 })
  t.ok((await area.read(file)).equals(bytes))
  ill(world, 'door', { type: 'dead-pool' }, { kind: 'PUT', times: 1 })
  await area.write(parsePath('/new'), 'sent once')
  t.equal(await area.text(parsePath('/new')), 'sent once')
  t.same(await area.leftovers(), [])
  ill(world, 'door', { type: 'dead-pool' })
  await fails(t, area.read(file), 'unavailable')
  await fails(t, area.write(parsePath('/other'), 'x'), 'unavailable')
})

t.test('no space is told before the body', async (t) => {
  const { world, area } = await prepared(t, { double: { quotas: [{ type: 'user', id: 1000, replicaLimit: 1000 }] } })
  await fails(t, act(world.backend.create(parsePath('/new'), { size: 2000 }, area.call)), 'no-space')
  t.same(await area.leftovers(), [])
})

t.test('what dCache refuses is denied, with its words for explain and never as a bad credential', async (t) => {
  for (const forbids of [true, false]) {
    const { world, area } = await prepared(t, { double: { forbids } })
    world.dcache.tree.setMode('/data', 0o555)
    const made = parsePath('/new')
    for (const attempt of [() => area.mkdir(made), () => area.write(made, 'x'), () => area.remove(file)]) {
      const error = await attempt().then(
        () => new StorageError('internal', 'went through'),
        (thrown) => StorageError.from(thrown),
      )
      t.equal(error.code, 'denied')
      t.equal(StorageError.reasonOf(error)?.rule, 'dcache')
    }
    t.same(await area.leftovers(), [])
  }
})

t.test('looking, listing, checksums and copies recall nothing from tape', async (t) => {
  const { world, area } = await prepared(t)
  const { tree, counters } = world.dcache
  await tree.add({ path: '/data/taped', text: 'on tape', owner: 'alice', locality: 'NEARLINE' })
  const taped = parsePath('/taped')
  t.equal((await area.entry(taped))?.locality, 'tape')
  t.same(
    (await area.list(root)).map(({ name, locality }) => [name, locality]),
    [
      ['file', 'disk'],
      ['taped', 'tape'],
    ],
  )
  const opened = await act(world.backend.open(taped, { inlineUpTo: 4096 }, area.call))
  t.equal(opened.content, undefined)
  await opened.close()
  const sums = await act(world.backend.checksums.compute(taped, ['adler32'], area.call))
  t.equal(sums.adler32?.length, 4)
  await fails(t, act(world.backend.checksums.compute(taped, ['sha-512'], area.call)), 'nearline')
  const any = { condition: 'any', decide() {} } as const
  await fails(t, act(world.backend.copying.copy(taped, parsePath('/to'), any, area.call)), 'nearline')
  t.equal(counters.recalls, 0)
  t.equal(await area.text(taped), 'on tape', 'who reads all the same waits')
  t.equal(counters.recalls, 1)
})

t.test('what a crash left is swept away', async (t) => {
  const { world, area } = await prepared(t)
  await area.draft(parsePath('/new'), 'never committed')
  t.equal(stagedIn(world.dcache).length, 1)
  t.equal(await world.backend.sweep(0), 1)
  t.same(await area.leftovers(), [])
  t.same(await area.names(root), ['file'])
})
