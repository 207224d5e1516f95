/** A LOCK that asks for a new lock: decided, told to every process, and granted when nothing is under way there. */

import { randomUUID } from 'node:crypto'
import { right } from '../../acl/acl.ts'
import { type Decision, permitsPath } from '../../acl/authorizer.ts'
import type { Entry, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import type { LockBounds, StoredLock } from '../state/state.ts'
import type { Call } from './call.ts'
import { requireConditions } from './conditions.ts'
import { denied, type Gate, requireParent, requirePlain } from './deciding.ts'
import { StorageError } from './errors.ts'
import { bindingOf, excludes, type Spot, spotOf } from './lock-scope.ts'
import { LockedError, type Locks } from './locks.ts'
import { isWithin, type Path } from './path.ts'
import type { Conditions } from './storage.ts'
import type { Task } from './task.ts'
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
  /** What must be so of the object when the lock is granted; of one that is made that nothing is there. */
  readonly conditions?: Conditions | undefined
}

/** One LOCK that asks for a new lock. */
export class LockRequest {
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
    await this.#decide(trail, spot)
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
    await this.#decide(trail, spot)
    const made = trail.entry ? undefined : await this.#makeFile(lock)
    const bound = bindingOf(made ? { ...spot, id: made.id || undefined } : spot, made !== undefined)
    const expires = this.#locks.store.now() + secondsOf(this.#wish.timeout) * 1000
    if (!(await this.#locks.store.confirm(lock.token, bound, expires))) throw underChange(this.#path)
    await this.#locks.sync()
    return { lock: { ...lock, ...bound, expires }, created: made !== undefined }
  }

  async #decide(trail: Trail, spot: Spot): Promise<void> {
    await decideLock(this.#gate, this.#task, this.#place, trail)
    const { conditions } = this.#wish
    if (conditions) requireConditions(conditions, trail.entry)
    if (trail.entry) await this.#requireNoBytes(spot)
  }

  /** What a mount has locked a part of for somebody else. */
  async #requireNoBytes({ realm, id, at }: Spot): Promise<void> {
    const { scope, depth } = this.#wish
    const spot = { realm, object: id, below: depth === 'infinity' ? at : undefined }
    const wanted = scope === 'shared' ? 'exclusive' : 'any'
    const other = await this.#locks.bytes?.foreign(this.#task.principal.id, spot, wanted)
    if (!other) return
    const path = this.#path
    const reason = { rule: 'lock', text: `a mount of ${other.principal} has locked bytes`, path }
    throw new LockedError('no-conflicting-lock', path, { path, reason })
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

/** Who may write to something may lock it; who may make something may lock its name. Throws `denied`. */
export async function decideLock(gate: Gate, task: Task, place: Place, trail: Trail): Promise<void> {
  const { mount, path, inner } = place
  const enforces = mount.backend.enforces(task.principal)
  const { entry } = trail
  const action = entry ? 'replace' : 'create'
  const decision = permitsPath(task.principal, action, path)
  if (!decision.allowed) throw denied(path, decision.reason)
  gate.allow(task, action, place, trail)
  if (!entry) {
    if (!enforces) requireParent(trail, path)
    return
  }
  requirePlain(entry, path)
  if (!enforces) return
  const { rights } = mount.backend
  const ask = async () => rights?.effective(inner, task) ?? 'unknown'
  const held = await gate.run(task, place, ask, { admission: 'continues' })
  // Writing bytes and adding files are one bit (RFC 8881, section 6.2.1.3).
  if (held !== 'unknown' && (held & right.writeData) !== 0) return
  const text = held === 'unknown' ? 'the storage does not say who may write here' : 'the storage says no'
  throw denied(path, { rule: 'lock', text, path })
}

/** The credential's half: whoever could change something there may hold it. */
export function mayLock({ principal }: Call, path: Path): Decision {
  const replace = permitsPath(principal, 'replace', path)
  return replace.allowed ? replace : permitsPath(principal, 'create', path)
}

/** What is there, and how locks know it. */
export async function lookAt(
  gate: Gate,
  task: Task,
  place: Place,
): Promise<{ readonly trail: Trail; readonly spot: Spot }> {
  const trail = await gate.run(task, place, () => place.mount.backend.walk(place.inner, task))
  return { trail, spot: spotOf(place, trail) }
}

/** Of a lock whose client asks for so many. */
export function secondsOf(timeout: number | undefined): number {
  return timeout === undefined ? usualTimeout : Math.max(1, Math.min(longestTimeout, Math.floor(timeout)))
}

function underChange(path: Path): StorageError {
  return new StorageError('busy', 'something is being changed there', { path, retryAfter: 1 })
}
