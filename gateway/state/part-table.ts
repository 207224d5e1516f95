/** The table of parts of uploads, and what uploads have for them. */

import type { Transaction } from 'kysely'
import type { Tables } from './tables.ts'

export interface PartRow {
  readonly upload: string
  /** Where its bytes are in the draft; no two rows of an upload overlap. */
  readonly offset: number
  /** Bytes that are kept free for it, and reserved: those of the part at least, and one for a part without any. */
  readonly room: number
  /** 0: what was written there does not count any more. */
  readonly number: number
  readonly size: number
  /** Whose bytes are to come. */
  readonly holder: string
  readonly digests: string | null
  /** Null: the bytes are still to come. */
  readonly modified: number | null
}

export async function addParts(db: Transaction<Tables>): Promise<void> {
  await db.schema.alterTable('uploads').addColumn('part_size', 'bigint').execute()
  await db.schema.alterTable('uploads').addColumn('attempt', 'text').execute()
  await db.schema
    .createTable('upload_parts')
    .addColumn('upload', 'text', (column) => column.notNull())
    .addColumn('offset', 'bigint', (column) => column.notNull())
    .addColumn('room', 'bigint', (column) => column.notNull())
    .addColumn('number', 'integer', (column) => column.notNull())
    .addColumn('size', 'bigint', (column) => column.notNull())
    .addColumn('holder', 'text', (column) => column.notNull())
    .addColumn('digests', 'text')
    .addColumn('modified', 'bigint')
    .addPrimaryKeyConstraint('upload_parts_key', ['upload', 'offset'])
    .execute()
  await db.schema.createIndex('upload_parts_number').on('upload_parts').columns(['upload', 'number']).execute()
  await db.schema.createIndex('uploads_owned').on('uploads').columns(['principal', 'path', 'created', 'id']).execute()
}
