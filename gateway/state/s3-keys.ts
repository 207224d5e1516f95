/** Access keys of S3 that were made, for their owners to see, to switch and to remove. */

import { type Kysely, sql, type Transaction } from 'kysely'
import { StorageError } from '../core/errors.ts'
import { behind, type ListPlace } from './list-part.ts'
import type { S3KeyStore, StoredS3Key } from './s3-key-store.ts'
import type { Tables } from './tables.ts'

export interface S3KeyRow {
  readonly id: string
  readonly principal: string
  readonly user: string
  readonly name: string
  /** JSON. */
  readonly terms: string
  readonly enabled: number
  readonly created: number
  readonly used: number | null
  readonly expires: number
}

/** Removed in one go. */
const mostEnded = 100

export async function addS3Keys(db: Transaction<Tables>): Promise<void> {
  await db.schema
    .createTable('s3_keys')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('principal', 'text', (column) => column.notNull())
    .addColumn('user', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('terms', 'text', (column) => column.notNull())
    .addColumn('enabled', 'integer', (column) => column.notNull())
    .addColumn('created', 'bigint', (column) => column.notNull())
    .addColumn('used', 'bigint')
    .addColumn('expires', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('s3_keys_user').on('s3_keys').column('user').execute()
  await db.schema.createIndex('s3_keys_expires').on('s3_keys').column('expires').execute()
}

export class SharedS3Keys implements S3KeyStore {
  readonly #db: Kysely<Tables>
  readonly now: () => number

  constructor(db: Kysely<Tables>, now: () => number) {
    this.#db = db
    this.now = now
  }

  async add(key: Omit<StoredS3Key, 'created' | 'used' | 'enabled'>, most: number): Promise<StoredS3Key> {
    const created = this.now()
    const { id, user, name } = key
    await this.#db.transaction().execute(async (transaction) => {
      const { count, same } = await transaction
        .selectFrom('s3_keys')
        .select([
          sql<number>`coalesce(sum(case when user = ${user} then 1 else 0 end), 0)`.as('count'),
          sql<number>`coalesce(sum(case when id = ${id} or name = ${name} then 1 else 0 end), 0)`.as('same'),
        ])
        .where((row) => row.or([row('id', '=', id), row('user', '=', user)]))
        .where('expires', '>', created)
        .executeTakeFirstOrThrow()
      if (Number(same) > 0) throw new StorageError('exists', 'there is an access key of this name')
      if (Number(count) >= most) throw new StorageError('busy', 'too many access keys', { retryAfter: 3600 })
      await transaction
        .insertInto('s3_keys')
        .values({ ...key, enabled: 1, created, used: null })
        .execute()
    })
    return { ...key, enabled: true, created, used: undefined }
  }

  async get(id: string): Promise<StoredS3Key | undefined> {
    const row = await this.#db
      .selectFrom('s3_keys')
      .selectAll()
      .where('id', '=', id)
      .where('expires', '>', this.now())
      .executeTakeFirst()
    return row && keyOf(row)
  }

  async list(user: string | undefined, most: number, after?: ListPlace): Promise<readonly StoredS3Key[]> {
    const all = this.#db.selectFrom('s3_keys').selectAll().where('expires', '>', this.now()).where(behind(after))
    const some = user === undefined ? all : all.where('user', '=', user)
    const rows = await some.orderBy('created', 'desc').orderBy('id').limit(most).execute()
    return rows.map(keyOf)
  }

  async touch(id: string): Promise<void> {
    await this.#db.updateTable('s3_keys').set({ used: this.now() }).where('id', '=', id).execute()
  }

  async setEnabled(id: string, enabled: boolean): Promise<boolean> {
    const { numUpdatedRows } = await this.#db
      .updateTable('s3_keys')
      .set({ enabled: enabled ? 1 : 0 })
      .where('id', '=', id)
      .executeTakeFirst()
    return numUpdatedRows > 0n
  }

  async remove(id: string): Promise<boolean> {
    const { numDeletedRows } = await this.#db.deleteFrom('s3_keys').where('id', '=', id).executeTakeFirst()
    return numDeletedRows > 0n
  }

  async ended(): Promise<readonly string[]> {
    const rows = await this.#db
      .selectFrom('s3_keys')
      .select('id')
      .where('expires', '<=', this.now())
      .orderBy('expires')
      .limit(mostEnded)
      .execute()
    return rows.map(({ id }) => id)
  }
}

function keyOf({ created, used, expires, enabled, ...same }: S3KeyRow): StoredS3Key {
  const times = { created: Number(created), expires: Number(expires) }
  return { ...same, ...times, enabled: Number(enabled) === 1, used: used === null ? undefined : Number(used) }
}
