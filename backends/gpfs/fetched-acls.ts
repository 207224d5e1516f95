/**
 * ACLs fetched by path, one question for each object and change, and remembered.
 *
 * What was read belongs to an object only where it was seen at that path before and after, on a way that held still.
 * An ACL is remembered for (file system, inode, generation, ctime): every change of an ACL moves the ctime, and an inode
 * that is used again has another generation. Where the file system tells no generation (native/file-handle.ts of
 * backends/posix) the ctime alone, which is new as well, keeps a new object from being taken for the old one.
 *
 * What changed a moment ago is not remembered all the same: it may change again within one tick of the clock that
 * stamps the ctime, and look the same, whatever its generation. That clock may be another node's and a little off.
 */

import { LRUCache } from 'lru-cache'
import type { Acl } from '../../acl/acl.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { join, namesOf, type Path } from '../../gateway/core/path.ts'
import type { Entry, Trail } from '../backend.ts'
import type { Completed, Glance, HeldObject, PathAcls, Which } from '../posix/path-acls.ts'
import { heldStill, wayOf, withoutAcl } from '../posix/path-acls.ts'
import { unlessAborted } from './fresh.ts'
import type { AclProvider, StoredAcl } from './providers.ts'
import { Slots } from './slots.ts'

/** How often an ACL is read while its object changes under the look. */
const attempts = 3
/** Questions under way at a time, and those that may wait. */
const atOnce = 8
const waiting = 100_000
/** Different lists kept as one object each. */
const lists = 4096

export interface FetchedAclsOptions {
  readonly provider: AclProvider
  /** Absolute path of the tree's root. */
  readonly root: string
  /** Name of the directories that hold snapshots, which have no ACL that counts. */
  readonly snapshotDirectory: string
  readonly remembered: number
  /** `by-name`: also where an object cannot be held for the provider, since nobody else changes names. */
  readonly writing: 'never' | 'held' | 'by-name'
  /** ms. */
  readonly clockTolerance: number
  /** Throws where the file system keeps no NFSv4 ACLs. */
  requireWritable(signal: AbortSignal): Promise<void>
  /** Told what went wrong, as a stable word. */
  trouble(word: string): void
}

interface Remembered {
  readonly generation: string | undefined
  readonly changed: bigint
  readonly acl: Acl
}

/** `moved`: the path does not lead to the object any more. */
type Found = Acl | 'moved' | 'unreadable'

interface Flight {
  readonly promise: Promise<Found>
  readonly controller: AbortController
  callers: number
}

/** Codes that speak of one object; anything else says that nothing can be asked at present. */
const aboutTheObject: ReadonlySet<string> = new Set(['denied', 'not-found', 'invalid', 'unsupported', 'stale'])

/** See the file's comment. */
export class FetchedAcls implements PathAcls {
  readonly writeHeld?: NonNullable<PathAcls['writeHeld']>
  readonly writeNamed?: NonNullable<PathAcls['writeNamed']>
  readonly #options: FetchedAclsOptions
  readonly #remembered: LRUCache<string, Remembered>
  readonly #flights = new Map<string, Flight>()
  readonly #slots = new Slots(atOnce, waiting)
  /** By content, so that a million files of one list share one. */
  readonly #lists = new LRUCache<string, Acl>({ max: lists })
  /** Directories on the way are told as one object again and again; so is what was made of it. */
  readonly #whole = new WeakMap<Entry, Entry>()
  /** Lists in which something was not understood. */
  readonly #partial = new WeakSet<Acl>()

  constructor(options: FetchedAclsOptions) {
    this.#options = options
    this.#remembered = new LRUCache({ max: options.remembered })
    const { writing, provider } = options
    if (writing !== 'never' && provider.writeHeld) {
      this.writeHeld = (object, acl, signal) => this.#writeHeld(object, acl, signal)
    }
    if (writing === 'by-name') {
      this.writeNamed = (path, acl, signal) => this.#write(signal, () => provider.write(this.#real(path), acl, signal))
    }
  }

  async complete(trail: Trail, path: Path, which: Which, glance: Glance, signal: AbortSignal): Promise<Completed> {
    const way = wayOf(trail)
    const names = namesOf(path)
    const first = which === 'all' ? 0 : trail.ancestors.length
    const found = way.map((entry, i) => (i < first ? withoutAcl(entry) : this.#known(entry)))
    let moved = false
    const ask = async (entry: Entry, i: number) => {
      const acl = await this.#ask(way.slice(0, i + 1), pathOf(names, i), glance, signal)
      moved ||= acl === 'moved'
      found[i] = withAcl(entry, acl)
    }
    const asking = way.flatMap((entry, i) => (found[i] ? [] : [ask(entry, i)]))
    if (asking.length > 0) await Promise.all(asking)
    const whole = found.map((entry, i) => entry ?? withoutAcl(way[i] as Entry))
    const ancestors = whole.slice(0, trail.ancestors.length)
    return { trail: { ...trail, ancestors, entry: trail.entry && whole.at(-1) }, moved }
  }

  async completeEntries(
    directory: Path,
    entries: readonly Entry[],
    glance: Glance,
    signal: AbortSignal,
  ): Promise<readonly Entry[]> {
    const found = entries.map((entry) => this.#known(entry))
    if (found.every((entry) => entry !== undefined)) return found
    const above = wayOf(await glance(directory, signal))
    return Promise.all(
      entries.map(async (entry, i) => {
        const known = found[i]
        if (known) return known
        return withAcl(entry, await this.#ask([...above, entry], join(directory, entry.name), glance, signal))
      }),
    )
  }

  async #writeHeld(object: HeldObject, acl: Acl, signal: AbortSignal): Promise<void> {
    let handedOver = false
    try {
      await this.#write(signal, (provider) => {
        handedOver = true
        return provider.writeHeld?.(object, acl, signal)
      })
    } finally {
      if (!handedOver) object.release()
    }
  }

  async #write(signal: AbortSignal, work: (provider: AclProvider) => Promise<void> | undefined): Promise<void> {
    await this.#options.requireWritable(signal)
    const release = await this.#slots.take(signal)
    try {
      await work(this.#options.provider)
    } finally {
      release()
    }
  }

  isWhole(acl: Acl): boolean {
    return !this.#partial.has(acl)
  }

  /** The entry with its ACL where nobody needs to be asked. */
  #known(entry: Entry): Entry | undefined {
    // A link's own rights are those that the thread told; following it, a provider would tell another object's.
    if (entry.type === 'symlink') return entry
    if (entry.type === 'other' || entry.name === this.#options.snapshotDirectory) return withoutAcl(entry)
    const known = this.#remembered.get(entry.id)
    if (known?.changed !== entry.changed || known.generation !== entry.generation) return undefined
    const whole = this.#whole.get(entry)
    if (whole?.acl === known.acl) return whole
    const made = { ...entry, acl: known.acl }
    this.#whole.set(entry, made)
    return made
  }

  /** Whoever asks for the same state of the same object waits for the same answer. */
  async #ask(way: readonly Entry[], path: Path, glance: Glance, signal: AbortSignal): Promise<Found> {
    const entry = way.at(-1)
    if (!entry) return 'moved'
    const key = `${entry.id}/${entry.changed}/${entry.generation}`
    let flight = this.#flights.get(key)
    if (!flight) {
      flight = this.#start(key, way, path, glance)
      this.#flights.set(key, flight)
    }
    flight.callers++
    try {
      return await unlessAborted(flight.promise, signal)
    } finally {
      flight.callers--
      if (flight.callers === 0) this.#end(key, flight)
    }
  }

  #start(key: string, way: readonly Entry[], path: Path, glance: Glance): Flight {
    const controller = new AbortController()
    const promise = this.#tied(way, path, glance, controller.signal)
    const flight: Flight = { promise, controller, callers: 0 }
    const land = () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key)
    }
    promise.then(land, land)
    return flight
  }

  /** Nobody waits any more. */
  #end(key: string, flight: Flight): void {
    // Most have landed by then.
    if (this.#flights.get(key) !== flight) return
    this.#flights.delete(key)
    flight.controller.abort(new StorageError('cancelled', 'the callers have gone'))
  }

  /** Reads, and looks again. */
  async #tied(way: readonly Entry[], path: Path, glance: Glance, signal: AbortSignal): Promise<Found> {
    let seen = way
    for (let left = attempts - 1; ; left--) {
      const read = await this.#read(path, signal)
      const now = wayOf(await glance(path, signal))
      const [was, is] = [seen.at(-1), now.at(-1)]
      if (!was || !is || is.id !== was.id || is.generation !== was.generation) return 'moved'
      if (now.length !== seen.length) return 'moved'
      const unchanged = is.changed === was.changed
      // An object that changes all the time, as a directory that is written to, still had this list at one moment
      // of the call, as long as the path has led to it throughout.
      if (heldStill(seen, now) && (unchanged || left === 0)) {
        const acl = read && this.#share(read, is)
        if (unchanged && acl) this.#remember(is, acl)
        return acl ?? 'unreadable'
      }
      if (left === 0) return 'moved'
      seen = now
    }
  }

  async #read(path: Path, signal: AbortSignal): Promise<StoredAcl | undefined> {
    const release = await this.#slots.take(signal)
    try {
      return await this.#options.provider.read(this.#real(path), signal)
    } catch (error) {
      const { code } = StorageError.from(error)
      if (!aboutTheObject.has(code)) throw error
      this.#options.trouble(`acl-${code}-${this.#options.provider.kind}`)
      return undefined
    } finally {
      release()
    }
  }

  #remember({ id, generation, changed }: Entry, acl: Acl): void {
    const age = Date.now() - Number(changed / 1_000_000n)
    if (age >= this.#options.clockTolerance) this.#remembered.set(id, { generation, changed, acl })
  }

  /** The list as one object for all that have the same. The owner is the file's where the provider tells none. */
  #share({ acl, writable }: StoredAcl, entry: Entry): Acl {
    const { owner = entry.acl?.owner, group = entry.acl?.group } = acl
    const key = JSON.stringify([owner, group, acl.flags, writable, acl.aces])
    const known = this.#lists.get(key)
    if (known) return known
    const own: Acl = { ...acl, owner, group, dialect: 'gpfs' }
    this.#lists.set(key, own)
    if (!writable) this.#partial.add(own)
    return own
  }

  #real(path: Path): string {
    const { root } = this.#options
    if (path === '/') return root
    return root === '/' ? path : `${root}${path}`
  }
}

function pathOf(names: readonly string[], count: number): Path {
  return `/${names.slice(0, count).join('/')}` as Path
}

function withAcl(entry: Entry, acl: Found): Entry {
  return typeof acl === 'string' ? withoutAcl(entry) : { ...entry, acl }
}
