/** Storage over a back end that decides itself and shows nothing before it acts. */

import t, { type Test } from 'tap'
import { right } from '../../acl/acl.ts'
import type { Backend, Pending } from '../../backends/backend.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { callBy, grants, mountOf, openRoot, outcome, person, World } from './world.ts'

const at = parsePath

const looking = ['list', 'open', 'create', 'mkdir', 'remove', 'rename', 'setAttributes']
const facets = ['editing', 'linking', 'exchanging', 'xattrs']
const unseen = { ancestors: [], parentExists: true, entry: undefined }

/** Refuses bob everything when it acts, and carol what names there are; shows no trail. */
function enforcing(memory: MemoryBackend): Backend {
  return new Proxy<Backend>(memory, {
    get(target, key) {
      if (key === 'enforces') return () => true
      const value: unknown = Reflect.get(target, key, target)
      if (facets.includes(String(key))) return blind(value as object, () => true)
      return typeof value === 'function' ? blindly(target, key, looking.includes(String(key))) : value
    },
  })
}

function blind(facet: object, isLooking: (key: string | symbol) => boolean): object {
  return new Proxy(facet, { get: (target, key) => blindly(target, key, isLooking(key)) })
}

function blindly(target: object, key: string | symbol, isLooking: boolean) {
  return async (...args: unknown[]) => {
    const call = args.find((arg): arg is Call => arg instanceof Object && 'principal' in arg)
    const refuse = () => {
      if (call?.principal.user === 'bob@x') throw new StorageError('denied', 'the storage refuses')
    }
    if (key === 'walk') refuse()
    const result: unknown = await Reflect.apply(Reflect.get(target, key, target), target, args)
    if (!isLooking) return result
    const pending = result as Pending<unknown>
    const proceed = async () => {
      refuse()
      if (key === 'list' && call?.principal.user === 'carol@x') throw new StorageError('denied', 'no names for her')
      return pending.proceed()
    }
    return { ...pending, release: () => pending.release(), trail: unseen, target: unseen, proceed }
  }
}

async function setUp(t: Test): Promise<{ readonly storage: Storage; readonly world: World }> {
  const world = new World()
  t.teardown(() => world.end())
  const mount = mountOf('/native', enforcing(new MemoryBackend(openRoot)), { enforce: 'native', createParents: true })
  const { audit, spillDirectory } = world
  const storage = new Storage({ namespace: new Namespace([mount]), audit, spillDirectory })
  await storage.mkdir(callBy('alice'), at('/native/d'))
  await put(storage, '/native/d/f', 'content')
  return { storage, world }
}

async function put(storage: Storage, path: string, content: string, call = callBy('alice'), options = {}) {
  const writing = await storage.write(call, at(path), options)
  writing.body.end(content)
  return writing.commit()
}

const kindOf = async (storage: Storage, path: Path, conditions = {}): Promise<string> => {
  try {
    const reading = await storage.read(callBy('alice'), path, { conditions })
    if (reading.kind === 'bytes') await reading.close()
    return reading.kind
  } catch (error) {
    return StorageError.from(error).code
  }
}

t.test('what the back end refuses is refused, and the rest works', async (t) => {
  const { storage } = await setUp(t)
  const bob = callBy('bob')
  const f = at('/native/d/f')
  const attempts = {
    stat: storage.stat(bob, f),
    read: storage.read(bob, f),
    list: storage.list(bob, at('/native/d')),
    write: storage.write(bob, f),
    mkdir: storage.mkdir(bob, at('/native/d/sub')),
    remove: storage.remove(bob, f, { recursive: true }),
    rename: storage.rename(bob, f, at('/native/d/g')),
    setAttributes: storage.setAttributes(bob, f, { mode: 0o600 }),
  }
  for (const [name, attempt] of Object.entries(attempts)) t.equal(await outcome(attempt), 'denied', name)
  t.equal(await kindOf(storage, f), 'bytes')
  t.equal(await kindOf(storage, at('/native/d')), 'directory')
  t.equal(await kindOf(storage, at('/native/d/none')), 'not-found')
  t.equal((await storage.list(callBy('alice'), at('/native/d'))).entry.type, 'directory')
})

t.test('who may go through a directory is told of its names only where the back end lists them', async (t) => {
  const { storage } = await setUp(t)
  const d = at('/native/d')
  t.equal((await storage.stat(callBy('carol'), at('/native/d/f'))).type, 'file')
  t.equal(await storage.mayList(callBy('carol'), d), false)
  t.equal(await storage.mayList(callBy('bob'), d), false)
  t.equal(await storage.mayList(callBy('alice'), d), true)
  t.equal(await storage.mayList(callBy('alice'), at('/native/d/f')), false)
  t.equal(await storage.mayList(callBy('alice'), at('/native/none')), false)
  t.equal(await storage.mayList(callBy('alice'), at('/')), true)
})

t.test('conditions hold although nothing is seen before the act', async (t) => {
  const { storage } = await setUp(t)
  const f = at('/native/d/f')
  const { version } = await storage.stat(callBy('alice'), f)
  t.equal(await kindOf(storage, f, { ifNoneMatch: [version] }), 'unmodified')
  t.equal(await kindOf(storage, f, { ifMatch: ['other'] }), 'precondition')
  const write = (conditions: object) => outcome(put(storage, '/native/d/f', 'new', callBy('alice'), { conditions }))
  t.equal(await write({ ifNoneMatch: '*' }), 'precondition')
  t.equal(await write({ ifMatch: ['other'] }), 'precondition')
  t.equal(await write({ ifNoneMatch: [version] }), 'precondition')
  t.equal(await write({ ifMatch: [version] }), 'ok')
})

t.test('bounds of the credential hold although nothing is seen before the act', async (t) => {
  const { storage } = await setUp(t)
  await storage.mkdir(callBy('alice'), at('/native/d/sub'))
  const job = () => callBy(person('alice', { grants: grants('create:/native/d') }))
  t.equal(await outcome(put(storage, '/native/d/f', 'new', job())), 'denied', 'K19')
  t.equal(await outcome(put(storage, '/native/d/g', 'new', job())), 'ok')
  t.equal(await outcome(put(storage, '/native/d/p/q/g', 'new', job())), 'ok', 'K23')
  t.equal(await outcome(storage.rename(job(), at('/native/d/g'), at('/native/d/h'))), 'ok', 'K21')
  t.equal(await outcome(storage.rename(job(), at('/native/d/h'), at('/native/d/f'))), 'denied', 'K22')
  t.equal(await outcome(storage.rename(job(), at('/native/d/sub'), at('/native/d/sub2'))), 'denied', 'a directory')
  t.equal(await outcome(storage.remove(job(), at('/native/d/f'))), 'denied', 'K20')
  t.equal(
    await outcome(storage.getAcl(callBy(person('carol', { grants: grants('read:/native') })), at('/native/d/f'))),
    'denied',
  )
})

t.test('trees are removed, copied and renamed', async (t) => {
  const { storage } = await setUp(t)
  const call = callBy('alice')
  await put(storage, '/native/d/tree/sub/f', 'deep')
  const copied = await storage.copy(call, at('/native/d/tree'), at('/native/d/copy'), { recursive: true })
  t.equal(copied.entry.type, 'directory')
  t.equal(await kindOf(storage, at('/native/d/copy/sub/f')), 'bytes')
  t.same((await storage.remove(call, at('/native/d/copy'), { recursive: true })).failed, [])
  t.equal(await kindOf(storage, at('/native/d/copy')), 'not-found')
  t.equal(await outcome(storage.rename(call, at('/native/d/tree'), at('/native/d/moved'))), 'ok')
})

t.test('rights that cannot be told are said to be unknown', async (t) => {
  const { storage } = await setUp(t)
  const { rights, actions } = await storage.rights(callBy('alice'), at('/native/d/f'))
  t.equal(rights, 'unknown')
  t.ok(actions.includes('read'))
  const job = callBy(person('alice', { grants: grants('read:/native') }))
  t.notOk((await storage.rights(job, at('/native/d/f'))).actions.includes('replace'))
})

t.test('rights that are told are cut to the bounds of the credential; deleting is up to the parent too', async (t) => {
  const { world } = await setUp(t)
  const backend = enforcing(new MemoryBackend(openRoot))
  const held = new Map([
    ['/d/f', right.readData | right.writeData | right.writeAcl],
    ['/d', right.listDirectory],
  ])
  const rights = { effective: async (path: Path) => held.get(path) ?? 0 }
  const telling = new Proxy(backend, { get: (target, key) => (key === 'rights' ? rights : Reflect.get(target, key)) })
  const { audit, spillDirectory } = world
  const storage = new Storage({ namespace: new Namespace([mountOf('/native', telling)]), audit, spillDirectory })
  await storage.mkdir(callBy('alice'), at('/native/d'))
  await put(storage, '/native/d/f', 'content')
  const own = await storage.rights(callBy('alice'), at('/native/d/f'))
  t.equal(own.rights, right.readData | right.writeData | right.writeAcl)
  t.ok(own.actions.includes('read') && own.actions.includes('replace'))
  t.notOk(own.actions.includes('remove'), 'neither DELETE nor DELETE_CHILD is held')
  held.set('/d', right.deleteChild)
  t.ok((await storage.rights(callBy('alice'), at('/native/d/f'))).actions.includes('remove'))
  const job = callBy(person('alice', { grants: grants('read:/native') }))
  t.equal((await storage.rights(job, at('/native/d/f'))).rights, right.readData)
})

t.test('a removal with conditions looks first', async (t) => {
  const { storage } = await setUp(t)
  const f = at('/native/d/f')
  const { version } = await storage.stat(callBy('alice'), f)
  const remove = (ifMatch: readonly string[]) =>
    outcome(storage.remove(callBy('alice'), f, { conditions: { ifMatch } }))
  t.equal(await remove(['other']), 'precondition')
  t.equal(await outcome(storage.remove(callBy('alice'), f, { type: 'directory' })), 'not-directory')
  t.equal(await remove([version]), 'ok')
  t.equal(await remove([version]), 'not-found')
})

t.test('a scope to create does not move directories away', async (t) => {
  const { storage } = await setUp(t)
  await storage.mkdir(callBy('alice'), at('/native/d/sub'))
  await storage.mkdir(callBy('alice'), at('/native/e'))
  const job = callBy(person('alice', { grants: grants('create:/native/d', 'modify:/native/e') }))
  t.equal(await outcome(storage.rename(job, at('/native/d/sub'), at('/native/e/sub'))), 'denied')
  t.equal(await outcome(storage.rename(job, at('/native/d/f'), at('/native/e/f'))), 'ok')
})

t.test('files are made and opened in place as the back end says, within the credential’s bounds', async (t) => {
  const { storage } = await setUp(t)
  const [f, fresh] = [at('/native/d/f'), at('/native/d/new')]
  const make = { create: { exclusive: false } } as const
  const by = (...scopes: string[]) => callBy(person('alice', { grants: grants(...scopes) }))
  t.equal(await outcome(storage.edit(callBy('bob'), f, make)), 'denied')
  t.equal(await outcome(storage.edit(by('overwrite:/native'), fresh, make)), 'not-found', 'nothing is made')
  t.equal(await outcome(storage.edit(by('create:/native'), f, make)), 'denied', 'nothing is opened')
  t.equal(await outcome(storage.edit(by('create:/native'), f, { create: { exclusive: true } })), 'exists')
  const made = await storage.edit(by('create:/native'), fresh, make)
  t.equal(made.created, true)
  t.equal(await made.write(Buffer.from('x'), 0), 1)
  await made.close()
  const again = await storage.edit(callBy('alice'), f, make)
  t.equal(again.created, false)
  await again.close()
  t.equal(await outcome(storage.edit(callBy('alice'), f, { id: 'another' })), 'stale')
  t.equal(await outcome(storage.open(callBy('alice'), f, { id: 'another' })), 'stale')
  t.equal(await outcome(storage.open(callBy('bob'), f)), 'denied')
})

t.test('links, exchanges and attributes are the back end’s to decide, within the credential’s bounds', async (t) => {
  const { storage } = await setUp(t)
  const [f, sub] = [at('/native/d/f'), at('/native/d/sub')]
  const by = (...scopes: string[]) => callBy(person('alice', { grants: grants(...scopes) }))
  t.equal(await outcome(storage.symlink(callBy('bob'), at('/native/d/l'), 'f')), 'denied')
  t.equal(await outcome(storage.symlink(callBy('alice'), at('/native/d/l'), 'f')), 'ok')
  t.equal(await outcome(storage.link(callBy('bob'), f, at('/native/d/g'))), 'denied')
  t.equal(await outcome(storage.link(by('modify:/native'), f, at('/native/d/g'))), 'denied')
  t.equal(await outcome(storage.link(callBy('alice'), f, at('/native/d/g'))), 'ok')
  await storage.mkdir(callBy('alice'), sub)
  t.equal(await outcome(storage.exchange(by('create:/native'), f, sub)), 'denied', 'that scope moves no directories')
  t.equal(await outcome(storage.exchange(callBy('bob'), f, sub)), 'denied')
  t.equal(await outcome(storage.exchange(callBy('alice'), f, sub)), 'ok')
  t.equal(await outcome(storage.setXattr(callBy('bob'), sub, 'a', Uint8Array.of(1), 'any')), 'denied')
  t.equal(await outcome(storage.setXattr(callBy('alice'), sub, 'a', Uint8Array.of(1), 'any')), 'ok')
})
