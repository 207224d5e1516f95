/** What all steps of uploads in parts work with. */

import type { PartStore, StoredPart, StoredUpload } from '../state/state.ts'
import type { PartedState, PartState } from './parts.ts'
import type { UploadMeans } from './upload-means.ts'
import { digestsOf, termsOf } from './upload-terms.ts'

export interface PartMeans extends UploadMeans {
  readonly parts: PartStore
  readonly syncs: Syncs
}

export function stateOfParted(row: StoredUpload): PartedState {
  const { id, path, created, user } = row
  return { ...{ id, path, created, user }, expires: Math.floor(row.expires / 1000), note: termsOf(row).note }
}

export function stateOfPart({ number, size, modified, digests }: StoredPart): PartState {
  return { number, size, modified, digests: digestsOf(JSON.parse(digests)) }
}

interface Syncing {
  readonly now: Promise<void>
  next: Promise<void> | undefined
}

/**
 * Parts of one upload are in one file, and to put that on disk is for all that has come of it: who comes while it is
 * being done waits for the next time, with everybody else who does.
 */
export class Syncs {
  readonly #running = new Map<string, Syncing>()

  /** Resolves when all that was written before is on disk. */
  async sync(id: string, work: () => Promise<void>): Promise<void> {
    const running = this.#running.get(id)
    if (!running) return this.#start(id, work)
    running.next ??= running.now.catch(() => {}).then(() => this.#start(id, work))
    // It may have failed for a reason of somebody else's.
    await running.next.catch(() => work())
  }

  #start(id: string, work: () => Promise<void>): Promise<void> {
    const now = work().finally(() => {
      if (this.#running.get(id)?.now === now) this.#running.delete(id)
    })
    this.#running.set(id, { now, next: undefined })
    return now
  }
}
