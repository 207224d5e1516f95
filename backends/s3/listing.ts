/**
 * Listings: the keys of a directory and, for each page of them, the sidecars of its children, in the order of UTF-8
 * bytes. Sidecars are read only where they are needed: for ACLs, and where they tell a time.
 */

import type { Acl } from '../../acl/acl.ts'
import type { Call } from '../../gateway/core/call.ts'
import { join, type Path } from '../../gateway/core/path.ts'
import type { Entry, Listing, ListOptions } from '../backend.ts'
import type { Desk } from './desk.ts'
import { aclOf, changedAt, directoryEntry, fileEntry, type Head, type Written } from './entries.ts'
import { compareBytes, isName } from './keys.ts'
import { pagesOf } from './pages.ts'
import { tellsTime } from './sidecar.ts'
import type { Kept } from './sidecars.ts'

/** Sidecars read at once for one listing. */
const atOnce = 16

/** A name to be shown. */
interface Shown {
  readonly name: string
  /** Undefined: a directory. */
  readonly head: Head | undefined
}

/** `acl` is that of the directory. */
export function listDirectory(
  desk: Desk,
  directory: Path,
  acl: Acl | undefined,
  options: ListOptions,
  call: Call,
): Listing {
  return {
    async *pages() {
      const scope: Scope = { desk, directory, acl: options.acls ? acl : undefined, acls: options.acls === true, call }
      let floor = ''
      for await (const page of namesIn(desk, directory, call)) {
        if (page.length === 0) continue
        const sidecars = await sidecarsOf(scope, page, floor)
        const names = page.map(({ name }) => name)
        floor = greatest(floor, names)
        yield await entriesOf(scope, page, sidecars)
      }
    },
  }
}

/** The names in a directory, each once, a page at a time. A file waits until it is sure that no keys lie below it. */
async function* namesIn(desk: Desk, directory: Path, call: Call): AsyncGenerator<readonly Shown[]> {
  let waiting: Shown[] = []
  for await (const items of pagesOf(desk, directory, desk.keys.directory(directory), { isFlat: true }, call)) {
    const page: Shown[] = []
    for (const { rest, head } of items) {
      const name = rest?.replace(/\/$/, '')
      // The marker of the directory itself, and what no path can name.
      if (rest === undefined || name === undefined || !isName(name)) continue
      const others = waiting.filter((file) => file.name !== name)
      waiting = others.filter((file) => canBeDirectory(file.name, rest))
      page.push(...others.filter((file) => !waiting.includes(file)))
      if (rest === name) waiting.push({ name, head })
      else page.push({ name, head: undefined })
    }
    yield page
  }
  yield waiting
}

/** Whether `name/` may still come in a listing that has come to `rest`. */
function canBeDirectory(name: string, rest: string): boolean {
  return rest.startsWith(name) && compareBytes(rest, `${name}/`) < 0
}

interface Scope {
  readonly desk: Desk
  readonly directory: Path
  /** What the entries inherit. */
  readonly acl: Acl | undefined
  readonly acls: boolean
  readonly call: Call
}

/**
 * What the store's listing tells of the sidecars of these names. It is asked after the names, so that what was made in
 * between has its own. Only names after `floor`; those before it, which are few, are `unasked`.
 */
async function sidecarsOf(scope: Scope, page: readonly Shown[], floor: string): Promise<Sidecars> {
  const { desk, directory, call } = scope
  const [unasked, names] = [new Set<string>(), new Set<string>()]
  for (const { name } of page) (compareBytes(name, floor) > 0 ? names : unasked).add(name)
  const told = new Map<string, Head>()
  const last = greatest(floor, names)
  if (names.size === 0) return { unasked, told }
  for await (const items of pagesOf(desk, directory, desk.keys.sidecarsIn(directory), { isFlat: true, floor }, call)) {
    for (const { rest, head } of items) if (head && rest !== undefined && names.has(rest)) told.set(rest, head)
    if (compareBytes(items.at(-1)?.rest ?? '', last) >= 0) break
  }
  return { unasked, told }
}

interface Sidecars {
  readonly unasked: ReadonlySet<string>
  readonly told: ReadonlyMap<string, Head>
}

function greatest(floor: string, names: Iterable<string>): string {
  let most = floor
  for (const name of names) if (compareBytes(name, most) > 0) most = name
  return most
}

async function entriesOf(scope: Scope, page: readonly Shown[], sidecars: Sidecars): Promise<Entry[]> {
  const entries: Entry[] = []
  for (let at = 0; at < page.length; at += atOnce) {
    const some = page.slice(at, at + atOnce)
    entries.push(...(await Promise.all(some.map((shown) => entryOf(scope, shown, sidecars)))))
  }
  return entries
}

async function entryOf(scope: Scope, { name, head }: Shown, { unasked, told }: Sidecars): Promise<Entry> {
  const { desk, directory, acls, call } = scope
  const path = join(directory, name)
  const about = told.get(name)
  let written: Written | undefined = about && { changed: changedAt(about) }
  let kept: Kept | undefined
  if (unasked.has(name)) written = kept = await desk.sidecars.read(path, call.signal)
  else if (about && (acls || (head !== undefined && tellsTime(about.size)))) {
    written = kept = await desk.sidecars.listed(path, about.etag, call.signal)
  }
  const acl = acls ? aclOf(kept, head ? 'file' : 'directory', scope.acl) : undefined
  return head ? fileEntry(desk, path, head, written, acl) : directoryEntry(desk, path, written, acl)
}
