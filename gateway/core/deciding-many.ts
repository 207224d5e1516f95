/**
 * One action on thousands of files: every path is decided as it would be alone, with few calls to the back ends.
 * Files of one directory are seen by one listing of it where they are many; a back end that decides itself about
 * the caller and keeps tape is not asked here, since it decides when it is asked for the files.
 */

import { permitsType } from '../../acl/authorizer.ts'
import type { Action } from '../../acl/needs.ts'
import type { Entry, Trail } from '../../backends/backend.ts'
import type { Mount, Place } from '../../mounts/namespace.ts'
import { denied, type Gate, missing, requirePlain } from './deciding.ts'
import { StorageError } from './errors.ts'
import { join, nameOf, type Path, parentOf } from './path.ts'
import { Task } from './task.ts'

/** What became of one path. */
export interface Verdict {
  readonly place: Place
  /** Undefined where the back end has not been looked at. */
  readonly entry?: Entry
  readonly error?: StorageError
  /** The credential's half refused: no back end has heard of the path. */
  readonly outside?: true
}

/** From so many files of one directory on, listing it is fewer calls than looking at each. */
const worthListing = 16
/** Looks at once. */
const lookers = 8

/** In the order of `paths`. Whatever fails is the verdict of its path; thrown is `busy`, where the caller does too much at once. */
export async function decideMany(
  gate: Gate,
  task: Task,
  action: 'stage' | 'locality',
  paths: readonly Path[],
): Promise<readonly Verdict[]> {
  const verdicts = new Map<Path, Verdict>()
  const groups = new Map<string, Place[]>()
  for (const path of paths) {
    const first = admit(gate, task, action, path)
    verdicts.set(path, first)
    if (first.error) continue
    if (decidesItself(first.place.mount, task)) {
      const { mount, inner } = first.place
      if (mount.backend.tape?.isReserved?.(inner)) verdicts.set(path, { place: first.place, error: missing(path) })
      continue
    }
    const key = first.place.path === first.place.mount.at ? path : `${first.place.mount.at}\0${parentOf(path)}`
    const group = groups.get(key)
    if (group) group.push(first.place)
    else groups.set(key, [first.place])
  }
  await requireRoom(
    gate,
    task,
    [...groups.values()].flatMap(([place]) => place ?? []),
  )
  await eachOf([...groups.values()], lookers, async (places) => {
    for (const verdict of await lookAtGroup(gate, task, action, places)) verdicts.set(verdict.place.path, verdict)
  })
  return paths.flatMap((path) => verdicts.get(path) ?? [])
}

/** Runs `work` on all, so many at once. */
export async function eachOf<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker))
}

/** The looks belong together: they are let in at once, or none is. */
async function requireRoom(gate: Gate, task: Task, places: readonly Place[]): Promise<void> {
  const mounts = new Map(places.map((place) => [place.mount, place] as const))
  for (const place of mounts.values()) await gate.run(task, place, async () => undefined)
}

/** The back end decides about this caller when it is asked for the file itself. */
function decidesItself({ backend }: Mount, { principal }: Task): boolean {
  return backend.tape !== undefined && backend.enforces(principal)
}

function admit(gate: Gate, task: Task, action: Action, path: Path): Verdict {
  try {
    const place = gate.place(task, action, path)
    if (action === 'stage') {
      // Directories are not staged, so a scope that names a directory does not reach its own path.
      const decision = permitsType(task.principal, action, path, 'file')
      if (!decision.allowed) throw denied(path, decision.reason)
    }
    return { place }
  } catch (error) {
    return { place: task.namespace.resolve(path), error: StorageError.from(error), outside: true }
  }
}

/** Files of one directory, or one mounted directory. */
async function lookAtGroup(gate: Gate, task: Task, action: Action, places: readonly Place[]): Promise<Verdict[]> {
  const [first] = places
  if (!first) return []
  // A task of its own: a storage that hangs is the end of these files, not of the others.
  const own = new Task(task, task.operation, first.path, task.namespace)
  try {
    const trails = places.length < worthListing ? undefined : await trailsOf(gate, own, first, places)
    const verdicts: Verdict[] = []
    await eachOf(places, trails ? 1 : lookers, async (place) => {
      verdicts.push(await judge(gate, own, action, place, trails?.get(place.path)))
    })
    return verdicts
  } finally {
    own.detach()
  }
}

async function judge(gate: Gate, task: Task, action: Action, place: Place, seen: Trail | undefined): Promise<Verdict> {
  try {
    const { backend } = place.mount
    const look = () => backend.walk(place.inner, task)
    const trail = seen ?? (await gate.run(task, place, look, { admission: 'continues' }))
    gate.allow(task, action, place, trail)
    const entry = trail.entry ?? directoryBetween(task, place)
    if (!entry) throw missing(place.path)
    if (action === 'stage') {
      if (entry.type === 'directory')
        throw new StorageError('is-directory', 'this is a directory', { path: place.path })
      requirePlain(entry, place.path)
    }
    return { place, entry }
  } catch (error) {
    return { place, error: StorageError.from(error) }
  }
}

/** A directory that leads to mounts is there even if no back end has it. */
function directoryBetween({ namespace }: Task, { path }: Place): Entry | undefined {
  if (!namespace.leadsToMount(path)) return undefined
  const name = nameOf(path)
  return { name, type: 'directory', size: 0, modified: 0n, changed: 0n, version: '', id: '' }
}

/** What walks to all of them would have seen, by one listing; undefined where only walks can tell. */
async function trailsOf(
  gate: Gate,
  task: Task,
  { mount, inner, path }: Place,
  places: readonly Place[],
): Promise<ReadonlyMap<Path, Trail> | undefined> {
  const { backend } = mount
  const directory: Place = { mount, inner: parentOf(inner), path: parentOf(path) }
  const wanted = new Set(places.map((place) => nameOf(place.path)))
  const found = new Map<string, Entry>()
  let above: Trail | undefined
  try {
    const listing = await gate.act(
      task,
      directory,
      () => backend.list(directory.inner, { acls: !backend.enforces(task.principal) }, task),
      ({ trail }) => {
        above = trail
        if (trail.entry?.type !== 'directory' || trail.resolved !== undefined) throw new NotListed()
      },
      { admission: 'continues' },
    )
    const pages = listing.pages()[Symbol.asyncIterator]()
    try {
      while (found.size < wanted.size) {
        const step = await gate.run(task, directory, () => pages.next(), { admission: 'continues' })
        if (step.done) break
        for (const entry of step.value) if (wanted.has(entry.name)) found.set(entry.name, entry)
      }
    } finally {
      const ended = pages.return?.()
      if (task.expired) ended?.catch(() => {})
      else await ended
    }
  } catch (error) {
    // A look at each file says best what is wrong; after the deadline it says that at once.
    if (error instanceof NotListed || error instanceof StorageError) return undefined
    throw error
  }
  if (!above?.entry) return undefined
  const ancestors = [...above.ancestors, above.entry]
  const trails = new Map<Path, Trail>()
  for (const name of wanted) {
    const entry = found.get(name)
    // Where links lead is for the back end to follow.
    if (entry?.type !== 'symlink') trails.set(join(directory.path, name), { ancestors, parentExists: true, entry })
  }
  return trails
}

/** The directory is none, or was reached over links. */
class NotListed extends Error {}
