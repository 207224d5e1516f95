/**
 * This process, as the others see it through the store: alive while its row is fresh. Leases and
 * journal entries name their holder, so one small write renews all of them at once.
 */

import { randomUUID } from 'node:crypto'
import { type Kysely, type RawBuilder, type SqlBool, sql } from 'kysely'
import type { Tables } from './tables.ts'

/** Milliseconds. A holder that has not renewed for `life` counts as dead. */
export interface Timing {
  readonly renew: number
  readonly life: number
}

export const usualTiming: Timing = { renew: 1500, life: 6000 }

export class Holder {
  readonly id = randomUUID()
  readonly #db: Kysely<Tables>
  readonly timing: Timing
  readonly now: () => number
  /** Names to be let go of with the next renewal, because letting go failed. */
  readonly #leftover = new Set<string>()
  readonly #lapsed: (() => void)[] = []
  #timer: NodeJS.Timeout | undefined
  #renewing: Promise<void> = Promise.resolve()
  #closed = false

  constructor(db: Kysely<Tables>, now: () => number, timing: Timing) {
    this.#db = db
    this.timing = timing
    this.now = now
  }

  /** Registers this process and keeps it registered until `close`. */
  async open(): Promise<void> {
    await this.#write()
    const dead = await this.#db.deleteFrom('holders').where('expires', '<', this.now()).executeTakeFirst()
    if (dead.numDeletedRows > 0n) {
      await this.#db
        .deleteFrom('leases')
        .where('holder', 'not in', (query) => query.selectFrom('holders').select('id'))
        .execute()
    }
    this.#schedule()
  }

  /** Calls `lapsed` when this process has counted as dead, and lives: what it held may be others'. */
  onLapse(lapsed: () => void): void {
    this.#lapsed.push(lapsed)
  }

  /** Lets go of a lease of this process; one that cannot be written now is let go of later. */
  async release(lease: string): Promise<void> {
    try {
      await this.#delete([lease])
    } catch {
      // The work under the lease is done and must not fail for this.
      this.#leftover.add(lease)
    }
  }

  /** The lease is about to be held again, so an earlier failed release no longer counts. */
  keep(lease: string): void {
    this.#leftover.delete(lease)
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#renewing
    await this.#db.deleteFrom('leases').where('holder', '=', this.id).execute()
    await this.#db.deleteFrom('holders').where('id', '=', this.id).execute()
  }

  #schedule(): void {
    if (this.#closed) return
    this.#timer = setTimeout(() => {
      this.#renewing = this.#renew()
    }, this.timing.renew)
    this.#timer.unref()
  }

  async #renew(): Promise<void> {
    try {
      const wasAlive = await this.#write()
      if (!wasAlive) for (const lapsed of this.#lapsed) lapsed()
      const leftover = [...this.#leftover]
      if (leftover.length > 0) await this.#delete(leftover)
      for (const lease of leftover) this.#leftover.delete(lease)
    } catch {
      // Tried again at the next beat; until then the others may come to count this process as dead.
    }
    this.#schedule()
  }

  /** False where the others may have counted this process as dead, as before its first time. */
  async #write(): Promise<boolean> {
    const now = this.now()
    const expires = now + this.timing.life
    const renewed = await this.#db
      .updateTable('holders')
      .set({ expires })
      .where('id', '=', this.id)
      .where('expires', '>=', now)
      .executeTakeFirst()
    if (renewed.numUpdatedRows > 0n) return true
    await this.#db
      .insertInto('holders')
      .values({ id: this.id, expires })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ expires }))
      .execute()
    return false
  }

  async #delete(leases: readonly string[]): Promise<void> {
    await this.#db.deleteFrom('leases').where('holder', '=', this.id).where('name', 'in', leases).execute()
  }
}

/** SQL: the holder that `column` names is not alive at `now`. */
export function isDead(
  column: 'leases.holder' | 'journal.holder' | 'upload_parts.holder' | 'byte_locks.holder',
  now: number,
): RawBuilder<SqlBool> {
  return sql<SqlBool>`not exists (select 1 from holders where holders.id = ${sql.ref(column)} and holders.expires >= ${now})`
}
