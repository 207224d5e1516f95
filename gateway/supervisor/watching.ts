/** Which workers watch the namespace: all others tell them of their changes, and of none where nobody watches. */

import type { Change } from '../core/feed.ts'
import { root } from '../core/path.ts'

/** A worker, as far as this goes. */
export interface Watched {
  /** Whether it is to tell of its changes. Rejects when it does not say that it knows. */
  tellChanges(wanted: boolean, timeout: number): Promise<void>
  hearChanges(changes: readonly Change[]): void
  /** Its wish of that number is seen to. */
  grant(id: number): void
}

/** ms until a worker that does not answer is left to itself. */
const patience = 5000

export class Watching<W extends Watched> {
  readonly #workers: ReadonlySet<W>
  readonly #watchers = new Set<W>()

  constructor(workers: ReadonlySet<W>) {
    this.#workers = workers
  }

  /** Whether others than this one watch. */
  isWanted(worker: W): boolean {
    return this.#watchers.size > (this.#watchers.has(worker) ? 1 : 0)
  }

  /** Never rejects. */
  async wish(worker: W, id: number, wanted: boolean): Promise<void> {
    if (wanted) this.#watchers.add(worker)
    else this.#watchers.delete(worker)
    await this.#spread(worker)
    worker.grant(id)
  }

  /** It is gone, and what it had not told with it: to those who watch anything may be another. */
  forget(worker: W): void {
    if (this.#watchers.delete(worker)) void this.#spread(worker)
    this.pass(worker, [{ path: root, kind: 'all', mount: root }])
  }

  pass(from: W, changes: readonly Change[]): void {
    for (const watcher of this.#watchers) if (watcher !== from) watcher.hearChanges(changes)
  }

  async #spread(but: W): Promise<void> {
    const others = [...this.#workers].filter((worker) => worker !== but)
    await Promise.allSettled(others.map((worker) => worker.tellChanges(this.isWanted(worker), patience)))
  }
}
