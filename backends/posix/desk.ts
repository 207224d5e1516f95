/** The main thread's desk of one mount: where calls go out to I/O threads and their answers come in. */

import type { Acl } from '../../acl/acl.ts'
import type { PosixIds, Principal } from '../../acl/principal.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { BackendServices, Entry, Pending, Trail } from '../backend.ts'
import { type Handle, Handles } from './handles.ts'
import { Listener, UnknownNumber } from './interning.ts'
import { IoPool } from './io/pool.ts'
import type { RunAs } from './io/protocol.ts'
import { DataShare } from './io/share.ts'
import type { ArgsOf, OperationName, ResultOf } from './operations.ts'
import { isHidden, type PosixOptions, type PosixSetup, setupOf } from './options.ts'
import { type Completed, type Glance, type PathAcls, type Which, withoutAcl } from './path-acls.ts'
import { PathWriter } from './path-writing.ts'
import type { EntryWire, Looked, Numbered } from './wire.ts'

/** Whoever a call is made for, and how long he waits. */
export interface Caller {
  readonly ids: RunAs
  readonly signal: AbortSignal
}

/** A look and what it left open. */
export interface Sight<R extends Looked = Looked> {
  readonly looked: R
  readonly trail: Trail
}

type Looks = 'look' | 'open' | 'openDirectory' | 'openNames' | 'members'

/** A descriptor of data. */
export interface FileHandle extends Handle {
  /** Resolves when the descriptor is closed, after `release` without a thread at work with it. */
  readonly closed: Promise<void>
}

const forever = new AbortController().signal
const nobody: PosixIds = { uid: 65534, gid: 65534, gids: [] }
const queueLength = 4096
/** How often a look is repeated because something moved while an ACL was fetched. */
const looks = 4

export class Desk {
  readonly name: string
  readonly setup: PosixSetup
  readonly services: BackendServices
  readonly pool: IoPool
  readonly share: DataShare
  readonly handles = new Handles()
  /** Where set, the threads tell whose the objects are, and the ACLs to decide by come from here. */
  readonly pathAcls: PathAcls | undefined
  /** Writes them. */
  readonly pathWriter: PathWriter | undefined
  /** The same where the kernel decides: there they are for people to see, and fetched when asked for. */
  readonly shownAcls: PathAcls | undefined
  readonly log: (message: string, cause?: unknown) => void
  /** What went wrong with ACLs, and how often. */
  readonly trouble = new Map<string, number>()
  /** Names that were not UTF-8, counted as often as they were met. */
  badNames = 0
  /** Whether the file system is thought to have files without a name (O_TMPFILE); found out by the first draft. */
  unnamedFiles = true
  readonly #listener = new Listener()
  readonly #reserved: ReadonlySet<string>
  #closed = false

  constructor(options: PosixOptions, services: BackendServices) {
    const { threads = 4, dataThreads = 4, deadline = 20_000, syncDeadline = 300_000 } = options
    this.name = options.name ?? `posix:${options.root}`
    this.services = services
    this.pathAcls = options.grade === 'native' ? undefined : options.pathAcls
    this.shownAcls = options.grade === 'native' ? options.pathAcls : undefined
    // By path means by name, so every file has one from the first.
    if (this.pathAcls) this.unnamedFiles = false
    this.log = options.log ?? (() => {})
    this.setup = setupOf(options, this.handles.claims)
    this.#reserved = new Set(this.setup.reserved)
    this.pathWriter = this.pathAcls && new PathWriter(this, this.pathAcls)
    this.pool = new IoPool({
      name: this.name,
      posix: this.setup,
      threads,
      queue: queueLength,
      deadline,
      log: this.log,
      ...(this.setup.native && { identity: { minUid: options.minUid ?? 1000 } }),
      ...(options.operationsModule !== undefined && { operationsModule: options.operationsModule }),
    })
    this.share = new DataShare({ slots: dataThreads, queue: queueLength, deadline, syncDeadline })
  }

  /** Under whose identity a call runs. Without numeric ids nobody but the anonymous gets through (`denied`). */
  caller({ principal, signal }: Call): Caller {
    return { ids: this.setup.native ? idsOf(principal) : undefined, signal }
  }

  /** The account of the gateway itself, for what no caller waits for. */
  get itself(): Caller {
    return { ids: this.setup.native ? 'gateway' : undefined, signal: forever }
  }

  /** The same identity, for what must be done even when the caller has gone. */
  surely({ ids }: Caller): Caller {
    return { ids, signal: forever }
  }

  run<N extends OperationName>(name: N, args: ArgsOf<N>, { ids, signal }: Caller): Promise<ResultOf<N>> {
    return this.pool.run<ResultOf<N>>(name, args, ids, signal)
  }

  /** A look, told again in full where the short form could not be understood. */
  async see<N extends Looks>(name: N, args: ArgsOf<N>, caller: Caller): Promise<Sight<ResultOf<N>>> {
    const { pathAcls } = this
    if (this.shownAcls) return withBareTrail(await this.#see(name, args, caller))
    if (!pathAcls) return this.#see(name, args, caller)
    for (let left = looks - 1; ; left--) {
      const sight = await this.#see(name, args, caller)
      try {
        const { trail, moved } = await this.#complete(pathAcls, sight.trail, args.path, 'all', caller)
        if (!moved || left === 0) return { ...sight, trail }
      } catch (error) {
        this.#letGo(sight.looked)
        throw error
      }
      this.#letGo(sight.looked)
    }
  }

  /** The object of a glance with the ACL that a path leads to; undefined when the path leads elsewhere by now. */
  async fetchAcl(trail: Trail, path: Path, caller: Caller): Promise<Entry | undefined> {
    if (!this.shownAcls) return undefined
    const { trail: whole, moved } = await this.#complete(this.shownAcls, trail, path, 'object', caller)
    return moved ? undefined : whole.entry
  }

  #complete(pathAcls: PathAcls, trail: Trail, path: Path, which: Which, caller: Caller): Promise<Completed> {
    return pathAcls.complete(trail, path, which, this.glance(caller), caller.signal)
  }

  /** A look at what a path leads to, links as links, without ACLs where those come by path. */
  glance(caller: Caller): Glance {
    const { ids } = caller
    return async (path, signal) => (await this.#see('look', { path, follow: false }, { ids, signal })).trail
  }

  async #see<N extends Looks>(name: N, args: ArgsOf<N>, caller: Caller): Promise<Sight<ResultOf<N>>> {
    let looked: ResultOf<N> = await this.run(name, args, caller)
    try {
      return { looked, trail: this.#understand(looked) }
    } catch (error) {
      this.#letGo(looked)
      if (!(error instanceof UnknownNumber)) throw error
    }
    looked = await this.run(name, { ...args, whole: true }, caller)
    return { looked, trail: this.#understand(looked) }
  }

  /** The entry that an act tells. Where ACLs come by path it has the list that the act gave or left to it, if known. */
  entry(wire: EntryWire, numbered: Numbered, list?: Acl): Entry {
    const entry = this.#listener.entry(wire, numbered)
    if (!this.pathAcls && !this.shownAcls) return entry
    // A link's rights are what the thread tells.
    if (this.pathAcls && entry.type === 'symlink') return entry
    if (!this.pathAcls || !list) return withoutAcl(entry)
    const { owner = entry.acl?.owner, group = entry.acl?.group } = list
    return { ...entry, acl: { ...list, owner, group } }
  }

  entries(wires: readonly EntryWire[], numbered: Numbered): Entry[] {
    const entries = this.#listener.entries(wires, numbered)
    return this.shownAcls ? entries.map(withoutAcl) : entries
  }

  /** Takes over a descriptor of data, which is closed on the share. */
  adoptFile(fd: number): FileHandle {
    this.share.opened(fd)
    const { promise: closed, resolve } = Promise.withResolvers<void>()
    const handle = this.handles.adopt(fd, (open) => this.closeFile(open).then(resolve))
    return { ...handle, closed }
  }

  /** Closes a descriptor of data. Resolves when that is done; a failure is logged, since nobody can do anything. */
  closeFile(fd: number): Promise<void> {
    return this.share.close(fd).catch((error) => this.log(`${this.name}: closing a file failed`, error))
  }

  isReserved(name: string): boolean {
    return this.#reserved.has(name) || isHidden(name)
  }

  /** Throws for a caller who has gone and for a closed mount. */
  requireAlive(signal: AbortSignal): void {
    if (this.#closed) throw new StorageError('unavailable', 'the mount is closed')
    if (!signal.aborted) return
    if (signal.reason instanceof StorageError) throw signal.reason
    throw new StorageError('cancelled', 'the caller has gone', { cause: signal.reason })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.share.stop()
    const { stuck } = this.pool.status()
    await this.pool.close()
    // A thread that hangs may yet wake up and go on from there.
    if (stuck === 0) this.handles.closeTop()
  }

  #understand(looked: Looked): Trail {
    for (const word of looked.trouble ?? []) this.trouble.set(word, (this.trouble.get(word) ?? 0) + 1)
    return this.#listener.trail(looked)
  }

  #letGo({ fd, parentFd }: Looked): void {
    for (const open of [fd, parentFd]) {
      if (open === undefined) continue
      this.share.opened(open)
      this.closeFile(open)
    }
  }
}

function withBareTrail<S extends Sight>(sight: S): S {
  return { ...sight, trail: bare(sight.trail) }
}

/** A trail without what a thread tells of ACLs that come by path. */
export function bare(trail: Trail): Trail {
  return { ...trail, ancestors: trail.ancestors.map(withoutAcl), entry: trail.entry && withoutAcl(trail.entry) }
}

function idsOf({ posix, user, id }: Principal): PosixIds {
  if (posix) return posix
  if (user === undefined && id === 'anonymous') return nobody
  const reason = { rule: 'posix-ids', text: 'the caller has no numeric ids' }
  throw new StorageError('denied', 'this account may not act here', { reason })
}

/** A look at an object that stays open for the act. */
export interface ObjectSight extends Sight {
  /** Absent where there is nothing, or nothing that may be opened. */
  readonly object: Handle | undefined
}

/** Looks at an object and keeps it open; a link as the last name is followed where the mount does so. */
export async function lookInto(desk: Desk, path: Path, caller: Caller, follow = true): Promise<ObjectSight> {
  const sight = await desk.see('look', { path, follow, keep: 'object' }, caller)
  const { fd } = sight.looked
  return { ...sight, object: fd === undefined ? undefined : desk.handles.adopt(fd) }
}

/** A look at a name and at the directory that holds it, which stays open for the act. */
export interface NameSight extends Sight {
  /** Absent for the root, and where there is no such directory. */
  readonly parent: Handle | undefined
}

/** Looks at a name and keeps its directory open. `follow`: of a link as the last name, at what it leads to. */
export async function lookAt(desk: Desk, path: Path, follow: boolean, caller: Caller): Promise<NameSight> {
  const sight = await desk.see('look', { path, follow, keep: 'parent' }, caller)
  const { parentFd } = sight.looked
  return { ...sight, parent: parentFd === undefined ? undefined : desk.handles.adopt(parentFd) }
}

/** Looks at an object and keeps it open, or where there is none the directory in which it may be made. */
export async function lookForEither(
  desk: Desk,
  path: Path,
  follow: boolean,
  caller: Caller,
): Promise<ObjectSight & NameSight> {
  const sight = await desk.see('look', { path, follow, keep: 'either' }, caller)
  const { fd, parentFd } = sight.looked
  const adopted = (one: number | undefined) => (one === undefined ? undefined : desk.handles.adopt(one))
  return { ...sight, object: adopted(fd), parent: adopted(parentFd) }
}

/** A look and the act that may follow. `release` lets go of what the look has left open. */
export function pendingOf<T>(
  trail: Trail,
  proceed: () => Promise<T>,
  ...handles: ReadonlyArray<Handle | undefined>
): Pending<T> {
  return {
    trail,
    proceed,
    release: async () => {
      for (const handle of handles) handle?.release()
    },
  }
}
