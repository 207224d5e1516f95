/** Where parts go in the whole, and in which steps, over places drawn at random. */

import t from 'tap'
import { choose, placesOf, roundsOf } from '../../gateway/core/part-layout.ts'
import { PartError } from '../../gateway/core/parts.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { StoredPart } from '../../gateway/state/state.ts'

const path = parsePath('/f')
const part = (number: number, offset: number, size: number): StoredPart => ({
  ...{ number, offset, size },
  modified: number,
  digests: '{}',
})

/** A sequence that is the same each time. */
function dice(seed: number): (sides: number) => number {
  let state = seed
  return (sides) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * sides)
  }
}

t.test('rounds of moves bring every part to its place, and overwrite nothing that is still needed', async (t) => {
  let inPlace = 0
  let copied = 0
  for (let seed = 1; seed <= 500; seed++) {
    const roll = dice(seed)
    const sizes = Array.from({ length: 1 + roll(8) }, () => roll(6))
    const usual = 1 + roll(6)
    // As reserved: at its place where that is free, behind everything else where not.
    const taken: Array<{ start: number; end: number }> = []
    const parts = sizes.map((size, index) => {
      const room = Math.max(size, 1)
      const wanted = index * usual
      const isFree = room <= usual && !taken.some(({ start, end }) => start < wanted + room && end > wanted)
      const start = isFree && roll(4) > 0 ? wanted : Math.max(60, ...taken.map(({ end }) => end))
      taken.push({ start, end: start + room })
      return part(index + 1, start, size)
    })
    const places = placesOf(parts)
    const rounds = roundsOf(places, 0)
    if (!rounds) {
      copied++
      continue
    }
    inPlace++
    const bytes = new Array<number>(200).fill(0)
    for (const { number, offset, size } of parts) bytes.fill(number, offset, offset + size)
    const left = new Set(places.filter(({ part, to }) => part.offset !== to && part.size > 0))
    for (const round of rounds) {
      for (const place of round) left.delete(place)
      for (const { part, to } of round) bytes.fill(part.number, to, to + part.size)
      for (const { part } of left) {
        const kept = bytes.slice(part.offset, part.offset + part.size)
        if (!kept.every((byte) => byte === part.number)) t.fail(`seed ${seed}: part ${part.number} was overwritten`)
      }
    }
    const whole = parts.flatMap(({ number, size }) => new Array<number>(size).fill(number))
    if (bytes.slice(0, whole.length).join() !== whole.join()) t.fail(`seed ${seed}: not the whole`)
  }
  t.ok(inPlace > 200 && copied > 0, `${inPlace} in place, ${copied} copied`)
})

t.test('nothing is moved where everything is in its place, and nothing over parts that were not chosen', async (t) => {
  const parts = [part(1, 0, 8), part(2, 8, 8), part(3, 16, 3)]
  t.same(roundsOf(placesOf(parts), 0), [])
  t.equal(roundsOf(placesOf(parts), 1), undefined)
})

t.test('parts are chosen in ascending order, and as they were seen', async (t) => {
  const all = [part(1, 0, 8), part(3, 8, 8)]
  t.same(choose(all, [{ number: 3 }], path), [all[1]])
  t.same(choose(all, [{ number: 1, modified: 1 }, { number: 3 }], path), all)
  t.throws(() => choose(all, [{ number: 3 }, { number: 1 }], path), { code: 'invalid' })
  t.throws(() => choose(all, [], path), { code: 'invalid' })
  for (const chosen of [{ number: 2 }, { number: 3, modified: 4 }]) {
    try {
      choose(all, [chosen], path)
      t.fail('it is not there')
    } catch (error) {
      t.ok(error instanceof PartError && error.number === chosen.number)
    }
  }
})
