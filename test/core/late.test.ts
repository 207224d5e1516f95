/** What comes after nobody waits for it any more. */

import t from 'tap'
import type { Backend } from '../../backends/backend.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { callBy, mountOf, openRoot, outcome, World } from './world.ts'

const withMethods = (backend: Backend, methods: Partial<Backend>): Backend =>
  new Proxy(backend, {
    get(target, key) {
      const value: unknown = Reflect.get(methods, key) ?? Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })

t.test('a draft that comes after the deadline and cannot be discarded ends nothing else', async (t) => {
  const unhandled: unknown[] = []
  const note = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  const memory = new MemoryBackend(openRoot)
  const gate = Promise.withResolvers<void>()
  const discarded = Promise.withResolvers<void>()
  const backend = withMethods(memory, {
    create: async (...args) => {
      const pending = await memory.create(...args)
      const proceed = async () => {
        const draft = await pending.proceed()
        await gate.promise
        const discard = async () => {
          discarded.resolve()
          throw new Error('gone')
        }
        return { body: draft.body, commit: draft.commit.bind(draft), discard }
      }
      return { trail: pending.trail, proceed, release: () => pending.release() }
    },
  })
  const mounts = [mountOf('/m', backend, { deadline: 20 })]
  const storage = new Storage({
    namespace: new Namespace(mounts),
    audit: new MemoryAudit(),
    spillDirectory: '/nowhere',
  })
  t.equal(await outcome(storage.write(callBy('keeper'), parsePath('/m/f'))), 'unavailable')
  gate.resolve()
  await discarded.promise
  await new Promise((resolve) => setImmediate(resolve))
  t.same(unhandled, [])
})

t.test('calls that hang on one mount leave their caller room on the others', async (t) => {
  const never = withMethods(new MemoryBackend(openRoot), { walk: () => new Promise(() => {}) })
  const mounts = [
    mountOf('/hung', never, { deadline: 20, maxInFlight: 5 }),
    mountOf('/ok', new MemoryBackend(openRoot)),
  ]
  const limits = { inFlight: 4, inFlightPerPrincipal: 2 }
  const audit = new MemoryAudit()
  const storage = new Storage({ namespace: new Namespace(mounts), audit, spillDirectory: '/nowhere', limits })
  const stat = (path: string) => outcome(storage.stat(callBy('bob'), parsePath(path)))
  t.same(await Promise.all(['/hung/a', '/hung/b', '/hung/c'].map(stat)), ['unavailable', 'unavailable', 'busy'])
  t.equal(await stat('/ok'), 'ok')
  t.same(await Promise.all(['/hung/a', '/hung/b'].map(stat)), ['unavailable', 'unavailable'])
  t.equal(storage.limits.inFlight, 0)
  // The mount itself stays full as long as they hang.
  t.same(await Promise.all(['/hung/a', '/hung/b'].map(stat)), ['unavailable', 'busy'])
})

t.test('an upload that is discarded while it commits is let go of once', async (t) => {
  const world = new World({ '/data': {} }, { stagedBytesPerPrincipal: 10 })
  t.teardown(() => world.end())
  const write = (name: string, size: number) =>
    world.storage.write(callBy('keeper'), parsePath(`/data/${name}`), { size })
  const other = await write('other', 5)
  const writing = await write('f', 5)
  const finished = new Promise((resolve) => writing.body.once('finish', resolve))
  writing.body.end('hello')
  await finished
  const [committed, discarded] = [outcome(writing.commit()), outcome(writing.discard())]
  t.equal(await committed, 'cancelled')
  t.equal(await discarded, 'ok')
  t.equal(await world.state('/data/f'), 'not-found')
  t.equal(await outcome(write('more', 6)), 'busy', 'the other upload still counts')
  await other.discard()
})

t.test('a file that was closed is not accessed any more', async (t) => {
  const accesses: string[] = []
  const memory = new MemoryBackend(openRoot)
  const inner = memory.editing
  const editing: NonNullable<Backend['editing']> = {
    edit: async (...args) => {
      const pending = await inner.edit(...args)
      const proceed = async () =>
        new Proxy(await pending.proceed(), {
          get(target, key) {
            accesses.push(String(key))
            const value: unknown = Reflect.get(target, key, target)
            return typeof value === 'function' ? value.bind(target) : value
          },
        })
      return { trail: pending.trail, proceed, release: () => pending.release() }
    },
  }
  const mounts = [mountOf('/m', withMethods(memory, { editing }))]
  const storage = new Storage({
    namespace: new Namespace(mounts),
    audit: new MemoryAudit(),
    spillDirectory: '/nowhere',
  })
  const writing = await storage.write(callBy('keeper'), parsePath('/m/f'))
  writing.body.end('content')
  await writing.commit()
  const file = await storage.edit(callBy('keeper'), parsePath('/m/f'))
  await file.close()
  accesses.length = 0
  const bytes = Buffer.alloc(4)
  for (const late of [file.read(bytes, 0), file.write(bytes, 0), file.truncate(0), file.sync()]) {
    t.equal(await outcome(late), 'invalid')
  }
  t.throws(() => file.stream({ start: 0, end: 1 }), { code: 'invalid' })
  await file.close()
  t.same(accesses, [])
})
