/** Directories as a walk opens them: decided as a listing is, with their names in the order of keys. */

import { visibleNames } from '../../acl/authorizer.ts'
import type { Backend, Entry, Listing, PackedEntries, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { type Gate, missing, nameAndType } from './deciding.ts'
import { StorageError } from './errors.ts'
import { KnownNames, type KnownWindow, type Wanted } from './known-names.ts'
import type { Admission } from './limits.ts'
import { timely, View } from './listing.ts'
import { NamesBuilder } from './packed-names.ts'
import type { Path } from './path.ts'
import type { Task } from './task.ts'

/** A directory that the caller may list. */
export interface Directory {
  readonly place: Place
  readonly view: View
  /** Undefined where the back end decides itself and has not told, as the entry in it. */
  readonly trail: Trail | undefined
  readonly window: KnownWindow
}

/** Bytes of names that a process remembers, and that it holds of one directory. */
const mostKnown = 64 * 1024 * 1024
const mostOfOne = 32 * 1024 * 1024
/** Directories with more bytes of names than this are read by so many callers at once. */
const large = 2 * 1024 * 1024
const largeAtOnce = 4
/** ms after which names are no longer taken for those of a walk that goes on. */
const longest = 15 * 60_000

interface Opening {
  readonly from: Uint8Array
  readonly since: number | undefined
  readonly admission: Admission
}

interface Opened {
  readonly place: Place
  readonly listing: Listing
  readonly trail: Trail | undefined
}

export class Directories {
  readonly #gate: Gate
  readonly #known = new KnownNames(mostKnown)
  readonly #numbers = new WeakMap<Backend, number>()
  /** Reads under way, by directory, version and key. */
  readonly #reads = new Map<string, Promise<KnownWindow>>()
  #lastNumber = 0
  #large = 0

  constructor(gate: Gate) {
    this.#gate = gate
  }

  /**
   * Names of a directory from a key on. Throws as `list` does. `since`: ms since 1970; names that were read later will
   * do where the directory may have changed.
   */
  async open(task: Task, path: Path, { from, since, admission }: Opening): Promise<Directory> {
    const known = this.#knownTo(task, path, from)
    const { place, listing, trail } = await this.#list(task, path, known?.version, admission)
    try {
      const entry = trail?.entry
      const view = new View(task, place, entry ?? nowhere, trail?.resolved)
      const own = particularOf(task, place, view)
      const isKnown = known?.version !== undefined && known.version === listing.version
      if (isKnown && !own) return { place, view, trail, window: known }
      // Where a link has led the caller sees other names, and none may have been told.
      if (isKnown) return await this.#anew(task, path, { from, since, admission: 'continues' })
      const read = () => this.#read(task, place, listing, from, own)
      const window = own
        ? await read()
        : await this.#remembered(task, place, { from, version: listing.version, since, id: entry?.id }, read)
      return { place, view, trail, window }
    } finally {
      listing.close?.()
    }
  }

  async #anew(task: Task, path: Path, { from, admission }: Opening): Promise<Directory> {
    const { place, listing, trail } = await this.#list(task, path, undefined, admission)
    try {
      const view = new View(task, place, trail?.entry ?? nowhere, trail?.resolved)
      const window = await this.#read(task, place, listing, from, particularOf(task, place, view))
      return { place, view, trail, window }
    } finally {
      listing.close?.()
    }
  }

  /** What the back end need not tell again, if the directory is as it was. */
  #knownTo(task: Task, path: Path, from: Uint8Array): KnownWindow | undefined {
    if (task.namespace.mountsIn(path).length > 0 || visibleNames(task.principal, path) !== 'all') return undefined
    return this.#known.see(this.#keyOf(task.namespace.resolve(path)), from)
  }

  async #list(task: Task, path: Path, known: string | undefined, admission: Admission): Promise<Opened> {
    const place = this.#gate.place(task, 'list', path)
    try {
      return await this.#listAt(task, place, known, admission)
    } catch (error) {
      // A directory that leads to mounts is there even if the back end above them does not have it.
      if (!(error instanceof StorageError) || error.code !== 'not-found' || !task.namespace.leadsToMount(path))
        throw error
      return this.#listAt(task, { mount: task.namespace.between, path, inner: path }, undefined, 'continues')
    }
  }

  async #listAt(task: Task, place: Place, known: string | undefined, admission: Admission): Promise<Opened> {
    const { backend } = place.mount
    const options = { names: true, ...(known !== undefined && { known }) }
    let seen: Trail | undefined
    const listing = await this.#gate.act(
      task,
      place,
      () => backend.list(place.inner, options, task),
      ({ trail }) => {
        this.#gate.allow(task, 'list', place, trail)
        seen = trail
        if (trail.entry === undefined && !backend.enforces(task.principal)) throw missing(place.path)
        if (trail.entry && trail.entry.type !== 'directory') {
          throw new StorageError('not-directory', 'not a directory', { path: place.path })
        }
      },
      { admission, late: (late) => late.close?.() },
    )
    return { place, listing, trail: seen }
  }

  #keyOf({ mount, inner }: Place): string {
    let number = this.#numbers.get(mount.backend)
    if (number === undefined) {
      number = ++this.#lastNumber
      this.#numbers.set(mount.backend, number)
    }
    return `${number} ${inner}`
  }

  async #remembered(
    task: Task,
    place: Place,
    { from, version, since, id }: Wanted,
    read: () => Promise<KnownWindow>,
  ): Promise<KnownWindow> {
    // Who decides itself may tell each caller something else.
    const isOwn = version === undefined && place.mount.backend.enforces(task.principal)
    const key = isOwn ? `${this.#keyOf(place)}\0${task.principal.id}` : this.#keyOf(place)
    const recent = since === undefined ? undefined : Math.max(since, Date.now() - longest)
    const known = this.#known.find(key, { from, version, since: recent, id })
    if (known) return known
    const begin = async () => {
      const window = { ...(await read()), version, id }
      this.#known.keep(key, window)
      return window
    }
    if (version === undefined) return begin()
    const name = `${key}\0${version}\0${Buffer.from(from).toString('hex')}`
    const under = this.#reads.get(name)
    // Another caller's read may end with that caller.
    if (under) return under.catch(begin)
    const reading = begin().finally(() => this.#reads.delete(name))
    this.#reads.set(name, reading)
    return reading
  }

  async #read(
    task: Task,
    place: Place,
    listing: Listing,
    from: Uint8Array,
    own: Particular | undefined,
  ): Promise<KnownWindow> {
    const began = Date.now()
    const builder = new NamesBuilder(from, mostOfOne)
    let isLarge = false
    try {
      if (own) await builder.add([...own.covered].filter(own.shows).map(directoryNamed))
      const pages = own ? shownPages(listing, own) : (listing.packed?.() ?? listing.pages())
      for await (const page of timely<PackedEntries | readonly Entry[]>(this.#gate, task, place, pages)) {
        await builder.add(page)
        if (isLarge || builder.bytes < large) continue
        if (this.#large >= largeAtOnce) throw new StorageError('busy', 'too many large listings', { retryAfter: 2 })
        this.#large++
        isLarge = true
      }
      return { ...(await builder.finish()), version: undefined, id: undefined, began }
    } finally {
      if (isLarge) this.#large--
    }
  }
}

/** What makes the directory another one for this caller than for others. */
function particularOf(task: Task, { path }: Place, view: View): Particular | undefined {
  const mounted = task.namespace.mountsIn(path)
  if (mounted.length === 0 && view.showsAll) return undefined
  return { covered: new Set(mounted), shows: (name) => view.shows(name) }
}

async function* shownPages(listing: Listing, own: Particular): AsyncGenerator<readonly Entry[]> {
  for await (const page of listing.pages()) {
    yield page.filter(({ name }) => !own.covered.has(name) && own.shows(name))
  }
}

interface Particular {
  /** Names of mounts, which cover what the back end has of that name. */
  readonly covered: ReadonlySet<string>
  shows(name: string): boolean
}

const nowhere = nameAndType({ name: '', type: 'directory' } as Entry)

function directoryNamed(name: string): Entry {
  return { ...nowhere, name }
}
