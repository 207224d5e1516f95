/** Taking uploads away: those that are not wanted any more, and those that nobody has finished in time. */

import type { Leases } from '../../backends/backend.ts'
import type { StoredUpload } from '../state/state.ts'
import { StorageError } from './errors.ts'
import type { UploadMeans } from './upload-means.ts'

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

  /** Stops whoever works on it, and takes away all of it but a file that is there. False: not now. */
  async remove(row: StoredUpload): Promise<boolean> {
    try {
      return await this.#means.turns.hold(row.id, async () => {
        if (!(await this.#drop(row))) return false
        await this.#means.store.remove(row.id)
        return true
      })
    } catch (error) {
      const { code } = StorageError.from(error)
      // Somebody else has taken it away meanwhile.
      if (code === 'not-found') return true
      if (code === 'busy') return false
      throw error
    }
  }

  async #run(): Promise<number> {
    const { store, spool } = this.#means
    let removed = 0
    for (let rows = await store.expired(); rows.length > 0; rows = await store.expired()) {
      for (const row of rows) {
        const done = await this.remove(row).catch(() => false)
        if (done) removed++
        else await store.postpone(row.id, store.now() + postponed)
      }
    }
    return removed + (await spool.sweep((names) => store.spooled(names)))
  }

  async #drop({ spooled, place, backend, result }: StoredUpload): Promise<boolean> {
    const { gate, spool } = this.#means
    if (spooled) await spool.remove(place)
    if (spooled || result !== undefined) return true
    const mount = gate.namespace.mounts.find((one) => one.backend.name === backend)
    if (!mount?.backend.resuming) return false
    await mount.backend.resuming.drop(place)
    return true
  }
}
