/** The table of byte-range locks, and of wishes for them. */

import type { Transaction } from 'kysely'
import type { Tables } from './tables.ts'

export interface ByteLockRow {
  readonly id: string
  readonly realm: string
  readonly object: string
  readonly place: string
  /** The process in which its owner lives. */
  readonly holder: string
  readonly principal: string
  readonly counted: string
  readonly session: string
  readonly owner: string
  readonly pid: number
  readonly kind: string
  readonly type: string
  readonly first: number
  /** Exclusive. */
  readonly behind: number
  /** Its place in the line of those that wait; null: it is held. */
  readonly queued: number | null
}

export async function addByteLocks(db: Transaction<Tables>): Promise<void> {
  await db.schema
    .createTable('byte_locks')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('realm', 'text', (column) => column.notNull())
    .addColumn('object', 'text', (column) => column.notNull())
    .addColumn('place', 'text', (column) => column.notNull())
    .addColumn('holder', 'text', (column) => column.notNull())
    .addColumn('principal', 'text', (column) => column.notNull())
    .addColumn('counted', 'text', (column) => column.notNull())
    .addColumn('session', 'text', (column) => column.notNull())
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('pid', 'bigint', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('type', 'text', (column) => column.notNull())
    .addColumn('first', 'bigint', (column) => column.notNull())
    .addColumn('behind', 'bigint', (column) => column.notNull())
    .addColumn('queued', 'bigint')
    .execute()
  const index = (name: string, columns: readonly (string & keyof ByteLockRow)[]) =>
    db.schema
      .createIndex(`byte_locks_${name}`)
      .on('byte_locks')
      .columns([...columns])
      .execute()
  await index('object', ['realm', 'object', 'first', 'behind'])
  await index('wishes', ['realm', 'object', 'queued'])
  await index('owner', ['session', 'owner', 'realm', 'object', 'first', 'behind'])
  await index('place', ['realm', 'place'])
  await index('counted', ['counted'])
  await index('queued', ['queued'])
}
