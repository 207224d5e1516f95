/** What nfs4_setfacl's actions do to a list of entries. Pure. */

import { type Ace, aceFlag, maxAces, right } from '../../acl/acl.ts'
import { aclFromJson } from '../../acl/codec/json.ts'
import { formatEntry, parseEntry, parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import type { ObjectKind } from '../../acl/dialects.ts'
import { makeAce } from '../../acl/who.ts'
import { UsageError } from './exit.ts'

/** One action, as on the command line. */
export type AclChange =
  | { readonly action: 'add'; readonly spec: string; readonly index?: number }
  | { readonly action: 'remove'; readonly spec: string }
  | { readonly action: 'replace'; readonly spec: string }
  | { readonly action: 'replace-all'; readonly aces: readonly Ace[] }
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
    case 'replace-all':
      return change.aces
    case 'modify': {
      const from = parseEntry(change.from, kind)
      const at = aces.findIndex((ace) => isSame(ace, from))
      if (at < 0) throw new UsageError(`the ACL has no entry ${change.from}`)
      return aces.with(at, parseEntry(change.to, kind))
    }
  }
}

/**
 * The same for each object of a tree. What is to go or to be exchanged need not be there; entries are made to fit files,
 * in which nothing is inherited: their flags of inheritance go, and with them entries that are for directories below alone.
 */
export function changedInTree(aces: readonly Ace[], kind: ObjectKind, change: AclChange): readonly Ace[] {
  const fitted = (entries: readonly Ace[]) => (kind === 'file' ? entries.flatMap(forFile) : entries)
  switch (change.action) {
    case 'add':
      return added(aces, fitted(parseNfs4Text(change.spec, kind)), Math.min(change.index ?? 1, aces.length + 1))
    case 'remove': {
      const entries = fitted(parseNfs4Text(change.spec, kind))
      return aces.filter((ace) => !entries.some((entry) => isSame(ace, entry)))
    }
    case 'replace':
      return fitted(parseNfs4Text(change.spec, kind))
    case 'replace-all':
      return fitted(change.aces)
    case 'modify': {
      const [from] = fitted([parseEntry(change.from, kind)])
      const to = fitted([parseEntry(change.to, kind)])
      return from === undefined ? aces : aces.flatMap((ace) => (isSame(ace, from) ? to : [ace]))
    }
  }
}

/** Throws UsageError for what cannot mean the same in every ACL of a tree. */
export function requireForTree(change: AclChange): void {
  if (change.action === 'remove' && /^\d+$/.test(change.spec)) {
    throw new UsageError('in a tree every ACL has another entry of that number: write the entry in full')
  }
}

/** The entries of an ACL as `acl get --json` prints it. Throws StorageError `invalid`. */
export function acesFromJson(text: string): readonly Ace[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new UsageError('the file holds no JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new UsageError('the file holds no ACL')
  const { path: _path, etag: _etag, ...acl } = value as Readonly<Record<string, unknown>>
  return aclFromJson(acl).aces
}

const { fileInherit, directoryInherit, noPropagateInherit, inheritOnly } = aceFlag
const inheritance = fileInherit | directoryInherit | noPropagateInherit | inheritOnly

function forFile(ace: Ace): readonly Ace[] {
  const { type, flags, mask, who } = ace
  const isForDirectories = (flags & (inheritOnly | fileInherit)) === inheritOnly
  const rights = mask & ~right.deleteChild
  return isForDirectories || rights === 0 ? [] : [makeAce(type, flags & ~inheritance, rights, who)]
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

/** Whether two lists are the same, entry by entry. */
export function isSameList(a: readonly Ace[], b: readonly Ace[]): boolean {
  return a.length === b.length && a.every((ace, index) => isSame(ace, b[index] as Ace))
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
