/** Where parts are, where they will be in the whole, and in which steps they get there. */

import type { StoredPart } from '../state/state.ts'
import { StorageError } from './errors.ts'
import { type ChosenPart, PartError } from './parts.ts'
import type { Path } from './path.ts'

/** A part, and where it begins in the whole. */
export interface Placed {
  readonly part: StoredPart
  readonly to: number
}

/** Rounds of moves in one draft: each is on disk before the next one begins. More than this is no better than a copy. */
const mostRounds = 8

/** The parts that were chosen. Throws `invalid` for an order that is not ascending, and PartError. */
export function choose(all: readonly StoredPart[], chosen: readonly ChosenPart[], path: Path): readonly StoredPart[] {
  if (chosen.length === 0) throw new StorageError('invalid', 'no part was chosen', { path })
  const known = new Map(all.map((part) => [part.number, part]))
  let last = 0
  return chosen.map(({ number, modified }) => {
    if (!(number > last)) throw new StorageError('invalid', 'the parts are not in ascending order', { path })
    last = number
    const part = known.get(number)
    if (!part || (modified !== undefined && part.modified !== modified)) throw new PartError(number, path)
    return part
  })
}

/** One after the other. */
export function placesOf(parts: readonly StoredPart[]): readonly Placed[] {
  let end = 0
  return parts.map((part) => {
    const to = end
    end += part.size
    return { part, to }
  })
}

/**
 * Moves after which everything is in its place, in rounds: what a round overwrites is nothing that a later one, or a
 * repetition after a failure, still needs. Undefined: that takes a second draft. `others`: parts that were not chosen,
 * and stay what they are if nothing comes of it.
 */
export function roundsOf(places: readonly Placed[], others: number): ReadonlyArray<readonly Placed[]> | undefined {
  let left = places.filter(({ part, to }) => part.size > 0 && part.offset !== to)
  // Either in the way of the chosen ones, or behind them, where a commit cuts.
  if (others > 0) return undefined
  const empty = places.filter(({ part }) => part.size === 0)
  const rounds: Placed[][] = []
  while (left.length > 0) {
    const taken = new Taken([...left, ...empty])
    const round = left.filter(({ part, to }) => !taken.overlaps(to, to + part.size))
    if (round.length === 0 || rounds.length === mostRounds) return undefined
    const moved = new Set(round)
    left = left.filter((one) => !moved.has(one))
    rounds.push(round)
  }
  return rounds
}

/** Where bytes are that are still needed there. */
class Taken {
  readonly #starts: readonly number[]
  readonly #ends: readonly number[]

  constructor(places: readonly Placed[]) {
    const parts = places.map(({ part }) => part).sort((a, b) => a.offset - b.offset)
    this.#starts = parts.map(({ offset }) => offset)
    this.#ends = parts.map(({ offset, size }) => offset + Math.max(size, 1))
  }

  overlaps(start: number, end: number): boolean {
    let low = 0
    let high = this.#starts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#starts[middle] as number) < end) low = middle + 1
      else high = middle
    }
    // Places do not overlap, so the last one that begins before `end` ends last.
    return low > 0 && (this.#ends[low - 1] as number) > start
  }
}
