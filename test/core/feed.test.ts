import t, { type Test } from 'tap'
import type { Backend, Draft } from '../../backends/backend.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Change, type ChangeLine, Feed } from '../../gateway/core/feed.ts'
import { type Path, parsePath } from '../../gateway/core/path.ts'
import { ChangeSender, PendingChanges } from '../../gateway/core/pending-changes.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { allow, callBy, everything, grants, mountOf, outcome, person, user, World } from './world.ts'

const at = parsePath

/** What a watcher is told, in order, as "kind path". */
class Told {
  readonly changes: string[] = []
  #waiting: (() => void) | undefined

  readonly hear = ({ kind, path }: Change): void => {
    this.changes.push(`${kind} ${path}`)
    this.#waiting?.()
  }

  /** Those up to the one that is expected last. */
  async until(last: string): Promise<string[]> {
    // The feed keeps no process alive.
    const alive = setInterval(() => {}, 1000)
    while (!this.changes.includes(last)) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve
      })
    }
    clearInterval(alive)
    return this.changes.splice(0)
  }
}

async function setUp(t: Test): Promise<{ readonly world: World; readonly told: Told }> {
  const world = new World()
  t.teardown(() => world.end())
  await world.directory('/data/d', 'alice', allow(user('alice'), everything))
  await world.file('/data/d/f', 'old')
  const told = new Told()
  t.teardown(world.storage.watch(told.hear))
  return { world, told }
}

t.test('every change of every kind is told', async (t) => {
  const { world, told } = await setUp(t)
  const { storage } = world
  const call = callBy('alice')
  const f = at('/data/d/f')
  const steps: ReadonlyArray<readonly [work: () => Promise<unknown>, changes: readonly string[]]> = [
    [() => world.put('alice', '/data/d/f', 'new'), ['entry /data/d/f']],
    [() => world.put('alice', '/data/d/g', 'new'), ['entry /data/d/g']],
    [() => storage.mkdir(call, at('/data/d/sub')), ['entry /data/d/sub']],
    [() => storage.setAttributes(call, f, { modified: 1n }), ['attributes /data/d/f']],
    [() => storage.setProperties(call, f, new Map([['a', 'b']])), ['attributes /data/d/f']],
    [() => storage.setXattr(call, f, 'x', Uint8Array.of(1), 'any'), ['attributes /data/d/f']],
    [async () => storage.setAcl(call, f, (await storage.getAcl(call, f)).acl), ['attributes /data/d/f']],
    [() => storage.symlink(call, at('/data/d/l'), 'f'), ['entry /data/d/l']],
    [() => storage.link(call, f, at('/data/d/h')), ['attributes /data/d/f', 'entry /data/d/h']],
    [() => storage.rename(call, at('/data/d/h'), at('/data/d/i')), ['entry /data/d/h', 'entry /data/d/i']],
    [() => storage.rename(call, at('/data/d/sub'), at('/data/d/top')), ['tree /data/d/sub', 'entry /data/d/top']],
    [() => storage.exchange(call, f, at('/data/d/g')), ['entry /data/d/f', 'entry /data/d/g']],
    [() => storage.copy(call, f, at('/data/d/copy')), ['entry /data/d/copy']],
    [() => storage.remove(call, at('/data/d/i')), ['entry /data/d/i']],
    [() => storage.remove(call, at('/data/d/top')), ['tree /data/d/top']],
  ]
  for (const [work, changes] of steps) {
    await work()
    t.same(await told.until(changes.at(-1) ?? ''), changes)
  }
})

t.test('what fails or only looks is not told', async (t) => {
  const { world, told } = await setUp(t)
  t.equal(await outcome(world.put('bob', '/data/d/f', 'no')), 'denied')
  t.equal(await outcome(world.storage.mkdir(callBy('alice'), at('/data/d/f'))), 'exists')
  await world.get('alice', '/data/d/f')
  const file = await world.storage.edit(callBy('alice'), at('/data/d/f'))
  await file.close()
  await world.storage.mkdir(callBy('alice'), at('/data/d/last'))
  t.same(await told.until('entry /data/d/last'), ['entry /data/d/last'])
})

t.test('what is written in place is told while it is written, and when it is closed', async (t) => {
  const { world, told } = await setUp(t)
  const made = await world.storage.edit(callBy('alice'), at('/data/d/new'), { create: { exclusive: true } })
  t.same(await told.until('entry /data/d/new'), ['entry /data/d/new'])
  const started = performance.now()
  for (let at = 0; at < 100; at++) await made.write(Buffer.from('x'), at)
  t.same(await told.until('content /data/d/new'), ['content /data/d/new'])
  t.ok(performance.now() - started < 5000)
  await made.write(Buffer.from('x'), 0)
  await made.close()
  t.same(await told.until('content /data/d/new'), ['content /data/d/new'])
  const file = await world.storage.edit(callBy('alice'), at('/data/d/f'), { truncate: true })
  t.same(await told.until('content /data/d/f'), ['content /data/d/f'])
  await file.close()
})

t.test('what is open is told where it is now', async (t) => {
  const { world, told } = await setUp(t)
  const call = callBy('alice')
  const file = await world.storage.edit(call, at('/data/d/f'))
  await world.storage.rename(call, at('/data/d/f'), at('/data/d/g'))
  await told.until('entry /data/d/g')
  await file.write(Buffer.from('x'), 0)
  t.same(await told.until('content /data/d/g'), ['content /data/d/g'])
  await world.storage.mkdir(call, at('/data/d/e'))
  await world.storage.exchange(call, at('/data/d/e'), at('/data/d/g'))
  await told.until('entry /data/d/g')
  await file.write(Buffer.from('y'), 0)
  await file.close()
  t.same(await told.until('content /data/d/e'), ['content /data/d/e'])
})

t.test('what is open here is told where another process has moved it', async (t) => {
  const { world } = await setUp(t)
  const [mount] = world.mounts
  if (!mount) throw new Error('no mount')
  /** Two processes that hear each other at once. */
  const heard: ((changes: readonly Change[]) => void)[] = []
  const lineOf = (own: number): ChangeLine => ({
    wanted: true,
    send: (changes) => heard[1 - own]?.(changes),
    listen: (hear) => {
      heard[own] = hear
    },
    want: async () => {},
  })
  const { spillDirectory, audit } = world
  const [here, there] = [0, 1].map(
    (own) => new Storage({ namespace: new Namespace([mount]), spillDirectory, audit, changes: lineOf(own) }),
  )
  if (!here || !there) throw new Error('no process')
  const told = new Told()
  t.teardown(here.watch(told.hear))
  await told.until('all /data')
  const call = callBy('alice')
  const file = await here.edit(call, at('/data/d/f'))
  await there.rename(call, at('/data/d/f'), at('/data/d/g'))
  await told.until('entry /data/d/g')
  await file.write(Buffer.from('x'), 0)
  t.same(await told.until('content /data/d/g'), ['content /data/d/g'])
  await there.mkdir(call, at('/data/d/e'))
  await there.exchange(call, at('/data/d/e'), at('/data/d/g'))
  await told.until('entry /data/d/g')
  await file.write(Buffer.from('y'), 0)
  await file.close()
  t.same(await told.until('content /data/d/e'), ['content /data/d/e'])
})

t.test('a tree is told object by object as it goes', async (t) => {
  const { world, told } = await setUp(t)
  await world.storage.remove(callBy('alice'), at('/data/d'), { recursive: true })
  const changes = await told.until('tree /data/d')
  t.ok(changes.includes('entry /data/d/f'), String(changes))
})

t.test('an object is told under all paths that show it', async (t) => {
  const world = new World()
  t.teardown(() => world.end())
  await world.directory('/data/d', 'alice', allow(user('alice'), everything))
  const [mount] = world.mounts
  if (!mount) throw new Error('no mount')
  const part = mountOf('/part', mount.backend, { base: at('/d') })
  await world.storage.useNamespace(new Namespace([mount, part, mountOf('/again', mount.backend)]))
  const told = new Told()
  t.teardown(world.storage.watch(told.hear))
  await world.put('alice', '/part/f', 'new')
  const changes = await told.until('entry /again/d/f')
  t.same(changes.toSorted(), ['entry /again/d/f', 'entry /data/d/f', 'entry /part/f'])
})

t.test('where other storage is mounted, all may be another', async (t) => {
  const { world, told } = await setUp(t)
  await world.storage.useNamespace(new Namespace(world.mounts.slice(0, 1)))
  t.same(told.changes, ['all /'])
})

t.test('who watches no more is told nothing, and nobody pays', async (t) => {
  const world = new World()
  t.teardown(() => world.end())
  await world.directory('/data/d', 'alice', allow(user('alice'), everything))
  const [one, two] = [new Told(), new Told()]
  const stop = world.storage.watch(one.hear)
  t.teardown(world.storage.watch(two.hear))
  stop()
  stop()
  await world.put('alice', '/data/d/f', 'new')
  await two.until('entry /data/d/f')
  t.same(one.changes, [])
  const feed = new Feed()
  t.equal(feed.isWatched, false)
  feed.watch(() => world.storage.namespace, one.hear)()
  t.equal(feed.isWatched, false)
})

t.test('other processes are told only while one of them watches', async (t) => {
  const world = new World()
  t.teardown(() => world.end())
  const sent: string[] = []
  const wishes: boolean[] = []
  let heard: (changes: readonly Change[]) => void = () => {}
  const line = {
    wanted: false as boolean,
    send: (changes: readonly Change[]) => sent.push(...changes.map(({ kind, path }) => `${kind} ${path}`)),
    listen: (listener: (changes: readonly Change[]) => void) => {
      heard = listener
    },
    want: async (wanted: boolean) => {
      wishes.push(wanted)
    },
  } satisfies ChangeLine
  const feed = new Feed(line)
  const place = world.storage.namespace.resolve(at('/data/f'))
  const publish = () => feed.publish(world.storage.namespace, [{ place, trail: undefined, touch: 'name' }])
  publish()
  const told = new Told()
  feed.watch(() => world.storage.namespace, told.hear)
  t.same(await told.until('all /other'), ['all /data', 'all /other'], 'what happened until all others knew is lost')
  t.same(wishes, [true])
  publish()
  t.same(await told.until('entry /data/f'), ['entry /data/f'])
  t.same(sent, [])
  line.wanted = true
  publish()
  await told.until('entry /data/f')
  t.same(sent, ['entry /data/f'])
  heard([{ path: at('/data/theirs'), kind: 'content', mount: at('/data') }])
  t.same(await told.until('content /data/theirs'), ['content /data/theirs'])
  t.same(sent, ['entry /data/f'], 'theirs do not go back')
})

t.test('changes that wait are one where they are the same, and bounded', (t) => {
  const pending = new PendingChanges()
  const change = (path: string, mount = '/m'): Change => ({ path: at(path), kind: 'entry', mount: at(mount) })
  for (let i = 0; i < 10; i++) pending.add(change('/m/same'))
  pending.add({ ...change('/m/same'), kind: 'content' })
  t.equal(pending.take().length, 2)
  for (let i = 0; i < 5000; i++) pending.add(change(`/m/${i}`))
  pending.add(change('/n/f', '/n'))
  t.same(pending.take(), [change('/n/f', '/n'), { path: '/m', kind: 'all', mount: '/m' }])
  t.equal(pending.size, 0)
  t.end()
})

t.test('one message at a time is on its way', (t) => {
  const sent: Array<{ readonly paths: readonly Path[]; readonly done: () => void }> = []
  const sender = new ChangeSender((changes, done) => sent.push({ paths: changes.map(({ path }) => path), done }))
  const add = (path: string) => sender.add([{ path: at(path), kind: 'entry', mount: at('/m') }])
  add('/m/a')
  add('/m/b')
  add('/m/c')
  t.same(
    sent.map(({ paths }) => paths),
    [['/m/a']],
  )
  sent[0]?.done()
  t.same(
    sent.map(({ paths }) => paths),
    [['/m/a'], ['/m/b', '/m/c']],
  )
  sent[1]?.done()
  t.equal(sent.length, 2)
  t.end()
})

t.test('who may list is told by one look and without an audit line', async (t) => {
  const world = new World()
  t.teardown(() => world.end())
  const { storage, audit } = world
  await world.directory('/data/d', 'alice', allow(user('alice'), everything))
  await world.file('/data/d/f', 'x')
  audit.records.length = 0
  world.calls.length = 0
  t.equal(await storage.mayList(callBy('alice'), at('/data/d')), true)
  t.same(world.calls, ['walk'])
  t.equal(await storage.mayList(callBy('bob'), at('/data/d')), false)
  t.equal(await storage.mayList(callBy('alice'), at('/data/d/f')), false)
  t.equal(await storage.mayList(callBy('alice'), at('/data/d/none')), false)
  t.equal(await storage.mayList(callBy('alice'), at('/')), true)
  const bound = callBy(person('alice', { grants: grants('read:/data/d/sub') }))
  t.equal(await storage.mayList(bound, at('/other')), false)
  t.equal(await storage.mayList(bound, at('/data/d')), true)
  t.equal(storage.mayName(bound, at('/data/d/sub')), true)
  t.equal(storage.mayName(bound, at('/data/d/f')), false, 'it sees the names that lead to its own alone')
  t.same(audit.records, [])
})

t.test('an upload whose end nobody knows is told: it may be there', async (t) => {
  const { world, told } = await setUp(t)
  const [mount] = world.mounts
  if (!mount) throw new Error('no mount')
  // As S3, whose answer to the last request is lost.
  const silent = new Proxy<Backend>(mount.backend, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target)
      if (typeof value !== 'function') return value
      if (key !== 'create') return value.bind(target)
      const create: Backend['create'] = async (...args) => {
        const pending = await target.create(...args)
        const proceed = async () => {
          const draft = await pending.proceed()
          const commit: Draft['commit'] = async (options) => {
            await draft.commit(options)
            throw new StorageError('unavailable', 'no answer')
          }
          return { ...draft, body: draft.body, discard: () => draft.discard(), commit }
        }
        return { trail: pending.trail, release: () => pending.release(), proceed }
      }
      return create
    },
  })
  await world.storage.useNamespace(new Namespace([mountOf('/data', silent)]))
  await told.until('all /')
  t.equal(await outcome(world.put('alice', '/data/d/new', 'x')), 'unavailable')
  t.same(await told.until('entry /data/d/new'), ['entry /data/d/new'])
})
