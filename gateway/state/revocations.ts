/** What was banned or revoked, for all processes of one state store. */

import { type Kysely, sql } from 'kysely'
import { StorageError } from '../core/errors.ts'
import type { Durably } from './journal.ts'
import type { Revocation, RevocationStore } from './state.ts'
import type { Tables } from './tables.ts'

/** Entries of all principals together: each process keeps them in memory. */
const most = 200_000
/** What only administrators write comes on top, so that nobody can keep them from it. */
const byAdministrators = /^(?:user|group|principal|token|epoch|s3-key):/

export class SharedRevocations implements RevocationStore {
  readonly #db: Kysely<Tables>
  readonly #durably: Durably
  readonly now: () => number

  constructor(db: Kysely<Tables>, now: () => number, durably: Durably) {
    this.#db = db
    this.#durably = durably
    this.now = now
  }

  async serial(): Promise<number> {
    const row = await this.#db.selectFrom('revocation_serials').select('serial').executeTakeFirstOrThrow()
    return Number(row.serial)
  }

  async list(part?: { readonly after: string; readonly most: number }): Promise<readonly Revocation[]> {
    const all = this.#db
      .selectFrom('revocations')
      .selectAll()
      .where((expression) => expression.or([expression('until', 'is', null), expression('until', '>', this.now())]))
      .orderBy('name')
    const rows = await (part ? all.where('name', '>', part.after).limit(part.most) : all).execute()
    return rows.map(({ name, principal, note, added, until }) => ({
      name,
      principal,
      note,
      added: Number(added),
      until: until === null ? undefined : Number(until),
    }))
  }

  async add({ name, principal, note, until }: Omit<Revocation, 'added'>, mostOfOne: number): Promise<void> {
    const added = this.now()
    await this.#durably(async (db) => {
      await db.transaction().execute(async (transaction) => {
        await transaction.deleteFrom('revocations').where('until', '<=', added).execute()
        const counts = await transaction
          .selectFrom('revocations')
          .select([
            sql<number>`count(*)`.as('all'),
            sql<number>`coalesce(sum(case when principal = ${principal} then 1 else 0 end), 0)`.as('own'),
          ])
          .where('name', '<>', name)
          .executeTakeFirstOrThrow()
        const isFull = Number(counts.all) >= most && !byAdministrators.test(name)
        if (Number(counts.own) >= mostOfOne || isFull) {
          throw new StorageError('busy', 'too much is revoked already', { retryAfter: 3600 })
        }
        const before = await transaction
          .selectFrom('revocations')
          .select('until')
          .where('name', '=', name)
          .executeTakeFirst()
        await transaction.deleteFrom('revocations').where('name', '=', name).execute()
        const row = { name, principal, note, added, until: later(before, until) }
        await transaction.insertInto('revocations').values(row).execute()
        await change(transaction)
      })
    })
  }

  async remove(name: string): Promise<boolean> {
    return this.#db.transaction().execute(async (transaction) => {
      const { numDeletedRows } = await transaction
        .deleteFrom('revocations')
        .where('name', '=', name)
        .executeTakeFirstOrThrow()
      await change(transaction)
      return numDeletedRows > 0n
    })
  }
}

/** The end of the two that comes later; null for none. */
function later(before: { readonly until: number | null } | undefined, until: number | undefined): number | null {
  if (until === undefined || before?.until === null) return null
  return Math.max(until, Number(before?.until ?? 0))
}

async function change(db: Kysely<Tables>): Promise<void> {
  await db.updateTable('revocation_serials').set({ serial: sql<number>`serial + 1` }).execute()
}
