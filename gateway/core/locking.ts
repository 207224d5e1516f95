/** Taking, refreshing, showing and ending locks (RFC 4918, sections 6, 7, 9.10 and 9.11). */

import { permitsPath } from '../../acl/authorizer.ts'
import type { Principal } from '../../acl/principal.ts'
import type { Entry, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import type { LockStore, StoredLock } from '../state/state.ts'
import type { Call } from './call.ts'
import { denied, type Gate } from './deciding.ts'
import { StorageError } from './errors.ts'
import { decideLock, LockRequest, type LockWish, lookAt, mayLock, secondsOf } from './lock-request.ts'
import { covers, spotOf } from './lock-scope.ts'
import type { Locks } from './locks.ts'
import { isWithin, type Path } from './path.ts'
import { Task } from './task.ts'

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
  /** Throws `precondition` unless the caller holds that lock and it covers the path, `denied` where he may not write any more. */
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
      const { lock, place, trail } = await this.#covering(task, path, token)
      if (lock?.principal !== task.principal.id || !trail)
        throw new StorageError('precondition', 'no such lock', { path })
      this.#gate.requireWritable(place)
      // Whoever may not write there any more does not keep others from it.
      await decideLock(this.#gate, task, place, trail)
      const expires = this.#store.now() + secondsOf(timeout) * 1000
      if (!(await this.#store.refresh(token, expires))) throw new StorageError('precondition', 'no such lock', { path })
      return this.#view(task, { ...lock, expires })
    })
  }

  unlock(call: Call, path: Path, token: string): Promise<void> {
    return this.#gate.perform(call, 'unlock', path, async (task) => {
      const { lock } = await this.#covering(task, path, token)
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
    if (this.#locks.isEmpty) return () => []
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
  async #covering(
    task: Task,
    path: Path,
    token: string,
  ): Promise<{ readonly place: Place; readonly lock?: StoredLock; readonly trail?: Trail }> {
    const decision = mayLock(task, path)
    if (!decision.allowed) throw denied(path, decision.reason)
    const place = this.#gate.admit(task, path)
    await this.#locks.sync()
    const lock = this.#locks.get(token)
    if (!lock) return { place }
    const { trail, spot } = await lookAt(this.#gate, task, place)
    return covers(lock, spot) ? { place, lock, trail } : { place }
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

/** Its holder's, and his whose credential the holder's was made from: he may see and end it, not use it. */
function isOwn(lock: StoredLock, { id }: Principal): boolean {
  return lock.principal === id || lock.counted === id
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
