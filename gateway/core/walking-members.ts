/** What a walk tells of files: looked at by directory, many with one call, and shown as a listing shows them. */

import { right } from '../../acl/acl.ts'
import { permitsType } from '../../acl/authorizer.ts'
import { RightsBelow } from '../../acl/rights-below.ts'
import type { Entry, Kept, Member } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { clip, type Gate, named } from './deciding.ts'
import { eachOf } from './deciding-many.ts'
import { StorageError } from './errors.ts'
import { timely } from './listing.ts'
import { join } from './path.ts'
import type { Task } from './task.ts'
import type { Directory } from './walking-directories.ts'

/** One of many that are looked at together. */
export interface Found {
  /** Undefined where it is not there any more, is no file any more, or its attributes are not for the caller. */
  readonly members: Promise<ReadonlyArray<Member | undefined>>
  readonly index: number
}

/** Names of one call. */
const most = 256
/** Calls at once. */
const atOnce = 4
/** From so many files of one directory on, listing it is fewer calls than looking at each. */
const worthListing = 16
/** Looks at once where each file takes its own. */
const lookers = 8

interface Batch {
  readonly directory: Directory
  readonly names: string[]
  readonly members: Promise<ReadonlyArray<Member | undefined>>
  /** Resolves `members`. */
  readonly begin: (members: Promise<ReadonlyArray<Member | undefined>>) => void
}

export class Batches {
  readonly #gate: Gate
  readonly #task: Task
  readonly #kept: boolean
  /** Not sent yet. */
  readonly #open = new Map<Directory, Batch>()
  readonly #running = new Set<Promise<unknown>>()

  constructor(gate: Gate, task: Task, kept: boolean) {
    this.#gate = gate
    this.#task = task
    this.#kept = kept
  }

  /** A file, which is looked at soon after `send` or `leave` at the latest. */
  add(directory: Directory, name: string): Found {
    let batch = this.#open.get(directory)
    if (!batch) {
      const { promise: members, resolve: begin } = Promise.withResolvers<ReadonlyArray<Member | undefined>>()
      batch = { directory, names: [], members, begin }
      this.#open.set(directory, batch)
    }
    const index = batch.names.push(name) - 1
    if (batch.names.length >= most) this.leave(directory)
    return { members: batch.members, index }
  }

  /** The directory itself. */
  own(directory: Directory): Found {
    const members = this.#itself(directory)
    // Whoever asks for it is told.
    members.catch(() => {})
    return { members, index: 0 }
  }

  async #itself({ place, view, trail }: Directory): Promise<ReadonlyArray<Member | undefined>> {
    const entry = trail?.entry ?? (await this.#walk(place))
    return [entry?.type === 'directory' && view.open(entry) ? { entry: named(place, entry) } : undefined]
  }

  send(): void {
    for (const directory of this.#open.keys()) this.leave(directory)
  }

  /** No more files of it are to come for now. */
  leave(directory: Directory): void {
    const batch = this.#open.get(directory)
    if (!batch) return
    this.#open.delete(directory)
    const looking = this.#inTurn(() => this.#look(batch))
    // Whoever asks for a file is told.
    looking.catch(() => {})
    batch.begin(looking)
    batch.members.catch(() => {})
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    while (this.#running.size >= atOnce) await Promise.race(this.#running)
    const running = work()
    const ended = running.then(
      () => {},
      () => {},
    )
    this.#running.add(ended)
    try {
      return await running
    } finally {
      this.#running.delete(ended)
    }
  }

  async #look({ directory, names }: Batch): Promise<ReadonlyArray<Member | undefined>> {
    const { place, view } = directory
    const { members } = place.mount.backend
    const found = members ? await this.#ofFacet(place, names) : await this.#others(place, names)
    const isReadable = this.#readableIn(directory)
    return found.map((member) => {
      if (!member || !isShown(member.entry, view)) return undefined
      return member.kept && !isReadable(member.entry) ? { entry: member.entry } : member
    })
  }

  /** Whether a file is one that the caller may read: what is kept with others is not for him. */
  #readableIn({ place: { mount, path }, trail }: Directory): (file: Entry) => boolean {
    const { principal } = this.#task
    // Its bounds may be narrower where links have led, and names there are other ones.
    if (principal.grants !== 'unbounded' && trail?.resolved !== undefined) return () => false
    if (mount.backend.enforces(principal)) {
      return ({ name, type }) => permitsType(principal, 'read', join(path, name), type).allowed
    }
    if (!trail?.entry) return () => false
    const below = new RightsBelow(principal, [...clip(mount, trail).ancestors, trail.entry], path)
    return (file) => (below.of(file) & right.readData) !== 0
  }

  #ofFacet(place: Place, names: readonly string[]): Promise<ReadonlyArray<Member | undefined>> {
    const { backend } = place.mount
    const options = { acls: !backend.enforces(this.#task.principal), kept: this.#kept }
    return this.#gate.act(
      this.#task,
      place,
      async () => {
        if (!backend.members) throw new StorageError('unsupported', 'this mount has no members')
        return backend.members.look(place.inner, names, options, this.#task)
      },
      ({ trail }) => this.#gate.allow(this.#task, 'list', place, trail),
      { admission: 'continues' },
    )
  }

  /** One by one, or by a listing of all. */
  async #others(place: Place, names: readonly string[]): Promise<ReadonlyArray<Member | undefined>> {
    const entries = names.length < worthListing ? await this.#each(place, names) : await this.#listed(place, names)
    const found = names.map((name) => entries.get(name))
    const records = new Map<string, Kept>()
    if (this.#kept && place.mount.backend.records) {
      const files = names.filter((name) => entries.get(name)?.type === 'file')
      await eachOf(files, lookers, async (name) => {
        const kept = await this.#recordOf(below(place, name))
        if (kept) records.set(name, kept)
      })
    }
    return found.map((entry) => {
      const kept = entry && records.get(entry.name)
      return entry && (kept ? { entry, kept } : { entry })
    })
  }

  async #each(place: Place, names: readonly string[]): Promise<ReadonlyMap<string, Entry>> {
    const entries = new Map<string, Entry>()
    await eachOf(names, lookers, async (name) => {
      const entry = await this.#walk(below(place, name))
      if (entry) entries.set(name, entry)
    })
    return entries
  }

  async #listed(place: Place, names: readonly string[]): Promise<ReadonlyMap<string, Entry>> {
    const { backend } = place.mount
    const wanted = new Set(names)
    const entries = new Map<string, Entry>()
    const options = { acls: !backend.enforces(this.#task.principal) }
    const listing = await this.#gate.act(
      this.#task,
      place,
      () => backend.list(place.inner, options, this.#task),
      ({ trail }) => this.#gate.allow(this.#task, 'list', place, trail),
      { admission: 'continues' },
    )
    for await (const page of timely(this.#gate, this.#task, place, listing.pages())) {
      for (const entry of page) if (wanted.has(entry.name)) entries.set(entry.name, entry)
      if (entries.size === wanted.size) break
    }
    return entries
  }

  async #walk(place: Place): Promise<Entry | undefined> {
    const { backend } = place.mount
    const look = () => backend.walk(place.inner, this.#task)
    return (await this.#gate.run(this.#task, place, look, { admission: 'continues' })).entry
  }

  /** Undefined where the file is gone. */
  async #recordOf(place: Place): Promise<Kept | undefined> {
    const { records } = place.mount.backend
    if (!records) return undefined
    const look = () => records.get(place.inner, this.#task)
    const decide = ({ trail }: Parameters<Parameters<Gate['act']>[3]>[0]) =>
      this.#gate.allow(this.#task, 'read', place, trail)
    try {
      return await this.#gate.act(this.#task, place, look, decide, { admission: 'continues' })
    } catch (error) {
      if (error instanceof StorageError && (error.code === 'not-found' || error.code === 'denied')) return undefined
      throw error
    }
  }
}

function isShown(entry: Entry, view: Directory['view']): boolean {
  return entry.type === 'file' && view.shown(entry) === entry
}

function below({ mount, path, inner }: Place, name: string): Place {
  return { mount, path: join(path, name), inner: join(inner, name) }
}
