import t from 'tap'
import { noByteLocks } from '../../gateway/core/byte-locks/none.ts'
import type { ByteLock, ByteLockOwner, LockedFile } from '../../gateway/core/byte-locks/operations.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { by, lockedWorld, type Process } from './locked-world.ts'
import { callBy, outcome, person } from './world.ts'

const whole: ByteLock = { start: 0, end: undefined, type: 'exclusive' }
const part = (start: number, end: number, type: ByteLock['type'] = 'exclusive'): ByteLock => ({ start, end, type })
const owner = (session: string, more: Partial<ByteLockOwner> = {}): ByteLockOwner => ({
  ...{ session, owner: '1', pid: 42, kind: 'posix' },
  ...more,
})

async function fileOf({ storage }: Process, text: string): Promise<LockedFile> {
  const path = parsePath(text)
  const { id } = await storage.stat(by('alice'), path)
  return { path, id }
}

/** Comes back when the wish stands in line. */
async function whenInLine({ state }: Process, wish: () => Promise<unknown>): Promise<{ done: Promise<string> }> {
  const { take } = state.byteLocks
  const waits = new Promise<void>((resolve) => {
    state.byteLocks.take = async (...args) => {
      const taken = await take.apply(state.byteLocks, args)
      if (taken.kind === 'waits') resolve()
      return taken
    }
  })
  const done = outcome(wish())
  await waits
  state.byteLocks.take = take
  return { done }
}

t.test('a lock taken through one process is in the way of the other, by every path of the object', async (t) => {
  const { one, two } = await lockedWorld(t)
  const file = await fileOf(one, '/data/d/f')
  const again = await fileOf(two, '/part/f')
  await one.storage.byteLocks.acquire(by('alice'), file, part(0, 10), owner('a'))
  const found = await two.storage.byteLocks.test(by('bob'), again, part(5, 6, 'shared'), owner('b'))
  t.same(found, { start: 0, end: 10, type: 'exclusive', pid: 42 })
  t.equal(await outcome(two.storage.byteLocks.acquire(by('bob'), again, whole, owner('b'))), 'busy')
  await one.storage.byteLocks.acquire(by('alice'), file, whole, owner('a'))
  t.match(await two.storage.byteLocks.test(by('bob'), again, part(5, 6), owner('b')), { end: undefined })
  await one.storage.byteLocks.release(by('alice'), file, { start: 0, end: undefined }, owner('a'))
  t.equal(await outcome(two.storage.byteLocks.acquire(by('bob'), again, whole, owner('b'))), 'ok')
  await two.storage.byteLocks.releaseAll('b')
  t.equal(await one.storage.byteLocks.test(by('alice'), file, whole, owner('a')), undefined)
})

t.test('it hinders nobody’s writes', async (t) => {
  const { one, two } = await lockedWorld(t)
  const file = await fileOf(one, '/data/d/f')
  await one.storage.byteLocks.acquire(by('alice'), file, whole, owner('a'))
  t.equal(await outcome(two.put('bob', '/data/d/f', 'new')), 'ok')
})

t.test('who waits has it when it is given back, and gives it up when nobody waits for it any more', async (t) => {
  const { one, two } = await lockedWorld(t)
  const file = await fileOf(one, '/data/d/f')
  const patient = () => new AbortController().signal
  await one.storage.byteLocks.acquire(by('alice'), file, whole, owner('a'))
  const { done } = await whenInLine(two, () =>
    two.storage.byteLocks.acquire(by('bob'), file, whole, owner('b'), patient()),
  )
  await one.storage.byteLocks.releaseAll('a')
  t.equal(await done, 'ok')
  t.match(await one.storage.byteLocks.test(by('alice'), file, whole, owner('a')), { pid: 42 })

  const impatient = new AbortController()
  const given = await whenInLine(one, () =>
    one.storage.byteLocks.acquire(by('alice'), file, whole, owner('a'), impatient.signal),
  )
  impatient.abort()
  t.equal(await given.done, 'busy')
  const gone = new AbortController()
  const call = callBy(person('alice'), gone.signal)
  const cancelled = await whenInLine(one, () => one.storage.byteLocks.acquire(call, file, whole, owner('a'), patient()))
  gone.abort()
  t.equal(await cancelled.done, 'cancelled')
  await two.storage.byteLocks.releaseAll('b')
  t.equal(await two.storage.byteLocks.test(by('bob'), file, whole, owner('b')), undefined, 'neither is in line')
})

t.test('who gives up another type of lock has what he had before', async (t) => {
  const { one, two } = await lockedWorld(t)
  const file = await fileOf(one, '/data/d/f')
  await one.storage.byteLocks.acquire(by('alice'), file, part(0, 10, 'shared'), owner('a'))
  const gone = callBy(person('alice'), AbortSignal.abort())
  t.equal(await outcome(one.storage.byteLocks.acquire(gone, file, part(5, 20), owner('a'))), 'cancelled')
  const found = (lock: ByteLock) => two.storage.byteLocks.test(by('bob'), file, lock, owner('b'))
  t.match(await found(part(5, 20)), { start: 0, end: 10, type: 'shared' })
  t.equal(await found(part(10, 20)), undefined)
})

t.test('two that would wait for each other: the second is told', async (t) => {
  const { one, two } = await lockedWorld(t)
  const file = await fileOf(one, '/data/d/f')
  await one.storage.byteLocks.acquire(by('alice'), file, part(0, 1), owner('a'))
  await two.storage.byteLocks.acquire(by('bob'), file, part(1, 2), owner('b'))
  const first = await whenInLine(one, () =>
    one.storage.byteLocks.acquire(by('alice'), file, part(1, 2), owner('a'), new AbortController().signal),
  )
  const second = two.storage.byteLocks.acquire(by('bob'), file, part(0, 1), owner('b'), new AbortController().signal)
  t.equal(await outcome(second), 'busy')
  await two.storage.byteLocks.releaseAll('b')
  t.equal(await first.done, 'ok')
})

t.test('WebDAV’s lock of somebody else and exclusive locks of bytes exclude each other', async (t) => {
  const { one, two } = await lockedWorld(t)
  const file = await fileOf(one, '/data/d/f')
  const dav = await one.lock('alice', '/data/d/f')
  t.equal(await outcome(two.storage.byteLocks.acquire(by('bob'), file, part(0, 1), owner('b'))), 'locked')
  t.match(await two.storage.byteLocks.test(by('bob'), file, part(0, 1), owner('b')), { type: 'exclusive', pid: 0 })
  t.equal(await outcome(two.storage.byteLocks.acquire(by('bob'), file, part(0, 1, 'shared'), owner('b'))), 'ok')
  t.equal(await outcome(two.storage.byteLocks.acquire(by('alice'), file, part(4, 5), owner('a'))), 'ok', 'the holder')
  await one.unlock('alice', '/data/d/f', dav)
  t.equal(await outcome(one.lock('bob', '/data/d/f')), 'locked', 'alice has bytes')
  t.equal(await outcome(one.lock('alice', '/data/d/f')), 'locked', 'bob has bytes')
  await two.storage.byteLocks.releaseAll('a')
  t.equal(await outcome(one.lock('alice', '/data/d/f', { scope: 'shared' })), 'ok', 'bob shares his')
})

t.test('a lock of a directory and all in it is kept off by bytes locked below', async (t) => {
  const { one, two } = await lockedWorld(t)
  const file = await fileOf(one, '/data/d/f')
  await two.storage.byteLocks.acquire(by('bob'), file, part(0, 1), owner('b'))
  t.equal(await outcome(one.lock('alice', '/data/d')), 'locked')
  t.equal(await outcome(one.lock('alice', '/again/d')), 'locked')
  t.equal(await outcome(one.lock('alice', '/data/d', { depth: '0' })), 'ok')
  t.equal(await outcome(one.lock('alice', '/data/e')), 'ok')
})

t.test('another session of the same principal goes on with the locks of one that is lost', async (t) => {
  const { one, two } = await lockedWorld(t)
  const file = await fileOf(one, '/data/d/f')
  await one.storage.byteLocks.acquire(by('alice'), file, whole, owner('lost'))
  t.equal(await two.storage.byteLocks.adopt(by('bob'), 'lost', 'stolen'), 0)
  t.equal(await two.storage.byteLocks.adopt(by('alice'), 'lost', 'new'), 1)
  t.equal(await outcome(two.storage.byteLocks.acquire(by('alice'), file, whole, owner('new'))), 'ok')
  await one.state.close()
  t.match(await two.storage.byteLocks.test(by('bob'), file, whole, owner('b')), { pid: 42 })
})

t.test('what is no range and no owner is refused', async (t) => {
  const { one } = await lockedWorld(t)
  const file = await fileOf(one, '/data/d/f')
  for (const [start, end] of [
    [-1, 5],
    [5, 5],
    [0, 2 ** 60],
    [0.5, 1],
    [Number.NaN, 1],
  ] as const) {
    t.equal(await outcome(one.storage.byteLocks.acquire(by('alice'), file, part(start, end), owner('a'))), 'invalid')
  }
  const long = owner('a', { owner: 'x'.repeat(300) })
  t.equal(await outcome(one.storage.byteLocks.acquire(by('alice'), file, whole, long)), 'invalid')
})

t.test('without a state store there are none', async (t) => {
  t.equal(noByteLocks.available, false)
  t.equal(
    await outcome(noByteLocks.acquire(callBy('alice'), { path: parsePath('/f'), id: 'x' }, whole, owner('a'))),
    'unsupported',
  )
  await noByteLocks.releaseAll('a')
})
