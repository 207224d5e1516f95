/** write: an upload that nobody sees before its commit, and that leaves no trace without one. */

import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { type Decision, permitsPath } from '../../acl/authorizer.ts'
import type { CommitCondition, Digest, Digests, Draft, Entry, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { touchOf } from './acting.ts'
import type { Call } from './call.ts'
import { commitOrDiscard, forMaker } from './committing.ts'
import { commitCondition, needsLook, requireConditions } from './conditions.ts'
import { denied, type Gate, requireParent, requirePlain } from './deciding.ts'
import { DigestSet, sameDigest } from './digests.ts'
import { StorageError } from './errors.ts'
import type { Admission } from './limits.ts'
import { makeParents } from './making.ts'
import type { Path } from './path.ts'
import { watchWritable } from './stalls.ts'
import type { Announced, Conditions, WriteOptions, Writing, Written } from './storage.ts'
import type { Task } from './task.ts'

/** Bytes of an upload of unknown size are counted against its principal in pieces of this size. */
const stagedPiece = 1024 * 1024
/** A commit waits until everything is on disk: a byte a millisecond of this many is added to the deadline. */
const commitBytesPerMs = 32 * 1024

/** StorageOperations.write */
export async function write(gate: Gate, call: Call, path: Path, options: WriteOptions): Promise<Writing> {
  const task = gate.begin(call, 'create', path)
  try {
    const wanted = await forMaker(gate, task, path, options)
    const upload = await startUpload(gate, task, path, wanted, 'new')
    return new AuditedUpload(gate, task, upload)
  } catch (thrown) {
    throw gate.fail(task, thrown)
  }
}

/** What the credential says of a path where a file may or may not be. */
export class Target {
  readonly place: Place
  readonly #create: Decision
  readonly #replace: Decision

  /** Throws `denied` where neither a new file nor new bytes are within the credential's bounds. */
  constructor(gate: Gate, task: Task, path: Path) {
    this.#create = permitsPath(task.principal, 'create', path)
    this.#replace = permitsPath(task.principal, 'replace', path)
    if (!this.#create.allowed && !this.#replace.allowed) throw denied(path, this.#create.reason)
    this.place = gate.admit(task, path)
    gate.requireWritable(this.place)
    if (task.namespace.leadsToMount(path)) throw new StorageError('is-directory', 'this is a directory', { path })
  }

  /** Both halves for what was seen there, then what it is. Called at the look and again at the commit. */
  decide(gate: Gate, task: Task, trail: Trail): void {
    const { entry } = trail
    const { mount, path } = this.place
    const half = entry ? this.#replace : this.#create
    // A back end that enforces may have looked at nothing: then the commit's condition keeps the bounds.
    const unseen = mount.backend.enforces(task.principal) && !entry
    if (!half.allowed && !unseen) throw denied(path, half.reason)
    gate.allow(task, entry ? 'replace' : 'create', this.place, trail)
    if (entry?.type === 'directory') throw new StorageError('is-directory', 'this is a directory', { path })
    if (entry) requirePlain(entry, path)
    else if (!unseen) requireParent(trail, path)
  }

  /** A credential that may only create never replaces, not even what came up since the look. */
  bound(condition: CommitCondition): CommitCondition {
    if (!this.#replace.allowed) return 'absent'
    if (!this.#create.allowed && condition === 'any') return 'present'
    return condition
  }

  /** A condition that came from the credential's bounds fails as a refusal, one of the caller's as what the caller asked. */
  translate(error: unknown, onlyNew: boolean): unknown {
    if (!(error instanceof StorageError) || error.code !== 'exists') return error
    const { path } = this.place
    if (onlyNew) return error
    if (!this.#replace.allowed) return denied(path, this.#replace.reason)
    return new StorageError('precondition', 'the file is there already', { path, cause: error })
  }
}

/** Options of uploads made by operations of several steps. */
export interface UploadOptions extends WriteOptions {
  /** Fail with `exists` rather than `precondition` where the file is there. */
  readonly onlyNew?: boolean
}

/** Resolves once the caller may write. Writes no audit line. Every upload ends by `commit` or `discard`. */
export async function startUpload(
  gate: Gate,
  task: Task,
  path: Path,
  options: UploadOptions,
  admission: Admission,
): Promise<Upload> {
  const target = new Target(gate, task, path)
  const announced = options.size ?? 0
  if (announced > largest(gate, task)) throw tooLarge(path)
  gate.limits.stage(task, announced)
  try {
    try {
      return await beginUpload(gate, task, target, options, admission)
    } catch (error) {
      const makeThem = options.createParents || target.place.mount.createParents
      if (!makeThem || !(error instanceof StorageError) || error.code !== 'no-parent') throw error
    }
    await makeParents(gate, task, path)
    return await beginUpload(gate, task, target, options, 'continues')
  } catch (error) {
    gate.limits.unstage(task, announced)
    throw error
  }
}

async function beginUpload(
  gate: Gate,
  task: Task,
  target: Target,
  options: UploadOptions,
  admission: Admission,
): Promise<Upload> {
  const { place } = target
  const { backend } = place.mount
  const { conditions = {}, size } = options
  let seen: Entry | undefined
  if (backend.enforces(task.principal) && needsLook(conditions)) {
    const trail = await gate.run(task, place, () => backend.walk(place.inner, task), { admission })
    seen = trail.entry
  }
  const draft = await gate.act(
    task,
    place,
    () => backend.create(place.inner, size === undefined ? {} : { size }, task),
    ({ trail }) => {
      target.decide(gate, task, trail)
      seen = trail.entry ?? (backend.enforces(task.principal) ? seen : undefined)
      if (options.onlyNew && seen) throw new StorageError('exists', 'the file exists', { path: place.path })
      // What a back end that enforces has not shown is checked by the commit alone.
      if (seen || !backend.enforces(task.principal) || needsLook(conditions)) requireConditions(conditions, seen)
      task.operation = seen && task.operation === 'create' ? 'replace' : task.operation
    },
    {
      admission,
      late: (late) => late.discard(),
      touching: { touched: ({ trail }) => [{ place, trail, touch: touchOf(trail) }], prepares: true },
    },
  )
  return new Upload(gate, task, target, draft, options, seen)
}

/** A draft with everything that is counted, computed and checked on its way. */
export class Upload implements Writing {
  readonly body: Writable
  readonly replaces: Entry | undefined
  /** Bytes taken so far. */
  bytes = 0
  readonly #gate: Gate
  readonly #task: Task
  readonly #target: Target
  readonly #draft: Draft
  readonly #condition: CommitCondition
  #options: UploadOptions
  #digests: DigestSet | undefined
  #staged: number
  #over = false

  constructor(
    gate: Gate,
    task: Task,
    target: Target,
    draft: Draft,
    options: UploadOptions,
    replaces: Entry | undefined,
  ) {
    this.#gate = gate
    this.#task = task
    this.#target = target
    this.#draft = draft
    this.#options = options
    this.#staged = options.size ?? 0
    this.#condition = target.bound(options.onlyNew ? 'absent' : commitCondition(conditionsOf(options), replaces))
    this.#digests = digestsOf(options)
    this.body = draft.body
    this.replaces = replaces
    gate.metrics?.draftOpened()
    watchWritable(gate.limits, target.place.mount, draft.body, {
      before: (bytes) => this.#take(bytes),
      hang: (error) => task.expire(error),
    })
  }

  announce(announced: Announced): void {
    if (this.#over) throw new StorageError('cancelled', 'the upload is over')
    const { size = 0, digests = [], expected = {} } = announced
    const { path } = this.#target.place
    const before = this.#options
    const isEarly = this.bytes === 0
    const isComputed = (kind: string) => this.#digests?.has(kind as Digest) ?? false
    if (!isEarly && (announced.size !== undefined || ![...digests, ...Object.keys(expected)].every(isComputed))) {
      throw new StorageError('invalid', 'this was to be announced before the first byte', { path })
    }
    if (size > largest(this.#gate, this.#task)) throw tooLarge(path)
    const more = Math.max(0, size - this.#staged)
    this.#gate.limits.stage(this.#task, more)
    this.#staged += more
    const all = { digests: [...(before.digests ?? []), ...digests], expected: { ...before.expected, ...expected } }
    const options = { ...before, ...announced, ...all }
    if (isEarly) this.#digests = digestsOf(options)
    this.#options = options
  }

  async commit(): Promise<Written> {
    if (this.#over) throw new StorageError('invalid', 'the upload is over')
    let digests: Digests
    try {
      await this.#flushed()
      // Discarded meanwhile, or committed twice.
      if (this.#over) throw new StorageError('cancelled', 'the upload is over')
      this.#checkSize()
      digests = this.#checkDigests()
    } catch (error) {
      await this.discard()
      throw error
    }
    this.#end()
    return this.#commit(digests)
  }

  async discard(): Promise<void> {
    if (this.#over) return
    this.#end()
    this.body.destroy()
    const { place } = this.#target
    await this.#gate.run(this.#task, place, () => this.#draft.discard(), { admission: 'continues' })
  }

  async #commit(digests: Digests): Promise<Written> {
    const { place } = this.#target
    const { modified } = this.#options
    let replaced: Entry | undefined
    const options = {
      condition: this.#condition,
      decide: (trail: Trail) => {
        this.#target.decide(this.#gate, this.#task, trail)
        replaced = trail.entry
      },
      ...(this.#digests ? { digests } : {}),
      ...(modified === undefined ? {} : { modified }),
    }
    try {
      const entry = await this.#gate.run(
        this.#task,
        place,
        () => commitOrDiscard(this.#gate, this.#task, place, this.#draft, options),
        {
          admission: 'continues',
          deadline: place.mount.deadline + this.bytes / commitBytesPerMs,
        },
      )
      return { entry, created: replaced === undefined, digests }
    } catch (error) {
      throw this.#target.translate(error, this.#options.onlyNew ?? false)
    }
  }

  /** Sees every byte before the back end does. */
  #take(bytes: Buffer): StorageError | undefined {
    const { path } = this.#target.place
    this.bytes += bytes.length
    const { size } = this.#options
    if (size !== undefined && this.bytes > size) {
      return new StorageError('invalid', 'there are more bytes than announced', { path })
    }
    if (this.bytes > largest(this.#gate, this.#task)) return tooLarge(path)
    if (this.bytes > this.#staged) {
      try {
        const more = Math.max(stagedPiece, this.bytes - this.#staged)
        this.#gate.limits.stage(this.#task, more)
        this.#staged += more
      } catch (error) {
        return StorageError.from(error)
      }
    }
    this.#digests?.update(bytes)
    return undefined
  }

  async #flushed(): Promise<void> {
    const { body } = this
    if (body.writableFinished) return
    if (body.errored) throw StorageError.from(body.errored)
    if (body.destroyed) throw new StorageError('cancelled', 'the upload was broken off')
    body.end()
    await this.#gate.run(this.#task, this.#target.place, () => finished(body), { admission: 'continues' })
  }

  #checkSize(): void {
    const { size } = this.#options
    if (size === undefined || size === this.bytes) return
    throw new StorageError('invalid', 'there are fewer bytes than announced', { path: this.#target.place.path })
  }

  #checkDigests(): Digests {
    const digests = this.#digests?.finish() ?? {}
    for (const [kind, expected] of Object.entries(this.#options.expected ?? {}) as [Digest, Uint8Array][]) {
      const computed = digests[kind]
      if (computed && sameDigest(computed, expected)) continue
      throw new StorageError('bad-checksum', `the ${kind} is not the one announced`, { path: this.#target.place.path })
    }
    return digests
  }

  #end(): void {
    this.#over = true
    this.#gate.limits.unstage(this.#task, this.#staged)
    this.#gate.metrics?.draftEnded()
  }
}

/** An upload that is a call of its own, and so has an audit line of its own. */
class AuditedUpload implements Writing {
  readonly body: Writable
  readonly replaces: Entry | undefined
  readonly #gate: Gate
  readonly #task: Task
  readonly #upload: Upload

  constructor(gate: Gate, task: Task, upload: Upload) {
    this.#gate = gate
    this.#task = task
    this.#upload = upload
    this.body = upload.body
    this.replaces = upload.replaces
  }

  announce(announced: Announced): void {
    this.#upload.announce(announced)
  }

  async commit(): Promise<Written> {
    try {
      const written = await this.#upload.commit()
      this.#count()
      this.#gate.succeed(this.#task)
      return written
    } catch (thrown) {
      this.#count()
      throw this.#gate.fail(this.#task, thrown)
    }
  }

  async discard(error?: unknown): Promise<void> {
    this.#count()
    const why = error ?? this.body.errored ?? new StorageError('cancelled', 'the upload was discarded')
    try {
      await this.#upload.discard()
    } finally {
      this.#gate.fail(this.#task, why)
    }
  }

  #count(): void {
    if (this.#task.ended) return
    this.#task.bytes = this.#upload.bytes
    this.#gate.metrics?.moved(this.#task.protocol, 'in', this.#upload.bytes)
  }
}

function digestsOf({ digests = [], expected = {} }: UploadOptions): DigestSet | undefined {
  const kinds = [...digests, ...(Object.keys(expected) as Digest[])]
  return kinds.length > 0 ? new DigestSet(kinds) : undefined
}

function conditionsOf({ conditions = {} }: UploadOptions): Conditions {
  return conditions
}

/** Bytes that one upload of this caller may have. */
function largest({ limits }: Gate, { principal }: Task): number {
  return Math.min(limits.options.maxUpload, principal.maxUpload ?? Number.POSITIVE_INFINITY)
}

function tooLarge(path: Path): StorageError {
  return new StorageError('too-large', 'the upload is larger than allowed', { path })
}
