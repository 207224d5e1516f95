/** Wrong guesses at passwords, counted by all processes of one state store together. */

import { type Kysely, sql } from 'kysely'
import type { AttemptStore, Tally } from './sign-in.ts'
import type { Tables } from './tables.ts'

/** Tallies kept. */
const most = 100_000
/** So many at a time go when there are more. */
const share = 1000

export class SharedAttempts implements AttemptStore {
  readonly #db: Kysely<Tables>
  readonly now: () => number

  constructor(db: Kysely<Tables>, now: () => number) {
    this.#db = db
    this.now = now
  }

  async change(
    names: readonly string[],
    decide: (before: ReadonlyArray<Tally | undefined>) => ReadonlyArray<Tally | undefined>,
  ): Promise<void> {
    await this.#db.transaction().execute(async (db) => {
      const rows = await db.selectFrom('attempts').selectAll().where('name', 'in', names).execute()
      const known = new Map(rows.map((row) => [row.name, tallyOf(row)]))
      const after = decide(names.map((name) => known.get(name)))
      for (const [index, name] of names.entries()) {
        const tally = after[index]
        if (tally === undefined) await db.deleteFrom('attempts').where('name', '=', name).execute()
        else await keep(db, name, tally)
      }
      if (after.some((tally, index) => tally !== undefined && !known.has(names[index] ?? ''))) await bound(db)
    })
  }
}

async function keep(db: Kysely<Tables>, name: string, tally: Tally): Promise<void> {
  const { failures, good, changed, notBefore } = tally
  const row = { failures, good, changed, not_before: notBefore }
  await db
    .insertInto('attempts')
    .values({ name, ...row })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(row))
    .execute()
}

async function bound(db: Kysely<Tables>): Promise<void> {
  const { count } = await db.selectFrom('attempts').select(sql<number>`count(*)`.as('count')).executeTakeFirstOrThrow()
  if (Number(count) <= most) return
  const oldest = db.selectFrom('attempts').select('name').orderBy('changed').limit(share)
  await db.deleteFrom('attempts').where('name', 'in', oldest).execute()
}

function tallyOf({ failures, good, changed, not_before }: Tables['attempts']): Tally {
  return {
    failures: Number(failures),
    good: Number(good),
    changed: Number(changed),
    notBefore: Number(not_before),
  }
}
