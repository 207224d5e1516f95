/** Taking, refreshing, showing and ending locks (RFC 4918, sections 6, 7, 9.10 and 9.11). */

import { randomUUID } from 'node:crypto'
import { right } from '../../acl/acl.ts'
import { type Decision, permitsPath } from '../../acl/authorizer.ts'
import type { Principal } from '../../acl/principal.ts'
import type { Entry, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import type { LockBounds, LockStore, StoredLock } from '../state/state.ts'
import type { Call } from './call.ts'
import { denied, type Gate, requireParent, requirePlain } from './deciding.ts'
import { StorageError } from './errors.ts'
import { bindingOf, covers, excludes, type Spot, spotOf } from './lock-scope.ts'
import { LockedError, type Locks } from './locks.ts'
import { isWithin, type Path } from './path.ts'
import { Task } from './task.ts'
import { startUpload } from './writing.ts'

/** Seconds. A client that asks for more, or for ever, gets what the gateway is willing to wait for one that is gone. */
const usualTimeout = 3600
const longestTimeout = 86_400
/** Bytes of what a client may say of the lock's owner. */
export const maxLockOwner = 4096
const bounds: LockBounds = { own: 1000, all: 20_000 }
/** ms until every process must know of a new lock. */
const settling = 8000
/** How often the locks may change while one more is decided on. */
const rounds = 16

export interface LockWish {
  readonly scope: StoredLock['scope']
  /** Of a file both mean the same. */
  readonly depth: StoredLock['depth']
  /** XML, kept as it is and shown to whoever sees the lock. */
  readonly owner?: string
  /** Seconds; undefined for as long as the gateway likes. */
  readonly timeout?: number | undefined
}

/** A lock as it is shown. */
export interface LockView {
  /** To who may end it and to administrators alone. Whoever has it need not be the holder, so it opens nothing to others. */
  readonly token: string | undefined
  /** Where it was taken: the lock root. */
  readonly path: Path
  readonly scope: StoredLock['scope']
  readonly depth: StoredLock['depth']
  readonly owner: string
  /** Who holds it. */
  readonly user: string | undefined
  /** Seconds that are left. */
  readonly timeout: number
  /** Milliseconds since 1970. */
  readonly created: number
}

/** Tells the locks on an object that the caller has been shown; asks nobody. */
export type Discovery = (path: Path, entry: Entry | undefined) => readonly LockView[]

export interface LockOperations {
  /**
   * Takes a lock. Where nothing is, an empty file is made. Throws LockedError (`no-conflicting-lock`), `busy` where
   * there are too many, or where something is going on at the object that does not end.
   */
  lock(call: Call, path: Path, wish: LockWish): Promise<{ readonly lock: LockView; readonly created: boolean }>
  /** Throws `precondition` unless the caller holds that lock and it covers the path. */
  refresh(call: Call, path: Path, token: string, timeout?: number): Promise<LockView>
  /** Throws `precondition` where no such lock covers the path, and `not-owner` for another's lock. */
  unlock(call: Call, path: Path, token: string): Promise<void>
  /**
   * Locks of the caller, and of credentials made from his; to administrators those of all. With a path those at it,
   * above it and below it.
   */
  list(call: Call, path?: Path): Promise<readonly LockView[]>
  /** Ends one of the locks that `list` shows, or as an administrator anybody's. Throws `not-found`. */
  release(call: Call, token: string): Promise<void>
  /** What locks there are, as of now. */
  discovery(call: Call): Promise<Discovery>
  /** Those of these tokens whose locks cover the path, whoever holds them. Says nothing of what is there. */
  matching(call: Call, path: Path, tokens: readonly string[]): Promise<ReadonlySet<string>>
  /** Whether locks can be had at all. */
  readonly available: boolean
}

export class Locking implements LockOperations {
  readonly available = true
  readonly #gate: Gate
  readonly #locks: Locks
  readonly #store: LockStore

  constructor(gate: Gate, locks: Locks) {
    this.#gate = gate
    this.#locks = locks
    this.#store = locks.store
  }

  lock(call: Call, path: Path, wish: LockWish): Promise<{ readonly lock: LockView; readonly created: boolean }> {
    return this.#gate.perform(call, 'lock', path, async (task) => {
      const request = new LockRequest(this.#gate, this.#locks, task, path, wish)
      const { lock, created } = await request.run()
      return { lock: this.#view(task, lock), created }
    })
  }

  refresh(call: Call, path: Path, token: string, timeout?: number): Promise<LockView> {
    return this.#gate.perform(call, 'lock', path, async (task) => {
      const lock = await this.#covering(task, path, token)
      if (lock?.principal !== task.principal.id) throw new StorageError('precondition', 'no such lock', { path })
      const expires = this.#store.now() + secondsOf(timeout) * 1000
      if (!(await this.#store.refresh(token, expires))) throw new StorageError('precondition', 'no such lock', { path })
      return this.#view(task, { ...lock, expires })
    })
  }

  unlock(call: Call, path: Path, token: string): Promise<void> {
    return this.#gate.perform(call, 'unlock', path, async (task) => {
      const lock = await this.#covering(task, path, token)
      if (!lock) throw new StorageError('precondition', 'no such lock here', { path })
      if (lock.principal !== task.principal.id) {
        const reason = { rule: 'lock', text: `the lock is held by ${lock.principal}`, path }
        throw new StorageError('not-owner', 'the lock is not yours', { path, reason })
      }
      await this.#store.remove([token])
      await this.#locks.sync()
    })
  }

  list(call: Call, path?: Path): Promise<readonly LockView[]> {
    return this.#gate.perform(call, 'locks', path ?? ('/' as Path), async (task) => {
      await this.#locks.sync()
      const { principal } = task
      return [...this.#locks.all]
        .filter((lock) => isOwn(lock, principal) || principal.administrator)
        .filter((lock) => path === undefined || isWithin(lock.path, path) || isWithin(path, lock.path))
        .filter((lock) => principal.administrator || permitsPath(principal, 'stat', lock.path).allowed)
        .map((lock) => this.#view(task, lock))
    })
  }

  release(call: Call, token: string): Promise<void> {
    const known = this.#locks.get(token)
    return this.#gate.perform(call, 'unlock', known?.path ?? ('/' as Path), async (task) => {
      await this.#locks.sync()
      const lock = this.#locks.get(token)
      const { principal } = task
      const isMine = lock && isOwn(lock, principal) && principal.user !== undefined && mayLock(task, lock.path).allowed
      if (!lock || !(isMine || principal.administrator)) throw new StorageError('not-found', 'no such lock')
      await this.#store.remove([token])
      await this.#locks.sync()
    })
  }

  async discovery(call: Call): Promise<Discovery> {
    await this.#locks.sync()
    const { namespace } = this.#gate
    return (path, entry) => {
      const spot = spotOf(namespace.resolve(path), undefined)
      const seen = entry?.id ? { ...spot, id: entry.id } : spot
      return [...this.#locks.near(seen)]
        .filter((lock) => covers(lock, seen))
        .map((lock) => this.#view(call, lock, path))
    }
  }

  async matching(call: Call, path: Path, tokens: readonly string[]): Promise<ReadonlySet<string>> {
    await this.#locks.sync()
    const known = tokens.filter((token) => this.#locks.get(token))
    if (known.length === 0) return new Set()
    // A look on behalf of another operation, which has an audit line of its own.
    const task = new Task(call, 'locks', path, this.#gate.namespace)
    try {
      const { spot } = await lookAt(this.#gate, task, this.#gate.admit(task, path))
      const isCovering = (lock: StoredLock | undefined) => lock !== undefined && covers(lock, spot)
      return new Set(known.filter((token) => isCovering(this.#locks.get(token))))
    } finally {
      task.detach()
    }
  }

  /** The lock of this token, where it covers the path. */
  async #covering(task: Task, path: Path, token: string): Promise<StoredLock | undefined> {
    const decision = mayLock(task, path)
    if (!decision.allowed) throw denied(path, decision.reason)
    const place = this.#gate.admit(task, path)
    await this.#locks.sync()
    const lock = this.#locks.get(token)
    if (!lock) return undefined
    const { spot } = await lookAt(this.#gate, task, place)
    return covers(lock, spot) ? lock : undefined
  }

  /** `seen`: where the caller sees what is locked; whoever comes another way is not told the holder's. */
  #view({ principal }: Call, lock: StoredLock, seen = lock.path): LockView {
    const { scope, depth, owner, user, created, expires } = lock
    const path = isWithin(seen, lock.path) ? lock.path : seen
    const isShown = isOwn(lock, principal) || principal.administrator
    const timeout = Math.max(0, Math.ceil((expires - this.#store.now()) / 1000))
    return { token: isShown ? lock.token : undefined, path, scope, depth, owner, user, timeout, created }
  }
}

/** One LOCK that asks for a new lock. */
class LockRequest {
  readonly #gate: Gate
  readonly #locks: Locks
  readonly #task: Task
  readonly #path: Path
  readonly #wish: LockWish
  readonly #place: Place

  constructor(gate: Gate, locks: Locks, task: Task, path: Path, wish: LockWish) {
    const { principal, namespace } = task
    if (principal.user === undefined) throw new StorageError('unauthenticated', 'a lock needs a holder', { path })
    const decision = mayLock(task, path)
    if (!decision.allowed) throw denied(path, decision.reason)
    this.#gate = gate
    this.#locks = locks
    this.#task = task
    this.#path = path
    this.#wish = wish
    this.#place = gate.admit(task, path)
    gate.requireWritable(this.#place)
    if (wish.depth === 'infinity' && namespace.leadsToMount(path)) {
      throw denied(path, { rule: 'mount-point', text: 'a lock does not reach into other mounts', path })
    }
    if (Buffer.byteLength(wish.owner ?? '') > maxLockOwner) throw new StorageError('too-large', 'the owner is too long')
  }

  async run(): Promise<{ readonly lock: StoredLock; readonly created: boolean }> {
    const { trail, spot } = await lookAt(this.#gate, this.#task, this.#place)
    await this.#decide(trail)
    const lock = this.#lockOn(spot)
    const serial = await this.#add(lock, spot)
    try {
      if (!(await this.#locks.drain(lock))) throw underChange(this.#path)
      if (!(await this.#locks.store.settled(serial, settling))) throw underChange(this.#path)
      return await this.#take(lock)
    } catch (error) {
      await this.#abandon(lock)
      throw error
    }
  }

  async #abandon({ token }: StoredLock): Promise<void> {
    try {
      await this.#locks.store.remove([token])
      await this.#locks.sync()
    } catch (error) {
      // Never confirmed, it ends by itself; what counts is why it could not be had.
      if (!(error instanceof StorageError)) throw error
    }
  }

  /** Nobody changes anything there any more; only now it is clear what is there. */
  async #take(lock: StoredLock): Promise<{ readonly lock: StoredLock; readonly created: boolean }> {
    const { trail, spot } = await lookAt(this.#gate, this.#task, this.#place)
    await this.#decide(trail)
    const made = trail.entry ? undefined : await this.#makeFile(lock)
    const bound = bindingOf(made ? { ...spot, id: made.id || undefined } : spot, made !== undefined)
    const expires = this.#locks.store.now() + secondsOf(this.#wish.timeout) * 1000
    if (!(await this.#locks.store.confirm(lock.token, bound, expires))) throw underChange(this.#path)
    await this.#locks.sync()
    return { lock: { ...lock, ...bound, expires }, created: made !== undefined }
  }

  /** Who may write to something may lock it; who may make something may lock its name. */
  async #decide(trail: Trail): Promise<void> {
    const { mount, path, inner } = this.#place
    const task = this.#task
    const enforces = mount.backend.enforces(task.principal)
    const { entry } = trail
    const action = entry ? 'replace' : 'create'
    const decision = permitsPath(task.principal, action, path)
    if (!decision.allowed) throw denied(path, decision.reason)
    this.#gate.allow(task, action, this.#place, trail)
    if (!entry) {
      if (!enforces) requireParent(trail, path)
      return
    }
    requirePlain(entry, path)
    if (!enforces) return
    const acls = mount.backend.acls
    const ask = async () => acls?.effective?.(inner, task) ?? 'unknown'
    const held = await this.#gate.run(task, this.#place, ask, { admission: 'continues' })
    // Writing bytes and adding files are one bit (RFC 8881, section 6.2.1.3).
    if (held !== 'unknown' && (held & right.writeData) !== 0) return
    const text = held === 'unknown' ? 'the storage does not say who may write here' : 'the storage says no'
    throw denied(path, { rule: 'lock', text, path })
  }

  #lockOn(spot: Spot): StoredLock {
    const { id, user, counted = id } = this.#task.principal
    const { scope, depth, owner = '' } = this.#wish
    const now = this.#locks.store.now()
    return {
      token: `urn:uuid:${randomUUID()}`,
      principal: id,
      counted,
      user,
      backend: spot.backend,
      realm: spot.realm,
      at: spot.at,
      path: this.#path,
      ...{ scope, depth, owner },
      ...bindingOf(spot, false),
      created: now,
      expires: now,
    }
  }

  /** Decided and written down while nothing changes in between. */
  async #add(lock: StoredLock, spot: Spot): Promise<number> {
    for (let left = rounds; left > 0; left--) {
      await this.#locks.sync()
      this.#requireFree(spot)
      const serial = await this.#locks.store.add(lock, this.#locks.serial, bounds)
      if (serial === undefined) continue
      await this.#locks.sync()
      return serial
    }
    throw underChange(this.#path)
  }

  #requireFree(spot: Spot): void {
    const { scope, depth } = this.#wish
    for (const lock of this.#locks.all) {
      if (!excludes(lock, scope, depth, spot)) continue
      const root = isWithin(this.#path, lock.path) ? lock.path : this.#path
      const reason = { rule: 'lock', text: `a lock of ${lock.principal} is in the way`, path: lock.path }
      throw new LockedError('no-conflicting-lock', root, { path: this.#path, reason })
    }
  }

  /** An empty file, so that what is locked is there (RFC 4918, section 7.3). */
  async #makeFile({ token }: StoredLock): Promise<Entry> {
    const task = this.#task
    task.lockTokens = [...task.lockTokens, token]
    const upload = await startUpload(this.#gate, task, this.#path, { size: 0, onlyNew: true }, 'continues')
    try {
      upload.body.end()
      return (await upload.commit()).entry
    } catch (error) {
      await upload.discard()
      throw error
    }
  }
}

/** Its holder's, and his whose credential the holder's was made from: he may see and end it, not use it. */
function isOwn(lock: StoredLock, { id }: Principal): boolean {
  return lock.principal === id || lock.counted === id
}

/** The credential's half: whoever could change something there may hold it. */
function mayLock({ principal }: Call, path: Path): Decision {
  const replace = permitsPath(principal, 'replace', path)
  return replace.allowed ? replace : permitsPath(principal, 'create', path)
}

async function lookAt(gate: Gate, task: Task, place: Place): Promise<{ readonly trail: Trail; readonly spot: Spot }> {
  const trail = await gate.run(task, place, () => place.mount.backend.walk(place.inner, task))
  return { trail, spot: spotOf(place, trail) }
}

function secondsOf(timeout: number | undefined): number {
  return timeout === undefined ? usualTimeout : Math.max(1, Math.min(longestTimeout, Math.floor(timeout)))
}

function underChange(path: Path): StorageError {
  return new StorageError('busy', 'something is being changed there', { path, retryAfter: 1 })
}

const unavailable = (): never => {
  throw new StorageError('unsupported', 'this gateway keeps no locks')
}

/** Without a state store there are no locks. */
export const noLocking: LockOperations = {
  available: false,
  lock: async () => unavailable(),
  refresh: async () => unavailable(),
  unlock: async () => unavailable(),
  list: async () => [],
  release: async () => unavailable(),
  discovery: async () => () => [],
  matching: async () => new Set(),
}
