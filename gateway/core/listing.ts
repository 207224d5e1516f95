/** list: the back end's pages with the mount points merged in, seen as far as the caller's rights go. */

import { type Acl, type Rights, right } from '../../acl/acl.ts'
import { decideEntry, permitsType, visibleNames } from '../../acl/authorizer.ts'
import { RightsBelow } from '../../acl/rights-below.ts'
import type { Digest, Digests, Entry, Listing, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import type { Call } from './call.ts'
import { clip, type Gate, harmlessRights, leadsAnonymous, missing, nameAndType, named } from './deciding.ts'
import { StorageError } from './errors.ts'
import type { Admission } from './limits.ts'
import { join, type Path, rebase } from './path.ts'
import { getPropertiesOf, keptDigestsOf } from './properties.ts'
import { syntheticEntry } from './reading.ts'
import { sortedPages } from './sort.ts'
import type { ListingOptions } from './storage.ts'
import { Task } from './task.ts'

/** A directory's entry and its pages. Pages may be asked for once. */
export interface Listed {
  readonly entry: Entry
  pages(): AsyncIterable<readonly Entry[]>
  readonly about: About
}

/** What else there is to know about entries of the page at hand. Belongs to the listing: no audit lines of its own. */
export interface About {
  /**
   * Effective rights of the caller, ACL, credential and mount together; `unknown` where the storage decides itself,
   * and for mount points. Costs no look.
   */
  rights(entry: Entry): Rights | 'unknown'
  /** Costs a call to the back end. Throws what `getProperties` throws. */
  properties(entry: Entry): Promise<ReadonlyMap<string, string>>
  /** Those that are kept; costs a call to the back end. Throws what `checksum` throws. */
  digests(entry: Entry, kinds: readonly Digest[]): Promise<Digests>
}

/** Milliseconds that a listing waits for the attributes of the mounts in it. */
const patience = 250
/** ACLs whose answer is remembered while one directory is listed; many objects share one. */
const remembered = 1024

/** StorageOperations.list */
export async function list(gate: Gate, call: Call, path: Path, options: ListingOptions): Promise<Listed> {
  const task = gate.begin(call, 'list', path)
  try {
    const listed = await openListing(gate, task, path, options, 'new')
    // The decision is what the line tells; whoever got it may never ask for the pages.
    task.lasting = true
    gate.succeed(task)
    return listed
  } catch (thrown) {
    throw gate.fail(task, thrown)
  }
}

/** Decides and opens, without an audit line. */
export async function openListing(
  gate: Gate,
  task: Task,
  path: Path,
  options: ListingOptions,
  admission: Admission,
): Promise<Listed> {
  const place = gate.place(task, 'list', path)
  try {
    return await openPlace(gate, task, place, options, admission)
  } catch (error) {
    // A directory that leads to mounts is there even if the back end above them does not have it.
    if (!(error instanceof StorageError) || error.code !== 'not-found' || !task.namespace.leadsToMount(path))
      throw error
    return openPlace(gate, task, { mount: task.namespace.between, path, inner: path }, options, 'continues')
  }
}

async function openPlace(
  gate: Gate,
  task: Task,
  place: Place,
  options: ListingOptions,
  admission: Admission,
): Promise<Listed> {
  const { backend } = place.mount
  let entry: Entry | undefined
  let seen: Trail | undefined
  const listing = await gate.act(
    task,
    place,
    () => backend.list(place.inner, { acls: wantsAcls(task, place, options) }, task),
    ({ trail }) => {
      gate.allow(task, 'list', place, trail)
      entry = trail.entry
      seen = trail
      if (entry === undefined && !backend.enforces(task.principal)) throw missing(place.path)
      if (entry && entry.type !== 'directory') {
        throw new StorageError('not-directory', 'not a directory', { path: place.path })
      }
    },
    { admission },
  )
  entry ??= (await gate.run(task, place, () => backend.walk(place.inner, task), { admission: 'continues' })).entry
  if (entry === undefined) throw missing(place.path)
  const view = new View(task, place, entry, seen?.resolved)
  const pages = merged(gate, task, place, listing, view)
  const own = named(place, entry)
  return {
    entry: view.open(own) ? own : nameAndType(own),
    pages: () => (options.order === 'name' ? sortedPages(pages, { directory: gate.spillDirectory }) : pages),
    about: aboutOf(gate, task, place, [...(seen ? clip(place.mount, seen).ancestors : []), entry]),
  }
}

function wantsAcls({ principal }: Task, { mount }: Place, { names, acls }: ListingOptions): boolean {
  return acls === true || (names !== true && !mount.backend.enforces(principal))
}

/** `ancestors`: down to the directory that is listed. */
function aboutOf(gate: Gate, task: Task, { mount, path }: Place, ancestors: readonly Entry[]): About {
  const mounted = new Set(task.namespace.mountsIn(path))
  const below = new RightsBelow(task.principal, ancestors, path)
  const enforced = mount.backend.enforces(task.principal)
  return {
    rights(entry) {
      if (enforced || mounted.has(entry.name)) return 'unknown'
      return mount.readOnly ? below.of(entry) & harmlessRights : below.of(entry)
    },
    properties: ({ name }) => getPropertiesOf(gate, task, join(path, name), 'continues'),
    digests: ({ name }, kinds) => keptDigestsOf(gate, task, join(path, name), kinds),
  }
}

/** Mount points first, by name, then what the back end has under other names. */
async function* merged(
  gate: Gate,
  task: Task,
  place: Place,
  listing: Listing,
  view: View,
): AsyncGenerator<readonly Entry[]> {
  // The back ends of an earlier configuration are closed only after this.
  task.generation?.enter()
  try {
    const mounted = task.namespace.mountsIn(place.path)
    const shown = mounted.filter((name) => view.shows(name))
    if (shown.length > 0) yield await mountEntries(gate, task, place.path, shown)
    const covered = new Set(mounted)
    for await (const page of timely(gate, task, place, listing.pages())) {
      const entries: Entry[] = []
      for (const entry of page) {
        if (!covered.has(entry.name) && view.shows(entry.name)) entries.push(view.shown(entry))
      }
      if (entries.length > 0) yield entries
    }
  } catch (error) {
    throw StorageError.from(error)
  } finally {
    if (task.ended) task.detach()
    task.generation?.leave()
  }
}

/** The pages of the back end, each within the deadline. */
export async function* timely<T>(gate: Gate, task: Task, place: Place, pages: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = pages[Symbol.asyncIterator]()
  try {
    for (;;) {
      const step = await gate.run(task, place, () => iterator.next(), { admission: 'continues' })
      if (step.done) return
      yield step.value
    }
  } finally {
    const ended = iterator.return?.()
    // After the deadline the iterator may never come back, so nobody waits for it then.
    if (task.expired) ended?.catch(() => {})
    else await ended
  }
}

/**
 * What the caller sees of a directory: names within the credential's bounds, attributes as far as READ_ATTRIBUTES
 * goes, and none where the directory may be listed but not traversed: there `stat` is refused too.
 */
export class View {
  readonly #task: Task
  readonly #path: Path
  readonly #names: ReadonlySet<string> | 'all'
  /** By where links led, which may show fewer names. */
  readonly #others: ReadonlySet<string> | 'all'
  readonly #enforced: boolean
  readonly #isClosed: boolean
  readonly #answers = new Map<Acl, boolean>()

  constructor(task: Task, { mount, path }: Place, directory: Entry, resolved: Path | undefined) {
    const { principal } = task
    this.#task = task
    this.#path = path
    this.#names = visibleNames(principal, path)
    this.#others = resolved === undefined ? 'all' : visibleNames(principal, rebase(resolved, mount.base, mount.at))
    this.#enforced = mount.backend.enforces(task.principal)
    this.#isClosed = !this.#enforced && decideEntry(directory, principal, right.traverse).outcome !== 'allowed'
  }

  /** The credential bounds no names here. */
  get showsAll(): boolean {
    return this.#names === 'all' && this.#others === 'all'
  }

  shows(name: string): boolean {
    return (this.#names === 'all' || this.#names.has(name)) && (this.#others === 'all' || this.#others.has(name))
  }

  /** An entry of the directory: the same one where all of it is shown. */
  shown(entry: Entry): Entry {
    if (this.#isClosed) return nameAndType(entry)
    const { principal } = this.#task
    if (this.#names !== 'all') {
      // A scope that names a directory gives nothing on a file of that name.
      const decision = permitsType(principal, 'stat', join(this.#path, entry.name), entry.type)
      if (!decision.allowed) return nameAndType(entry)
    }
    return this.open(entry) ? entry : nameAndType(entry)
  }

  /** Whether the ACL shows the attributes to the caller. */
  open(entry: Entry): boolean {
    if (this.#enforced) return true
    const { acl } = entry
    if (acl === undefined) return false
    // There the mode bits have a say too, and they differ from object to object.
    if (acl.dialect === 'dcache') return this.#decide(entry)
    let may = this.#answers.get(acl)
    if (may === undefined) {
      may = this.#decide(entry)
      if (this.#answers.size >= remembered) this.#answers.clear()
      this.#answers.set(acl, may)
    }
    return may
  }

  #decide(entry: Entry): boolean {
    return decideEntry(entry, this.#task.principal, right.readAttributes).outcome === 'allowed'
  }
}

/** A mount that answers in time shows the attributes of its root; one that hangs does not delay the others. */
async function mountEntries(gate: Gate, task: Task, path: Path, names: readonly string[]): Promise<Entry[]> {
  const entries = await Promise.all(names.map((name) => mountEntry(gate, task, join(path, name))))
  return entries.filter((entry) => entry !== undefined)
}

/** Undefined: nothing there admits the caller. */
async function mountEntry(gate: Gate, task: Task, path: Path): Promise<Entry | undefined> {
  const place = task.namespace.resolve(path)
  if (task.principal.user === undefined && !leadsAnonymous(task.namespace, path)) return undefined
  if (!task.namespace.isMountPoint(path) || gate.limits.isSick(place.mount)) return syntheticEntry(task, path)
  // A task of its own: when its short deadline passes, the listing goes on.
  const probe = new Task(task, 'stat', path, task.namespace)
  try {
    const trail = await gate.run(probe, place, () => place.mount.backend.walk(place.inner, probe), {
      deadline: Math.min(patience, place.mount.deadline),
    })
    const entry = gate.existing(probe, 'stat', place, trail)
    return entry.type === 'directory' ? entry : await syntheticEntry(task, path)
  } catch {
    // Whatever is wrong with the mount shows when it is entered; its name belongs to the listing all the same.
    return syntheticEntry(task, path)
  } finally {
    probe.detach()
  }
}
