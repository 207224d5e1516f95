/**
 * append: bytes at the end of an upload. They count as soon as they are on disk, which is so at the end and, in a
 * long body, every now and then.
 */

import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { Digest } from '../../backends/backend.ts'
import type { StoredUpload, UploadProgress } from '../state/state.ts'
import { DigestSet, sameDigest } from './digests.ts'
import { StorageError } from './errors.ts'
import { Intake } from './intake.ts'
import type { SpooledDraft } from './spool.ts'
import { watchWritable } from './stalls.ts'
import type { Target } from './target.ts'
import type { Task } from './task.ts'
import { digestsFor, openDraft, requireSamePlace, requireThere, type UploadMeans } from './upload-means.ts'
import { stateOf } from './upload-terms.ts'
import { superseded, type Turn } from './upload-turns.ts'
import { type AppendOptions, OffsetError } from './uploads.ts'
import { largest, tooLarge } from './writing.ts'

/** After so many bytes, or ms, what has come is put on disk. */
const segmentBytes = 64 * 1024 * 1024
const segmentTime = 5000
/** Bytes of an upload of unknown length are counted against its principal in pieces of this size. */
const reservedPiece = 16 * 1024 * 1024
/** What has come is on disk after the deadline and a ms for each so many bytes. */
const bytesPerMs = 32 * 1024

export interface Appended {
  readonly offset: number
  readonly body: Readable
  readonly options: AppendOptions
  /** Aborts when the caller has gone, or may not go on. */
  readonly signal: AbortSignal
}

/** Adds what comes. Resolves to the upload after it; throws after what came before the failure is kept. */
export async function append(
  means: UploadMeans,
  task: Task,
  target: Target,
  turn: Turn,
  { offset, body, options, signal }: Appended,
): Promise<StoredUpload> {
  const { gate } = means
  const { row } = turn
  requireSamePlace(turn, target)
  if (row.result !== undefined || offset !== row.offset) throw new OffsetError(stateOf(row))
  const told = tellLength(means, task, row, options.length)
  const draft = await openDraft(means, task, target, turn)
  // Before anything is heard of the body, so that whatever it says first is not missed.
  const intake = new Intake(body, [turn.signal, signal])
  try {
    const appending = new Appending(means, task, target, turn, draft, told.length, options)
    await appending.begin(told)
    return await appending.run(intake)
  } finally {
    intake.close()
    await gate.run(task, target.place, () => draft.close(), { admission: 'continues' })
  }
}

/** What becomes of the length when the caller tells it. Throws `invalid` and `too-large`. */
export function tellLength(
  { gate }: UploadMeans,
  task: Pick<Task, 'principal'>,
  row: StoredUpload,
  length: number | undefined,
): UploadProgress {
  const { path } = row
  if (length === undefined) return { ...(row.length !== undefined && { length: row.length }) }
  if (row.length !== undefined && row.length !== length) {
    throw new StorageError('invalid', 'the length is not the one that was told before', { path })
  }
  if (length < row.offset) throw new StorageError('invalid', 'there are more bytes already', { path })
  if (length > largest(gate, task)) throw tooLarge(path)
  return row.length === undefined ? { length, reserved: length } : { length }
}

class Appending {
  readonly #means: UploadMeans
  readonly #task: Task
  readonly #target: Target
  readonly #turn: Turn
  readonly #draft: SpooledDraft
  readonly #length: number | undefined
  readonly #options: AppendOptions
  /** Nothing counts before all is there. */
  readonly #whole: boolean
  /** Of the bytes of this append. */
  readonly #own: DigestSet | undefined
  /** Of all bytes. */
  readonly #all: DigestSet | undefined
  readonly #largest: number
  #offset: number
  #reserved: number
  /** Bytes handed to the draft that do not count yet. */
  #pending = 0

  constructor(
    means: UploadMeans,
    task: Task,
    target: Target,
    turn: Turn,
    draft: SpooledDraft,
    length: number | undefined,
    options: AppendOptions,
  ) {
    this.#means = means
    this.#task = task
    this.#target = target
    this.#turn = turn
    this.#draft = draft
    this.#length = length
    this.#options = options
    this.#whole = options.whole === true || options.digest !== undefined
    this.#own = options.digest && new DigestSet(Object.keys(options.digest) as Digest[])
    this.#all = means.passes.take(turn, digestsFor(turn.row))
    this.#largest = largest(means.gate, task)
    this.#offset = turn.row.offset
    this.#reserved = turn.row.reserved
    task.bytes = 0
  }

  /** Writes down what was told. Throws OffsetError where bytes have been lost. */
  async begin(told: UploadProgress): Promise<void> {
    await requireThere(this.#means, this.#turn, this.#draft)
    if (told.reserved === undefined) return
    await this.#progress(told)
    this.#reserved = told.reserved
  }

  async run(intake: Intake): Promise<StoredUpload> {
    try {
      while (await this.#segment(intake));
    } finally {
      this.#means.gate.metrics?.moved(this.#task.protocol, 'in', this.#task.bytes ?? 0)
    }
    const length = this.#length === undefined ? {} : { length: this.#length }
    return { ...this.#turn.row, ...length, offset: this.#offset, reserved: this.#reserved }
  }

  /** Takes bytes and makes them count. Tells whether there are more to come. */
  async #segment(intake: Intake): Promise<boolean> {
    const writer = this.#writer()
    let more = false
    let failure: unknown
    try {
      more = await this.#fill(writer, intake)
    } catch (error) {
      failure = error ?? new StorageError('cancelled', 'the transfer was broken off')
    }
    if (failure && this.#whole) {
      writer.destroy()
      throw failure
    }
    await this.#flush(writer)
    if (!more && this.#own) this.#requireDigest(this.#own)
    if (this.#pending > 0) await this.#count(more)
    this.#means.passes.keep(this.#turn, this.#offset, more ? undefined : this.#all)
    if (failure) throw failure
    return more
  }

  async #fill(writer: Writable, intake: Intake): Promise<boolean> {
    const until = performance.now() + segmentTime
    for (;;) {
      const chunk = await intake.next()
      if (!chunk) return false
      await this.#admit(chunk.length)
      this.#pending += chunk.length
      this.#task.bytes = (this.#task.bytes ?? 0) + chunk.length
      this.#own?.update(chunk)
      this.#all?.update(chunk)
      if (!writer.write(chunk)) await drained(writer)
      const isDue = this.#pending >= segmentBytes || performance.now() >= until
      if (isDue && !this.#whole) return true
    }
  }

  /** Whether so many more bytes may be written, and by us. */
  async #admit(more: number): Promise<void> {
    const { path } = this.#task
    const end = this.#offset + this.#pending + more
    if (this.#length !== undefined && end > this.#length) {
      throw new StorageError('invalid', 'there are more bytes than announced', { path })
    }
    if (end > this.#largest) throw tooLarge(path)
    if (end > this.#reserved) {
      this.#reserved = await this.#reserve(end)
    }
    await this.#turn.requireOwn()
  }

  /** Some more than is needed, if that is to be had. */
  async #reserve(end: number): Promise<number> {
    const ample = Math.max(end, this.#reserved + reservedPiece)
    try {
      await this.#progress({ reserved: ample })
      return ample
    } catch (error) {
      const { code } = StorageError.from(error)
      if (code !== 'busy' && code !== 'no-space') throw error
    }
    await this.#progress({ reserved: end })
    return end
  }

  #writer(): Writable {
    const { gate } = this.#means
    const writer = this.#draft.writeFrom(this.#offset)
    watchWritable(gate.limits, this.#target.place.mount, writer, {
      before: () => undefined,
      hang: (error) => this.#task.expire(error),
    })
    return writer
  }

  async #flush(writer: Writable): Promise<void> {
    if (writer.errored) throw StorageError.from(writer.errored)
    writer.end()
    await this.#run(() => finished(writer))
  }

  #requireDigest(own: DigestSet): void {
    const digests = own.finish()
    for (const [kind, expected] of Object.entries(this.#options.digest ?? {}) as [Digest, Uint8Array][]) {
      const computed = digests[kind]
      if (computed && sameDigest(computed, expected)) continue
      throw new StorageError('bad-checksum', `the ${kind} is not the one announced`, { path: this.#task.path })
    }
  }

  async #count(more: boolean): Promise<void> {
    await this.#run(() => this.#draft.sync())
    const offset = this.#offset + this.#pending
    // As long as nobody knows how much will come, nothing is kept free for it.
    if (!more) this.#reserved = this.#length ?? offset
    await this.#progress({ offset, reserved: this.#reserved })
    this.#offset = offset
    this.#pending = 0
    if (more) this.#options.progress?.(offset)
  }

  async #progress(progress: UploadProgress): Promise<void> {
    const { store, bounds } = this.#means
    const { number, row } = this.#turn
    if (await store.progress(row.id, number, progress, bounds)) return
    throw superseded()
  }

  #run<T>(work: () => Promise<T>): Promise<T> {
    const { place } = this.#target
    const deadline = place.mount.deadline + this.#pending / bytesPerMs
    return this.#means.gate.run(this.#task, place, work, { admission: 'continues', deadline })
  }
}

/** Resolves when there is room again. */
async function drained(writer: Writable): Promise<void> {
  if (writer.destroyed) throw brokenOff(writer)
  const ended = new AbortController()
  const { signal } = ended
  try {
    await Promise.race([once(writer, 'drain', { signal }), once(writer, 'close', { signal })])
  } finally {
    ended.abort()
  }
  if (writer.destroyed) throw brokenOff(writer)
}

function brokenOff({ errored }: Writable): StorageError {
  return StorageError.from(errored ?? new StorageError('cancelled', 'the draft was given up'))
}
