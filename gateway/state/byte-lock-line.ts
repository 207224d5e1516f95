/** Who has and who waits for the parts of one object: pure rules, over the rows of it. */

import type { ByteLockRow } from './byte-lock-table.ts'
import { type Held, including, isConflict, overlaps, type Span, without } from './byte-ranges.ts'

/** A row, and whether its process is alive. */
export type LiveRow = ByteLockRow & { readonly alive: boolean }

export function heldOf({ first, behind, type }: ByteLockRow): Held {
  return { start: Number(first), end: Number(behind), type: type === 'exclusive' ? 'exclusive' : 'shared' }
}

export function isSameOwner(a: Owner, b: Owner): boolean {
  return a.session === b.session && a.owner === b.owner && a.kind === b.kind
}

/** Names the owner. */
export function keyOf({ session, owner, kind }: Owner): string {
  return `${session}\0${owner}\0${kind}`
}

/** Whoever has locks. */
export type Owner = Pick<ByteLockRow, 'session' | 'owner' | 'kind'>

/** What others have that is in the way; of those whose process is gone too. */
export function inTheWay(rows: readonly LiveRow[], wish: ByteLockRow): LiveRow[] {
  const wanted = heldOf(wish)
  return rows.filter(
    (row) =>
      row.queued === null && row.kind === wish.kind && !isSameOwner(row, wish) && isConflict(heldOf(row), wanted),
  )
}

/**
 * Whether somebody came earlier for something that cannot be had at the same time. Whose session has something already
 * does not stand behind others: they may wait for just that.
 */
export function isBehind(rows: readonly LiveRow[], wish: ByteLockRow, hasSome: boolean): boolean {
  if (hasSome) return false
  const turn = Number(wish.queued)
  const wanted = heldOf(wish)
  return rows.some(
    (row) =>
      row.alive &&
      row.queued !== null &&
      Number(row.queued) < turn &&
      row.kind === wish.kind &&
      !isSameOwner(row, wish) &&
      isConflict(heldOf(row), wanted),
  )
}

/** What changes for an owner: rows that go, and what comes in their place. */
export interface Change {
  readonly gone: readonly string[]
  readonly come: readonly Held[]
}

/** An owner has this of a span afterwards, whatever it had of it. */
export function changed(rows: readonly LiveRow[], owner: Owner, span: Span, instead: readonly Held[]): Change {
  const mine = rows.filter((row) => row.queued === null && isSameOwner(row, owner))
  const after = instead.reduce<readonly Held[]>(including, without(mine.map(heldOf), span))
  const isAmong = (held: Held, list: readonly Held[]) =>
    list.some((one) => one.start === held.start && one.end === held.end && one.type === held.type)
  return {
    gone: mine.filter((row) => !isAmong(heldOf(row), after)).map(({ id }) => id),
    come: after.filter((held) => !isAmong(held, mine.map(heldOf))),
  }
}

/** What an owner has of a span. */
export function partsOf(rows: readonly LiveRow[], owner: Owner, { start, end }: Span): Held[] {
  return rows
    .filter((row) => row.queued === null && isSameOwner(row, owner))
    .map(heldOf)
    .filter((held) => overlaps(held, { start, end }))
    .map((held) => ({ ...held, start: Math.max(held.start, start), end: Math.min(held.end, end) }))
}
