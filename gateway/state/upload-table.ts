/** The table of uploads. */

import type { Transaction } from 'kysely'
import type { Tables } from './tables.ts'

export interface UploadRow {
  readonly id: string
  readonly principal: string
  readonly user_name: string | null
  readonly path: string
  readonly backend: string
  readonly inner_path: string
  readonly place: string
  readonly spooled: number
  /** Null: no draft is known to be there. */
  readonly object: string | null
  /** JSON. */
  readonly terms: string
  /** Bytes of the whole; null: nobody has told. */
  readonly total: number | null
  readonly done: number
  readonly reserved: number
  readonly created: number
  readonly expires: number
  /** A sweep does not look at it before. */
  readonly swept: number
  /** Turns called, and the one that was taken last. */
  readonly called: number
  readonly taken: number
  /** JSON; null: not complete. */
  readonly result: string | null
  /** Bytes of all parts but the last, 0 as long as nobody knows; null: it does not come in parts. */
  readonly part_size: number | null
  /** JSON of a draft that its parts are being joined in; null: none. */
  readonly attempt: string | null
}

export async function addUploads(db: Transaction<Tables>): Promise<void> {
  await db.schema
    .createTable('uploads')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('principal', 'text', (column) => column.notNull())
    .addColumn('user_name', 'text')
    .addColumn('path', 'text', (column) => column.notNull())
    .addColumn('backend', 'text', (column) => column.notNull())
    .addColumn('inner_path', 'text', (column) => column.notNull())
    .addColumn('place', 'text', (column) => column.notNull())
    .addColumn('spooled', 'integer', (column) => column.notNull())
    .addColumn('object', 'text')
    .addColumn('terms', 'text', (column) => column.notNull())
    .addColumn('total', 'bigint')
    .addColumn('done', 'bigint', (column) => column.notNull())
    .addColumn('reserved', 'bigint', (column) => column.notNull())
    .addColumn('created', 'bigint', (column) => column.notNull())
    .addColumn('expires', 'bigint', (column) => column.notNull())
    .addColumn('swept', 'bigint', (column) => column.notNull())
    .addColumn('called', 'bigint', (column) => column.notNull())
    .addColumn('taken', 'bigint', (column) => column.notNull())
    .addColumn('result', 'text')
    .execute()
  await db.schema.createIndex('uploads_principal').on('uploads').column('principal').execute()
  await db.schema.createIndex('uploads_expires').on('uploads').column('expires').execute()
  await db.schema.createIndex('uploads_place').on('uploads').column('place').execute()
}
