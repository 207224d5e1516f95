import t, { type Test } from 'tap'
import type { Kept } from '../../backends/backend.ts'
import { maxRecord } from '../../gateway/core/kept.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { type Mount, Namespace } from '../../mounts/namespace.ts'
import { allow, callBy, deny, everything, outcome, readAll, user, World } from './world.ts'

const at = parsePath
const md5 = 'c4ca4238a0b923820dcc509a6f75849b'

async function setUp(t: Test): Promise<World> {
  const world = new World({ '/data': {}, '/other': {} })
  t.teardown(() => world.end())
  for (const top of ['/data/d', '/other/d']) {
    await world.directory(top, 'alice', allow(user('alice'), everything), allow(user('bob'), readAll))
  }
  return world
}

const keptOf = async ({ storage }: World, who: string, path: string) =>
  (await storage.getKept(callBy(who), at(path))).kept
const recordOf = async (world: World, path: string) => (await keptOf(world, 'alice', path)).record
const hex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('hex')

/** The same memories, by mounts that lack some of what they can do. */
function without(world: World, ...facets: readonly (keyof Mount['backend'])[]): Storage {
  const lesser = world.mounts.map((mount) => ({
    ...mount,
    backend: new Proxy(mount.backend, {
      get(target, key) {
        if (facets.includes(key as keyof Mount['backend'])) return undefined
        const value: unknown = Reflect.get(target, key, target)
        if (key !== 'open' || typeof value !== 'function')
          return typeof value === 'function' ? value.bind(target) : value
        return async (...args: unknown[]) => ({ ...(await Reflect.apply(value, target, args)), kept: undefined })
      },
    }),
  }))
  const { audit, spillDirectory } = world
  return new Storage({ namespace: new Namespace(lesser), audit, spillDirectory })
}

t.test('a record is committed with the bytes, told beforehand or made of their digests', async (t) => {
  const world = await setUp(t)
  await world.put('alice', '/data/d/f', '1', { record: 'early', digests: ['md5'] })
  const early = await keptOf(world, 'bob', '/data/d/f')
  t.equal(early.record, 'early')
  t.equal(hex(early.digests.md5), md5)
  const writing = await world.storage.write(callBy('alice'), at('/data/d/f'), { digests: ['md5'], record: 'early' })
  writing.body.end('1')
  await writing.commit({ record: (digests) => `md5 ${hex(digests.md5)}` })
  t.equal(await recordOf(world, '/data/d/f'), `md5 ${md5}`)
  await world.put('alice', '/data/d/f', '1')
  t.same(await keptOf(world, 'alice', '/data/d/f'), { digests: {} }, 'new bytes have nothing of the old ones')
})

t.test('a record that is too long, or cannot be made, commits nothing', async (t) => {
  const world = await setUp(t)
  await world.put('alice', '/data/d/f', 'old', { record: 'x'.repeat(maxRecord) })
  const long = '\u00e9'.repeat(maxRecord / 2 + 1)
  t.equal(await outcome(world.put('alice', '/data/d/f', 'new', { record: long })), 'too-large')
  const writing = await world.storage.write(callBy('alice'), at('/data/d/f'))
  writing.body.end('new')
  const no = new Error('no')
  await t.rejects(
    writing.commit({
      record: () => {
        throw no
      },
    }),
    'no',
  )
  t.equal(await world.state('/data/d/f'), 'old')
  const { entry } = await world.storage.getKept(callBy('alice'), at('/data/d/f'))
  const setting = world.storage.setRecord(callBy('alice'), at('/data/d/f'), long, { version: entry.version })
  t.equal(await outcome(setting), 'too-large')
})

t.test('what is kept comes with the reading where it is asked for', async (t) => {
  const world = await setUp(t)
  await world.put('alice', '/data/d/f', '1', { record: 'r', digests: ['md5'] })
  const lesser = [
    world.storage,
    without(world, 'versions'),
    without(world, 'records'),
    without(world, 'records', 'checksums'),
  ]
  for (const [index, storage] of lesser.entries()) {
    for (const headOnly of [false, true]) {
      const reading = await storage.read(callBy('bob'), at('/data/d/f'), { kept: true, headOnly })
      if (reading.kind !== 'bytes') throw new Error('bytes were meant')
      await reading.close()
      t.equal(reading.kept?.record, index < 2 ? 'r' : undefined, `storage ${index}`)
      t.equal(hex(reading.kept?.digests.md5), index < 3 ? md5 : undefined)
    }
    const plain = await storage.read(callBy('bob'), at('/data/d/f'))
    if (plain.kind !== 'bytes') throw new Error('bytes were meant')
    await plain.close()
    t.equal(plain.kept, undefined)
    const { kept } = await storage.getKept(callBy('bob'), at('/data/d/f'))
    t.equal(kept.record, index < 2 ? 'r' : undefined)
    t.equal(hex(kept.digests.md5), index < 3 ? md5 : undefined)
    t.same((await storage.getKept(callBy('bob'), at('/data/d'))).kept, { digests: {} })
  }
})

t.test('who may not read the bytes learns nothing of what is kept', async (t) => {
  const world = await setUp(t)
  await world.put('alice', '/data/d/f', '1', { record: 'r' })
  t.equal(await outcome(keptOf(world, 'carol', '/data/d/f')), 'denied')
  t.equal(await outcome(keptOf(world, 'carol', '/data/d/none')), 'denied')
  t.equal(await outcome(keptOf(world, 'bob', '/data/d/none')), 'not-found')
  for (const storage of [world.storage, without(world, 'records')]) {
    t.equal(await outcome(storage.getKept(callBy('carol'), at('/data/d/f'))), 'denied')
    t.equal(await outcome(storage.read(callBy('carol'), at('/data/d/f'), { kept: true })), 'denied')
  }
})

t.test('a record is changed by who may write properties, of the version that is meant', async (t) => {
  const world = await setUp(t)
  const { entry } = await world.put('alice', '/data/d/f', '1', { record: 'r', digests: ['md5'] })
  const { version } = entry
  const set = (who: string, path: string, meant: string, storage = world.storage) =>
    outcome(storage.setRecord(callBy(who), at(path), 'new', { version: meant }))
  t.equal(await set('bob', '/data/d/f', version), 'denied')
  t.equal(await set('alice', '/data/d/f', 'another'), 'stale')
  t.equal(await set('alice', '/data/d/none', version), 'not-found')
  t.equal(await set('alice', '/data/d/f', version, without(world, 'records')), 'unsupported')
  t.equal(await recordOf(world, '/data/d/f'), 'r')
  const made = (record: string | undefined) =>
    outcome(world.storage.setRecord(callBy('alice'), at('/data/d/f'), 'made of it', { version, before: { record } }))
  t.equal(await made('another'), 'stale', 'somebody was faster')
  t.equal(await made(undefined), 'stale')
  t.equal(await recordOf(world, '/data/d/f'), 'r')
  t.equal(await made('r'), 'ok')
  t.equal(await recordOf(world, '/data/d/f'), 'made of it')
  t.equal(await set('alice', '/data/d/f', version), 'ok')
  const kept = await keptOf(world, 'alice', '/data/d/f')
  t.equal(kept.record, 'new')
  t.equal(hex(kept.digests.md5), md5)
})

t.test('a copy has the record of its source, and a move takes it along, also to another mount', async (t) => {
  const world = await setUp(t)
  await world.put('alice', '/data/d/f', '1', { record: 'r', digests: ['md5'] })
  const { storage } = world
  for (const to of ['/data/d/copy', '/other/d/copy']) {
    await storage.copy(callBy('alice'), at('/data/d/f'), at(to))
    t.equal(await recordOf(world, to), 'r')
    t.equal(hex((await keptOf(world, 'alice', to)).digests.md5), md5)
  }
  await storage.mkdir(callBy('alice'), at('/data/d/tree'))
  await storage.rename(callBy('alice'), at('/data/d/f'), at('/data/d/tree/f'))
  t.equal(await recordOf(world, '/data/d/tree/f'), 'r')
  await storage.copy(callBy('alice'), at('/data/d/tree'), at('/data/d/copied'), { recursive: true })
  t.equal(await recordOf(world, '/data/d/copied/f'), 'r')
  await storage.rename(callBy('alice'), at('/data/d/tree'), at('/other/d/tree'))
  t.equal(await recordOf(world, '/other/d/tree/f'), 'r')
})

t.test('a copy is given another record, made of what is kept with the source', async (t) => {
  const world = await setUp(t)
  await world.put('alice', '/data/d/f', '1', { record: 'r', digests: ['md5'] })
  const record = ({ digests, record: old }: Kept) => `${old} of ${hex(digests.md5)}`
  for (const to of ['/data/d/copy', '/other/d/copy']) {
    await world.storage.copy(callBy('alice'), at('/data/d/f'), at(to), { record })
    t.equal(await recordOf(world, to), `r of ${md5}`)
    await world.storage.copy(callBy('alice'), at('/data/d/f'), at(to), { record: () => undefined })
    t.equal(await recordOf(world, to), undefined)
    const long = world.storage.copy(callBy('alice'), at('/data/d/f'), at(to), {
      record: () => 'x'.repeat(maxRecord + 1),
    })
    t.equal(await outcome(long), 'too-large')
  }
})

t.test('a copy is bound to the version of its source and to what is at its place', async (t) => {
  const world = await setUp(t)
  const source = await world.put('alice', '/data/d/f', '1')
  for (const top of ['/data/d', '/other/d']) {
    const { entry } = await world.put('alice', `${top}/old`, 'old')
    const copy = (to: string, options: Parameters<Storage['copy']>[3]) =>
      outcome(world.storage.copy(callBy('alice'), at('/data/d/f'), at(`${top}/${to}`), options))
    t.equal(await copy('new', { version: 'another' }), 'precondition')
    t.equal(await copy('old', { conditions: { ifNoneMatch: '*' } }), 'precondition')
    t.equal(await copy('old', { conditions: { ifMatch: ['another'] } }), 'precondition')
    t.equal(await copy('old', { conditions: { ifNoneMatch: [entry.version] } }), 'precondition')
    t.equal(await copy('new', { conditions: { ifMatch: '*' } }), 'precondition')
    t.equal(await world.state(`${top}/old`), 'old')
    t.equal(await world.state(`${top}/new`), 'not-found')
    t.equal(await copy('old', { conditions: { ifMatch: [entry.version] }, version: source.entry.version }), 'ok')
    t.equal(await copy('new', { conditions: { ifNoneMatch: '*' } }), 'ok')
    t.equal(await copy('deep/er/new', {}), 'no-parent')
    t.equal(await copy('deep/er/new', { createParents: true }), 'ok')
    t.equal(await world.state(`${top}/deep/er/new`), '1')
  }
})

t.test('a copy with conditions is refused before they are looked at', async (t) => {
  const world = await setUp(t)
  await world.put('alice', '/data/d/f', '1')
  await world.directory('/data/closed', 'alice', deny(user('bob'), everything))
  const conditions = { ifNoneMatch: '*' } as const
  for (const to of ['/data/d/f2', '/data/closed/f']) {
    t.equal(await outcome(world.storage.copy(callBy('bob'), at('/data/d/f'), at(to), { conditions })), 'denied')
  }
})

t.test(
  'bytes that change while they are copied to another mount are not given what was kept of the old ones',
  async (t) => {
    const world = await setUp(t)
    const size = 300_000
    await world.put('alice', '/data/d/f', 'x'.repeat(size), { record: 'r', digests: ['md5'] })
    const memory = world.memories.get(at('/data'))
    const keeper = callBy('keeper')
    let edits = 0
    const touch = async () => {
      if (edits++ > 0) return
      const pending = await memory?.editing.edit(at('/d/f'), {}, keeper)
      const file = await pending?.proceed()
      await file?.write(Buffer.from('y'), size - 1)
      await file?.close()
      await pending?.release()
    }
    const mounts = world.mounts.map((mount) => ({
      ...mount,
      backend: new Proxy(mount.backend, {
        get(target, key) {
          const value: unknown = Reflect.get(target, key, target)
          if (typeof value !== 'function') return value
          if (key !== 'create' || mount.at !== '/other') return value.bind(target)
          return async (...args: unknown[]) => {
            await touch()
            return Reflect.apply(value, target, args)
          }
        },
      }),
    }))
    const { audit, spillDirectory } = world
    const storage = new Storage({ namespace: new Namespace(mounts), audit, spillDirectory })
    const options = { record: ({ record }: Kept) => `of ${record}` }
    t.equal(await outcome(storage.copy(callBy('alice'), at('/data/d/f'), at('/other/d/copy'), options)), 'stale')
    t.equal(edits, 1)
    t.equal(await world.state('/other/d/copy'), 'not-found')
    t.equal(await outcome(storage.copy(callBy('alice'), at('/data/d/f'), at('/other/d/copy'), options)), 'ok')
    t.same(await keptOf(world, 'alice', '/other/d/copy'), { digests: {}, record: 'of undefined' })
  },
)
