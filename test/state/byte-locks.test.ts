import { EventEmitter, once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { type Held, including, without } from '../../gateway/state/byte-ranges.ts'
import { openState } from '../../gateway/state/open.ts'
import type { ByteLockStore, StoredByteLock, Taken } from '../../gateway/state/state.ts'

const most = 10_000
const all = Number.MAX_SAFE_INTEGER

interface Clock {
  now: number
}

async function open(t: Test, directory: string, clock: Clock = { now: 1000 }) {
  const state = await openState({ directory, now: () => clock.now, timing: { renew: 60_000, life: 1000 } })
  t.teardown(() => state.close())
  return state.byteLocks
}

function directoryFor(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-byte-locks-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

function lock(who: string, start: number, end: number, more: Partial<StoredByteLock> = {}): StoredByteLock {
  const [session = '', owner = 'o'] = who.split('/')
  return {
    ...{
      realm: 'tree',
      object: 'a1',
      at: parsePath('/x/f'),
      principal: 'alice',
      counted: 'alice',
      session,
      owner,
      pid: 7,
    },
    ...{ kind: 'posix', start, end, type: 'exclusive' },
    ...more,
  }
}

const shared = { type: 'shared' } as const

async function kindOf(taken: Promise<Taken>): Promise<string> {
  return (await taken).kind
}

async function ticketOf(taken: Promise<Taken>): Promise<string> {
  const result = await taken
  if (result.kind !== 'waits') throw new Error(`did not wait: ${result.kind}`)
  return result.ticket
}

/** What others may not have of bytes 0 to 9: x exclusive, s shared, . free. */
async function shown(store: ByteLockStore): Promise<string> {
  let text = ''
  for (let at = 0; at < 10; at++) {
    if (await store.test(lock('other', at, at + 1, shared))) text += 'x'
    else text += (await store.test(lock('other', at, at + 1))) ? 's' : '.'
  }
  return text
}

t.test('ranges of one owner are cut, split, joined and changed, as seen by another process', async (t) => {
  const directory = directoryFor(t)
  const [one, two] = [await open(t, directory), await open(t, directory)]
  await one.take(lock('s', 2, 5), false, most)
  t.equal(await shown(two), '..xxx.....')
  await one.take(lock('s', 5, 8, shared), false, most)
  t.equal(await shown(two), '..xxxsss..')
  await one.take(lock('s', 3, 6, shared), false, most)
  t.equal(await shown(two), '..xsssss..', 'downgraded')
  await one.take(lock('s', 7, all), false, most)
  t.equal(await shown(two), '..xssssxxx', 'upgraded to the end of all files')
  await one.release(lock('s', 4, 6))
  t.equal(await shown(two), '..xs..sxxx', 'split')
  await one.release(lock('s/other', 0, all))
  t.equal(await shown(two), '..xs..sxxx', 'another owner has nothing to give back')
  await one.release(lock('s', 0, all))
  t.equal(await shown(two), '..........')
})

t.test('the arithmetic of ranges agrees with a list of bytes', (t) => {
  let seed = 7
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31
    return seed % below
  }
  let held: Held[] = []
  const bytes = new Array<string>(32).fill('.')
  for (let step = 0; step < 3000; step++) {
    const start = random(31)
    const end = start + 1 + random(32 - start)
    const type = (['shared', 'exclusive', undefined] as const)[random(3)]
    held = type ? including(held, { start, end, type }) : without(held, { start, end })
    bytes.fill(type?.charAt(0) ?? '.', start, end)
    const from = new Array<string>(32).fill('.')
    for (const one of held) from.fill(one.type.charAt(0), one.start, one.end)
    if (from.join('') !== bytes.join('')) t.same(from, bytes, `step ${step}`)
  }
  const joined = held.every((one, at) => held[at - 1]?.end !== one.start || held[at - 1]?.type !== one.type)
  t.ok(joined, 'neighbours of one type are one')
  t.end()
})

t.test('shared ones meet, exclusive ones do not, and the two kinds never do', async (t) => {
  const store = await open(t, directoryFor(t))
  t.equal(await kindOf(store.take(lock('a', 0, 10, shared), false, most)), 'had')
  t.equal(await kindOf(store.take(lock('b', 5, 15, shared), false, most)), 'had')
  t.match(await store.take(lock('c', 9, 10), false, most), { kind: 'held', by: { pid: 7, type: 'shared' } })
  t.equal(await kindOf(store.take(lock('c', 15, 20), false, most)), 'had')
  t.equal(await kindOf(store.take(lock('a', 0, 5), false, most)), 'had', 'its own part alone')
  t.equal(await kindOf(store.take(lock('a', 0, 10), false, most)), 'held')
  t.equal(await kindOf(store.take(lock('c', 0, all, { kind: 'flock' }), false, most)), 'had')
  t.equal(await kindOf(store.take(lock('c', 0, all, { object: 'a2' }), false, most)), 'had')
})

t.test('who waits is served in order, by whoever gives back, in whatever process', async (t) => {
  const directory = directoryFor(t)
  const [one, two] = [await open(t, directory), await open(t, directory)]
  const heard = new EventEmitter()
  two.listen(() => heard.emit('rung'))
  await one.take(lock('a', 0, 10), false, most)
  const first = await ticketOf(two.take(lock('b', 0, 5), true, most))
  const second = await ticketOf(one.take(lock('c', 4, 6, shared), true, most))
  const third = await ticketOf(two.take(lock('d', 5, 9, shared), true, most))
  const rung = once(heard, 'rung')
  await one.release(lock('a', 0, 10))
  await rung
  t.same(await two.waiting([first, second, third]), new Set([second]), 'the second stands behind the first')
  t.equal(await two.leave(first), false, 'it has been served')
  t.equal(await kindOf(two.take(lock('b', 0, 5), false, most)), 'had')
  t.equal(await one.leave(second), true)
  t.equal(await one.leave(second), false)
  await two.release(lock('b', 0, 5))
  t.equal(await shown(two), '.....ssss.')
})

t.test('who comes later for the same does not overtake, unless it has something already', async (t) => {
  const store = await open(t, directoryFor(t))
  await store.take(lock('reader', 0, 10, shared), false, most)
  await store.take(lock('holder', 20, 21), false, most)
  const writer = await ticketOf(store.take(lock('writer', 0, 10), true, most))
  const late = await ticketOf(store.take(lock('late', 0, 10, shared), true, most))
  t.equal(await kindOf(store.take(lock('holder', 0, 10, shared), true, most)), 'had')
  t.equal(
    await kindOf(store.take(lock('hasty', 0, 1, shared), false, most)),
    'had',
    'who does not wait stands in no line',
  )
  await store.releaseAll('reader')
  await store.releaseAll('hasty')
  await store.releaseAll('holder')
  t.same(await store.waiting([writer, late]), new Set([late]))
  await store.releaseAll('writer')
  t.same(await store.waiting([writer, late]), new Set())
})

t.test('nobody stands behind one who may wait for his other files', async (t) => {
  const store = await open(t, directoryFor(t))
  const flock = (who: string, object: string, more: Partial<StoredByteLock> = {}) =>
    lock(who, 0, all, { kind: 'flock', object, ...more })
  await store.take(flock('a/file-1', 'x'), false, most)
  await store.take(flock('b/file-1', 'y', shared), false, most)
  await ticketOf(store.take(flock('c/file-1', 'y'), true, most))
  await ticketOf(store.take(flock('b/file-2', 'x'), true, most))
  t.equal(await kindOf(store.take(flock('a/file-2', 'y', shared), true, most)), 'had', 'b waits for a, and c for b')
})

t.test('owners that would wait for each other are told', async (t) => {
  const directory = directoryFor(t)
  const [one, two] = [await open(t, directory), await open(t, directory)]
  await one.take(lock('a', 0, 1), false, most)
  await two.take(lock('b', 1, 2), false, most)
  await two.take(lock('c', 0, 1, { object: 'a2' }), false, most)
  await ticketOf(one.take(lock('a', 1, 2), true, most))
  await ticketOf(two.take(lock('b', 0, 1, { object: 'a2' }), true, most))
  t.equal(await kindOf(two.take(lock('c', 0, 1), true, most)), 'deadlock')
  t.equal(await kindOf(one.take(lock('d', 0, 1), true, most)), 'waits', 'who has nothing is in no circle')
  const upgrade = lock('e', 0, 1, { object: 'a3', ...shared })
  await one.take(upgrade, false, most)
  await one.take({ ...upgrade, session: 'f' }, false, most)
  await ticketOf(one.take({ ...upgrade, type: 'exclusive' }, true, most))
  t.equal(await kindOf(one.take({ ...upgrade, session: 'f', type: 'exclusive' }, true, most)), 'deadlock')
})

t.test('two that change a shared flock to an exclusive one do not block each other for ever', async (t) => {
  const store = await open(t, directoryFor(t))
  const flock = { kind: 'flock' } as const
  await store.take(lock('a', 0, all, { ...flock, ...shared }), false, most)
  await store.take(lock('b', 0, all, { ...flock, ...shared }), false, most)
  const a = await ticketOf(store.take(lock('a', 0, all, flock), true, most))
  t.equal(await kindOf(store.take(lock('b', 0, all, flock), true, most)), 'had')
  await store.releaseAll('b')
  t.same(await store.waiting([a]), new Set())
})

t.test('locks of a process that is gone are in nobody’s way, and those left can be adopted', async (t) => {
  const directory = directoryFor(t)
  const clock = { now: 1000 }
  const one = await open(t, directory, clock)
  await one.take(lock('gone', 0, 5), false, most)
  await one.take(lock('gone', 7, 9), false, most)
  const later = { now: 1500 }
  const two = await open(t, directory, later)
  t.equal(await kindOf(two.take(lock('b', 0, 1), false, most)), 'held', 'alive for as long as it may be')
  const ticket = await ticketOf(two.take(lock('b', 0, 1), true, most))
  later.now = 2400
  t.same(await two.waiting([ticket]), new Set([ticket]), 'this look has seen to it')
  t.same(await two.waiting([ticket]), new Set())
  t.equal(await two.adopt('bob', 'gone', 'new'), 0)
  t.equal(await two.adopt('alice', 'gone', 'new'), 1)
  t.equal(await shown(two), 'x......xx.')
  await two.releaseAll('new')
  t.equal(await shown(two), 'x.........')
})

t.test('a process that counted as gone for a while is told that others may have what it had', async (t) => {
  const clock = { now: 1000 }
  const timing = { renew: 5, life: 1000 }
  const state = await openState({ directory: directoryFor(t), now: () => clock.now, timing })
  t.teardown(() => state.close())
  let losses = 0
  const lost = Promise.withResolvers<void>()
  state.byteLocks.onLost(() => {
    losses++
    lost.resolve()
  })
  const alive = setInterval(() => {}, 1000)
  clock.now += 900
  t.equal(losses, 0)
  clock.now += 5000
  await lost.promise
  clearInterval(alive)
  t.equal(losses, 1)
})

t.test('a session gives back all, or what some of its owners have', async (t) => {
  const store = await open(t, directoryFor(t))
  await store.take(lock('s/mount-1', 0, 1), false, most)
  await store.take(lock('s/mount-2', 1, 2), false, most)
  await store.take(lock('s/other', 2, 3), false, most)
  await store.take(lock('s2/mount-1', 3, 4), false, most)
  await store.releaseAll('s', 'mount-')
  t.equal(await shown(store), '..xx......')
  await store.releaseAll('s')
  t.equal(await shown(store), '...x......')
})

t.test('a session has so many and no more', async (t) => {
  const store = await open(t, directoryFor(t))
  for (let at = 0; at < 3; at++) await store.take(lock('s', at * 2, at * 2 + 1), false, 3)
  await t.rejects(store.take(lock('s', 8, 9), false, 3), { code: 'busy' })
  t.equal(await shown(store), 'x.x.x.....')
  t.equal(await kindOf(store.take(lock('s', 0, 9), false, 3)), 'had', 'which makes them fewer')
})

t.test('locks of others are found on an object and below a directory', async (t) => {
  const store = await open(t, directoryFor(t))
  await store.take(lock('s', 0, 1, { at: parsePath('/x/d/f'), ...shared }), false, most)
  const at = (object: string | undefined, below?: string) => ({
    ...{ realm: 'tree', object },
    below: below === undefined ? undefined : parsePath(below),
  })
  t.match(await store.foreign('bob', at('a1'), 'any'), { session: 's' })
  t.equal(await store.foreign('bob', at('a1'), 'exclusive'), undefined)
  t.equal(await store.foreign('alice', at('a1'), 'any'), undefined)
  t.match(await store.foreign('bob', at('d7', '/x'), 'any'), { session: 's' })
  t.match(await store.foreign('bob', at(undefined, '/'), 'any'), { session: 's' })
  t.equal(await store.foreign('bob', at('d7', '/x/d/f'), 'any'), undefined)
})

t.test('of many who want the same in two processes one has it at a time, and all have it in the end', async (t) => {
  const directory = directoryFor(t)
  const stores = [await open(t, directory), await open(t, directory)] as const
  const bells = stores.map((store) => {
    const bell = new EventEmitter()
    bell.setMaxListeners(100)
    store.listen(() => bell.emit('rung'))
    return bell
  })
  let inside = 0
  let together = 0
  const work = async (index: number) => {
    const [store, bell] = index % 2 === 0 ? [stores[0], bells[0]] : [stores[1], bells[1]]
    const wish = lock(`s${index}`, 0, 10)
    for (
      let taken = await store.take(wish, true, most);
      taken.kind !== 'had';
      taken = await store.take(wish, true, most)
    ) {
      if (taken.kind !== 'waits') throw new Error(taken.kind)
      const { ticket } = taken
      for (;;) {
        const rung = once(bell as EventEmitter, 'rung')
        if (!(await store.waiting([ticket])).has(ticket)) break
        await rung
      }
    }
    inside += 1
    together = Math.max(together, inside)
    await new Promise((resolve) => setImmediate(resolve))
    inside -= 1
    await store.release(wish)
  }
  await Promise.all(Array.from({ length: 30 }, (_, index) => work(index)))
  t.equal(together, 1)
})
