/** write: an upload that nobody sees before its commit, and that leaves no trace without one. */

import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { CommitCondition, Digest, Digests, Draft, Entry, Trail } from '../../backends/backend.ts'
import type { Call } from './call.ts'
import { commitOrDiscard, forMaker } from './committing.ts'
import { commitCondition } from './conditions.ts'
import type { Gate } from './deciding.ts'
import { DigestSet, sameDigest } from './digests.ts'
import { StorageError } from './errors.ts'
import { requireRecord } from './kept.ts'
import type { Admission } from './limits.ts'
import { parentGone } from './making.ts'
import { takeBack } from './new-parents.ts'
import type { Path } from './path.ts'
import { watchWritable } from './stalls.ts'
import type { Announced, Conditions, WriteOptions, Writing, Written } from './storage.ts'
import { begin, Target, withParents } from './target.ts'
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

/** Options of uploads made by operations of several steps. */
export interface UploadOptions extends WriteOptions {
  /** Fail with `exists` rather than `precondition` where the file is there. */
  readonly onlyNew?: boolean
  /** Kept with the new bytes besides those that are computed. */
  readonly known?: Digests
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
    return await withParents(gate, task, target, options, admission, (now) =>
      beginUpload(gate, task, target, options, now),
    )
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
  const { size } = options
  const { made, seen } = await begin(gate, task, target, options, {
    admission,
    open: () => place.mount.backend.create(place.inner, size === undefined ? {} : { size }, task),
    late: (late) => late.discard(),
  })
  return new Upload(gate, task, target, made, options, seen)
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
  readonly #leave: () => void
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
    this.#leave = gate.uploadPlaces.enter(target.place.path)
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

  async commit({ record }: Parameters<Writing['commit']>[0] = {}): Promise<Written> {
    if (this.#over) throw new StorageError('invalid', 'the upload is over')
    let digests: Digests
    let text: string | undefined
    try {
      await this.#flushed()
      // Discarded meanwhile, or committed twice.
      if (this.#over) throw new StorageError('cancelled', 'the upload is over')
      this.#checkSize()
      digests = this.#checkDigests()
      text = record ? record(digests) : this.#options.record
      requireRecord(text, this.#target.place.path)
    } catch (error) {
      await this.discard()
      throw error
    }
    this.#end()
    return this.#commit(digests, text)
  }

  async discard(): Promise<void> {
    if (this.#over) return
    this.#end()
    this.body.destroy()
    const { place } = this.#target
    try {
      await this.#gate.run(this.#task, place, () => this.#draft.discard(), { admission: 'continues' })
    } finally {
      await this.#giveUp()
    }
  }

  async #commit(digests: Digests, record: string | undefined): Promise<Written> {
    const { place } = this.#target
    const { modified, known } = this.#options
    let replaced: Entry | undefined
    const options = {
      condition: this.#condition,
      decide: (trail: Trail) => {
        this.#target.decide(this.#gate, this.#task, trail)
        replaced = trail.entry
      },
      ...(this.#digests || known ? { digests: { ...known, ...digests } } : {}),
      ...(record === undefined ? {} : { record }),
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
      this.#leave()
      return { entry, created: replaced === undefined, digests }
    } catch (error) {
      await this.#giveUp()
      throw parentGone(this.#target.translate(error, this.#options.onlyNew ?? false), place.path)
    }
  }

  async #giveUp(): Promise<void> {
    this.#leave()
    await takeBack(this.#gate, this.#task, this.#target.madeParents)
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

  async commit(options?: Parameters<Writing['commit']>[0]): Promise<Written> {
    try {
      const written = await this.#upload.commit(options)
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
export function largest({ limits }: Gate, { principal }: Pick<Task, 'principal'>): number {
  return Math.min(limits.options.maxUpload, principal.maxUpload ?? Number.POSITIVE_INFINITY)
}

export function tooLarge(path: Path): StorageError {
  return new StorageError('too-large', 'the upload is larger than allowed', { path })
}
