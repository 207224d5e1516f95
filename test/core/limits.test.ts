import { once } from 'node:events'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import t, { type Test } from 'tap'
import { anonymous } from '../../acl/principal.ts'
import type { Backend } from '../../backends/backend.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import type { Call } from '../../gateway/core/call.ts'
import { Deadlines } from '../../gateway/core/deadlines.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { Limits } from '../../gateway/core/limits.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Task } from '../../gateway/core/task.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { allow, callBy, everything, mountOf, openRoot, outcome, World } from './world.ts'

const at = parsePath
const deadline = 40

async function setUp(t: Test, mount = {}, limits = {}): Promise<{ readonly world: World; readonly backend: Backend }> {
  const world = new World({ '/hung': { deadline, ...mount }, '/fine': {} }, limits)
  t.teardown(() => world.end())
  for (const top of ['/hung', '/fine']) {
    await world.directory(`${top}/d`, 'alice', allow('EVERYONE@', everything))
    await world.file(`${top}/d/f`, 'x'.repeat(200_000))
  }
  world.audit.records.length = 0
  const [first] = world.mounts
  if (!first) throw new Error('no mount')
  return { world, backend: first.backend }
}

const mount = mountOf('/m', new MemoryBackend(openRoot))
const taskOf = (call: Call): Task => new Task(call, 'stat', at('/m'), new Namespace([mount]))

/** A gate that is closed until `open` is called. */
function gate(): { readonly passed: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { passed: promise, open: resolve }
}

t.test('a back end that never answers costs its callers the deadline and the others nothing', async (t) => {
  const { world, backend } = await setUp(t)
  backend.open = () => new Promise(() => {})
  const started = performance.now()
  const error = await world.storage.read(callBy('alice'), at('/hung/d/f')).catch(StorageError.from)
  t.match(error, { code: 'unavailable', retryAfter: 5 })
  t.ok(performance.now() - started >= deadline - 1)
  t.equal(await outcome(world.get('alice', '/fine/d/f')), 'ok')
  t.match(world.audit.records[0], { outcome: 'failed', code: 'unavailable', action: 'read' })
})

t.test('what comes too late is let go of, and does not act any more', async (t) => {
  const { world, backend } = await setUp(t)
  const { passed, open: openGate } = gate()
  const events: string[] = []
  const released = gate()
  const slowly =
    <Arguments extends unknown[], Result extends object>(inner: (...args: Arguments) => Promise<Result>) =>
    async (...args: Arguments): Promise<Result> => {
      const pending = await inner(...args)
      await passed
      return Object.assign({}, pending, {
        proceed: async () => {
          events.push('acted')
          throw new Error('acted')
        },
        release: async () => {
          events.push('released')
          released.open()
        },
      })
    }
  backend.remove = slowly(backend.remove.bind(backend))
  t.equal(await outcome(world.storage.remove(callBy('alice'), at('/hung/d/f'))), 'unavailable')
  const lane = () => world.mounts.map((mount) => world.storage.limits.laneOf(mount).inFlight)
  t.same(lane(), [1, 0], 'it still counts for its mount')
  t.equal(world.storage.limits.inFlight, 0, 'and takes nothing from anybody else')
  openGate()
  await released.passed
  await new Promise(setImmediate)
  t.same(events, ['released'])
  t.same(lane(), [0, 0])
  t.equal(await world.state('/hung/d/f'), 'x'.repeat(200_000))
})

t.test('a file that opens too late is closed', async (t) => {
  const { world, backend } = await setUp(t)
  const open = backend.open.bind(backend)
  const { passed, open: openGate } = gate()
  const closed = gate()
  backend.open = async (...args) => {
    const pending = await open(...args)
    const proceed = async () => {
      const file = await pending.proceed()
      await passed
      return { ...file, close: async () => closed.open() }
    }
    return { ...pending, proceed }
  }
  t.equal(await outcome(world.storage.read(callBy('alice'), at('/hung/d/f'))), 'unavailable')
  openGate()
  await closed.passed
})

t.test('the signal of the call aborts when its deadline passes, and follows the caller', async (t) => {
  const { world, backend } = await setUp(t)
  const signals: AbortSignal[] = []
  backend.walk = (_path, call: Call) => {
    signals.push(call.signal)
    return new Promise((_, reject) => {
      call.signal.addEventListener('abort', () => reject(new StorageError('cancelled', 'gone')))
    })
  }
  t.equal(await outcome(world.storage.stat(callBy('alice'), at('/hung/d/f'))), 'unavailable')
  t.match(signals[0], { aborted: true, reason: { code: 'unavailable' } })
  t.equal(world.storage.limits.inFlight, 0, 'what had not started is over')
  const caller = new AbortController()
  const call = callBy('alice', caller.signal)
  const stat = world.storage.stat(call, at('/hung/d/f'))
  caller.abort()
  t.equal(await outcome(stat), 'cancelled')
})

t.test('a mount takes so many calls at once and is busy beyond', async (t) => {
  const { world, backend } = await setUp(t, { maxInFlight: 3, deadline: 10_000 })
  const walk = backend.walk.bind(backend)
  const { passed, open } = gate()
  backend.walk = async (...args) => {
    await passed
    return walk(...args)
  }
  const stats = Array.from({ length: 5 }, () => world.storage.stat(callBy('alice'), at('/hung/d/f')))
  const busy = await Promise.all(stats.slice(3).map(outcome))
  t.same(busy, ['busy', 'busy'])
  t.equal(await outcome(world.storage.stat(callBy('alice'), at('/fine/d/f'))), 'ok')
  open()
  t.same(await Promise.all(stats.slice(0, 3).map(outcome)), ['ok', 'ok', 'ok'])
  t.equal(await outcome(world.storage.stat(callBy('alice'), at('/hung/d/f'))), 'ok', 'and it recovers')
})

t.test('one principal cannot starve the others', async (t) => {
  const { world, backend } = await setUp(
    t,
    { maxInFlight: 1000, deadline: 10_000 },
    { inFlight: 16, inFlightPerPrincipal: 100 },
  )
  const walk = backend.walk.bind(backend)
  const { passed, open } = gate()
  backend.walk = async (...args) => {
    await passed
    return walk(...args)
  }
  const stat = (who: string) => world.storage.stat(callBy(who), at('/hung/d/f'))
  const greedy = Array.from({ length: 50 }, () => outcome(stat('greedy')))
  const others = ['a', 'b', 'c'].map((who) => outcome(stat(who)))
  open()
  const let_in = (await Promise.all(greedy)).filter((answer) => answer === 'ok').length
  t.equal(let_in, 12)
  t.same(await Promise.all(others), ['ok', 'ok', 'ok'])
})

t.test('one principal has so many calls at once', async (t) => {
  const limits = new Limits({ inFlightPerPrincipal: 2 })
  const { passed, open } = gate()
  const run = (who: string) => limits.run(taskOf(callBy(who)), mount, () => passed)
  const running = [run('a'), run('a')]
  t.throws(() => run('a'), { code: 'busy' })
  const others = run('b')
  open()
  await Promise.all([...running, others])
  await run('a')
})

t.test('callers without a credential are told apart by their address', async (t) => {
  const limits = new Limits({ inFlightPerPrincipal: 1 })
  const { passed, open } = gate()
  const run = (from: string) => limits.run(taskOf({ ...callBy(anonymous), from }), mount, () => passed)
  const running = [run('10.0.0.1'), run('10.0.0.2')]
  t.throws(() => run('10.0.0.1'), { code: 'busy' })
  open()
  await Promise.all(running)
})

t.test('a read of an open file that hangs ends at the deadline; a slow caller does not', async (t) => {
  const { world, backend } = await setUp(t)
  const open = backend.open.bind(backend)
  backend.open = async (...args) => {
    const pending = await open(...args)
    const proceed = async () => {
      const file = await pending.proceed()
      // As a back end does whose destroyed stream waits for the read that is under way.
      const { signal } = args[2]
      const destroy = (error: Error | null, done: (error: Error | null) => void) => {
        if (signal.aborted) done(error)
        else signal.addEventListener('abort', () => done(error))
      }
      return { ...file, stream: () => new Readable({ read() {}, destroy }) }
    }
    return { ...pending, proceed }
  }
  const reading = await world.storage.read(callBy('alice'), at('/hung/d/f'))
  if (reading.kind !== 'bytes') throw new Error(reading.kind)
  t.equal(await outcome(reading.stream({ start: 0, end: 10 }).toArray()), 'unavailable')
  await reading.close({ bytes: 0, error: new StorageError('unavailable', 'hung') })

  backend.open = open
  const slow = await world.storage.read(callBy('alice'), at('/hung/d/f'))
  if (slow.kind !== 'bytes') throw new Error(slow.kind)
  const stream = slow.stream({ start: 0, end: 200_000 })
  stream.read(0)
  await once(stream, 'readable')
  const other = new Deadlines(3 * deadline)
  await new Promise<void>((resolve) => other.start(resolve))
  t.equal(stream.destroyed, false)
  t.equal(Buffer.concat(await stream.toArray()).length, 200_000)
  await slow.close({ bytes: 200_000 })
})

t.test('a write that hangs ends at the deadline and the upload with it', async (t) => {
  const { world, backend } = await setUp(t)
  const create = backend.create.bind(backend)
  let discarded = 0
  backend.create = async (...args) => {
    const pending = await create(...args)
    const proceed = async () => {
      const draft = await pending.proceed()
      const body = new Writable({ write() {} })
      return { body, commit: draft.commit.bind(draft), discard: async () => void discarded++ }
    }
    return { ...pending, proceed }
  }
  const writing = await world.storage.write(callBy('alice'), at('/hung/d/new'))
  const sent = await outcome(pipeline(Readable.from([Buffer.from('x')]), writing.body))
  t.equal(sent, 'unavailable')
  await writing.discard()
  t.equal(discarded, 1)
  t.match(world.audit.records.at(-1), { action: 'create', code: 'unavailable' })
})

t.test('a commit that fails late leaves nothing', async (t) => {
  const { world, backend } = await setUp(t)
  const create = backend.create.bind(backend)
  const { passed, open } = gate()
  const discarded = gate()
  backend.create = async (...args) => {
    const pending = await create(...args)
    const proceed = async () => {
      const draft = await pending.proceed()
      const commit = async () => {
        await passed
        throw new StorageError('no-space', 'full')
      }
      return { body: draft.body, commit, discard: async () => discarded.open() }
    }
    return { ...pending, proceed }
  }
  const writing = await world.storage.write(callBy('alice'), at('/hung/d/new'))
  writing.body.end('x')
  t.equal(await outcome(writing.commit()), 'unavailable', 'the outcome is unknown')
  await writing.discard()
  open()
  await discarded.passed
})

t.test('alarms ring in order, once, and not when stopped', async (t) => {
  const alarms = new Deadlines(20)
  const rung: string[] = []
  const all = gate()
  alarms.start(() => rung.push('a'))
  const stopped = alarms.start(() => rung.push('b'))
  alarms.start(() => {
    rung.push('c')
    all.open()
  })
  alarms.stop(stopped)
  alarms.stop(stopped)
  await all.passed
  t.same(rung, ['a', 'c'])
  const again = gate()
  alarms.start(again.open)
  await again.passed
})
