/** complete: parts become the file. Everything is decided again, and nobody sees half of it. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { StoredPart } from '../state/state.ts'
import { StorageError } from './errors.ts'
import { keptFinished } from './finishing.ts'
import { JoiningDraft } from './part-joining.ts'
import { choose, placesOf } from './part-layout.ts'
import { type PartMeans, stateOfPart } from './part-means.ts'
import { pourParts } from './part-pouring.ts'
import { type ChosenPart, type CompleteOptions, maxParts } from './parts.ts'
import type { Conditions, Written } from './storage.ts'
import type { Target } from './target.ts'
import type { Task } from './task.ts'
import { requireSamePlace } from './upload-means.ts'
import { conditionsOf, digestsOf, termsOf, textOfWritten, writtenOf } from './upload-terms.ts'
import { superseded, type Turn } from './upload-turns.ts'
import { largest, tooLarge } from './writing.ts'

/** ms that parts which are still coming get to hear that they are not wanted any more. */
const patience = 3000
const lookEvery = 25
/** ms between two signs of life. */
const progressEvery = 250

/** What is to be made. */
export interface Completion {
  readonly means: PartMeans
  readonly task: Task
  readonly target: Target
  readonly turn: Turn
  readonly parts: readonly StoredPart[]
  /** How many other parts there are. */
  readonly others: number
  /** Bytes of the whole. */
  readonly size: number
  readonly conditions: Conditions
  readonly record: string | undefined
  /** To be awaited between two pieces of work: throws when it has to end. */
  readonly proceed: () => Promise<void>
}

/** Makes the file, or tells what was made. */
export async function completeParts(
  means: PartMeans,
  task: Task,
  target: Target,
  turn: Turn,
  { chosen, options }: { readonly chosen: readonly ChosenPart[]; readonly options: CompleteOptions },
): Promise<Written> {
  const { row } = turn
  if (row.result !== undefined) return writtenOf(row.result)
  requireSamePlace(turn, target)
  const all = await means.parts.list(row.id, 0, maxParts)
  const parts = choose(all, chosen, row.path)
  const size = parts.reduce((sum, part) => sum + part.size, 0)
  if (size > largest(means.gate, task)) throw tooLarge(row.path)
  task.bytes = size
  const completion: Completion = {
    ...{ means, task, target, turn, parts, size },
    others: all.length - parts.length,
    conditions: options.conditions ?? conditionsOf(termsOf(row)),
    record: options.record?.(parts.map(stateOfPart)),
    proceed: proceeding(turn, task, options),
  }
  await quiet(completion)
  const joining = row.spooled ? undefined : new JoiningDraft(completion, placesOf(parts))
  const written = joining ? await joining.join() : await pourParts(completion)
  // The file is there: what cannot be taken away now goes when the upload is forgotten. By a draft that is gone who
  // repeats this knows that the file was made, by one in the spool he would not.
  await joining?.clear().catch(() => {})
  await means.store.complete(row.id, textOfWritten(written), means.store.now() + keptFinished)
  if (!joining) await means.spool.remove(row.place).catch(() => {})
  return written
}

/** Digests of the whole, as far as the parts tell. */
export function wholeDigests({ parts }: Completion) {
  const [only, ...more] = parts
  return only && more.length === 0 ? digestsOf(JSON.parse(only.digests)) : {}
}

function proceeding(turn: Turn, task: Task, { progress }: CompleteOptions): () => Promise<void> {
  let told = performance.now()
  return async () => {
    if (turn.signal.aborted) throw turn.signal.reason
    if (task.signal.aborted) throw new StorageError('cancelled', 'the caller has gone', { cause: task.signal.reason })
    await turn.requireOwn()
    if (!progress || performance.now() - told < progressEvery) return
    told = performance.now()
    progress()
  }
}

/** Parts that are still coming have been told by the turn; those of a process that does not answer are left out. */
async function quiet({ means, turn, proceed }: Completion): Promise<void> {
  const until = performance.now() + patience
  while ((await means.parts.coming(turn.row.id)) > 0 && performance.now() < until) {
    await sleep(lookEvery)
    await proceed()
  }
  if (turn.signal.aborted) throw superseded()
}
