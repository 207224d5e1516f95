/**
 * Locks in force, kept in memory by each process, and the changes under way that they must wait for.
 *
 * A change asks memory alone, right before it acts. A new lock is told to every process before its client is
 * answered, and each process says so only when what it had allowed before is over. So no write that was decided
 * without a lock becomes visible after the lock was granted, and a mount without locks costs nothing.
 */

import type { Backend, Entry, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import type { ByteLockStore, LockStore, StoredLock } from '../state/state.ts'
import { type ErrorDetails, StorageError } from './errors.ts'
import { LockIndex } from './lock-index.ts'
import { type Change, concerns, forbids, isBelow, isOn, type Spot, spotOf, type Touch } from './lock-scope.ts'
import { isWithin, type Path } from './path.ts'
import type { Task } from './task.ts'

/** ms that a new lock waits for changes under way at its object. */
const drainPatience = 1000

/** What RFC 4918, section 16, calls the condition that failed. */
export type LockCondition = 'lock-token-submitted' | 'no-conflicting-lock'

/** Refused for a lock. `root` is where the lock is, as far as the caller may learn of it. */
export class LockedError extends StorageError {
  readonly condition: LockCondition
  readonly root: Path

  constructor(condition: LockCondition, root: Path, details: ErrorDetails) {
    super('locked', 'another caller holds a lock', details)
    this.name = 'LockedError'
    this.condition = condition
    this.root = root
  }
}

/** What a change is about, as seen when it was decided. */
export interface Touched {
  readonly place: Place
  readonly trail: Trail | undefined
  readonly touch: Touch
  /** What those who watch are told, where that is less than `touch` says. */
  readonly told?: 'attributes' | 'nothing'
  /** Where it goes. */
  readonly goes?: Going
}

/** `swaps`: what is there comes here. */
export interface Going {
  readonly to: Path
  readonly swaps: boolean
}

/** A change that was decided and is not over. */
export interface Passage {
  /** It has happened; `made` is what is at the place of a new or changed object now. */
  done(made: Entry | undefined): Promise<void>
  /** To be called in every case. */
  end(): void
}

interface Under {
  readonly touched: readonly Touched[]
  readonly tokens: readonly string[]
  readonly principal: string
  /** Called when it is over. */
  readonly waiting: Array<() => void>
}

export class Locks {
  readonly store: LockStore
  /** Byte-range locks of mounts, which keep others from locking all of a file. */
  readonly bytes: ByteLockStore | undefined
  readonly #locks = new LockIndex()
  readonly #under = new Set<Under>()
  /** Which back ends have locks, until the locks change. */
  #concerned = new WeakMap<Backend, boolean>()
  #serial = -1
  /** Locks that have changed since the last acknowledgement. */
  readonly #news = new Set<string>()
  #acknowledged = -1
  #earliest = Number.POSITIVE_INFINITY
  /** When the last beat began after which everything was read; on the clock of `performance`. */
  #beaten = Number.NEGATIVE_INFINITY
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined

  /** Reads the locks and follows their changes until the store is closed. */
  constructor(store: LockStore, bytes?: ByteLockStore) {
    this.store = store
    this.bytes = bytes
    store.watch(() => this.#follow())
  }

  /**
   * To be awaited before a change is decided: afterwards the locks of this back end are known as they are now.
   * Nothing to wait for where it has none. Throws `unavailable` when they cannot be read.
   */
  fresh(backend: Backend): Promise<void> | undefined {
    // Earlier than it must be, so that what follows has time to act.
    return this.#isSure(0.6) && !this.#concerns(backend) ? undefined : this.sync()
  }

  /** Reads what has changed. */
  sync(): Promise<void> {
    if (!this.#running) {
      this.#running = this.#update().finally(() => {
        this.#running = undefined
      })
      return this.#running
    }
    // One that is under way may have read already.
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined
        return this.sync()
      })
    return this.#next
  }

  /** After `sync`. */
  get isEmpty(): boolean {
    return this.#locks.size === 0
  }

  /** All locks known, after `sync`. */
  get all(): Iterable<StoredLock> {
    return this.#locks.values()
  }

  /** Those that may cover an object, after `sync`. */
  near(spot: Spot): Iterable<StoredLock> {
    return this.#locks.near(spot)
  }

  get serial(): number {
    return this.#serial
  }

  get(token: string): StoredLock | undefined {
    return this.#locks.get(token)
  }

  /** Throws LockedError where the change needs a token that the call has not brought. */
  require(task: Task, touched: readonly Touched[]): void {
    if (!this.#isSure()) throw unsure()
    if (this.#locks.size > 0) this.#require(task, changesOf(touched))
  }

  /**
   * `require`, and the change counts as under way until the passage is ended. Nothing may be awaited between
   * this and the act.
   */
  pass(task: Task, touched: readonly Touched[]): Passage {
    if (!this.#isSure()) throw unsure()
    if (this.#locks.size > 0) this.#require(task, changesOf(touched))
    const under: Under = { touched, tokens: task.lockTokens, principal: task.principal.id, waiting: [] }
    this.#under.add(under)
    return {
      done: async (made) => {
        if (this.#locks.size > 0) await this.#settle(changesOf(touched), made)
      },
      end: () => {
        this.#under.delete(under)
        for (const go of under.waiting) go()
      },
    }
  }

  /** Resolves when nothing that the lock forbids is under way; false when that takes too long. */
  async drain(lock: StoredLock): Promise<boolean> {
    const before = [...this.#under].filter((under) => this.#opposes(under, lock))
    if (before.length === 0) return true
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), drainPatience)
    })
    const over = Promise.all(before.map(({ waiting }) => new Promise<void>((resolve) => waiting.push(resolve))))
    try {
      return await Promise.race([over.then(() => true), late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** The other processes wait for this one, and it has read everything since they do. */
  #isSure(share = 0.9): boolean {
    return performance.now() - this.#beaten < this.store.life * share
  }

  #concerns(backend: Backend): boolean {
    if (this.#locks.size === 0) return false
    let known = this.#concerned.get(backend)
    if (known === undefined) {
      known = this.#locks.values().some((lock) => concerns(lock, backend))
      this.#concerned.set(backend, known)
    }
    return known
  }

  #require({ lockTokens, principal }: Task, changes: readonly Change[]): void {
    for (const change of changes) {
      for (const lock of this.#about(change)) {
        if (!forbids(lock, change) || this.#isHeld(lock, lockTokens, principal.id)) continue
        const { path } = change.spot
        const root = isWithin(path, lock.path) ? lock.path : path
        const reason = { rule: 'lock', text: `a lock of ${lock.principal} is in the way`, path: lock.path }
        throw new LockedError('lock-token-submitted', root, { path, reason })
      }
    }
  }

  /** Those that the change may need. What leaves its place takes all below it along, wherever that is locked. */
  *#about({ spot, touch }: Change): Iterable<StoredLock> {
    yield* this.#locks.near(spot)
    if (touch === 'tree') yield* this.#locks.below(spot)
  }

  /** A shared lock is also satisfied by the token of another one on the same object. */
  #isHeld(lock: StoredLock, tokens: readonly string[], principal: string): boolean {
    return tokens.some((token) => {
      const held = this.#locks.get(token)
      if (held?.principal !== principal) return false
      if (held === lock) return true
      return lock.scope === 'shared' && held.scope === 'shared' && held.realm === lock.realm && held.at === lock.at
    })
  }

  #opposes(under: Under, lock: StoredLock): boolean {
    return (
      changesOf(under.touched).some((change) => forbids(lock, change)) &&
      !this.#isHeld(lock, under.tokens, under.principal)
    )
  }

  /** What has left its place leaves its locks behind (RFC 4918, section 7.5); what was replaced keeps them. */
  async #settle(changes: readonly Change[], made: Entry | undefined): Promise<void> {
    try {
      let isChanged = false
      for (const { spot, touch } of changes) {
        if (touch === 'tree') {
          const gone = [...this.#about({ spot, touch })].filter((lock) => isOn(lock, spot) || isBelow(lock, spot))
          if (gone.length === 0) continue
          await this.store.remove(gone.map(({ token }) => token))
          isChanged = true
        } else if (made?.id) {
          for (const lock of this.#locks.near(spot)) {
            if (!isOn(lock, spot)) continue
            const fresh = lock.fresh && made.size === 0
            if (lock.object === made.id && lock.fresh === fresh) continue
            await this.store.bind(lock.token, { object: made.id, above: lock.above, fresh })
            isChanged = true
          }
        }
      }
      if (!isChanged) return
      await this.sync()
    } catch (error) {
      // The change itself is done, and must not fail for this: the place still counts, until the lock expires.
      if (!(error instanceof StorageError)) throw error
    }
  }

  async #update(): Promise<void> {
    const started = performance.now()
    const due = started - this.#beaten > this.store.life / 5
    if (due) await this.store.beat(Math.max(0, this.#acknowledged))
    if (this.#earliest <= this.store.now()) await this.store.expire()
    const { serial, whole, locks, gone } = await this.store.changes(this.#serial)
    if (whole) this.#locks.clear()
    for (const lock of locks) this.#locks.set(lock)
    for (const { token } of locks) this.#news.add(token)
    for (const token of gone) this.#locks.delete(token)
    if (whole || locks.length + gone.length > 0) {
      this.#concerned = new WeakMap()
      this.#earliest = this.#locks.values().reduce((least, { expires }) => Math.min(least, expires), Infinity)
    }
    this.#serial = serial
    if (due) this.#beaten = started
  }

  /** Takes over what others have changed, and tells them once nothing under way was decided without it. */
  async #follow(): Promise<void> {
    await this.sync()
    const before = this.#acknowledged
    const serial = this.#serial
    if (serial === before) return
    const news = [...this.#news].flatMap((token) => this.#locks.get(token) ?? [])
    this.#news.clear()
    await Promise.all(
      news.map(async (lock) => {
        if (!(await this.drain(lock))) await this.store.refuse(lock.token)
      }),
    )
    await this.store.seen(serial)
    this.#acknowledged = serial
  }
}

function changesOf(touched: readonly Touched[]): Change[] {
  return touched.map(({ place, trail, touch }) => ({ spot: spotOf(place, trail), touch }))
}

function unsure(): StorageError {
  return new StorageError('unavailable', 'locks cannot be read now', { retryAfter: 1 })
}
