/**
 * The tables and how they came to be. A migration is never changed once released; a new one is added.
 * Times are integers: milliseconds since 1970. Nothing here is particular to one SQL engine.
 */

import { type ColumnDefinitionBuilder, type Kysely, sql, type Transaction } from 'kysely'
import { StorageError } from '../core/errors.ts'
import { addByteLocks, type ByteLockRow } from './byte-lock-table.ts'
import { addLinks, type LinkRow } from './links.ts'
import { addParts, type PartRow } from './part-table.ts'
import { addS3Keys, type S3KeyRow } from './s3-keys.ts'
import { addSignIn, type SignInTables } from './sign-in-tables.ts'
import { addUploads, type UploadRow } from './upload-table.ts'

export interface Tables extends SignInTables {
  readonly schema_versions: { readonly version: number; readonly applied: number }
  readonly settings: { readonly name: string; readonly value: string }
  /** Processes that use the store; alive until `expires` unless renewed. */
  readonly holders: { readonly id: string; readonly expires: number }
  readonly leases: { readonly name: string; readonly holder: string }
  readonly journal: {
    readonly backend: string
    readonly place: string
    readonly holder: string
    readonly added: number
  }
  readonly properties: {
    readonly backend: string
    readonly object: string
    readonly name: string
    readonly value: string
  }
  readonly sealed_values: { readonly name: string; readonly sealed: string }
  readonly stagings: {
    readonly id: string
    readonly principal: string
    /** Whose limits it is counted for. */
    readonly counted: string
    /** Null: nothing that comes is the same request any more. */
    readonly claim: string | null
    readonly lasting: number
    readonly fingerprint: string
    /** How many. */
    readonly files: number
    readonly created: number
    readonly started: number | null
    readonly completed: number | null
  }
  readonly staging_orders: {
    readonly request: string
    readonly mount: string
    readonly backend: string
    readonly asked: number | null
    readonly order_id: string | null
    /** The back end's progress was looked at. */
    readonly polled: number | null
  }
  readonly staging_files: {
    readonly request: string
    readonly number: number
    readonly path: string
    readonly inner_path: string
    readonly mount: string
    readonly lifetime: number | null
    readonly state: string
    readonly outside: number
    readonly started: number | null
    readonly finished: number | null
    readonly error: string | null
  }
  readonly locks: {
    readonly token: string
    readonly serial: number
    /** 1: removed; kept until all processes know. */
    readonly gone: number
    /** 1: not confirmed. */
    readonly pending: number
    readonly principal: string
    /** Whose limits it is counted for. */
    readonly counted: string
    readonly user_name: string | null
    readonly backend: string
    readonly realm: string
    readonly place: string
    readonly path: string
    readonly object: string | null
    /** A JSON array. */
    readonly above: string
    readonly scope: string
    readonly depth: string
    readonly owner: string
    readonly fresh: number
    readonly created: number
    readonly expires: number
  }
  /** One row. Removed locks up to `floor` are forgotten. */
  readonly lock_serials: { readonly id: number; readonly serial: number; readonly floor: number }
  /** Processes that keep locks in memory. */
  readonly lock_watchers: { readonly id: string; readonly seen: number; readonly expires: number }
  /** What was banned or revoked, by names such as "user:alice@desy.de" and "macaroon:ID". */
  readonly revocations: {
    readonly name: string
    /** Whose it is to count. */
    readonly principal: string
    readonly note: string
    readonly added: number
    /** When it is of no account any more; null: never. */
    readonly until: number | null
  }
  /** One row: a number that grows with every change of `revocations`. */
  readonly revocation_serials: { readonly id: number; readonly serial: number }
  readonly shares: {
    readonly id: string
    readonly principal: string
    readonly user: string
    readonly path: string
    /** JSON. */
    readonly terms: string
    readonly created: number
    readonly expires: number
  }
  readonly uploads: UploadRow
  readonly upload_parts: PartRow
  readonly s3_keys: S3KeyRow
  readonly links: LinkRow
  readonly byte_locks: ByteLockRow
}

type Migration = (db: Transaction<Tables>) => Promise<void>

const migrations: readonly Migration[] = [
  async (db) => {
    await db.schema
      .createTable('settings')
      .addColumn('name', 'text', (column) => column.primaryKey())
      .addColumn('value', 'text', (column) => column.notNull())
      .execute()
    await db.schema
      .createTable('holders')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('expires', 'bigint', (column) => column.notNull())
      .execute()
    await db.schema
      .createTable('leases')
      .addColumn('name', 'text', (column) => column.primaryKey())
      .addColumn('holder', 'text', (column) => column.notNull())
      .execute()
    await db.schema
      .createTable('journal')
      .addColumn('backend', 'text', (column) => column.notNull())
      .addColumn('place', 'text', (column) => column.notNull())
      .addColumn('holder', 'text', (column) => column.notNull())
      .addColumn('added', 'bigint', (column) => column.notNull())
      .addPrimaryKeyConstraint('journal_key', ['backend', 'place'])
      .execute()
    await db.schema
      .createTable('properties')
      .addColumn('backend', 'text', (column) => column.notNull())
      .addColumn('object', 'text', (column) => column.notNull())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('value', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('properties_key', ['backend', 'object', 'name'])
      .execute()
    await db.schema
      .createTable('sealed_values')
      .addColumn('name', 'text', (column) => column.primaryKey())
      .addColumn('sealed', 'text', (column) => column.notNull())
      .execute()
  },
  addStagings,
  addLocks,
  addShares,
  addSignIn,
  addUploads,
  addCounted,
  addParts,
  addS3Keys,
  addLinks,
  addByteLocks,
]

async function addStagings(db: Transaction<Tables>): Promise<void> {
  await db.schema
    .createTable('stagings')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('principal', 'text', (column) => column.notNull())
    .addColumn('claim', 'text')
    .addColumn('lasting', 'integer', (column) => column.notNull())
    .addColumn('fingerprint', 'text', (column) => column.notNull())
    .addColumn('files', 'integer', (column) => column.notNull())
    .addColumn('created', 'bigint', (column) => column.notNull())
    .addColumn('started', 'bigint')
    .addColumn('completed', 'bigint')
    .addUniqueConstraint('stagings_claim', ['principal', 'claim'])
    .execute()
  await db.schema.createIndex('stagings_completed').on('stagings').column('completed').execute()
  await db.schema.createIndex('stagings_created').on('stagings').column('created').execute()
  await db.schema
    .createTable('staging_orders')
    .addColumn('request', 'text', (column) => column.notNull())
    .addColumn('mount', 'text', (column) => column.notNull())
    .addColumn('backend', 'text', (column) => column.notNull())
    .addColumn('asked', 'bigint')
    .addColumn('order_id', 'text')
    .addColumn('polled', 'bigint')
    .addPrimaryKeyConstraint('staging_orders_key', ['request', 'mount'])
    .execute()
  await db.schema.createIndex('staging_orders_order').on('staging_orders').column('order_id').execute()
  await db.schema
    .createTable('staging_files')
    .addColumn('request', 'text', (column) => column.notNull())
    .addColumn('number', 'integer', (column) => column.notNull())
    .addColumn('path', 'text', (column) => column.notNull())
    .addColumn('inner_path', 'text', (column) => column.notNull())
    .addColumn('mount', 'text', (column) => column.notNull())
    .addColumn('lifetime', 'integer')
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('outside', 'integer', (column) => column.notNull())
    .addColumn('started', 'bigint')
    .addColumn('finished', 'bigint')
    .addColumn('error', 'text')
    .addPrimaryKeyConstraint('staging_files_key', ['request', 'number'])
    .execute()
}

async function addLocks(db: Transaction<Tables>): Promise<void> {
  await db.schema
    .createTable('locks')
    .addColumn('token', 'text', (column) => column.primaryKey())
    .addColumn('serial', 'bigint', (column) => column.notNull())
    .addColumn('gone', 'integer', (column) => column.notNull())
    .addColumn('pending', 'integer', (column) => column.notNull())
    .addColumn('principal', 'text', (column) => column.notNull())
    .addColumn('user_name', 'text')
    .addColumn('backend', 'text', (column) => column.notNull())
    .addColumn('realm', 'text', (column) => column.notNull())
    .addColumn('place', 'text', (column) => column.notNull())
    .addColumn('path', 'text', (column) => column.notNull())
    .addColumn('object', 'text')
    .addColumn('above', 'text', (column) => column.notNull())
    .addColumn('scope', 'text', (column) => column.notNull())
    .addColumn('depth', 'text', (column) => column.notNull())
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('fresh', 'integer', (column) => column.notNull())
    .addColumn('created', 'bigint', (column) => column.notNull())
    .addColumn('expires', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('locks_serial').on('locks').column('serial').execute()
  await db.schema.createIndex('locks_principal').on('locks').column('principal').execute()
  await db.schema.createIndex('locks_expires').on('locks').column('expires').execute()
  await db.schema
    .createTable('lock_serials')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('serial', 'bigint', (column) => column.notNull())
    .addColumn('floor', 'bigint', (column) => column.notNull())
    .execute()
  await db.insertInto('lock_serials').values({ id: 0, serial: 0, floor: 0 }).execute()
  await db.schema
    .createTable('lock_watchers')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('seen', 'bigint', (column) => column.notNull())
    .addColumn('expires', 'bigint', (column) => column.notNull())
    .execute()
}

async function addShares(db: Transaction<Tables>): Promise<void> {
  await db.schema
    .createTable('revocations')
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('principal', 'text', (column) => column.notNull())
    .addColumn('note', 'text', (column) => column.notNull())
    .addColumn('added', 'bigint', (column) => column.notNull())
    .addColumn('until', 'bigint')
    .execute()
  await db.schema.createIndex('revocations_principal').on('revocations').column('principal').execute()
  await db.schema.createIndex('revocations_until').on('revocations').column('until').execute()
  await db.schema
    .createTable('revocation_serials')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('serial', 'bigint', (column) => column.notNull())
    .execute()
  await db.insertInto('revocation_serials').values({ id: 0, serial: 0 }).execute()
  await db.schema
    .createTable('shares')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('principal', 'text', (column) => column.notNull())
    .addColumn('user', 'text', (column) => column.notNull())
    .addColumn('path', 'text', (column) => column.notNull())
    .addColumn('terms', 'text', (column) => column.notNull())
    .addColumn('created', 'bigint', (column) => column.notNull())
    .addColumn('expires', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('shares_user').on('shares').column('user').execute()
  await db.schema.createIndex('shares_expires').on('shares').column('expires').execute()
}

/** Many credentials may be one principal's. What was there before was its holder's own. */
async function addCounted(db: Transaction<Tables>): Promise<void> {
  for (const table of ['locks', 'stagings'] as const) {
    const notNull = (column: ColumnDefinitionBuilder) => column.notNull().defaultTo('')
    await db.schema.alterTable(table).addColumn('counted', 'text', notNull).execute()
    await db
      .updateTable(table)
      .set((row) => ({ counted: row.ref('principal') }))
      .execute()
    await db.schema.createIndex(`${table}_counted`).on(table).column('counted').execute()
  }
}

/**
 * Brings the tables up to this version of the gateway. Safe when several processes start at once.
 * Fails with `unsupported` when a newer gateway has already changed them.
 */
export async function migrate(db: Kysely<Tables>, now: () => number): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    await transaction.schema
      .createTable('schema_versions')
      .ifNotExists()
      .addColumn('version', 'integer', (column) => column.primaryKey())
      .addColumn('applied', 'bigint', (column) => column.notNull())
      .execute()
    const row = await transaction
      .selectFrom('schema_versions')
      .select(sql<number>`coalesce(max(version), 0)`.as('version'))
      .executeTakeFirstOrThrow()
    const current = Number(row.version)
    if (current > migrations.length) {
      throw new StorageError('unsupported', 'the state store was written by a newer version of the gateway')
    }
    for (const [index, migration] of migrations.entries()) {
      if (index < current) continue
      await migration(transaction)
      await transaction
        .insertInto('schema_versions')
        .values({ version: index + 1, applied: now() })
        .execute()
    }
  })
}
