/** Places for parts of uploads: no byte is given to two, and nothing counts after its turn. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { openState } from '../../gateway/state/open.ts'
import type { PartStore, State } from '../../gateway/state/state.ts'

const bounds = { uploads: 100, bytes: 1_000_000, spool: 500 }
const largest = 2 ** 40

async function stateFor(t: Test): Promise<() => Promise<State>> {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-parts-'))
  const opened: State[] = []
  t.teardown(async () => {
    for (const state of opened) await state.close()
    rmSync(directory, { recursive: true })
  })
  return async () => {
    const state = await openState({ directory, timing: { renew: 100, life: 1000 } })
    opened.push(state)
    return state
  }
}

async function add(state: State, id: string, spooled = false): Promise<void> {
  const path = parsePath('/f')
  const expires = Date.now() + 60_000
  await state.uploads.add(
    {
      ...{ id, principal: 'alice', user: 'alice@x', path, inner: path, backend: 'b', place: id, spooled },
      ...{ terms: '{}', length: undefined, reserved: 0, expires, parted: true },
    },
    bounds,
  )
  await state.uploads.made(id, 'object')
}

const reserve = (parts: PartStore, id: string, number: number, size: number, turn = 0) =>
  parts.reserve(id, { turn, number, size, largest }, bounds)

const put = async (parts: PartStore, id: string, number: number, size: number) => {
  const place = await reserve(parts, id, number, size)
  return place && parts.count(id, { offset: place.offset, turn: 0, digests: '{}' })
}

t.test('parts of one size are where they will be, others behind everything', async (t) => {
  const state = await (await stateFor(t))()
  const { parts } = state
  await add(state, 'u')
  t.match(await put(parts, 'u', 1, 10), { offset: 0 })
  t.match(await put(parts, 'u', 3, 10), { offset: 20 })
  t.match(await put(parts, 'u', 4, 3), { offset: 30 })
  t.match(await put(parts, 'u', 3, 10), { offset: 100_000 }, 'what counts is not overwritten')
  t.match(await put(parts, 'u', 3, 10), { offset: 20 }, 'until another one counts')
  t.match(await put(parts, 'u', 5, 0), { offset: 40, size: 0 })
  t.same(
    (await parts.list('u', 1, 10)).map(({ number, offset }) => [number, offset]),
    [
      [3, 20],
      [4, 30],
      [5, 40],
    ],
  )
  t.match(await state.uploads.get('u'), { offset: 23, reserved: 34 }, 'what is replaced is there still')
})

t.test('places of parts that do not count any more are used again, and reserved until then', async (t) => {
  const state = await (await stateFor(t))()
  const { parts, uploads } = state
  await add(state, 'u')
  for (let number = 1; number <= 10; number++) await put(parts, 'u', number, 10)
  for (let time = 0; time < 60; time++) await put(parts, 'u', 20, 100 + (time % 7))
  const [last] = await parts.list('u', 19, 1)
  t.ok((last?.offset ?? 0) < 100_000 + 4 * 112, `at ${last?.offset}`)
  t.match(await uploads.get('u'), { offset: 100 + 103 })
  const reserved = (await uploads.get('u'))?.reserved ?? 0
  t.ok(reserved > 300 && reserved < 100 + 4 * 112, `${reserved} bytes`)
  await add(state, 'emptied')
  for (let number = 1; number <= 3; number++) {
    await put(parts, 'emptied', number, 1000)
    await put(parts, 'emptied', number, 0)
  }
  t.match(await parts.list('emptied', 0, 10), [{ size: 0 }, { size: 0 }, { size: 0 }])
  t.ok(((await uploads.get('emptied'))?.reserved ?? 0) >= 3000, 'nobody fills a disk with parts of nothing')
  t.match(await put(parts, 'emptied', 2, 1000), { offset: 1000 }, 'where it was before')
  t.match(await uploads.get('emptied'), { offset: 1000 })
})

t.test('a larger part tells that the first ones were not of the usual size', async (t) => {
  const state = await (await stateFor(t))()
  const { parts } = state
  await add(state, 'u')
  t.match(await put(parts, 'u', 3, 4), { offset: 8 }, 'the last one came first')
  t.match(await put(parts, 'u', 2, 100), { offset: 100 })
  t.match(await put(parts, 'u', 1, 100), { offset: 1_000_000 }, 'something is in its place')
  for (let number = 4; number < 12; number++)
    t.match(await put(parts, 'u', number, 100), { offset: 100 * (number - 1) })
  t.match(await put(parts, 'u', 20, 200), { offset: 1_000_104 }, 'by then the size is known')
  t.match(await put(parts, 'u', 21, 100), { offset: 2000 })
})

t.test('nothing is at its place beyond the largest file', async (t) => {
  const state = await (await stateFor(t))()
  await add(state, 'u')
  const place = (number: number) => state.parts.reserve('u', { turn: 0, number, size: 10, largest: 25 }, bounds)
  t.match(await place(2), { offset: 10 })
  t.match(await place(3), { offset: 25 })
  t.match(await place(1), { offset: 0 })
})

t.test('a place to which nothing was written is free, one that counts is not', async (t) => {
  const state = await (await stateFor(t))()
  const { parts } = state
  await add(state, 'u')
  t.match(await reserve(parts, 'u', 1, 10), { offset: 0 })
  t.equal(await parts.coming('u'), 1)
  await parts.release('u', 0, { written: false })
  t.equal(await parts.coming('u'), 0)
  t.match(await state.uploads.get('u'), { reserved: 0 })
  await reserve(parts, 'u', 1, 10)
  await parts.release('u', 0, { written: true })
  t.equal(await parts.coming('u'), 0)
  t.match(await state.uploads.get('u'), { reserved: 10 })
  t.match(await reserve(parts, 'u', 1, 8), { offset: 0, used: true })
  await parts.release('u', 0, { written: true })
  await put(parts, 'u', 1, 10)
  t.match(await state.uploads.get('u'), { reserved: 10 })
  await parts.release('u', 0, { written: false })
  t.match(await parts.list('u', 0, 10), [{ number: 1, offset: 0 }])
})

t.test('nothing counts once somebody has called another turn', async (t) => {
  const state = await (await stateFor(t))()
  const { parts, uploads } = state
  await add(state, 'u')
  await put(parts, 'u', 1, 10)
  await reserve(parts, 'u', 2, 10)
  const turn = (await uploads.call('u')) ?? 0
  t.equal(await parts.count('u', { offset: 10, turn: 0, digests: '{}' }), undefined)
  t.equal(await reserve(parts, 'u', 3, 10), undefined)
  t.equal(await parts.move('u', 0, [{ from: 0, to: 500 }]), false)
  t.equal(await parts.move('u', turn, [{ from: 0, to: 500 }]), true)
  t.match(await parts.list('u', 0, 10), [{ number: 1, offset: 500 }])
  t.equal(await parts.coming('u'), 0, 'who still comes has no place any more')
  t.match(await uploads.get('u'), { reserved: 10 })
  await uploads.complete('u', '{}', Date.now() + 60_000)
  t.same(await parts.list('u', 0, 10), [])
  t.equal(await reserve(parts, 'u', 3, 10, turn), undefined)
  t.equal(await parts.count('none', { offset: 0, turn: 0, digests: '{}' }), undefined)
})

t.test('no byte belongs to two, however many processes ask at once', async (t) => {
  const open = await stateFor(t)
  const [one, two] = [await open(), await open()]
  await add(one, 'u')
  const asked = Array.from({ length: 60 }, (_, index) =>
    put((index % 2 ? one : two).parts, 'u', 1 + (index % 7), 5 + (index % 3)),
  )
  const counted = await Promise.all(asked)
  t.ok(counted.every((part) => part))
  const left = (await one.parts.list('u', 0, 100)).toSorted((a, b) => a.offset - b.offset)
  t.equal(left.length, 7)
  for (const [index, { offset }] of left.entries()) {
    const before = left[index - 1]
    t.ok(!before || before.offset + before.size <= offset)
  }
  t.match(await one.uploads.get('u'), { offset: left.reduce((sum, { size }) => sum + size, 0) })
})

t.test('bytes that come in parts count for their principal and for the spool', async (t) => {
  const state = await (await stateFor(t))()
  const { parts } = state
  await add(state, 'spooled', true)
  t.ok(await reserve(parts, 'spooled', 1, 400))
  await t.rejects(reserve(parts, 'spooled', 2, 101), { code: 'no-space' })
  await add(state, 'u')
  await t.rejects(reserve(parts, 'u', 1, 999_601), { code: 'busy' })
  await state.uploads.remove('spooled')
  t.ok(await reserve(parts, 'u', 1, 1_000_000))
})
