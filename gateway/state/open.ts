/** Opens the state store of this machine: an SQLite file shared by all processes of the gateway. */

import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Kysely, sql } from 'kysely'
import { StorageError } from '../core/errors.ts'
import { SharedAppPasswords } from './app-passwords.ts'
import { SharedAttempts } from './attempts.ts'
import { type Bell, openBell } from './bell.ts'
import { SharedByteLocks } from './byte-locks.ts'
import { Holder, type Timing, usualTiming } from './holder.ts'
import { type Durably, SharedJournal } from './journal.ts'
import { SharedLeases } from './leases.ts'
import { SharedLinks } from './links.ts'
import { SharedLocks } from './locks.ts'
import { SharedParts } from './parts.ts'
import { SharedProperties } from './properties.ts'
import { SharedRevocations } from './revocations.ts'
import { SharedS3Keys } from './s3-keys.ts'
import { SharedSessions } from './sessions.ts'
import { SharedShares } from './shares.ts'
import { openSqlite, type Sqlite } from './sqlite.ts'
import { SharedStagings } from './stagings.ts'
import type { SealedValues, State } from './state.ts'
import { migrate, type Tables } from './tables.ts'
import { SharedUploads } from './uploads.ts'

export interface StateOptions {
  /** A directory of a local file system; made with mode 0700 if it is missing. */
  readonly directory: string
  /** Milliseconds since 1970; the system's clock unless a test brings its own. */
  readonly now?: () => number
  readonly timing?: Timing
  /** Milliseconds to wait for another process before a call fails with `busy`. */
  readonly patience?: number
}

/** The store's file below the state directory. Two more, `-wal` and `-shm`, belong to it while it is open. */
export const stateFile = 'state.sqlite'
/** Touched whenever a lock has changed, for the other processes. */
const bellFile = 'locks.changed'
/** Touched whenever one who waits for a byte-range lock has been given it. */
const byteBellFile = 'byte-locks.changed'

/**
 * Opens the store, brings its tables up to date and registers this process. Fails with StorageError;
 * the cause tells the details.
 */
export async function openState(options: StateOptions): Promise<State> {
  const now = options.now ?? Date.now
  await makeDirectory(options.directory)
  const file = join(options.directory, stateFile)
  const sqlite = await openSqlite({ file, patience: options.patience ?? 5000 })
  try {
    const db = new Kysely<Tables>({ dialect: sqlite.dialect })
    await migrate(db, now)
    const bell = await openBell(join(options.directory, bellFile))
    const byteBell = await openBell(join(options.directory, byteBellFile))
    const holder = new Holder(db, now, options.timing ?? usualTiming)
    await holder.open()
    return new SqliteState(sqlite, db, holder, { bell, byteBell })
  } catch (error) {
    await sqlite.close()
    throw StorageError.from(error)
  }
}

async function makeDirectory(directory: string): Promise<void> {
  try {
    const made = await mkdir(directory, { recursive: true, mode: 0o700 })
    if (made !== undefined) await chmod(directory, 0o700)
  } catch (cause) {
    throw new StorageError('unavailable', 'the state directory cannot be made', { cause })
  }
}

class SqliteState implements State {
  readonly journal: SharedJournal
  readonly overflow: SharedProperties
  readonly leases: SharedLeases
  readonly sealed: SealedValues
  readonly stagings: SharedStagings
  readonly revocations: SharedRevocations
  readonly shares: SharedShares
  readonly locks: SharedLocks
  readonly uploads: SharedUploads
  readonly parts: SharedParts
  readonly byteLocks: SharedByteLocks
  readonly sessions: SharedSessions
  readonly appPasswords: SharedAppPasswords
  readonly s3Keys: SharedS3Keys
  readonly links: SharedLinks
  readonly attempts: SharedAttempts
  readonly #sqlite: Sqlite
  readonly #db: Kysely<Tables>
  readonly #holder: Holder
  #closed: Promise<void> | undefined

  constructor(
    sqlite: Sqlite,
    db: Kysely<Tables>,
    holder: Holder,
    { bell, byteBell }: { readonly bell: Bell; readonly byteBell: Bell },
  ) {
    this.#sqlite = sqlite
    this.#db = db
    this.#holder = holder
    this.journal = new SharedJournal(db, holder, durablyOn(db))
    this.overflow = new SharedProperties(db)
    this.leases = new SharedLeases(db, holder)
    this.sealed = sealedValues(db)
    this.stagings = new SharedStagings(db, holder.now, durablyOn(db))
    this.revocations = new SharedRevocations(db, holder.now, durablyOn(db))
    this.shares = new SharedShares(db, holder.now)
    this.uploads = new SharedUploads(db, { now: holder.now, life: holder.timing.life, durably: durablyOn(db) })
    this.parts = new SharedParts(db, holder, durablyOn(db))
    this.sessions = new SharedSessions(db, holder.now)
    this.appPasswords = new SharedAppPasswords(db, holder.now)
    this.s3Keys = new SharedS3Keys(db, holder.now)
    this.links = new SharedLinks(db, holder.now, durablyOn(db))
    this.attempts = new SharedAttempts(db, holder.now)
    this.byteLocks = new SharedByteLocks(db, holder, byteBell)
    this.locks = new SharedLocks(db, { id: holder.id, now: holder.now, timing: holder.timing, bell })
  }

  async getSetting(name: string): Promise<string | undefined> {
    const row = await this.#db.selectFrom('settings').select('value').where('name', '=', name).executeTakeFirst()
    return row?.value
  }

  async setSetting(name: string, value: string): Promise<void> {
    await this.#db
      .insertInto('settings')
      .values({ name, value })
      .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
      .execute()
  }

  async firstSetting(name: string, value: string): Promise<string> {
    await this.#db
      .insertInto('settings')
      .values({ name, value })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .execute()
    return (await this.getSetting(name)) ?? value
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    try {
      this.byteLocks.close()
      await this.locks.close()
      await this.#holder.close()
    } finally {
      await this.#sqlite.close()
    }
  }
}

function durablyOn(db: Kysely<Tables>): Durably {
  return (work) =>
    db.connection().execute(async (connection) => {
      await sql`pragma synchronous = full`.execute(connection)
      try {
        await work(connection)
      } finally {
        await sql`pragma synchronous = normal`.execute(connection)
      }
    })
}

function sealedValues(db: Kysely<Tables>): SealedValues {
  return {
    async get(name) {
      const row = await db.selectFrom('sealed_values').select('sealed').where('name', '=', name).executeTakeFirst()
      return row?.sealed
    },
    async set(name, sealed) {
      await db
        .insertInto('sealed_values')
        .values({ name, sealed })
        .onConflict((conflict) => conflict.column('name').doUpdateSet({ sealed }))
        .execute()
    },
    async remove(name) {
      await db.deleteFrom('sealed_values').where('name', '=', name).execute()
    },
    async names() {
      const rows = await db.selectFrom('sealed_values').select('name').orderBy('name').execute()
      return rows.map((row) => row.name)
    },
    async exchange(name, from, to) {
      const result = await db
        .updateTable('sealed_values')
        .set({ sealed: to })
        .where('name', '=', name)
        .where('sealed', '=', from)
        .executeTakeFirst()
      return result.numUpdatedRows > 0n
    },
  }
}
