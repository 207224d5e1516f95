/** A directory as a page. A million entries pass through as they come; a directory that fits is sorted. */

import { type Rights, right } from '../../../acl/acl.ts'
import type { Entry } from '../../../backends/backend.ts'
import type { About, Listed } from '../../core/listing.ts'
import { join, namesOf, type Path, parentOf, root } from '../../core/path.ts'
import { formToken } from '../../http/csrf.ts'
import { isoDate } from '../../http/dates.ts'
import type { Exchange } from '../../http/exchange.ts'
import { headerOf } from '../../http/page-header.ts'
import { encodePath } from '../../http/target.ts'
import type { RowAct } from '../../web/directory-forms.ts'
import {
  type Crumb,
  type ListingHead,
  type ListingRow,
  listingEnd,
  listingRow,
  listingStart,
  type Sorting,
} from '../../web/listing.ts'
import { rightsWords } from '../../web/words.ts'
import { doneWords } from './done.ts'
import { sortable, sorted, sortingOf } from './sorting.ts'
import {
  addFile,
  addFolder,
  canPost,
  mayHere,
  reachable,
  type Surroundings,
  sentencesOf,
  surroundingsOf,
} from './surroundings.ts'

/** The whole page, piece by piece. */
export async function* listingPage(x: Exchange, listed: Listed): AsyncGenerator<string> {
  const query = new URLSearchParams(x.query)
  const asked = sortingOf(query)
  const surroundings = await surroundingsOf(x)
  const rows = new Rows(x, surroundings, listed.about)
  // Rows come first: they tell what is to be said of all.
  const begin = (first: readonly Entry[], rest: Pick<ListingHead, 'sorting' | 'empty' | 'unsorted'>) => {
    const text = rows.of(first)
    const about = sentencesOf(surroundings, rows.hasUnknown)
    return listingStart({ ...headOf(x, surroundings, query), about, ...rest }) + text
  }
  const wanted: Sorting = asked ?? { key: 'name', descending: false }
  // Names that the storage was asked to sort stay so, however many they are.
  const kept = asked?.key === 'name' && !asked.descending ? asked : undefined
  let waiting: Entry[] | undefined = []
  let count = 0
  for await (const page of listed.pages()) {
    count += page.length
    if (waiting && count <= sortable) {
      waiting.push(...page)
      continue
    }
    if (waiting) yield begin(waiting, { sorting: kept, unsorted: !kept, empty: false })
    waiting = undefined
    yield rows.of(page)
  }
  if (waiting) yield begin(sorted(waiting, wanted), { sorting: wanted, empty: count === 0 })
  yield listingEnd(count)
}

/** Whether the storage has to sort: only by name it can, whatever the number of entries. */
export function asksForNames(x: Exchange): boolean {
  if (x.query === '') return false
  const asked = sortingOf(new URLSearchParams(x.query))
  return asked?.key === 'name' && !asked.descending
}

function headOf(x: Exchange, surroundings: Surroundings, query: URLSearchParams) {
  const { mount } = surroundings
  const done = doneWords(query.get('done'))
  return {
    path: x.path,
    header: headerOf(x),
    crumbs: crumbsOf(x.path),
    ...(x.path !== root && { parent: hrefOf(parentOf(x.path)) }),
    ...(done !== undefined && { done }),
    ...(mount?.note !== undefined && { note: mount.note }),
    tape: mount?.tape,
    forms: canPost(x)
      ? { token: formToken(x), upload: mayHere(surroundings, addFile), mkdir: mayHere(surroundings, addFolder) }
      : undefined,
  }
}

function crumbsOf(path: Path): Crumb[] {
  let at: Path = root
  const crumbs: Crumb[] = [{ name: 'Portolan', href: '/' }]
  for (const name of namesOf(path)) {
    at = join(at, name)
    crumbs.push({ name, href: hrefOf(at) })
  }
  return crumbs
}

/** The address of a directory. */
export function hrefOf(path: Path): string {
  return path === root ? '/' : `${encodePath(path)}/`
}

/** The rows of one page of entries after the other. */
class Rows {
  readonly #x: Exchange
  readonly #about: About
  readonly #tape: boolean
  readonly #staged: boolean
  readonly #versions: boolean
  readonly #changes: boolean
  readonly #words: Readonly<Record<Entry['type'], Map<Rights, string>>> = {
    file: new Map(),
    directory: new Map(),
    symlink: new Map(),
    other: new Map(),
  }
  /** Of some entry only the storage knows what the caller may do. */
  hasUnknown = false

  readonly #mounted: ReadonlySet<string>

  constructor(x: Exchange, { mount, mounted }: Surroundings, about: About) {
    this.#x = x
    this.#mounted = mounted
    this.#about = about
    this.#tape = mount?.tape !== undefined
    this.#staged = this.#tape && canPost(x) && x.principal.user !== undefined
    this.#versions = mount?.versions === true
    this.#changes = canPost(x) && mount !== undefined && !mount.readOnly
  }

  of(entries: readonly Entry[]): string {
    let text = ''
    for (const entry of entries) text += listingRow(this.#row(entry), this.#tape)
    return text
  }

  /** Where the caller may not see attributes, the entry has no version. */
  #row(entry: Entry): ListingRow {
    const { name, type, size, target, locality, acl } = entry
    // A name that begins like a scheme must not become one.
    const href = `./${encodePath(name)}${type === 'directory' ? '/' : ''}`
    const held = reachable(this.#x, this.#about.rights(entry))
    if (held === 'unknown') this.hasUnknown = true
    const acts = this.#actsOn(entry, held)
    const row = { name, type, href, acts, ...(held !== 'unknown' && { rights: this.#wordsFor(held, type) }) }
    if (entry.version === '') return row
    return {
      ...row,
      ...(type === 'file' && { size, versions: this.#versions }),
      // A directory that is only known to be there has no time.
      ...((type !== 'directory' || entry.modified !== 0n) && { modified: isoDate(entry.modified) }),
      ...(acl?.owner !== undefined && { owner: acl.owner }),
      ...(locality !== undefined && type === 'file' && { locality }),
      ...(target !== undefined && { target }),
    }
  }

  #wordsFor(held: Rights, type: Entry['type']): string {
    let words = this.#words[type].get(held)
    if (words === undefined) {
      words = rightsWords(held, type)
      this.#words[type].set(held, words)
    }
    return words
  }

  /** What is not known to be forbidden: the answer to the form tells. */
  #actsOn({ name, type, locality }: Entry, held: Rights | 'unknown'): RowAct[] {
    const acts: RowAct[] = []
    const may = (bit: Rights) => held === 'unknown' || (held & bit) !== 0
    if (this.#staged && type === 'file' && locality === 'tape' && may(right.readData)) acts.push('stage')
    if (this.#changes && !this.#mounted.has(name) && may(right.delete)) acts.push('rename', 'delete')
    return acts
  }
}
