/** Sessions of browsers, for all processes of one state store. */

import type { Kysely } from 'kysely'
import { behind, type ListPlace } from './list-part.ts'
import type { SessionStore, StoredSession } from './sign-in.ts'
import type { Tables } from './tables.ts'

export class SharedSessions implements SessionStore {
  readonly #db: Kysely<Tables>
  readonly now: () => number

  constructor(db: Kysely<Tables>, now: () => number) {
    this.#db = db
    this.now = now
  }

  async add(session: Omit<StoredSession, 'created' | 'used'>, most: number): Promise<StoredSession> {
    const created = this.now()
    const kept = { ...session, created, used: created }
    const { from, ...row } = kept
    await this.#db.transaction().execute(async (transaction) => {
      await transaction.deleteFrom('sessions').where('expires', '<=', created).execute()
      await transaction
        .insertInto('sessions')
        .values({ ...row, address: from })
        .execute()
      const newest = transaction
        .selectFrom('sessions')
        .select('id')
        .where('user', '=', session.user)
        .orderBy('created', 'desc')
        .orderBy('id')
        .limit(most)
      await transaction.deleteFrom('sessions').where('user', '=', session.user).where('id', 'not in', newest).execute()
    })
    return kept
  }

  find(hash: string): Promise<StoredSession | undefined> {
    return this.#one('hash', hash)
  }

  get(id: string): Promise<StoredSession | undefined> {
    return this.#one('id', id)
  }

  async list(
    user: string | undefined,
    used: number,
    most: number,
    after?: ListPlace,
  ): Promise<readonly StoredSession[]> {
    const all = this.#db
      .selectFrom('sessions')
      .selectAll()
      .where('expires', '>', this.now())
      .where('used', '>', used)
      .where(behind(after))
    const some = user === undefined ? all : all.where('user', '=', user)
    const rows = await some.orderBy('created', 'desc').orderBy('id').limit(most).execute()
    return rows.map(sessionOf)
  }

  async touch(id: string): Promise<void> {
    await this.#db.updateTable('sessions').set({ used: this.now() }).where('id', '=', id).execute()
  }

  async remove(id: string): Promise<boolean> {
    const { numDeletedRows } = await this.#db.deleteFrom('sessions').where('id', '=', id).executeTakeFirstOrThrow()
    return numDeletedRows > 0n
  }

  async #one(column: 'id' | 'hash', value: string): Promise<StoredSession | undefined> {
    const row = await this.#db
      .selectFrom('sessions')
      .selectAll()
      .where(column, '=', value)
      .where('expires', '>', this.now())
      .executeTakeFirst()
    return row && sessionOf(row)
  }
}

function sessionOf({ address, created, used, expires, ...same }: Tables['sessions']): StoredSession {
  return { ...same, from: address, created: Number(created), used: Number(used), expires: Number(expires) }
}
