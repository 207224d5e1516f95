/** What nfs4_setfacl's actions do to a list of entries. Pure. */

import { type Ace, maxAces } from '../../acl/acl.ts'
import { formatEntry, parseEntry, parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import type { ObjectKind } from '../../acl/dialects.ts'
import { UsageError } from './exit.ts'

/** One action, as on the command line. */
export type AclChange =
  | { readonly action: 'add'; readonly spec: string; readonly index?: number }
  | { readonly action: 'remove'; readonly spec: string }
  | { readonly action: 'replace'; readonly spec: string }
  | { readonly action: 'modify'; readonly from: string; readonly to: string }

/**
 * The list after the action. `add` puts entries before the one at `index` (from 1, the default);
 * `remove` takes an index or the exact entries; `modify` exchanges one entry for another. Throws
 * UsageError when what shall go is not there, StorageError `invalid` for what is no entry.
 */
export function changed(aces: readonly Ace[], kind: ObjectKind, change: AclChange): readonly Ace[] {
  switch (change.action) {
    case 'add':
      return added(aces, parseNfs4Text(change.spec, kind), change.index ?? 1)
    case 'remove':
      return /^\d+$/.test(change.spec)
        ? aces.toSpliced(placeOf(aces, Number(change.spec)), 1)
        : removed(aces, parseNfs4Text(change.spec, kind))
    case 'replace':
      return parseNfs4Text(change.spec, kind)
    case 'modify': {
      const from = parseEntry(change.from, kind)
      const at = aces.findIndex((ace) => isSame(ace, from))
      if (at < 0) throw new UsageError(`the ACL has no entry ${change.from}`)
      return aces.with(at, parseEntry(change.to, kind))
    }
  }
}

function added(aces: readonly Ace[], entries: readonly Ace[], index: number): readonly Ace[] {
  if (index < 1 || index > aces.length + 1) throw new UsageError(`the index must be from 1 to ${aces.length + 1}`)
  if (aces.length + entries.length > maxAces) throw new UsageError(`an ACL has at most ${maxAces} entries`)
  return aces.toSpliced(index - 1, 0, ...entries)
}

function placeOf(aces: readonly Ace[], index: number): number {
  if (index < 1 || index > aces.length) throw new UsageError(`the ACL has entries 1 to ${aces.length}`)
  return index - 1
}

function removed(aces: readonly Ace[], entries: readonly Ace[]): readonly Ace[] {
  for (const entry of entries) {
    if (!aces.some((ace) => isSame(ace, entry))) throw new UsageError(`the ACL has no entry ${formatEntry(entry)}`)
  }
  return aces.filter((ace) => !entries.some((entry) => isSame(ace, entry)))
}

function isSame(a: Ace, b: Ace): boolean {
  return (
    a.type === b.type && a.flags === b.flags && a.mask === b.mask && JSON.stringify(a.who) === JSON.stringify(b.who)
  )
}

/** Lines of `before` and `after` by longest common subsequence: "-" gone, "+" new, " " kept. */
export function diff(before: readonly string[], after: readonly string[]): string[] {
  const lengths = before.map(() => new Uint32Array(after.length + 1))
  const at = (i: number, j: number) => lengths[i]?.[j] ?? 0
  for (let i = before.length - 1; i >= 0; i--) {
    const row = lengths[i] ?? new Uint32Array(0)
    for (let j = after.length - 1; j >= 0; j--) {
      row[j] = before[i] === after[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1))
    }
  }
  const lines: string[] = []
  let i = 0
  let j = 0
  while (i < before.length || j < after.length) {
    if (i < before.length && before[i] === after[j]) {
      lines.push(` ${before[i]}`)
      i++
      j++
    } else if (i < before.length && (j === after.length || at(i + 1, j) >= at(i, j + 1))) lines.push(`-${before[i++]}`)
    else lines.push(`+${after[j++]}`)
  }
  return lines
}
