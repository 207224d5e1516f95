/**
 * Writing ACLs where no system call does: tied to the object, or refused.
 *
 * Whoever writes is handed a descriptor of the object as a path below /proc, which the kernel follows to that object
 * whatever its names mean by then (proc_pid_fd(5)). That this works is tried first, on a file whose name has been given
 * to another one: a program that would make a name of the path again does not pass. Where it does not work, lists are
 * written by name only where the mount says that nobody else changes names, under the leases of all names on the way;
 * everywhere else they are not written.
 */

import { closeSync } from 'node:fs'
import type { Acl } from '../../acl/acl.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { join, type Path, parentOf, root } from '../../gateway/core/path.ts'
import type { Entry, Finding, Trail } from '../backend.ts'
import type { Changed, SetArgs } from './changing.ts'
import type { Caller, Desk, ObjectSight } from './desk.ts'
import type { Handle, HandleRef } from './handles.ts'
import { leaseKey, underLeases } from './leasing.ts'
import { type HeldObject, heldStill, type PathAcls, wayOf } from './path-acls.ts'
import { attributeNames } from './properties.ts'
import { requireEntry } from './requiring.ts'
import { type Hidden, StagingArea } from './staging-area.ts'

/** What a list is set with: `others` come first, by descriptor. */
export interface ByPath {
  readonly path: Path
  readonly acl: Acl
  readonly others: Omit<SetArgs, 'object' | 'name'>
}

/** An object that has only a hidden name so far. */
export interface HiddenObject {
  readonly object: HandleRef
  /** The directory: its path, its id as it was seen, its descriptor. */
  readonly path: Path
  readonly directory: string
  readonly parent: Handle
  readonly name: string
}

/** Where a directory is to be made: as of a HiddenObject, and its name. */
export type NewDirectory = Omit<HiddenObject, 'object'>

/** How lists are written, or why not. */
type Way = 'held' | 'named' | StorageError

/** ms after which a refusal is doubted, and one that may pass by itself. */
const believed = 10 * 60_000
const pause = 10_000

/** Its owner may read a file, or read and execute it, and nobody else anything. */
const readAlone = { mode: 0o400, acl: listOf(0x160089) }
const readAndRun = { mode: 0o500, acl: listOf(0x1600a9) }

/** Writes the lists of one mount. */
export class PathWriter {
  readonly #desk: Desk
  readonly #acls: PathAcls
  readonly #area: StagingArea
  #proven = false
  #trial: Promise<void> | undefined
  #refusal: { readonly error: StorageError; readonly until: number } | undefined

  constructor(desk: Desk, acls: PathAcls) {
    this.#desk = desk
    this.#acls = acls
    this.#area = new StagingArea(desk)
  }

  /** Tries it, and logs why lists cannot be written. For the start of a mount. */
  async begin(): Promise<void> {
    if (!this.#acls.writeHeld) return
    const way = await this.#way([root], this.#desk.itself.signal)
    if (way instanceof StorageError && way.code !== 'cancelled') this.#desk.log('ACLs cannot be set', way)
  }

  /** Whether lists can be written; `directory` is one of those where it may be tried. */
  async canWrite(directory: Path, signal: AbortSignal): Promise<boolean> {
    return !((await this.#way([root, directory], signal)) instanceof StorageError)
  }

  /** Throws what `canWrite` is false for: `unsupported` with a reason, or `unavailable` where it may be tried again. */
  async requireWay(directory: Path, signal: AbortSignal): Promise<void> {
    await this.#require([root, directory], signal)
  }

  /** For `portolan check`. */
  async finding(): Promise<Finding> {
    const subject = 'acl-writing'
    const way = await this.#way([root], this.#desk.itself.signal)
    if (way === 'held') return { subject, level: 'ok', text: 'ACLs are set through a descriptor of their object' }
    if (way === 'named') {
      return { subject, level: 'warning', text: 'ACLs are set by name: nobody else may change names in this tree' }
    }
    return {
      subject,
      level: 'warning',
      text: `ACLs are not set here: ${StorageError.reasonOf(way)?.text ?? way.message}`,
    }
  }

  /**
   * Replaces the list of the object that was looked at. Throws `stale` where that has changed or lost its name,
   * `unsupported` where its list holds what would be lost.
   */
  async set(sight: ObjectSight, set: ByPath, caller: Caller): Promise<Entry> {
    const { path } = set
    const { trail, object } = sight
    const { acl: old, type } = requireEntry(trail, path)
    if (!object) throw new StorageError('denied', 'this belongs to another file system', { path })
    if (type !== 'file' && type !== 'directory') throw new StorageError('unsupported', 'this has no ACL', { path })
    this.requireWhole(old)
    const places = [root, parentOf(path), ...(type === 'directory' ? [path] : [])]
    const way = await this.#require(places, caller.signal)
    const keys = way === 'named' ? namesOnTheWay(trail) : namesOnTheWay(trail).slice(-1)
    return underLeases(this.#desk, keys, () =>
      way === 'named' ? this.#setNamed(sight, object, set, caller) : this.#setHeld(object, set, sight, caller),
    )
  }

  /** Gives an object its list before it becomes visible. Throws `stale` where its name does not lead to it. */
  async writeHidden(hidden: HiddenObject, acl: Acl, caller: Caller): Promise<void> {
    const { path, object } = hidden
    const way = await this.#require([root, path], caller.signal)
    if (way === 'held') return this.#writeHeld(object, acl, caller)
    const trail = await this.#desk.glance(caller)(path, caller.signal)
    return underLeases(this.#desk, namesOnTheWay(trail), () => this.#hiddenByName(hidden, acl, caller))
  }

  /** Makes a directory under a hidden name, gives it its list, and then its name. */
  async mkdir(place: NewDirectory, list: Acl, hidden: Hidden, caller: Caller): Promise<Changed> {
    const { path, directory, parent, name } = place
    const made = await this.#desk.run('mkdirHidden', { parent: parent.ref, name: hidden.name }, caller)
    const object = this.#desk.handles.adopt(made.fd)
    try {
      await this.writeHidden({ object: object.ref, path, directory, parent, name: hidden.name }, list, caller)
    } finally {
      object.release()
    }
    const { id, changed } = this.#desk.entry(made.entry, made)
    const from = { parent: parent.ref, name: hidden.name, expected: { id, changed } }
    const to = { parent: parent.ref, name, expected: undefined }
    return this.#desk.run('rename', { from, to, marker: attributeNames(this.#desk.setup).elsewhere }, caller)
  }

  /** Throws `unsupported` for a list in which something was not understood: writing anything over it would lose that. */
  requireWhole(acl: Acl | undefined): void {
    if (acl && !this.#acls.isWhole(acl)) {
      throw new StorageError('unsupported', 'the ACL holds what the gateway does not understand, so it stays as it is')
    }
  }

  async #setHeld(object: Handle, { path, acl, others }: ByPath, sight: ObjectSight, caller: Caller): Promise<Entry> {
    const { name } = requireEntry(sight.trail, path)
    await this.#desk.run('set', { object: object.ref, name, ...others }, caller)
    await this.#writeHeld(object.ref, acl, caller)
    const now = await this.#desk.run('restat', { file: object.ref, name }, this.#desk.surely(caller))
    const entry = this.#desk.entry(now.entry, now, acl)
    // What has taken its name meanwhile has a list of its own.
    if (entry.links === 0) throw moved(path)
    return entry
  }

  async #writeHeld(object: HandleRef, acl: Acl, caller: Caller): Promise<void> {
    const { writeHeld } = this.#acls
    if (!writeHeld) throw new StorageError('internal', 'nobody takes descriptors')
    const { fd } = await this.#desk.run('hold', { object }, caller)
    await writeHeld.call(this.#acls, holding(fd), acl, caller.signal)
  }

  async #setNamed(sight: ObjectSight, object: Handle, { path, acl, others }: ByPath, caller: Caller): Promise<Entry> {
    const { id, name } = requireEntry(sight.trail, path)
    const set = await this.#desk.run('set', { object: object.ref, name, ...others }, caller)
    const { changed } = this.#desk.entry(set.entry, set)
    const glance = this.#desk.glance(caller)
    const before = wayOf(await glance(path, caller.signal))
    const last = before.at(-1)
    if (last?.id !== id || last.changed !== changed || !isSame(wayOf(sight.trail), before)) throw moved(path)
    await this.#acls.writeNamed?.(path, acl, caller.signal)
    const after = wayOf(await glance(path, caller.signal))
    if (!isSame(before, after)) throw moved(path)
    const now = requireEntry((await this.#desk.see('look', { path, follow: false }, caller)).trail, path)
    // The mount may be wrong about who else works there.
    if (!directoriesStood(before, after) && !isSameList(now.acl, acl)) throw moved(path)
    return now
  }

  async #hiddenByName(hidden: HiddenObject, acl: Acl, caller: Caller): Promise<void> {
    const { path, directory, parent, name, object } = hidden
    const glance = this.#desk.glance(caller)
    const draft = await this.#desk.run('restat', { file: object, name }, caller)
    const { id } = this.#desk.entry(draft.entry, draft)
    const isThere = async () => (await this.#desk.run('identify', { parent: parent.ref, name }, caller)) === id
    const before = wayOf(await glance(path, caller.signal))
    if (before.at(-1)?.id !== directory || !(await isThere())) throw moved(path)
    await this.#acls.writeNamed?.(join(path, name), acl, caller.signal)
    if (!isSame(before, wayOf(await glance(path, caller.signal))) || !(await isThere())) throw moved(path)
  }

  async #require(places: readonly Path[], signal: AbortSignal): Promise<'held' | 'named'> {
    const way = await this.#way(places, signal)
    if (way instanceof StorageError) throw way
    return way
  }

  async #way(places: readonly Path[], signal: AbortSignal): Promise<Way> {
    if (this.#proven) return 'held'
    const refusal = this.#acls.writeHeld ? await this.#prove(places) : untied('ACLs are written here by name alone')
    this.#desk.requireAlive(signal)
    if (!refusal) return 'held'
    return this.#acls.writeNamed ? 'named' : refusal
  }

  /** Undefined once it is proven. One trial at a time. */
  async #prove(places: readonly Path[]): Promise<StorageError | undefined> {
    while (this.#trial) await this.#trial
    if (this.#proven) return undefined
    if (this.#refusal && performance.now() < this.#refusal.until) return this.#refusal.error
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#trial = promise
    try {
      for (const place of new Set(places)) if (await this.#tried(place)) return undefined
      return untied('it could not be tried, since the gateway may make no files at the top nor where it is set')
    } catch (error) {
      const failure = StorageError.from(error)
      const passes = isPassing(failure)
      const refusal = untied('what sets ACLs does not reach an object through its descriptor', failure)
      this.#refusal = { error: refusal, until: performance.now() + (passes ? pause : believed) }
      return refusal
    } finally {
      this.#trial = undefined
      resolve()
    }
  }

  /** False where no files can be made. Throws where a list does not reach the object that is held. */
  async #tried(directory: Path): Promise<boolean> {
    const { itself } = this.#desk
    const names: Hidden[] = []
    for (let i = 0; i < 3; i++) names.push(await this.#area.reserve(directory, itself))
    const made = await this.#scratch(directory, names)
    if (!made) return false
    const { object, parent } = made
    const modeNow = async () => {
      const now = await this.#desk.run('restat', { file: object.ref, name: '' }, itself)
      return (this.#desk.entry(now.entry, now).mode ?? 0) & 0o777
    }
    try {
      // Setting a list rewrites the mode, which nobody but the gateway and root can do besides.
      const { mode, acl } = (await modeNow()) === readAlone.mode ? readAndRun : readAlone
      await this.#writeHeld(object.ref, acl, itself)
      if ((await modeNow()) !== mode) throw new StorageError('unsupported', 'the ACL went elsewhere')
      this.#proven = true
      return true
    } finally {
      object.release()
      for (const hidden of names) await this.#area.drop(hidden, parent, itself)
      parent.release()
    }
  }

  async #scratch(directory: Path, names: readonly Hidden[]): Promise<{ object: Handle; parent: Handle } | undefined> {
    const { itself, handles } = this.#desk
    try {
      const args = { path: directory, names: names.map(({ name }) => name) }
      const { fd, parentFd } = await this.#desk.run('makeTrial', args, itself)
      return { object: handles.adopt(fd), parent: handles.adopt(parentFd) }
    } catch (error) {
      const failure = StorageError.from(error)
      // They may yet be made, and are then swept.
      if (isPassing(failure)) throw failure
      for (const hidden of names) await this.#area.strike(hidden)
      return undefined
    }
  }
}

function holding(fd: number): HeldObject {
  return { fd, release: () => closeSync(fd) }
}

/** Keys of all names that lead to the object of a trail. */
function namesOnTheWay(trail: Trail): readonly string[] {
  const way = wayOf(trail)
  return way.slice(1).map(({ name }, i) => leaseKey({ ...trail, ancestors: way.slice(0, i + 1) }, name))
}

function isSame(before: readonly Entry[], after: readonly Entry[]): boolean {
  return before.length === after.length && before.every(({ id }, i) => after[i]?.id === id)
}

/** Whether no name on the way was given to another object in between. The object itself changes with its list. */
function directoriesStood(before: readonly Entry[], after: readonly Entry[]): boolean {
  const directory = before.length - 2
  return heldStill(before.slice(0, -1), after.slice(0, -1)) && before[directory]?.changed === after[directory]?.changed
}

function isSameList(told: Acl | undefined, written: Acl): boolean {
  const rows = ({ aces }: Acl) => JSON.stringify(aces.map(({ type, flags, mask, who }) => [type, flags, mask, who]))
  return told !== undefined && rows(told) === rows(written)
}

function moved(path: Path): StorageError {
  return new StorageError('stale', 'the path leads to another object than the one that was looked at', { path })
}

/** Whether asking again may help. */
function isPassing({ code }: StorageError): boolean {
  return code === 'unavailable' || code === 'busy'
}

function untied(text: string, cause?: StorageError): StorageError {
  const reason = { rule: 'acl-by-path', text: `an ACL could be set on another object than the one meant: ${text}` }
  if (!cause || !isPassing(cause)) return new StorageError('unsupported', 'ACLs cannot be set here', { reason, cause })
  return new StorageError(cause.code, 'ACLs cannot be set here now', {
    reason,
    cause,
    retryAfter: cause.retryAfter ?? 10,
  })
}

function listOf(mask: number): Acl {
  return {
    owner: undefined,
    group: undefined,
    dialect: 'gpfs',
    aces: [{ type: 'allow', flags: 0, mask, who: 'OWNER@' }],
  }
}
