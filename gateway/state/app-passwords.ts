/** Application passwords that were made, for their owners to see and to revoke. */

import { type Kysely, sql } from 'kysely'
import { StorageError } from '../core/errors.ts'
import { behind, type ListPlace } from './list-part.ts'
import type { AppPasswordStore, StoredAppPassword } from './sign-in.ts'
import type { Tables } from './tables.ts'

export class SharedAppPasswords implements AppPasswordStore {
  readonly #db: Kysely<Tables>
  readonly now: () => number

  constructor(db: Kysely<Tables>, now: () => number) {
    this.#db = db
    this.now = now
  }

  async add(password: Omit<StoredAppPassword, 'created' | 'used'>, most: number): Promise<StoredAppPassword> {
    const created = this.now()
    const { user, name } = password
    await this.#db.transaction().execute(async (transaction) => {
      await transaction.deleteFrom('app_passwords').where('expires', '<=', created).execute()
      const { count, same } = await transaction
        .selectFrom('app_passwords')
        .select([
          sql<number>`count(*)`.as('count'),
          sql<number>`coalesce(sum(case when name = ${name} then 1 else 0 end), 0)`.as('same'),
        ])
        .where('user', '=', user)
        .executeTakeFirstOrThrow()
      if (Number(same) > 0) throw new StorageError('exists', 'there is an application password of this name')
      if (Number(count) >= most) throw new StorageError('busy', 'too many application passwords', { retryAfter: 3600 })
      await transaction
        .insertInto('app_passwords')
        .values({ ...password, created, used: null })
        .execute()
    })
    return { ...password, created, used: undefined }
  }

  async get(id: string): Promise<StoredAppPassword | undefined> {
    const row = await this.#db
      .selectFrom('app_passwords')
      .selectAll()
      .where('id', '=', id)
      .where('expires', '>', this.now())
      .executeTakeFirst()
    return row && passwordOf(row)
  }

  async list(user: string | undefined, most: number, after?: ListPlace): Promise<readonly StoredAppPassword[]> {
    const all = this.#db.selectFrom('app_passwords').selectAll().where('expires', '>', this.now()).where(behind(after))
    const some = user === undefined ? all : all.where('user', '=', user)
    const rows = await some.orderBy('created', 'desc').orderBy('id').limit(most).execute()
    return rows.map(passwordOf)
  }

  async touch(id: string): Promise<void> {
    await this.#db.updateTable('app_passwords').set({ used: this.now() }).where('id', '=', id).execute()
  }

  async remove(id: string): Promise<boolean> {
    const { numDeletedRows } = await this.#db.deleteFrom('app_passwords').where('id', '=', id).executeTakeFirstOrThrow()
    return numDeletedRows > 0n
  }
}

function passwordOf({ created, used, expires, ...same }: Tables['app_passwords']): StoredAppPassword {
  const times = { created: Number(created), expires: Number(expires) }
  return { ...same, ...times, used: used === null ? undefined : Number(used) }
}
