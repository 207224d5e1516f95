/** One part on its way to its place in the draft of its upload. It counts once it is on disk, and not before. */

import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { Digest, Digests } from '../../backends/backend.ts'
import type { PartPlace, StoredUpload } from '../state/state.ts'
import type { Gate } from './deciding.ts'
import { DigestSet, sameDigest } from './digests.ts'
import { StorageError } from './errors.ts'
import { PartBody } from './part-body.ts'
import { type PartMeans, stateOfPart } from './part-means.ts'
import { maxParts, type PartOptions, type PartState, type PartWriting } from './parts.ts'
import type { SpooledDraft } from './spool.ts'
import { watchWritable } from './stalls.ts'
import type { Announced } from './storage.ts'
import { Target } from './target.ts'
import type { Task } from './task.ts'
import { openDraft, requireSamePlace } from './upload-means.ts'
import { textOfDigests } from './upload-terms.ts'
import { gone, type SharedTurn, superseded } from './upload-turns.ts'
import { largest, tooLarge } from './writing.ts'

/** What has come is on disk after the deadline and a ms for each so many bytes. */
const bytesPerMs = 32 * 1024

/** Resolves once the caller may write. Writes no audit line. Every part ends by `commit` or `discard`. */
export async function startPart(
  means: PartMeans,
  task: Task,
  row: StoredUpload,
  number: number,
  options: PartOptions,
): Promise<PartUpload> {
  const { gate } = means
  const { path } = row
  if (!Number.isInteger(number) || number < 1 || number > maxParts) {
    throw new StorageError('invalid', 'there is no part of this number', { path })
  }
  const target = new Target(gate, task, path)
  requireSamePlace({ row }, target)
  if ((options.size ?? 0) > largest(gate, task)) throw tooLarge(path)
  const turn = means.turns.share(await means.turns.shareable(row))
  try {
    const draft = await openDraft(means, task, target, turn, { shared: true })
    const part = new PartUpload(means, task, target, turn, draft, number, options)
    try {
      if (options.size !== undefined) await part.reserve()
      return part
    } catch (error) {
      await part.discard()
      throw error
    }
  } catch (error) {
    turn.end()
    throw error
  }
}

export class PartUpload implements PartWriting {
  readonly body: Writable
  /** Bytes taken so far. */
  bytes = 0
  readonly #means: PartMeans
  readonly #task: Task
  readonly #target: Target
  readonly #turn: SharedTurn
  readonly #draft: SpooledDraft
  readonly #number: number
  readonly #stop: () => void
  #options: PartOptions
  #digests: DigestSet | undefined
  #place: Promise<PartPlace> | undefined
  #writer: Writable | undefined
  #over = false

  constructor(
    means: PartMeans,
    task: Task,
    target: Target,
    turn: SharedTurn,
    draft: SpooledDraft,
    number: number,
    options: PartOptions,
  ) {
    this.#means = means
    this.#task = task
    this.#target = target
    this.#turn = turn
    this.#draft = draft
    this.#number = number
    this.#options = options
    this.#digests = digestsOf(options)
    this.body = new PartBody({ take: (bytes) => this.#take(bytes), writer: () => this.#writerNow() })
    this.#stop = () => this.body.destroy(turn.signal.reason)
    turn.signal.addEventListener('abort', this.#stop)
    means.gate.metrics?.draftOpened()
  }

  announce({ size, digests = [], expected = {} }: Announced): void {
    const { path } = this.#turn.row
    this.#requireGoing()
    const before = this.#options
    const isEarly = this.bytes === 0
    const isComputed = (kind: string) => this.#digests?.has(kind as Digest) ?? false
    if (!isEarly && (size !== undefined || ![...digests, ...Object.keys(expected)].every(isComputed))) {
      throw new StorageError('invalid', 'this was to be announced before the first byte', { path })
    }
    if (size !== undefined && this.#place && size !== before.size) {
      throw new StorageError('invalid', 'the size is not the one that was told before', { path })
    }
    if ((size ?? 0) > largest(this.#means.gate, this.#task)) throw tooLarge(path)
    this.#options = {
      ...before,
      ...(size !== undefined && { size }),
      digests: [...(before.digests ?? []), ...digests],
      expected: { ...before.expected, ...expected },
    }
    if (isEarly) this.#digests = digestsOf(this.#options)
  }

  /** Finds a place for the bytes. */
  reserve(): Promise<PartPlace> {
    this.#place ??= this.#reserve()
    return this.#place
  }

  async commit(): Promise<PartState> {
    if (this.#over) throw new StorageError('invalid', 'the part is over')
    const { means, row } = { means: this.#means, row: this.#turn.row }
    try {
      await this.#flushed()
      // Discarded meanwhile, or committed twice.
      this.#requireGoing()
      const digests = this.#checked()
      const { offset } = await this.reserve()
      if (this.bytes > 0) await this.#run(() => this.#draft.sync())
      await this.#turn.requireOwn()
      // Before it counts: who joins the parts then finds the draft free.
      await this.#close()
      const text = JSON.stringify(textOfDigests(digests))
      const counted = await means.parts.count(row.id, { offset, turn: this.#turn.number, digests: text })
      if (!counted) throw (await means.store.get(row.id)) ? superseded() : gone()
      this.#end()
      return stateOfPart(counted)
    } catch (error) {
      await this.discard()
      throw error
    }
  }

  async discard(): Promise<void> {
    if (this.#over) return
    this.#end()
    this.body.destroy()
    const place = await this.#place?.catch(() => undefined)
    if (!this.body.closed) await finished(this.body).catch(() => {})
    await this.#close()
    // Otherwise it is free when the upload ends.
    const written = place?.used || this.#writer !== undefined
    if (place) await this.#means.parts.release(this.#turn.row.id, place.offset, { written }).catch(() => {})
  }

  async #reserve(): Promise<PartPlace> {
    const { row, number: turn } = this.#turn
    const { size = this.bytes === 0 && this.body.writableEnded ? 0 : undefined } = this.#options
    if (size === undefined) throw new StorageError('invalid', 'the size of a part is told first', { path: row.path })
    const part = { turn, number: this.#number, size, largest: largest(this.#means.gate, this.#task) }
    const place = await this.#means.parts.reserve(row.id, part, this.#means.bounds)
    if (!place) throw (await this.#means.store.get(row.id)) ? superseded() : gone()
    return place
  }

  /** Sees every byte first. */
  #take(bytes: Buffer): StorageError | undefined {
    this.bytes += bytes.length
    const { size } = this.#options
    if (size !== undefined && this.bytes > size) {
      return new StorageError('invalid', 'there are more bytes than announced', { path: this.#turn.row.path })
    }
    this.#digests?.update(bytes)
    return undefined
  }

  #writerNow(): Writable | Promise<Writable> {
    return this.#writer && this.#turn.fresh ? this.#writer : this.#makeReady()
  }

  async #makeReady(): Promise<Writable> {
    await this.#turn.requireOwn()
    if (this.#writer) return this.#writer
    this.#requireGoing()
    const { offset } = await this.reserve()
    this.#requireGoing()
    this.#writer = this.#draft.writeFrom(offset)
    watchWritable(this.#means.gate.limits, this.#target.place.mount, this.#writer, {
      before: () => undefined,
      hang: (error) => this.#task.expire(error),
    })
    return this.#writer
  }

  async #flushed(): Promise<void> {
    const { body } = this
    if (body.writableFinished) return
    if (body.errored) throw StorageError.from(body.errored)
    if (body.destroyed) throw new StorageError('cancelled', 'the part was broken off')
    body.end()
    await this.#run(() => finished(body))
  }

  #checked(): Digests {
    const { path } = this.#turn.row
    const { size, expected = {} } = this.#options
    if (size !== undefined && size !== this.bytes) {
      throw new StorageError('invalid', 'there are fewer bytes than announced', { path })
    }
    const digests = this.#digests?.finish() ?? {}
    for (const [kind, wanted] of Object.entries(expected) as [Digest, Uint8Array][]) {
      const digest = digests[kind]
      if (digest && sameDigest(digest, wanted)) continue
      throw new StorageError('bad-checksum', `the ${kind} is not the one announced`, { path })
    }
    return digests
  }

  #run<T>(work: () => Promise<T>): Promise<T> {
    const { place } = this.#target
    const deadline = place.mount.deadline + this.bytes / bytesPerMs
    return this.#means.gate.run(this.#task, place, work, { admission: 'continues', deadline })
  }

  #close(): Promise<void> {
    return this.#means.gate.run(this.#task, this.#target.place, () => this.#draft.close(), { admission: 'continues' })
  }

  #requireGoing(): void {
    if (this.#over) throw new StorageError('cancelled', 'the part is over')
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    this.#turn.signal.removeEventListener('abort', this.#stop)
    this.#turn.end()
    this.#means.gate.metrics?.draftEnded()
  }
}

/** A part that is a call of its own, and so has an audit line of its own. */
export class AuditedPart implements PartWriting {
  readonly body: Writable
  readonly #gate: Gate
  readonly #task: Task
  readonly #part: PartUpload

  constructor(gate: Gate, task: Task, part: PartUpload) {
    this.#gate = gate
    this.#task = task
    this.#part = part
    this.body = part.body
  }

  announce(announced: Announced): void {
    this.#part.announce(announced)
  }

  async commit(): Promise<PartState> {
    try {
      const state = await this.#part.commit()
      this.#count()
      this.#gate.succeed(this.#task)
      return state
    } catch (thrown) {
      this.#count()
      throw this.#gate.fail(this.#task, thrown)
    }
  }

  async discard(error?: unknown): Promise<void> {
    this.#count()
    const why = error ?? this.body.errored ?? new StorageError('cancelled', 'the part was discarded')
    try {
      await this.#part.discard()
    } finally {
      this.#gate.fail(this.#task, why)
    }
  }

  #count(): void {
    if (this.#task.ended) return
    this.#task.bytes = this.#part.bytes
    this.#gate.metrics?.moved(this.#task.protocol, 'in', this.#part.bytes)
  }
}

function digestsOf({ digests = [], expected = {} }: PartOptions): DigestSet | undefined {
  const kinds = [...digests, ...(Object.keys(expected) as Digest[])]
  return kinds.length > 0 ? new DigestSet(kinds) : undefined
}
