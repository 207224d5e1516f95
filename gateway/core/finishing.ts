/** finish: an upload becomes the file. Everything is decided again, and nobody sees half of it. */

import { pipeline } from 'node:stream/promises'
import type { Digest, Digests, Entry, LastingDraft, Trail } from '../../backends/backend.ts'
import type { StoredUpload } from '../state/state.ts'
import { commitDraft } from './committing.ts'
import { DigestSet, sameDigest } from './digests.ts'
import { StorageError } from './errors.ts'
import type { SpooledDraft } from './spool.ts'
import { watchReadable } from './stalls.ts'
import type { Written } from './storage.ts'
import { begin, type Target } from './target.ts'
import type { Task } from './task.ts'
import { digestsFor, facetOf, requireSamePlace, requireThere, type UploadMeans } from './upload-means.ts'
import { conditionsOf, termsOf, textOfWritten, writtenOf } from './upload-terms.ts'
import { gone, type Turn } from './upload-turns.ts'
import { largest, startUpload, tooLarge } from './writing.ts'

/** ms that a finished upload is known. */
export const keptFinished = 6 * 3_600_000
export const commitBytesPerMs = 32 * 1024

/** Makes the file, or tells what was made. */
export async function finish(means: UploadMeans, task: Task, target: Target, turn: Turn): Promise<Written> {
  const { row } = turn
  if (row.result !== undefined) return writtenOf(row.result)
  requireSamePlace(turn, target)
  requireWhole(means, task, row)
  task.bytes = row.offset
  const finishing = new Finishing(means, task, target, turn)
  try {
    const written = await (row.spooled ? finishing.fromSpool() : finishing.fromDraft())
    await means.store.complete(row.id, textOfWritten(written), means.store.now() + keptFinished)
    if (row.spooled) await means.spool.remove(row.place)
    return written
  } catch (error) {
    const { code } = StorageError.from(error)
    // The bytes will never be the right ones, or are gone.
    if (code === 'bad-checksum' || error === finishing.lost) await finishing.remove()
    throw error
  }
}

function requireWhole(means: UploadMeans, task: Task, { length, offset, path }: StoredUpload): void {
  if (length !== undefined && offset !== length) {
    throw new StorageError('invalid', 'there are fewer bytes than announced', { path })
  }
  if (offset > largest(means.gate, task)) throw tooLarge(path)
}

class Finishing {
  readonly lost = gone()
  readonly #means: UploadMeans
  readonly #task: Task
  readonly #target: Target
  readonly #turn: Turn

  constructor(means: UploadMeans, task: Task, target: Target, turn: Turn) {
    this.#means = means
    this.#task = task
    this.#target = target
    this.#turn = turn
  }

  /** Takes away what is left of it. */
  async remove(): Promise<void> {
    const { row } = this.#turn
    if (row.spooled) await this.#means.spool.remove(row.place)
    else await facetOf(this.#target).drop(row.place)
    await this.#means.store.remove(row.id)
  }

  /** The bytes become the file where they are. */
  async fromDraft(): Promise<Written> {
    const { gate } = this.#means
    const { row } = this.#turn
    const { place } = this.#target
    const { object: id } = row
    if (id === undefined) throw this.lost
    let seen: Entry | undefined
    try {
      const opened = await begin<LastingDraft>(
        gate,
        this.#task,
        this.#target,
        {},
        {
          admission: 'new',
          open: async () => {
            const pending = await facetOf(this.#target).resume(place.inner, { place: row.place, id }, this.#task)
            seen = pending.trail.entry
            return pending
          },
          late: (late) => late.close(),
        },
      )
      return await this.#commit(opened.made)
    } catch (error) {
      if (StorageError.from(error).code !== 'not-found') throw error
      // A process that died had made the file, and had not come to say so.
      if (seen?.id !== id || seen.size !== row.offset) throw this.lost
      await facetOf(this.#target).drop(row.place)
      return { entry: seen, created: true, digests: {} }
    }
  }

  async #commit(draft: LastingDraft): Promise<Written> {
    const { gate } = this.#means
    const { row } = this.#turn
    const { place } = this.#target
    try {
      await requireThere(this.#means, this.#turn, draft)
      const terms = termsOf(row)
      const digests = await this.#digests(draft)
      requireDigests(terms.expected, digests, row)
      await this.#turn.requireOwn()
      let replaced: Entry | undefined
      const options = {
        condition: this.#target.bound(terms.condition),
        decide: (trail: Trail) => {
          this.#target.decide(gate, this.#task, trail)
          replaced = trail.entry
        },
        digests,
        ...(terms.modified !== undefined && { modified: terms.modified }),
      }
      const commit = () =>
        commitDraft(gate, this.#task, place, options, (now) => draft.commit(row.offset, now)).catch((error) => {
          throw this.#target.translate(error, false)
        })
      const deadline = place.mount.deadline + row.offset / commitBytesPerMs
      const entry = await gate.run(this.#task, place, commit, { admission: 'continues', deadline })
      return { entry, created: replaced === undefined, digests }
    } finally {
      await gate.run(this.#task, place, () => draft.close(), { admission: 'continues' })
    }
  }

  /** As this process has seen them come, or else of what is there. */
  async #digests(draft: LastingDraft): Promise<Digests> {
    const { gate, passes } = this.#means
    const { row } = this.#turn
    const kinds = digestsFor(row)
    if (kinds.length === 0) return {}
    const seen = passes.take(this.#turn, kinds)
    if (seen) return seen.finish()
    const digests = new DigestSet(kinds)
    const { mount } = this.#target.place
    const stream = draft.stream({ start: 0, end: row.offset })
    const watched = watchReadable(gate.limits, mount, stream, (error) => this.#task.expire(error))
    for await (const chunk of watched) {
      digests.update(chunk)
      await this.#turn.requireOwn()
    }
    return digests.finish()
  }

  /** The bytes are sent to the back end like those of any upload. */
  async fromSpool(): Promise<Written> {
    const { gate, spool } = this.#means
    const { row } = this.#turn
    const terms = termsOf(row)
    const { digests, expected, modified } = terms
    const draft = await spool.open(row.place).catch((error) => {
      throw StorageError.from(error).code === 'not-found' ? this.lost : error
    })
    try {
      await requireThere(this.#means, this.#turn, draft)
      const options = {
        conditions: conditionsOf(terms),
        size: row.offset,
        digests,
        expected,
        ...(modified !== undefined && { modified }),
      }
      const upload = await startUpload(gate, this.#task, row.path, options, 'new')
      try {
        await this.#pour(draft, upload.body)
        await this.#turn.requireOwn()
        return await upload.commit()
      } catch (error) {
        await upload.discard()
        throw error
      }
    } finally {
      await draft.close()
    }
  }

  async #pour(draft: SpooledDraft, body: NodeJS.WritableStream): Promise<void> {
    const stream = draft.stream({ start: 0, end: this.#turn.row.offset })
    await pipeline(stream, body, { signal: this.#turn.signal })
  }
}

function requireDigests(expected: Digests, computed: Digests, { path }: StoredUpload): void {
  for (const [kind, wanted] of Object.entries(expected) as [Digest, Uint8Array][]) {
    const digest = computed[kind]
    if (digest && sameDigest(digest, wanted)) continue
    throw new StorageError('bad-checksum', `the ${kind} is not the one announced`, { path })
  }
}
