/**
 * Files about to be made under a reserved name, so that a sweep finds them after a crash.
 *
 * An entry is on disk when `add` resolves, unless it is a hasty one: without that a power cut could leave a hidden file
 * that nothing but a walk over the whole tree would find. What arrives while an entry is being written is
 * written together in the next transaction, so that many uploads cost few syncs. Removing needs no
 * sync: an entry that comes back after a power cut names a file that is gone, and the sweep drops it.
 */

import type { Kysely } from 'kysely'
import type { StagingJournal } from '../../backends/backend.ts'
import { type Holder, isDead } from './holder.ts'
import type { Tables } from './tables.ts'

/** Runs `work` so that what it writes survives a power cut. */
export type Durably = (work: (db: Kysely<Tables>) => Promise<void>) => Promise<void>

const maxBatch = 500
const maxStale = 10_000

interface Addition {
  readonly backend: string
  readonly place: string
  readonly hasty: boolean
  resolve(): void
  reject(error: unknown): void
}

export class SharedJournal implements StagingJournal {
  readonly #db: Kysely<Tables>
  readonly #holder: Holder
  readonly #durably: Durably
  #additions: Addition[] = []
  #writing: Promise<void> | undefined

  constructor(db: Kysely<Tables>, holder: Holder, durably: Durably) {
    this.#db = db
    this.#holder = holder
    this.#durably = durably
  }

  add(backend: string, place: string, { hasty = false } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#additions.push({ backend, place, hasty, resolve, reject })
      this.#writing ??= this.#write()
    })
  }

  async remove(backend: string, place: string): Promise<void> {
    await this.#db.deleteFrom('journal').where('backend', '=', backend).where('place', '=', place).execute()
  }

  /** The oldest 10,000 at most. */
  async stale(backend: string, age: number): Promise<readonly string[]> {
    const now = this.#holder.now()
    const rows = await this.#db
      .selectFrom('journal')
      .select('place')
      .where('backend', '=', backend)
      .where('added', '<=', now - age)
      .where(isDead('journal.holder', now))
      .orderBy('added')
      .limit(maxStale)
      .execute()
    return rows.map((row) => row.place)
  }

  async #write(): Promise<void> {
    while (this.#additions.length > 0) {
      const batch = this.#additions.splice(0, maxBatch)
      try {
        await this.#insert(batch)
        for (const addition of batch) addition.resolve()
      } catch (error) {
        for (const addition of batch) addition.reject(error)
      }
    }
    this.#writing = undefined
  }

  async #insert(batch: readonly Addition[]): Promise<void> {
    const added = this.#holder.now()
    const holder = this.#holder.id
    // The same place twice in one statement would be a conflict of the statement with itself.
    const rows = new Map(
      batch.map(({ backend, place }) => [`${backend}\0${place}`, { backend, place, holder, added }] as const),
    )
    const insert = async (db: Kysely<Tables>) => {
      await db
        .insertInto('journal')
        .values([...rows.values()])
        .onConflict((conflict) => conflict.columns(['backend', 'place']).doUpdateSet({ holder, added }))
        .execute()
    }
    if (batch.every(({ hasty }) => hasty)) await insert(this.#db)
    else await this.#durably(insert)
  }
}
