/** What every operation has in common: the two halves of a decision, the limits, the audit line. */

import { right } from '../../acl/acl.ts'
import { type Decision, decideEntry, permitsPath, permitsTrail, permitsType } from '../../acl/authorizer.ts'
import { isOwner } from '../../acl/evaluate.ts'
import type { Action } from '../../acl/needs.ts'
import type { Principal } from '../../acl/principal.ts'
import type { Entry, Pending, Trail } from '../../backends/backend.ts'
import type { Mount, Namespace, Place } from '../../mounts/namespace.ts'
import { attempt, type Touching } from './acting.ts'
import type { AuditLog } from './audit.ts'
import type { Call } from './call.ts'
import { type ErrorCode, type Reason, StorageError } from './errors.ts'
import { Feed } from './feed.ts'
import { Generation } from './generation.ts'
import type { Admission, Limits } from './limits.ts'
import type { Locks } from './locks.ts'
import type { Metrics } from './metrics.ts'
import { UploadPlaces } from './new-parents.ts'
import { OpenFiles } from './open-files.ts'
import { isWithin, nameOf, namesOf, type Path, rebase } from './path.ts'
import { type Operation, Task } from './task.ts'

/** How a call ended: codes that mean "you may not" or "not now", the rest is a failure. */
const refusals: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'unauthenticated',
  'denied',
  'not-owner',
  'read-only',
  'busy',
  'locked',
  'quota',
])

const harmless: ReadonlySet<Action> = new Set<Action>([
  'stat',
  'list',
  'read',
  'read-properties',
  'read-acl',
  'stage',
  'locality',
])

/**
 * Order of the checks, for every operation: audit log healthy, credential's half on the path, anonymous
 * callers, mount, limits, one look by the back end, storage's half on what it saw, existence and type,
 * preconditions, act. A refusal by the credential costs the back end nothing.
 */
export class Gate {
  #namespace: Namespace
  #generation = new Generation()
  /** Calls of earlier generations. */
  #earlier: Promise<unknown> = Promise.resolve()
  readonly limits: Limits
  readonly audit: AuditLog
  readonly metrics: Metrics | undefined
  /** Undefined where there is no state store to keep them. */
  readonly locks: Locks | undefined
  /** An existing directory in which a listing that must be sorted may spill. */
  readonly spillDirectory: string
  readonly uploadPlaces = new UploadPlaces()
  readonly feed: Feed
  readonly openFiles = new OpenFiles()

  constructor(parts: {
    readonly namespace: Namespace
    readonly limits: Limits
    readonly audit: AuditLog
    readonly metrics: Metrics | undefined
    readonly spillDirectory: string
    readonly locks?: Locks | undefined
    readonly feed?: Feed
  }) {
    this.#namespace = parts.namespace
    this.limits = parts.limits
    this.audit = parts.audit
    this.metrics = parts.metrics
    this.spillDirectory = parts.spillDirectory
    this.locks = parts.locks
    this.feed = parts.feed ?? new Feed()
    this.feed.follow((from, { to, swaps }) => {
      this.openFiles.moved(this.#namespace.resolve(from), this.#namespace.resolve(to), swaps)
    })
  }

  get namespace(): Namespace {
    return this.#namespace
  }

  /**
   * Swaps the mount table as a whole; a running call keeps its own place. Resolves when all calls that
   * began before have ended, so that back ends which only they used can be closed.
   */
  async useNamespace(namespace: Namespace): Promise<void> {
    this.#earlier = Promise.all([this.#earlier, this.#generation.close()])
    this.#namespace = namespace
    this.#generation = new Generation()
    this.feed.remounted()
    await this.#earlier
  }

  /** Throws `unavailable` while the audit log cannot be written. Every task begun is ended by `succeed` or `fail`. */
  begin(call: Call, operation: Operation, path: Path, to?: Path): Task {
    if (!this.audit.healthy) {
      throw new StorageError('unavailable', 'the audit log cannot be written', { retryAfter: 5 })
    }
    const task = new Task(call, operation, path, this.#namespace, to)
    task.generation = this.#generation
    task.generation.enter()
    return task
  }

  /** Runs an operation that is over when its promise settles, and writes its audit line. */
  async perform<T>(
    call: Call,
    operation: Operation,
    path: Path,
    work: (task: Task) => Promise<T>,
    to?: Path,
  ): Promise<T> {
    const task = this.begin(call, operation, path, to)
    try {
      const result = await work(task)
      this.succeed(task)
      return result
    } catch (thrown) {
      throw this.fail(task, thrown)
    }
  }

  /** Writes the audit line of a call that did what it was asked. Once; later calls change nothing. */
  succeed(task: Task): void {
    this.#end(task, undefined)
  }

  /** Writes the audit line of a call that did not, and gives the error to throw. */
  fail(task: Task, thrown: unknown): StorageError {
    const error = askForCredential(task, causeOf(thrown))
    this.#end(task, error)
    return error
  }

  /** The credential's half, then where the path lives, then whether that mount admits callers without a credential. */
  place(task: Task, action: Action, path: Path): Place {
    const decision = permitsPath(task.principal, action, path)
    if (!decision.allowed) throw denied(path, decision.reason)
    return this.admit(task, path)
  }

  /** `place` without the credential's half, for whoever has decided that otherwise. */
  admit(task: Task, path: Path): Place {
    const { user, expires } = task.principal
    const place = task.namespace.resolve(path)
    if (user === undefined && !admitsAnonymous(task.namespace, place)) {
      const reason = { rule: 'anonymous', text: 'the mount admits no callers without a credential', path }
      throw new StorageError('unauthenticated', 'a credential is needed', { path, reason })
    }
    if (expires !== undefined && expires * 1000 <= Date.now()) {
      const reason = { rule: 'token-expired', text: 'the credential has expired' }
      throw new StorageError('unauthenticated', 'the credential has expired', { path, reason })
    }
    if (task.principal.addresses?.includes(task.from) === false) {
      throw denied(path, { rule: 'address', text: 'the credential is for other addresses than the caller has', path })
    }
    return place
  }

  /** For everything that changes something: the mount must be writable. Comes before the look, which could already leave traces. */
  requireWritable({ mount, path }: Place): void {
    if (!mount.readOnly) return
    const reason = { rule: 'read-only', text: 'the mount is read-only', path }
    throw new StorageError('read-only', 'this part of the namespace is read-only', { path, reason })
  }

  /** Neither a mount point nor a directory that holds one can be moved, removed or replaced. */
  requireMovable({ namespace }: Task, path: Path): void {
    if (!namespace.isMountPoint(path) && !namespace.leadsToMount(path)) return
    throw denied(path, { rule: 'mount-point', text: 'a mount point is there or below', path })
  }

  /**
   * The storage's half, over what a look saw. Where links were followed the credential's half is decided
   * again on where they led. A back end that enforces decides itself, as the caller.
   */
  allow(task: Task, action: Action, place: Place, trail: Trail): void {
    const way = this.permitsWay(task, action, place, trail)
    if (!way.allowed) throw denied(place.path, way.reason)
    const decision = place.mount.backend.enforces(task.principal)
      ? permitsObject(task.principal, action, place.path, trail.entry)
      : permitsTrail(task.principal, action, clip(place.mount, trail), place.path)
    if (!decision.allowed) throw denied(place.path, decision.reason)
  }

  /** `allow` with another rule in the place of permitsTrail. */
  allowAs(task: Task, action: Action, place: Place, trail: Trail, rule: (seen: Trail) => Decision): void {
    const way = this.permitsWay(task, action, place, trail)
    if (!way.allowed) throw denied(place.path, way.reason)
    if (place.mount.backend.enforces(task.principal)) return
    const decision = rule(clip(place.mount, trail))
    if (!decision.allowed) throw denied(place.path, decision.reason)
  }

  /**
   * Where links were followed: the credential's half on where they led, which must lie in the same mount. What
   * another mount covers has that mount's rules, so it is reached under its own path alone.
   */
  permitsWay({ principal, namespace }: Task, action: Action, place: Place, trail: Trail): Decision {
    if (trail.resolved === undefined) return { allowed: true }
    const { mount, path } = place
    const refuse = (text: string): Decision => ({ allowed: false, reason: { rule: 'symlink', text, path } })
    if (!isWithin(trail.resolved, mount.base)) return refuse('a link leads out of the mount')
    const led = rebase(trail.resolved, mount.base, mount.at)
    if (namespace.resolve(led).mount !== mount) return refuse('a link leads to what another mount covers')
    if ((action === 'remove' || action === 'move-away') && namespace.leadsToMount(led)) {
      return refuse('a link leads to a directory that holds a mount point')
    }
    return permitsPath(principal, action, led)
  }

  /** `allow`, and the entry; `not-found` only to who may look. Directories that lead to mounts are always there. */
  existing(task: Task, action: Action, place: Place, trail: Trail): Entry {
    this.allow(task, action, place, trail)
    if (trail.entry === undefined) throw missing(place.path)
    return named(place, trail.entry)
  }

  /** One back-end call, or several that belong together, within the mount's limit and deadline. */
  run<T>(
    task: Task,
    place: Place,
    work: () => Promise<T>,
    options?: { readonly admission?: Admission; readonly deadline?: number; readonly late?: (value: T) => unknown },
  ): Promise<T> {
    return this.limits.run(task, place.mount, work, options)
  }

  /**
   * Looks, decides, acts, lets go. When the object changed between look and act everything is done again, the
   * decision too, a few times. What changes something says in `touching` what it is about, for locks and watchers. `late`
   * lets go of a result that comes after the deadline.
   */
  act<T>(
    task: Task,
    place: Place,
    look: () => Promise<Pending<T>>,
    decide: (pending: Pending<T>) => void,
    options?: {
      readonly admission?: Admission
      readonly deadline?: number
      readonly late?: (value: T) => unknown
      readonly touching?: Touching<T>
    },
  ): Promise<T> {
    const work = () => attempt(task, place, look, decide, this, options?.touching)
    return this.limits.run(task, place.mount, work, options)
  }

  #end(task: Task, error: StorageError | undefined): void {
    if (task.ended) return
    task.ended = true
    task.generation?.leave()
    if (!task.lasting) task.detach()
    const ms = performance.now() - task.started
    this.metrics?.count(task.protocol, task.operation, error?.code ?? 'ok', ms)
    this.audit.record({
      call: task.id,
      principal: task.principal.id,
      user: task.principal.user,
      door: task.protocol,
      from: task.from,
      action: task.operation,
      path: task.path,
      to: task.to,
      about: task.about,
      outcome: error === undefined ? 'ok' : refusals.has(error.code) ? 'refused' : 'failed',
      code: error?.code,
      reason: error && StorageError.reasonOf(error),
      bytes: task.bytes,
      items: task.items,
      ms,
    })
  }
}

/** A directory between mounts is shown to callers without a credential where one of its mounts admits them. */
export function admitsAnonymous(namespace: Namespace, { mount, path }: Place): boolean {
  return mount.anonymous && (mount !== namespace.between || leadsAnonymous(namespace, path))
}

/** Whether a mount that admits callers without a credential is at `path` or below. */
export function leadsAnonymous(namespace: Namespace, path: Path): boolean {
  return namespace.mounts.some(({ anonymous, at }) => anonymous && isWithin(at, path))
}

/** What is left of an object's rights where a mount is read-only. */
export const harmlessRights =
  right.readData | right.readNamedAttributes | right.execute | right.readAttributes | right.readAcl | right.synchronize

/** Whether the action changes something, and so is for nobody where a mount is read-only. */
export function isChange(action: Action): boolean {
  return !harmless.has(action)
}

/** Refusals that no credential would change. */
const settledRules: ReadonlySet<string> = new Set(['mount-point', 'symlink', 'special-file', 'mode', 'administrator'])

/** Who came without a credential is asked for one where it could help (RFC 9110, section 15.5.2). */
function askForCredential({ principal }: Task, error: StorageError): StorageError {
  if (error.code !== 'denied' || principal.user !== undefined) return error
  const reason = StorageError.reasonOf(error)
  if (reason && settledRules.has(reason.rule)) return error
  const details = { cause: error, ...(error.path && { path: error.path }), ...(reason && { reason }) }
  return new StorageError('unauthenticated', 'a credential is needed', details)
}

/** The one answer to everybody who may not: it does not tell what is there. The reason is for the audit log. */
export function denied(path: Path, reason: Reason): StorageError {
  return new StorageError('denied', 'not allowed', { path, reason })
}

export function missing(path: Path): StorageError {
  return new StorageError('not-found', 'no such file or directory', { path })
}

/** Links are shown, never followed here, and devices and pipes are nobody's data. To be called after the ACLs allowed it. */
export function requirePlain(entry: Entry, path: Path): void {
  if (entry.type === 'symlink') throw denied(path, { rule: 'symlink', text: 'links are not followed here', path })
  if (entry.type === 'other') throw denied(path, { rule: 'special-file', text: 'not a file or directory', path })
}

/** For what makes a new name: the directory it goes into must be there. To be called after the ACLs allowed it. */
export function requireParent(trail: Trail, path: Path): void {
  if (trail.parentExists) return
  const last = trail.ancestors.at(-1)
  if (last && last.type !== 'directory') throw new StorageError('not-directory', 'the parent is no directory', { path })
  throw new StorageError('no-parent', 'the parent directory does not exist', { path })
}

/**
 * What lies above the directory that is mounted is no business of the caller's: whoever configured the mount
 * has decided that. Throws `unavailable` if the mounted directory itself is not there.
 */
export function clip(mount: Mount, trail: Trail): Trail {
  if (mount.base === '/') return trail
  const above = namesOf(mount.base).length
  if (trail.ancestors.length < above) {
    throw new StorageError('unavailable', 'the mounted directory is not there', { path: mount.at, retryAfter: 30 })
  }
  const { ancestors, resolved } = trail
  if (resolved === undefined) return { ...trail, ancestors: ancestors.slice(above) }
  // Directories that links led through and away from come first: they count, and are not the ones above the mount.
  const via = trail.parentExists ? ancestors.length - namesOf(resolved).length : undefined
  // Where the way ends early they cannot be told apart, so all of them count.
  if (via === undefined || via < 0) return trail
  return { ...trail, ancestors: [...ancestors.slice(0, via), ...ancestors.slice(via + above)] }
}

/** The root of a mount goes by the name of its mount point. */
export function named(place: Place, entry: Entry): Entry {
  if (place.path !== place.mount.at) return entry
  const name = nameOf(place.path)
  return entry.name === name ? entry : { ...entry, name }
}

/** All that whoever may list a directory learns of an entry whose attributes are closed. An empty version is no version. */
export function nameAndType({ name, type }: Entry): Entry {
  return { name, type, size: 0, modified: 0n, changed: 0n, version: '', id: '' }
}

/** A directory to somebody who may list it: its attributes only where `stat` would show them. */
export function shownDirectory({ principal }: Task, place: Place, entry: Entry): Entry {
  const own = named(place, entry)
  if (place.mount.backend.enforces(principal)) return own
  return decideEntry(own, principal, right.readAttributes).outcome === 'allowed' ? own : nameAndType(own)
}

/** Codes of Node that say that the other end of a transfer has gone. */
const gone: ReadonlySet<unknown> = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ABORT_ERR', 'ECONNRESET', 'EPIPE'])

/** Doors may hand on what a stream or an aborted wait has thrown. */
function causeOf(thrown: unknown): StorageError {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  if (thrown instanceof StorageError || !gone.has(code)) return StorageError.from(thrown)
  return new StorageError('cancelled', 'the transfer was broken off', { cause: thrown })
}

/** What is left of the credential's half once the object is known, where the storage's half is decided elsewhere. */
export function permitsObject(principal: Principal, action: Action, path: Path, entry: Entry | undefined): Decision {
  if (principal.grants === 'unbounded' || entry === undefined) return { allowed: true }
  if (action === 'read-acl' && !(entry.acl && isOwner(entry.acl, principal))) {
    return {
      allowed: false,
      reason: { rule: 'scope', text: 'no scope of a token allows reading the ACL of others', path },
    }
  }
  return permitsType(principal, action, path, entry.type)
}
