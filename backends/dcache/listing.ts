/**
 * list: pages of the frontend by `limit` and `offset`, or one PROPFIND of depth 1, read as it comes.
 *
 * The frontend keeps no place in a directory: where names come and go between two pages, the rest moves. Each page
 * therefore asks for one name more than it tells, with which the next one must begin. Where it does not, the directory
 * has changed, and it is gone through again for what was missed.
 */

import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { join, nameOf, type Path } from '../../gateway/core/path.ts'
import type { Entry, Listing, ListOptions, Pending } from '../backend.ts'
import { childOf, entryOf, isRecord, type Json } from './attributes.ts'
import { type Desk, refusalOf, type Scope } from './desk.ts'
import { unavailable } from './errors.ts'
import { lookAt, walk } from './looking.ts'
import { isReservedPath, reservedIn } from './names.ts'
import { childName, entryOfFound, type Found, isPathId, PropfindReader, propfindBody } from './propfind.ts'
import { missing } from './requiring.ts'
import { SeenNames } from './seen-names.ts'

const pageLength = 1000
/** How often a directory that changes is gone through. */
const passes = 3
/** Objects whose ACLs are asked for at once, where the listing did not bring them. */
const asked = 16

/** Backend.list. Where dCache decides itself the first page is the look: it comes with the directory's own attributes. */
export async function list(desk: Desk, directory: Path, options: ListOptions, call: Call): Promise<Pending<Listing>> {
  const scope: Scope = { activities: ['LIST'], object: desk.inDcache(directory) }
  const lister = new Lister(desk, directory, { ...options, scope }, call)
  const first = await lister.first()
  const trail = first
    ? { ancestors: [], parentExists: true, entry: first.entry }
    : await walk(desk, directory, scope, call)
  const proceed = async (): Promise<Listing> => {
    desk.requireAlive(call)
    const { entry } = trail
    if (!entry) throw missing(directory)
    if (entry.type !== 'directory') throw new StorageError('not-directory', 'not a directory', { path: directory })
    return lister.listing(entry, first)
  }
  return { trail, proceed, release: async () => {} }
}

interface Page {
  /** Of the directory itself. */
  readonly entry: Entry
  readonly entries: readonly Entry[]
  /** Names of children that are left out. */
  readonly hidden: readonly string[]
  /** Children, before anything was left out. */
  readonly count: number
  readonly first: string | undefined
  /** What the next page begins with; undefined at the end. */
  readonly next: string | undefined
}

class Lister {
  readonly #desk: Desk
  readonly #directory: Path
  readonly #acls: boolean
  readonly #scope: Scope
  readonly #call: Call
  readonly #isReserved: (name: string) => boolean
  /** Of the directory that is listed. */
  #id: string | undefined

  constructor(desk: Desk, directory: Path, options: ListOptions & { scope: Scope }, call: Call) {
    this.#desk = desk
    this.#directory = directory
    this.#acls = options.acls === true && desk.needsAcls(call)
    this.#scope = options.scope
    this.#call = call
    this.#isReserved = reservedIn(desk.inDcache(directory))
  }

  /** The first page, where looking is listing; undefined where there is another way to look. */
  async first(): Promise<Page | undefined> {
    const { frontend } = this.#desk
    if (!frontend || isReservedPath(this.#desk.inDcache(this.#directory)) || this.#desk.needsAcls(this.#call))
      return undefined
    try {
      return await this.#page(0)
    } catch (error) {
      const { code } = StorageError.from(error)
      if (code === 'stale' || code === 'unavailable') return undefined
      throw error
    }
  }

  /** What is in the directory that was seen. A frontend that fails leaves it to the door, where ACLs are not asked for. */
  async listing({ id }: Entry, seen: Page | undefined): Promise<Listing> {
    this.#id = id
    if (!this.#desk.frontend) return { pages: () => this.#streamed() }
    try {
      const first = seen ?? (await this.#page(0))
      return { pages: () => this.#pages(first) }
    } catch (error) {
      if (StorageError.from(error).code !== 'unavailable' || this.#desk.needsAcls(this.#call)) throw error
      return { pages: () => this.#streamed() }
    }
  }

  async *#pages(first: Page): AsyncGenerator<readonly Entry[]> {
    this.#desk.requireAlive(this.#call)
    yield* inPages(first.entries)
    if (first.next === undefined) return
    const seen = new SeenNames()
    for (const name of first.hidden) seen.add(name)
    for (const { name } of first.entries) seen.add(name)
    let page: Page = first
    for (let pass = 0; pass < passes; pass++) {
      let isSteady = true
      let offset = pass === 0 ? page.count : 0
      let next = pass === 0 ? page.next : undefined
      do {
        page = await this.#page(offset)
        if (next !== undefined && page.first !== next) isSteady = false
        for (const name of page.hidden) seen.add(name)
        yield* inPages(page.entries.filter(({ name }) => seen.add(name)))
        offset += page.count
        next = page.next
        if (offset > seen.size + 2 * pageLength) throw unavailable('the storage lists without an end')
      } while (next !== undefined)
      if (isSteady) return
    }
  }

  async #page(offset: number): Promise<Page> {
    this.#desk.requireAlive(this.#call)
    const acls = this.#desk.needsAcls(this.#call)
    const query = { children: 'true', locality: 'true', limit: `${pageLength + 1}`, offset: `${offset}` }
    const response = await this.#desk.rest(
      {
        method: 'GET',
        path: `/namespace${this.#desk.inDcache(this.#directory)}`,
        // The mode bits come along with the owner only.
        query: { ...query, ...(acls && { optional: 'true' }) },
        idempotent: true,
      },
      this.#scope,
      this.#call,
    )
    if (response.status === 404) {
      response.discard()
      throw new StorageError('stale', 'the directory has gone', { path: this.#directory })
    }
    const json = await this.#desk.told(response, this.#directory)
    const entry = entryOf(nameOf(this.#directory), json, { acls: false })
    this.#requireSame(entry)
    return this.#pageOf(json, entry)
  }

  async #pageOf(json: Json, entry: Entry): Promise<Page> {
    const children: readonly unknown[] = Array.isArray(json.children) ? json.children : []
    const told = children.slice(0, pageLength)
    const hidden: string[] = []
    const found: Entry[] = []
    for (const child of told) {
      const entry = childOf(child, { acls: this.#acls })
      if (entry && !this.#isReserved(entry.name)) {
        found.push(entry)
        continue
      }
      const name = fileNameOf(child)
      if (name !== undefined) hidden.push(name)
    }
    const entries = this.#acls ? await this.#withAcls(found) : found
    const next = children.length > pageLength ? (fileNameOf(children[pageLength]) ?? '') : undefined
    return { entry, entries, hidden, count: told.length, first: fileNameOf(told[0]), next }
  }

  /** Most releases tell owner and ACL of a single object only. */
  async #withAcls(entries: readonly Entry[]): Promise<readonly Entry[]> {
    const full: (Entry | undefined)[] = [...entries]
    let next = 0
    const work = async () => {
      for (let at = next++; at < entries.length; at = next++) {
        const entry = entries[at]
        if (!entry || entry.acl) continue
        full[at] = (await lookAt(this.#desk, join(this.#directory, entry.name), this.#scope, this.#call))?.entry
      }
    }
    await Promise.all(Array.from({ length: asked }, work))
    return full.filter((entry) => entry !== undefined)
  }

  async *#streamed(): AsyncGenerator<readonly Entry[]> {
    const place = this.#desk.inDcache(this.#directory)
    let page: Entry[] = []
    for await (const found of findIn(this.#desk, this.#directory, this.#scope, this.#call)) {
      for (const one of found) {
        const entry = this.#childOf(one, place)
        if (entry) page.push(entry)
      }
      if (page.length < pageLength) continue
      yield* inPages(page)
      page = []
    }
    yield* inPages(page)
  }

  #childOf(found: Found, place: Path): Entry | undefined {
    const name = childName(found, place)
    if (name !== undefined) return this.#isReserved(name) ? undefined : entryOfFound(found, name)
    if (found.path === place) this.#requireSame(entryOfFound(found, nameOf(place)))
    return undefined
  }

  /** The door tells no id of a directory: then nothing can be compared. */
  #requireSame({ id }: Entry): void {
    this.#id ??= id
    if (id === this.#id || isPathId(id)) return
    throw new StorageError('stale', 'another directory has taken the name', { path: this.#directory })
  }
}

function fileNameOf(child: unknown): string | undefined {
  return isRecord(child) && typeof child.fileName === 'string' ? child.fileName : undefined
}

function* inPages(entries: readonly Entry[]): Generator<readonly Entry[]> {
  for (let at = 0; at < entries.length; at += pageLength) yield entries.slice(at, at + pageLength)
}

/** What a PROPFIND of depth 1 finds, the directory too, in the pieces in which it comes. */
export async function* findIn(desk: Desk, directory: Path, scope: Scope, call: Call): AsyncGenerator<readonly Found[]> {
  const place = desk.inDcache(directory)
  desk.requireAlive(call)
  const response = await desk.webdav.request({
    method: 'PROPFIND',
    path: place,
    headers: { Depth: '1', 'Content-Type': 'application/xml; charset=utf-8' },
    body: propfindBody,
    call,
    ...scope,
    idempotent: true,
  })
  if (response.status === 404) {
    response.discard()
    throw new StorageError('stale', 'the directory has gone', { path: directory })
  }
  if (response.status !== 207) throw await refusalOf(response, directory)
  const reader = new PropfindReader(desk.webdav.urlOf(place), desk.webdav.url.pathname)
  for await (const chunk of response.body as AsyncIterable<Buffer>) yield reader.write(chunk)
  yield reader.end()
}
