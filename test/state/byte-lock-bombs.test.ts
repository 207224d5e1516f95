/** Very many byte-range locks: bounded, and in nobody's way. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { isCircle } from '../../gateway/state/byte-lock-circle.ts'
import type { LiveRow } from '../../gateway/state/byte-lock-line.ts'
import { openState, stateFile } from '../../gateway/state/open.ts'
import type { StoredByteLock } from '../../gateway/state/state.ts'

const most = 10_000

function lock(who: string, start: number, end: number, more: Partial<StoredByteLock> = {}): StoredByteLock {
  const [session = '', owner = 'o'] = who.split('/')
  return {
    ...{ realm: 'tree', object: 'a1', at: parsePath('/x/f'), principal: 'alice', counted: 'alice', session, owner },
    ...{ pid: 7, kind: 'posix', start, end, type: 'exclusive' },
    ...more,
  }
}

async function open(t: Test) {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-byte-locks-'))
  const state = await openState({ directory })
  t.teardown(async () => {
    await state.close()
    rmSync(directory, { recursive: true, force: true })
  })
  return { store: state.byteLocks, file: join(directory, stateFile) }
}

/** More than SQLite takes as parameters of one statement (SQLITE_MAX_VARIABLE_NUMBER). */
const many = 33_000

t.test('however many a process that is gone has left, they are in nobody’s way', async (t) => {
  const { store, file } = await open(t)
  const db = new DatabaseSync(file)
  db.exec(`with recursive n(i) as (select 0 union all select i + 1 from n where i < ${many})
    insert into byte_locks (id, realm, object, place, holder, principal, counted, session, owner, pid, kind, type, first, behind)
    select 'id' || i, 'tree', 'a1', '/x/f', 'gone', 'bob', 'bob', 's', i, 7, 'posix', 'shared', i, i + 1 from n`)
  db.close()
  t.match(await store.take(lock('a', 0, many * 2), false, most), { kind: 'had' })
})

t.test('however many wait can be looked for', async (t) => {
  const { store } = await open(t)
  await store.take(lock('a', 0, 1), false, most)
  const taken = await store.take(lock('b', 0, 1), true, most)
  if (taken.kind !== 'waits') throw new Error(taken.kind)
  const tickets = [...Array.from({ length: many }, (_, index) => `gone-${index}`), taken.ticket]
  t.same(await store.waiting(tickets), new Set([taken.ticket]))
})

t.test('one principal has as many as four sessions and no more, whatever its credentials', async (t) => {
  const { store } = await open(t)
  const take = (session: string, start: number, more: Partial<StoredByteLock> = {}) =>
    store.take(lock(session, start, start + 1, { principal: `link ${session}`, ...more }), false, 2)
  for (const [index, session] of ['a', 'b', 'c', 'd'].entries()) {
    for (const at of [0, 2]) await take(session, index * 10 + at)
  }
  await t.rejects(take('e', 90), { code: 'busy' })
  t.match(await take('e', 90, { counted: 'bob' }), { kind: 'had' })
})

t.test('a net of thousands that wait for each other is not searched to its end', async (t) => {
  const row = (owner: string, object: string, more: Partial<LiveRow> = {}): LiveRow => ({
    ...{ id: `${owner} ${object}`, realm: 'tree', object, place: '/x', holder: 'h', principal: 'p', counted: 'p' },
    ...{ session: 's', owner, pid: 1, kind: 'posix', type: 'shared', first: 0, behind: 9, queued: null, alive: true },
    ...more,
  })
  const owners = Array.from({ length: 5000 }, (_, index) => String(index))
  const wishOf = (owner: string) => row(owner, 'g', { type: 'exclusive', queued: 1 })
  const held = new Map([
    ['f', owners.map((owner) => row(owner, 'f'))],
    ['g', [...owners.map((owner) => row(owner, 'g')), ...owners.map(wishOf)]],
  ])
  let asked = 0
  const view = {
    rowsOf: async ({ object }: { readonly object: string }) => {
      asked++
      return held.get(object) ?? []
    },
    wishesOf: async ({ owner }: { readonly owner: string }) => {
      asked++
      return [wishOf(owner)]
    },
  }
  t.equal(await isCircle(row('me', 'f', { type: 'exclusive', queued: 2 }), view), false)
  t.ok(asked < 300, String(asked))
  held.set(
    'f',
    owners.slice(0, 200).map((owner) => row(owner, 'f')),
  )
  held.set('g', [row('me', 'g')])
  t.equal(await isCircle(row('me', 'f', { type: 'exclusive', queued: 2 }), view), true)
})

/** Statements that the state store was asked while it worked: each is a message to its thread. */
async function asked(t: Test, work: () => Promise<unknown>): Promise<number> {
  const { postMessage } = Worker.prototype
  let count = 0
  const counting = t.intercept(Worker.prototype, 'postMessage', {
    value(this: Worker, ...words: Parameters<typeof postMessage>) {
      count++
      return postMessage.apply(this, words)
    },
  })
  await work()
  counting.restore()
  return count
}

t.test('however many wait for a lock, the store is asked as often as for a few', async (t) => {
  const crowded = async (waiting: number) => {
    const { store } = await open(t)
    await store.take(lock('a', 0, 10), false, most)
    for (let index = 0; index < waiting; index++) await store.take(lock(`b${index}`, 0, 10), true, most)
    const wish = await asked(t, () => store.take(lock('c', 0, 10), true, most))
    // The first of them has all of it now, and is in the way of the others.
    const release = await asked(t, () => store.release(lock('a', 0, 10)))
    t.match(await store.test(lock('z', 0, 1)), { session: 'b0' })
    return { wish, release }
  }
  const few = await crowded(3)
  t.ok(few.wish > 0 && few.release > few.wish, `${few.wish} for a wish, ${few.release} for a release`)
  t.same(await crowded(100), few)
})
