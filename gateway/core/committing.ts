/** The step that makes a draft visible, as the locks see it. */

import type { CommitOptions, Draft, Entry, Pending, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { mayBeDone, touchOf } from './acting.ts'
import type { Gate } from './deciding.ts'
import type { Feed } from './feed.ts'
import type { Locks, Passage, Touched } from './locks.ts'
import type { Path } from './path.ts'
import type { WriteOptions } from './storage.ts'
import type { Task } from './task.ts'

/** A change whose last decision is made while the back end acts: it counts as under way from there on. */
export class LatePassage {
  readonly #locks: Locks | undefined
  readonly #feed: Feed
  readonly #task: Task
  readonly #place: Place
  #touched: readonly Touched[]
  #passage: Passage | undefined

  constructor({ locks, feed }: Gate, task: Task, place: Place) {
    this.#locks = locks
    this.#feed = feed
    this.#task = task
    this.#place = place
    this.#touched = [{ place, trail: undefined, touch: 'name' }]
  }

  /** To be awaited before the back end begins. */
  async prepare(): Promise<void> {
    await this.#locks?.fresh(this.#place.mount.backend)
  }

  /** Throws LockedError. The back end may decide more than once. */
  decide(trail: Trail): void {
    this.end()
    this.#touched = [{ place: this.#place, trail, touch: touchOf(trail) }]
    this.#passage = this.#locks?.pass(this.#task, this.#touched)
  }

  /** The same act, with the passage ended after it. */
  over(pending: Pending<Entry>): Pending<Entry> {
    return {
      trail: pending.trail,
      release: () => pending.release(),
      proceed: async () => {
        try {
          const made = await pending.proceed()
          await this.done(made)
          return made
        } catch (error) {
          this.failed(error)
          throw error
        } finally {
          this.end()
        }
      },
    }
  }

  async done(made: Entry): Promise<void> {
    this.#feed.publish(this.#task.namespace, this.#touched, made)
    await this.#passage?.done(made)
  }

  /** It may have become visible all the same. */
  failed(error: unknown): void {
    if (mayBeDone(error)) this.#feed.publish(this.#task.namespace, this.#touched)
  }

  end(): void {
    this.#passage?.end()
    this.#passage = undefined
  }
}

/** A draft may be committed long after the deadline; if that fails in the end, nothing stays. */
export async function commitOrDiscard(
  gate: Gate,
  task: Task,
  place: Place,
  draft: Draft,
  options: CommitOptions,
): Promise<Entry> {
  try {
    return await commitDraft(gate, task, place, options, (now) => draft.commit(now))
  } catch (error) {
    // What matters is why the commit failed; a sweep removes what could not be discarded.
    await draft.discard().catch(() => {})
    throw error
  }
}

/** Commits a draft between the locks. */
export async function commitDraft(
  gate: Gate,
  task: Task,
  place: Place,
  options: CommitOptions,
  commit: (options: CommitOptions) => Promise<Entry>,
): Promise<Entry> {
  const passage = new LatePassage(gate, task, place)
  const decide = (trail: Trail) => {
    options.decide(trail)
    passage.decide(trail)
  }
  try {
    await passage.prepare()
    const entry = await commit({ ...options, decide })
    await passage.done(entry)
    return entry
  } catch (error) {
    passage.failed(error)
    throw error
  } finally {
    passage.end()
  }
}

/**
 * A LOCK on nothing has made an empty file (RFC 4918, section 7.3), which to its maker is still to be made: clients go
 * on with a PUT that must not find one. The lock keeps all others away.
 */
export async function forMaker({ locks }: Gate, task: Task, path: Path, options: WriteOptions): Promise<WriteOptions> {
  if (!locks || options.conditions?.ifNoneMatch !== '*' || task.lockTokens.length === 0) return options
  await locks.sync()
  const isMade = task.lockTokens.some((token) => {
    const lock = locks.get(token)
    return lock?.fresh && lock.scope === 'exclusive' && lock.path === path && lock.principal === task.principal.id
  })
  if (!isMade) return options
  const { ifNoneMatch: _, ...conditions } = options.conditions
  return { ...options, conditions }
}
