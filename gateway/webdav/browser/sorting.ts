/** The order of a directory's entries on its page: folders come first, whatever they are sorted by. */

import type { Entry } from '../../../backends/backend.ts'
import type { Sorting, SortKey } from '../../web/listing.ts'
import { endingOf } from '../../web/words.ts'

/** A directory of no more entries is sorted for people; bigger ones come as the storage lists them, or by name alone. */
export const sortable = 2000

const keys: ReadonlySet<string> = new Set<SortKey>(['name', 'type', 'size', 'time'])

/** What the query asks for; undefined where it asks for nothing that we know. */
export function sortingOf(query: URLSearchParams): Sorting | undefined {
  const key = query.get('sort') ?? ''
  return keys.has(key) ? { key: key as SortKey, descending: query.get('order') === 'desc' } : undefined
}

type Compare = (a: Entry, b: Entry) => number

/** A sorted copy. */
export function sorted(entries: readonly Entry[], { key, descending }: Sorting): Entry[] {
  const byName = nameOrder()
  const compare = orders[key](byName)
  const order = descending ? (a: Entry, b: Entry) => compare(b, a) : compare
  return entries.toSorted((a, b) => rank(a) - rank(b) || order(a, b) || byName(a, b))
}

function rank({ type }: Entry): number {
  return type === 'directory' ? 0 : 1
}

const orders: Readonly<Record<SortKey, (byName: Compare) => Compare>> = {
  name: (byName) => byName,
  type: () => (a, b) => compareText(a.type, b.type) || compareText(endingOf(a.name), endingOf(b.name)),
  size: () => (a, b) => a.size - b.size,
  time: () => (a, b) => (a.modified < b.modified ? -1 : a.modified > b.modified ? 1 : 0),
}

/** As people count: file2 before file10. Names that look the same to people have an order too. */
function nameOrder(): Compare {
  const { compare } = new Intl.Collator('en', { numeric: true })
  return (a, b) => compare(a.name, b.name) || compareText(a.name, b.name)
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
