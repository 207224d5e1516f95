/**
 * Parts in a draft of the back end become the file: where they are, after a few moves, or in a second draft into which
 * all of them are copied, as where somebody may still write to the first one.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Entry, LastingDraft, Trail } from '../../backends/backend.ts'
import { commitDraft } from './committing.ts'
import { commitCondition } from './conditions.ts'
import { StorageError } from './errors.ts'
import { commitBytesPerMs } from './finishing.ts'
import { type Completion, wholeDigests } from './part-completing.ts'
import { type Placed, roundsOf } from './part-layout.ts'
import { PartError } from './parts.ts'
import type { Written } from './storage.ts'
import { begin } from './target.ts'
import { facetOf } from './upload-means.ts'
import { attemptOf, textOfAttempt } from './upload-terms.ts'
import { gone, superseded } from './upload-turns.ts'

/** Bytes copied between two looks at whether to go on. */
const slice = 64 * 1024 * 1024
/** How often, and ms after which, a draft is tried again that others have open. */
const tries = 20
const pause = 50

/** Opens a draft, looking at the target. */
type Open = (resume: Resume) => Promise<LastingDraft>
type Resume = { readonly shared: boolean } | { readonly keep: (place: string) => Promise<void> }

export class JoiningDraft {
  readonly #completion: Completion
  readonly #places: readonly Placed[]
  /** What is at the target, as it was seen last. */
  #seen: Entry | undefined
  /** The place of a second draft. */
  #second: string | undefined

  constructor(completion: Completion, places: readonly Placed[]) {
    this.#completion = completion
    this.#places = places
    const { attempt } = completion.turn.row
    this.#second = attempt === undefined ? undefined : attemptOf(attempt).place
  }

  async join(): Promise<Written> {
    try {
      const { draft, alone } = await this.#openFirst()
      try {
        const { row } = this.#completion.turn
        const attempt = row.attempt === undefined ? undefined : attemptOf(row.attempt)
        const done = this.#made(attempt?.object)
        if (done) return done
        this.#requireThere(draft)
        const rounds = alone ? roundsOf(this.#places, this.#completion.others) : undefined
        if (!rounds) return await this.#copyAll(draft)
        await this.#dropSecond()
        for (const round of rounds) await this.#move(draft, round)
        return await this.#commit(draft)
      } finally {
        await this.#close(draft)
      }
    } catch (error) {
      const { code } = StorageError.from(error)
      if (code !== 'not-found' && code !== 'precondition') throw error
      const { row } = this.#completion.turn
      const second = row.attempt === undefined ? undefined : attemptOf(row.attempt).object
      const done = this.#made(row.object) ?? this.#made(second)
      if (done) return done
      throw code === 'not-found' ? gone() : error
    }
  }

  /** Takes away what was not made the file. */
  async clear(): Promise<void> {
    const facet = facetOf(this.#completion.target)
    await facet.drop(this.#completion.turn.row.place)
    if (this.#second !== undefined) await facet.drop(this.#second)
  }

  /** Alone, unless others who share it do not let go of it. */
  async #openFirst(): Promise<{ readonly draft: LastingDraft; readonly alone: boolean }> {
    for (let left = tries; left > 0; left--) {
      try {
        return { draft: await this.#open({ shared: false }), alone: true }
      } catch (error) {
        if (StorageError.from(error).code !== 'busy') throw error
      }
      await sleep(pause)
      await this.#completion.proceed()
    }
    return { draft: await this.#open({ shared: true }), alone: false }
  }

  readonly #open: Open = async (resume) => {
    const { means, task, target, turn, conditions, size } = this.#completion
    const { place } = target
    const { row } = turn
    const { object: id } = row
    if (id === undefined) throw gone()
    const facet = facetOf(target)
    const options = { conditions }
    const { made } = await begin<LastingDraft>(means.gate, task, target, options, {
      admission: 'new',
      open: async () => {
        const pending =
          'keep' in resume
            ? await facet.begin(place.inner, { size, keep: resume.keep }, task)
            : await facet.resume(place.inner, { place: row.place, id, shared: resume.shared }, task)
        this.#seen = pending.trail.entry
        return pending
      },
      late: (late) => ('keep' in resume ? late.discard() : late.close()),
    })
    return made
  }

  /** A process that died had made the file of this object, and had not come to say so. */
  #made(object: string | undefined): Written | undefined {
    const seen = this.#seen
    if (object === undefined || seen?.id !== object || seen.size !== this.#completion.size) return undefined
    return { entry: seen, created: true, digests: wholeDigests(this.#completion) }
  }

  /** Bytes that had counted may be lost where the mount does not sync: such a part has to come again. */
  #requireThere({ size }: LastingDraft): void {
    for (const { part } of this.#places) {
      if (part.size > 0 && part.offset + part.size > size) throw new PartError(part.number, this.#completion.task.path)
    }
  }

  async #move(draft: LastingDraft, round: readonly Placed[]): Promise<void> {
    const { means, task, target, turn, proceed } = this.#completion
    for (const place of round) await this.#copy(draft, draft, place)
    await means.gate.run(task, target.place, () => draft.sync(), { admission: 'continues', deadline: this.#deadline })
    await proceed()
    const moves = round.map(({ part, to }) => ({ from: part.offset, to }))
    if (!(await means.parts.move(turn.row.id, turn.number, moves))) throw superseded()
  }

  async #copyAll(source: LastingDraft): Promise<Written> {
    await this.#dropSecond()
    const draft = await this.#open({ keep: (place) => this.#keep(place, undefined) })
    try {
      await this.#keep(this.#second ?? '', draft.id)
      for (const place of this.#places) await this.#copy(source, draft, place)
      const written = await this.#commit(draft)
      this.#second = undefined
      return written
    } catch (error) {
      await this.#close(draft)
      // What cannot be taken away now goes with the upload.
      await this.#dropSecond().catch(() => {})
      throw error
    }
  }

  async #copy(from: LastingDraft, into: LastingDraft, { part, to }: Placed): Promise<void> {
    const { means, task, target, proceed } = this.#completion
    for (let done = 0; done < part.size; done += slice) {
      await proceed()
      const start = part.offset + done
      const range = { start, end: Math.min(start + slice, part.offset + part.size) }
      await means.gate.run(task, target.place, () => into.copyFrom(from, range, to + done), {
        admission: 'continues',
        deadline: target.place.mount.deadline + slice / commitBytesPerMs,
      })
    }
  }

  async #commit(draft: LastingDraft): Promise<Written> {
    const { means, task, target, turn, size, conditions, record, proceed } = this.#completion
    const { place } = target
    await proceed()
    let replaced: Entry | undefined
    const digests = wholeDigests(this.#completion)
    const options = {
      condition: target.bound(commitCondition(conditions, this.#seen)),
      decide: (trail: Trail) => {
        if (turn.signal.aborted) throw turn.signal.reason
        target.decide(means.gate, task, trail)
        replaced = trail.entry
      },
      digests,
      ...(record !== undefined && { record }),
    }
    const commit = () =>
      commitDraft(means.gate, task, place, options, (now) => draft.commit(size, now)).catch((error) => {
        throw target.translate(error, false)
      })
    const entry = await means.gate.run(task, place, commit, { admission: 'continues', deadline: this.#deadline })
    return { entry, created: replaced === undefined, digests }
  }

  get #deadline(): number {
    const { target, size } = this.#completion
    return target.place.mount.deadline + size / commitBytesPerMs
  }

  #close(draft: LastingDraft): Promise<void> {
    const { means, task, target } = this.#completion
    return means.gate.run(task, target.place, () => draft.close(), { admission: 'continues' })
  }

  /** A second draft is known before it is made, so that it goes with the upload whatever happens. */
  async #keep(place: string, object: string | undefined): Promise<void> {
    // The one before was of a look that was repeated.
    if (this.#second !== place) await this.#dropSecond()
    const { means, turn } = this.#completion
    const attempt = textOfAttempt({ place, ...(object !== undefined && { object }) })
    if (!(await means.store.attempt(turn.row.id, turn.number, attempt))) throw superseded()
    this.#second = place
  }

  async #dropSecond(): Promise<void> {
    const place = this.#second
    if (place === undefined) return
    const { means, target, turn } = this.#completion
    await facetOf(target).drop(place)
    await means.store.attempt(turn.row.id, turn.number, undefined)
    this.#second = undefined
  }
}
