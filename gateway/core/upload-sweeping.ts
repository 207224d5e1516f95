/** Taking uploads away: those that are not wanted any more, and those that nobody has finished in time. */

import type { Leases } from '../../backends/backend.ts'
import type { StoredUpload } from '../state/state.ts'
import type { Call } from './call.ts'
import { StorageError } from './errors.ts'
import type { UploadMeans } from './upload-means.ts'
import { attemptOf } from './upload-terms.ts'

export type Removal = 'removed' | 'finished' | 'not-now'

/** ms after which what could not be taken away is tried again. */
const postponed = 3_600_000

export class Sweeping {
  readonly #means: UploadMeans
  readonly #leases: Leases

  constructor(means: UploadMeans, leases: Leases) {
    this.#means = means
    this.#leases = leases
  }

  /** One process at a time. Returns how many uploads it took away, and files that belonged to none. */
  async run(): Promise<number> {
    try {
      return await this.#leases.withLease('uploads', 0, () => this.#run())
    } catch (error) {
      if (StorageError.from(error).code === 'busy') return 0
      throw error
    }
  }

  /**
   * Stops whoever works on it, and takes away all of it but a file that is there. `finished`: also what is known of one
   * that was finished since it was looked at.
   */
  async remove(row: StoredUpload, { finished = row.result !== undefined } = {}): Promise<Removal> {
    try {
      return await this.#means.turns.hold(row.id, async ({ row: now }) => {
        if (now.result !== undefined && !finished) return 'finished'
        if (!(await this.#drop(now))) return 'not-now'
        await this.#means.store.remove(row.id)
        return 'removed'
      })
    } catch (error) {
      const { code } = StorageError.from(error)
      // Somebody else has taken it away meanwhile.
      if (code === 'not-found') return 'removed'
      if (code === 'busy') return 'not-now'
      throw error
    }
  }

  async #run(): Promise<number> {
    const { store, spool } = this.#means
    let removed = 0
    for (let rows = await store.expired(); rows.length > 0; rows = await store.expired()) {
      for (const row of rows) {
        const done = await this.#expire(row).catch(() => false)
        if (done) removed++
        else await store.postpone(row.id, store.now() + postponed)
      }
    }
    return removed + (await spool.sweep((names) => store.spooled(names)))
  }

  /** What somebody loses by it is in the audit log. */
  async #expire(row: StoredUpload): Promise<boolean> {
    if (row.result !== undefined) return (await this.remove(row)) === 'removed'
    return this.#means.gate.perform(sweeper(), 'upload-cancel', row.path, async () => {
      if ((await this.remove(row)) !== 'not-now') return true
      throw new StorageError('unavailable', 'the upload could not be taken away')
    })
  }

  async #drop({ spooled, place, backend, result, attempt }: StoredUpload): Promise<boolean> {
    const { gate, spool } = this.#means
    if (spooled) {
      await spool.remove(place)
      return true
    }
    const mount = gate.namespace.mounts.find((one) => one.backend.name === backend)
    // Of a finished one nothing is left, unless it could not be taken away then.
    if (!mount?.backend.resuming) return result !== undefined
    if (attempt !== undefined) await mount.backend.resuming.drop(attemptOf(attempt).place)
    await mount.backend.resuming.drop(place)
    return true
  }
}

/** The gateway itself. */
function sweeper(): Call {
  const { signal } = new AbortController()
  const itself = { id: 'gateway', user: undefined, groups: new Set<string>(), grants: [] }
  return { id: 'expired', principal: itself, protocol: 'internal', from: '', signal }
}
