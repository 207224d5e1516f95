import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { right } from '../../acl/acl.ts'
import type { OpenFile, Range } from '../../backends/backend.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { allow, callBy, everything, grants, look, mountOf, outcome, person, readAll, user, World } from './world.ts'

const at = parsePath
const make = { create: { exclusive: false, mode: 0o644 } } as const
const writing = look | right.writeData
const makeNew = { create: { exclusive: true, mode: 0o644 } } as const

/** In /data/d alice may do everything, carol look, dora add files and nothing else. */
async function setUp(t: Test): Promise<World> {
  const world = new World()
  t.teardown(() => world.end())
  await world.directory(
    '/data/d',
    'alice',
    allow(user('alice'), everything),
    allow(user('carol'), readAll, 0),
    allow(user('dora'), look | right.addFile, 0),
  )
  await world.file(
    '/data/d/f',
    '0123456789',
    'alice',
    allow(user('alice'), everything),
    allow(user('carol'), readAll | right.writeData),
  )
  world.audit.records.length = 0
  return world
}

t.test('a file is made where there is none, and opened where there is', async (t) => {
  const { storage, audit } = await setUp(t)
  const made = await storage.edit(callBy('alice'), at('/data/d/new'), make)
  t.equal(made.created, true)
  t.equal(made.entry.size, 0)
  await made.write(Buffer.from('text'), 0)
  t.equal((await made.stat()).size, 4)
  await made.close()
  t.match(audit.records, [{ action: 'create', outcome: 'ok', path: '/data/d/new', bytes: 4 }])
  const again = await storage.edit(callBy('alice'), at('/data/d/new'), make)
  t.equal(again.created, false)
  t.equal((await again.stat()).size, 4)
  await again.close()
  t.equal(await outcome(storage.edit(callBy('alice'), at('/data/d/new'), makeNew)), 'exists')
  t.equal(await outcome(storage.edit(callBy('alice'), at('/data/d/none/new'), make)), 'no-parent')
  t.equal(await outcome(storage.edit(callBy('keeper'), at('/data/d'), make)), 'is-directory')
})

t.test('making takes the right to add files, opening the one to write', async (t) => {
  const { storage } = await setUp(t)
  t.equal(await outcome(storage.edit(callBy('carol'), at('/data/d/new'), make)), 'denied')
  t.equal(await outcome(storage.edit(callBy('dora'), at('/data/d/f'), make)), 'denied')
  t.equal(await outcome(storage.edit(callBy('bob'), at('/data/d/f'), make)), 'denied')
  t.equal(await outcome(storage.edit(callBy('bob'), at('/data/d/new'), make)), 'denied')
  const own = await storage.edit(callBy('dora'), at('/data/d/new'), make)
  t.equal(await own.write(Buffer.from('x'), 0), 1, 'what one has just made one may fill')
  await own.close()
})

t.test('a credential that may only create fills what it makes and opens nothing', async (t) => {
  const { storage } = await setUp(t)
  const creator = person('alice', { grants: grants('create:/data/d') })
  const file = await storage.edit(callBy(creator), at('/data/d/new'), make)
  await file.write(Buffer.from('x'), 0)
  await file.close()
  t.equal(await outcome(storage.edit(callBy(creator), at('/data/d/new'), make)), 'denied')
  t.equal(await outcome(storage.edit(callBy(creator), at('/data/d/new'))), 'denied')
  const editor = person('alice', { grants: grants('overwrite:/data/d') })
  t.equal(await outcome(storage.edit(callBy(editor), at('/data/d/more'), make)), 'denied')
  t.equal(await outcome(storage.edit(callBy(editor), at('/data/d/f'), make)), 'ok')
  const bounded = person('alice', { maxUpload: 1000 })
  t.equal(await outcome(storage.edit(callBy(bounded), at('/data/d/more'), make)), 'denied')
})

t.test('nothing is made where the mount is read-only', async (t) => {
  const world = new World({ '/data': { readOnly: true } })
  t.teardown(() => world.end())
  t.equal(await outcome(world.storage.edit(callBy('keeper'), at('/data/new'), make)), 'read-only')
})

t.test('it must be the object that is meant', async (t) => {
  const world = await setUp(t)
  const { storage } = world
  const { id } = await storage.stat(callBy('alice'), at('/data/d/f'))
  const file = await storage.edit(callBy('alice'), at('/data/d/f'), { id })
  await file.close()
  await (await storage.open(callBy('alice'), at('/data/d/f'), { id })).close()
  await world.put('alice', '/data/d/f', 'another')
  const now = await storage.stat(callBy('alice'), at('/data/d/f'))
  t.not(now.id, id)
  t.equal(await outcome(storage.edit(callBy('alice'), at('/data/d/f'), { id, truncate: true })), 'stale')
  t.equal(await outcome(storage.open(callBy('alice'), at('/data/d/f'), { id })), 'stale')
  t.equal(await world.get('alice', '/data/d/f'), 'another')
})

t.test('a file open for reads is read at any place, several at once, with one audit line at its end', async (t) => {
  const { storage, audit } = await setUp(t)
  const file = await storage.open(callBy('carol'), at('/data/d/f'))
  const read = async (offset: number) => {
    const into = Buffer.alloc(4)
    return into.toString('latin1', 0, await file.read(into, offset))
  }
  t.same(await Promise.all([read(6), read(0), read(8), read(10)]), ['6789', '0123', '89', ''])
  await storage.remove(callBy('alice'), at('/data/d/f'))
  t.equal(await read(3), '3456', 'what is removed stays open')
  audit.records.length = 0
  await file.close()
  await file.close()
  t.match(audit.records, [{ action: 'read', outcome: 'ok', bytes: 14 }])
  t.equal(audit.records.length, 1)
  await t.rejects(file.read(Buffer.alloc(1), 0), { code: 'invalid' })
  t.throws(() => file.stream({ start: 0, end: 1 }), { code: 'invalid' })
  t.equal(await outcome(storage.open(callBy('bob'), at('/data/d/g'))), 'denied')
  t.equal(await outcome(storage.open(callBy('alice'), at('/data/d'))), 'is-directory')
  t.equal(await outcome(storage.open(callBy('alice'), at('/data/d/none'))), 'not-found')
})

t.test('ranges are made, found and copied inside the storage', async (t) => {
  const world = await setUp(t)
  const { storage } = world
  const source = await storage.open(callBy('alice'), at('/data/d/f'))
  const target = await storage.edit(callBy('alice'), at('/data/d/copy'), make)
  t.equal(await target.copyFrom?.(source, { start: 2, end: 6 }, 1), 4)
  t.equal(await target.copyFrom?.(target, { start: 1, end: 3 }, 5), 2)
  await target.allocate?.({ start: 0, end: 12 }, 'extend')
  t.equal(await target.seek?.(12, 'data'), undefined)
  await world.directory('/other/d', 'alice', allow(user('alice'), everything))
  await world.file('/other/d/g', 'elsewhere', 'alice', allow(user('alice'), everything))
  const copyFrom = async (file: OpenFile) => target.copyFrom?.(file, { start: 0, end: 1 }, 0)
  const elsewhere = await storage.open(callBy('alice'), at('/other/d/g'))
  await t.rejects(copyFrom(elsewhere), { code: 'cross-mount' })
  await source.close()
  await t.rejects(copyFrom(source), { code: 'cross-mount' }, 'closed')
  await Promise.all([target.close(), elsewhere.close()])
  t.equal(await world.get('alice', '/data/d/copy'), `\0${'234523'.padEnd(11, '\0')}`)
})

t.test('who may write a file and not read it does not read it where it is open for writing', async (t) => {
  const world = await setUp(t)
  const { storage } = world
  const box = at('/data/d/box')
  let files = 0
  await world.file('/data/d/box', 'secret', 'alice', allow(user('alice'), everything), allow(user('dora'), writing))
  const closedTo = async (call: Call, expected: 'ok' | 'denied') => {
    const file = await storage.edit(call, box)
    t.equal(await outcome(file.read(Buffer.alloc(6), 0)), expected)
    t.equal(await outcome((async () => file.stream({ start: 0, end: 6 }).resume())()), expected)
    const own = await storage.edit(callBy('dora'), at(`/data/d/own-${++files}`), make)
    const copying = async () => own.copyFrom?.(file, { start: 0, end: 6 }, 0)
    t.equal(await outcome(copying()), expected, 'nor copies it')
    t.equal(await file.write(Buffer.from('S'), 0), 1)
    await own.write(Buffer.from('own'), 0)
    t.equal(await own.read(Buffer.alloc(3), 0), 3, 'what one has just made one may read')
    await Promise.all([file.close(), own.close()])
  }
  await closedTo(callBy('dora'), 'denied')
  await closedTo(callBy(person('alice', { grants: grants('modify:/data') })), 'denied')
  await closedTo(callBy(person('alice', { grants: grants('modify:/data', 'read:/data') })), 'ok')
})

t.test('who sees the attributes of a file sees the names of its extended ones, and not their values', async (t) => {
  const world = await setUp(t)
  const { storage } = world
  const f = at('/data/d/mail')
  await world.file('/data/d/mail', 'text', 'alice', allow(user('alice'), everything), allow(user('carol'), look))
  await storage.setXattr(callBy('alice'), f, 'origin', Buffer.from('https://x/?token=1'), 'any')
  t.same(await storage.listXattrs(callBy('carol'), f), ['origin'])
  t.equal(await outcome(storage.getXattr(callBy('carol'), f, 'origin')), 'denied')
  t.equal(await outcome(storage.getXattr(callBy('carol'), at('/data/d/none'), 'origin')), 'not-found')
  const by = (...scopes: string[]) => callBy(person('alice', { grants: grants(...scopes) }))
  t.equal(await outcome(storage.getXattr(by('create:/data'), f, 'origin')), 'denied')
  t.equal(await outcome(storage.getXattr(by('read:/data'), f, 'origin')), 'ok')
  for (const [name, mask] of [
    ['bytes', look | right.readData],
    ['named', look | right.readNamedAttributes],
  ] as const) {
    const path = `/data/d/${name}`
    await world.file(path, 'text', 'alice', allow(user('alice'), everything), allow(user('carol'), mask))
    t.equal(await outcome(storage.getXattr(callBy('carol'), at(path), 'origin')), 'ok', name)
  }
})

t.test('the audit log tells of the bytes that were read from a file open for writing, too', async (t) => {
  const { storage, audit } = await setUp(t)
  const file = await storage.edit(callBy('alice'), at('/data/d/f'))
  await file.read(Buffer.alloc(4), 8)
  await text(file.stream({ start: 0, end: 5 }))
  await file.write(Buffer.from('xyz'), 0)
  await file.close()
  t.match(audit.records, [{ action: 'edit', outcome: 'ok', bytes: 10 }])
})

t.test('the object that is meant is never made anew', async (t) => {
  const { storage } = await setUp(t)
  t.equal(await outcome(storage.edit(callBy('alice'), at('/data/d/none'), { ...make, id: 'gone' })), 'not-found')
  t.equal(await outcome(storage.stat(callBy('alice'), at('/data/d/none'))), 'not-found')
})

t.test('no file grows beyond what one upload may have', async (t) => {
  const world = new World({ '/data': {} }, { maxUpload: 100 })
  t.teardown(() => world.end())
  const file = await world.storage.edit(callBy('keeper'), at('/data/f'), make)
  t.equal(await file.write(Buffer.alloc(10), 90), 10)
  for (const grow of [
    () => file.write(Buffer.alloc(10), 91),
    () => file.truncate(101),
    async () => file.allocate?.({ start: 0, end: 101 }, 'extend'),
    async () => file.copyFrom?.(file, { start: 0, end: 2 }, 99),
  ]) {
    t.equal(await outcome(grow()), 'too-large')
  }
  await file.close()
})

t.test('what a back end tells late of bytes that it took is told by a flush, where it does so', async (t) => {
  const world = await setUp(t)
  const mount = world.mounts[0]
  const editing = mount?.backend.editing
  if (!mount || !editing) throw new Error('no editing')
  const usual = await world.storage.edit(callBy('alice'), at('/data/d/f'))
  t.equal(usual.flush, undefined)
  await usual.close()
  const late = async () => {
    throw new StorageError('quota', 'the quota is used up')
  }
  const edit: typeof editing.edit = async (...args) => {
    const pending = await editing.edit(...args)
    return { ...pending, proceed: async () => ({ ...(await pending.proceed()), flush: late }) }
  }
  const backend = new Proxy(mount.backend, {
    get: (target, key) => (key === 'editing' ? { edit } : Reflect.get(target, key, target)),
  })
  await world.storage.useNamespace(new Namespace([mountOf('/data', backend)]))
  const file = await world.storage.edit(callBy('alice'), at('/data/d/f'))
  t.equal(await outcome((async () => file.flush?.())()), 'quota')
  await file.close()
  t.equal(await outcome((async () => file.flush?.())()), 'invalid', 'closed')
})

t.test('a mount that becomes read-only is that for files that are open, too', async (t) => {
  const world = await setUp(t)
  const { storage } = world
  const [mount] = world.mounts
  if (!mount) throw new Error('no mount')
  const file = await storage.edit(callBy('alice'), at('/data/d/f'))
  const left = storage.useNamespace(new Namespace([{ ...mount, readOnly: true }]))
  t.equal(await outcome(file.write(Buffer.from('x'), 0)), 'read-only')
  t.equal(await outcome(file.truncate(0)), 'read-only')
  t.equal(await file.read(Buffer.alloc(4), 0), 4)
  const again = storage.useNamespace(new Namespace([mount]))
  t.equal(await outcome(file.write(Buffer.from('x'), 0)), 'ok')
  await file.close()
  await Promise.all([left, again])
})

t.test('what many bytes take longer for is waited for longer', async (t) => {
  const world = await setUp(t)
  const mount = world.mounts[0]
  const editing = mount?.backend.editing
  if (!mount || !editing) throw new Error('no editing')
  const disk = Promise.withResolvers<void>()
  const slow = {
    sync: () => disk.promise,
    flush: () => disk.promise,
    copyFrom: async (_file: OpenFile, { start, end }: Range) => disk.promise.then(() => end - start),
  }
  const edit: typeof editing.edit = async (...args) => {
    const pending = await editing.edit(...args)
    return { ...pending, proceed: async () => ({ ...(await pending.proceed()), ...slow }) }
  }
  const backend = new Proxy(mount.backend, {
    get: (target, key) => (key === 'editing' ? { edit } : Reflect.get(target, key, target)),
  })
  await world.storage.useNamespace(new Namespace([mountOf('/data', backend, { deadline: 20 })]))
  const written = await world.storage.edit(callBy('alice'), at('/data/d/f'))
  await written.write(Buffer.alloc(64 * 1024 * 1024), 0)
  const range = { start: 0, end: 64 * 1024 * 1024 }
  const waiting = Promise.all([written.sync(), written.flush?.(), written.copyFrom?.(written, range, range.end)])
  const untouched = await world.storage.edit(callBy('alice'), at('/data/d/f'))
  t.equal(await outcome(untouched.sync()), 'unavailable')
  t.equal(await outcome((async () => untouched.flush?.())()), 'unavailable')
  disk.resolve()
  t.same(await waiting, [undefined, undefined, range.end])
  await Promise.all([written.close(), untouched.close()])
})

t.test('extended attributes are bytes, for whoever may read and write properties', async (t) => {
  const { storage } = await setUp(t)
  const f = at('/data/d/f')
  const value = Uint8Array.of(0, 255, 10)
  await storage.setXattr(callBy('alice'), f, 'tag', value, 'absent')
  t.same(await storage.listXattrs(callBy('carol'), f), ['tag'])
  t.same(Buffer.from((await storage.getXattr(callBy('carol'), f, 'tag')) ?? []), Buffer.from(value))
  t.equal(await storage.getXattr(callBy('carol'), f, 'none'), undefined)
  t.equal(await outcome(storage.setXattr(callBy('alice'), f, 'tag', value, 'absent')), 'exists')
  t.equal(await outcome(storage.setXattr(callBy('alice'), f, 'none', value, 'present')), 'not-found')
  t.equal(await outcome(storage.setXattr(callBy('carol'), f, 'tag', value, 'any')), 'denied')
  t.equal(await outcome(storage.getXattr(callBy('bob'), f, 'tag')), 'denied')
  t.equal(await outcome(storage.setXattr(callBy('alice'), f, 'x'.repeat(251), value, 'any')), 'name-too-long')
  t.equal(await outcome(storage.setXattr(callBy('alice'), f, 'a\0b', value, 'any')), 'invalid')
  t.equal(await outcome(storage.setXattr(callBy('alice'), f, 'tag', new Uint8Array(65_537), 'any')), 'too-large')
  await storage.setXattr(callBy('alice'), f, 'tag', undefined, 'any')
  t.same(await storage.listXattrs(callBy('carol'), f), [])
  t.equal(await outcome(storage.listXattrs(callBy('alice'), at('/'))), 'unsupported')
})

t.test('what was decided is decided again where the file comes or goes meanwhile', async (t) => {
  const world = await setUp(t)
  const mount = world.mounts[0]
  const editing = mount?.backend.editing
  if (!mount || !editing) throw new Error('no editing')
  let late = false
  const racing: typeof editing = {
    edit: async (path, options, call) => {
      const pending = await editing.edit(path, options, call)
      if (late) return pending
      late = true
      return {
        trail: pending.trail,
        release: () => pending.release(),
        proceed: async () => {
          throw new StorageError('stale', 'it has come up since')
        },
      }
    },
  }
  Object.defineProperty(mount.backend, 'editing', { value: racing })
  const file = await world.storage.edit(callBy('alice'), at('/data/d/new'), make)
  t.equal(file.created, true)
  await file.close()
})

t.test('while a file is open, the storage sees the credential that its caller has by then', async (t) => {
  const world = await setUp(t)
  const [mount] = world.mounts
  if (!mount) throw new Error('no mount')
  const { backend } = mount
  const seen: Call[] = []
  const inner = backend.open.bind(backend)
  Object.defineProperty(backend, 'open', {
    configurable: true,
    value: (...[path, options, call]: Parameters<typeof inner>) => {
      seen.push(call)
      return inner(path, options, call)
    },
  })
  const soon = Math.ceil(Date.now() / 1000) + 60
  let principal = person('carol', { expires: soon })
  const { signal } = new AbortController()
  const call: Call = {
    ...callBy(principal),
    signal,
    get principal() {
      return principal
    },
  }
  const file = await world.storage.open(call, at('/data/d/f'))
  t.equal(seen[0]?.principal.expires, soon)
  principal = person('carol', { expires: soon + 3600 })
  t.equal(await file.read(Buffer.alloc(4), 0), 4)
  t.equal(seen[0]?.principal.expires, soon + 3600)
  await file.close()
})
