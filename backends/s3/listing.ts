/**
 * Listings: the keys of a directory and, in step with them, the sidecars of its children, both page by page and in the
 * order of UTF-8 bytes. Sidecars are read only where they are needed: for ACLs, and where they tell a time.
 */

import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import type { Acl } from '../../acl/acl.ts'
import type { Call } from '../../gateway/core/call.ts'
import { join, type Path } from '../../gateway/core/path.ts'
import type { Entry, Listing, ListOptions } from '../backend.ts'
import type { Desk } from './desk.ts'
import { aclOf, directoryEntry, fileEntry, type Head, type Written } from './entries.ts'
import { unavailable } from './errors.ts'
import { compareBytes, decodeKey, isName } from './keys.ts'
import { makeHead } from './looking.ts'
import { tellsTime } from './sidecar.ts'

/** Sidecars read at once for one listing. */
const atOnce = 16
const pageLength = 1000

/** One key of a page. */
interface Item {
  /** What follows the prefix; ends in a slash where it is one that several keys share. Undefined: not UTF-8. */
  readonly rest: string | undefined
  readonly head: Head | undefined
}

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
      const sidecars = new SidecarList(desk, directory, call)
      const scope: Scope = { desk, directory, acl: options.acls ? acl : undefined, acls: options.acls === true, call }
      for await (const page of namesIn(desk, directory, call)) {
        const last = page.at(-1)
        if (!last) continue
        const greatest = page.reduce((most, { name }) => (compareBytes(name, most) > 0 ? name : most), last.name)
        await sidecars.advance(greatest)
        yield await entriesOf(scope, page, sidecars)
        sidecars.forget(last.name)
      }
    },
  }
}

/** The names in a directory, each once, a page at a time. A file waits until it is sure that no keys lie below it. */
async function* namesIn(desk: Desk, directory: Path, call: Call): AsyncGenerator<readonly Shown[]> {
  let waiting: Shown[] = []
  for await (const items of pagesOf(desk, directory, desk.keys.directory(directory), call)) {
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

/** Keys below a prefix, those that go on after a slash as one. Throws `unavailable` for a store that keeps no order. */
async function* pagesOf(desk: Desk, path: Path, prefix: string, call: Call): AsyncGenerator<readonly Item[]> {
  const { bucket } = desk.store
  const common = { Bucket: bucket, Prefix: prefix, Delimiter: '/', EncodingType: 'url', MaxKeys: pageLength } as const
  let last = ''
  for (let token: string | undefined; ; ) {
    const ContinuationToken = token
    const answer = await desk.store.request({ signal: call.signal, path, again: true }, (client, options) =>
      client.send(new ListObjectsV2Command({ ...common, ...(ContinuationToken && { ContinuationToken }) }), options),
    )
    const keys = (answer.Contents ?? []).map(({ Key, ETag, Size, LastModified }) => ({
      key: decodeKey(Key ?? ''),
      head: makeHead(ETag, Size, LastModified),
    }))
    const prefixes = (answer.CommonPrefixes ?? []).map(({ Prefix }) => ({
      key: decodeKey(Prefix ?? ''),
      head: undefined,
    }))
    const items = [...keys, ...prefixes].map(({ key, head }) => ({ rest: restOf(key, prefix), head }))
    items.sort((a, b) => compareBytes(a.rest ?? '', b.rest ?? ''))
    const fresh = items.filter(({ rest }) => rest === undefined || rest === '' || compareBytes(rest, last) > 0)
    // A store may tell the last prefix of a page once more; more than that is no order.
    if (fresh.length < items.length - 1) throw unavailable('the storage does not list in order')
    last = items.at(-1)?.rest ?? last
    yield fresh
    const next = answer.NextContinuationToken
    if (answer.IsTruncated === undefined || (answer.IsTruncated && (!next || next === token))) {
      throw unavailable('the storage does not tell how its listing goes on')
    }
    if (!answer.IsTruncated) return
    token = next
  }
}

function restOf(key: string | undefined, prefix: string): string | undefined {
  if (key === undefined) return undefined
  if (!key.startsWith(prefix)) throw unavailable('the storage lists what was not asked for')
  return key.slice(prefix.length)
}

/** What a listing tells of a sidecar. */
interface Told extends Head {
  readonly name: string
}

/** The sidecars of a directory's children, read ahead just as far as the names have come. */
class SidecarList {
  readonly #pages: AsyncGenerator<readonly Item[]>
  readonly #told = new Map<string, Told>()
  #last = ''
  #ended = false

  constructor(desk: Desk, directory: Path, call: Call) {
    this.#pages = pagesOf(desk, directory, desk.keys.sidecarsIn(directory), call)
  }

  /** Reads on until all names up to this one have come. */
  async advance(name: string): Promise<void> {
    while (!this.#ended && compareBytes(this.#last, name) < 0) {
      const { done, value } = await this.#pages.next()
      this.#ended = done === true
      for (const { rest, head } of value ?? []) {
        if (rest === undefined) continue
        this.#last = rest
        if (head) this.#told.set(rest, { name: rest, ...head })
      }
    }
  }

  of(name: string): Told | undefined {
    return this.#told.get(name)
  }

  /** Only a name that the last one begins with can still come: a directory, whose slash sorts after other characters. */
  forget(last: string): void {
    for (const name of this.#told.keys()) {
      if (compareBytes(name, last) <= 0 && !last.startsWith(name)) this.#told.delete(name)
    }
  }
}

interface Scope {
  readonly desk: Desk
  readonly directory: Path
  /** What the entries inherit. */
  readonly acl: Acl | undefined
  readonly acls: boolean
  readonly call: Call
}

async function entriesOf(scope: Scope, page: readonly Shown[], sidecars: SidecarList): Promise<Entry[]> {
  const entries: Entry[] = []
  for (let at = 0; at < page.length; at += atOnce) {
    const some = page.slice(at, at + atOnce)
    entries.push(...(await Promise.all(some.map((shown) => entryOf(scope, shown, sidecars.of(shown.name))))))
  }
  return entries
}

async function entryOf(scope: Scope, { name, head }: Shown, told: Told | undefined): Promise<Entry> {
  const { desk, directory, acls, call } = scope
  const path = join(directory, name)
  const isNeeded = told !== undefined && (acls || (head !== undefined && tellsTime(told.size)))
  const kept = isNeeded ? await desk.sidecars.listed(path, told.etag, call.signal) : undefined
  const written: Written | undefined = isNeeded ? kept : told && { changed: told.modified }
  const acl = acls ? aclOf(kept, head ? 'file' : 'directory', scope.acl) : undefined
  return head ? fileEntry(desk, path, head, written, acl) : directoryEntry(desk, path, written, acl)
}
