/** The tables of signing in. */

import type { Transaction } from 'kysely'
import type { Tables } from './tables.ts'

export interface SignInTables {
  readonly sessions: {
    readonly id: string
    /** Of what opens it. */
    readonly hash: string
    readonly principal: string
    readonly user: string
    /** JSON. */
    readonly facts: string
    readonly agent: string
    readonly address: string
    readonly created: number
    readonly used: number
    readonly expires: number
  }
  readonly app_passwords: {
    readonly id: string
    /** Of the password. */
    readonly hash: string
    readonly principal: string
    readonly user: string
    readonly name: string
    /** JSON. */
    readonly terms: string
    readonly created: number
    readonly used: number | null
    readonly expires: number
  }
  /** Wrong guesses at passwords. */
  readonly attempts: {
    readonly name: string
    readonly failures: number
    readonly not_before: number
    readonly good: number
    readonly changed: number
  }
}

export async function addSignIn(db: Transaction<Tables>): Promise<void> {
  await db.schema
    .createTable('sessions')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('hash', 'text', (column) => column.notNull().unique())
    .addColumn('principal', 'text', (column) => column.notNull())
    .addColumn('user', 'text', (column) => column.notNull())
    .addColumn('facts', 'text', (column) => column.notNull())
    .addColumn('agent', 'text', (column) => column.notNull())
    .addColumn('address', 'text', (column) => column.notNull())
    .addColumn('created', 'bigint', (column) => column.notNull())
    .addColumn('used', 'bigint', (column) => column.notNull())
    .addColumn('expires', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('sessions_user').on('sessions').column('user').execute()
  await db.schema.createIndex('sessions_expires').on('sessions').column('expires').execute()
  await db.schema
    .createTable('app_passwords')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('hash', 'text', (column) => column.notNull())
    .addColumn('principal', 'text', (column) => column.notNull())
    .addColumn('user', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('terms', 'text', (column) => column.notNull())
    .addColumn('created', 'bigint', (column) => column.notNull())
    .addColumn('used', 'bigint')
    .addColumn('expires', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('app_passwords_user').on('app_passwords').column('user').execute()
  await db.schema.createIndex('app_passwords_expires').on('app_passwords').column('expires').execute()
  await db.schema
    .createTable('attempts')
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('failures', 'integer', (column) => column.notNull())
    .addColumn('not_before', 'bigint', (column) => column.notNull())
    .addColumn('good', 'bigint', (column) => column.notNull())
    .addColumn('changed', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('attempts_changed').on('attempts').column('changed').execute()
}
