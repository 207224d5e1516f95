/** Locks on objects of back ends: see `LockStore`. */

import { setTimeout as sleep } from 'node:timers/promises'
import { type Kysely, sql, type Transaction } from 'kysely'
import { StorageError } from '../core/errors.ts'
import type { Path } from '../core/path.ts'
import type { Bell } from './bell.ts'
import type { Timing } from './holder.ts'
import type { LockBinding, LockBounds, LockChanges, LockStore, StoredLock } from './state.ts'
import type { Tables } from './tables.ts'

/** A lock that nobody confirms is gone after so many ms: its process died while it waited for the others. */
const confirmWithin = 60_000
/** ms between two looks at what the others have seen; doubled up to the last. */
const firstPause = 1
const longestPause = 32
/** ms between two looks for changes where the bell cannot be heard. */
const deafPause = 50

type Row = Tables['locks']

/** One process's side of it. */
export interface LocksOptions {
  readonly id: string
  readonly now: () => number
  readonly timing: Timing
  readonly bell: Bell
}

export class SharedLocks implements LockStore {
  readonly life: number
  readonly #db: Kysely<Tables>
  readonly #options: LocksOptions
  #timer: NodeJS.Timeout | undefined
  #changed: (() => Promise<void>) | undefined
  #pause: number
  #telling: Promise<void> | undefined
  #again = false
  #closed = false

  constructor(db: Kysely<Tables>, options: LocksOptions) {
    this.#db = db
    this.#options = options
    this.life = options.timing.life
    this.#pause = options.timing.renew
  }

  now(): number {
    return this.#options.now()
  }

  watch(changed: () => Promise<void>): void {
    this.#changed = changed
    if (!this.#options.bell.listen(() => this.#tell())) this.#pause = Math.min(this.#pause, deafPause)
    this.#tell()
  }

  async beat(seen: number): Promise<void> {
    const { id } = this.#options
    const expires = this.now() + this.life
    await this.#db
      .insertInto('lock_watchers')
      .values({ id, seen, expires })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ expires }))
      .execute()
  }

  async changes(since: number): Promise<LockChanges> {
    const before = await this.#serials(this.#db)
    if (before.serial === since) return { serial: since, whole: false, locks: [], gone: [] }
    const rows = await this.#db.selectFrom('locks').selectAll().where('serial', '>', since).execute()
    // What was removed is forgotten only after everybody has seen it; who was not counted begins anew.
    const { floor } = await this.#serials(this.#db)
    if (since >= 0 && floor > since) return this.changes(-1)
    const serial = rows.reduce((most, row) => Math.max(most, Number(row.serial)), before.serial)
    return {
      serial,
      whole: since < 0,
      locks: rows.filter(({ gone }) => gone === 0).map(lockOf),
      gone: rows.filter(({ gone }) => gone !== 0).map(({ token }) => token),
    }
  }

  async seen(serial: number): Promise<void> {
    await this.#db.updateTable('lock_watchers').set({ seen: serial }).where('id', '=', this.#options.id).execute()
  }

  async settled(serial: number, patience: number): Promise<boolean> {
    const until = performance.now() + patience
    for (let pause = firstPause; ; pause = Math.min(pause * 2, longestPause)) {
      const behind = await this.#db
        .selectFrom('lock_watchers')
        .select('id')
        .where('id', '!=', this.#options.id)
        .where('expires', '>=', this.now())
        .where('seen', '<', serial)
        .limit(1)
        .executeTakeFirst()
      if (!behind) return true
      if (performance.now() > until || this.#closed) return false
      await sleep(pause)
    }
  }

  async add(lock: StoredLock, since: number, { own, all }: LockBounds): Promise<number | undefined> {
    const added = await this.#db.transaction().execute(async (tx) => {
      const { serial } = await this.#serials(tx)
      if (serial !== since) return undefined
      const { mine, total } = await tx
        .selectFrom('locks')
        .select([
          sql<number>`count(*)`.as('total'),
          sql<number>`coalesce(sum(case when counted = ${lock.counted} then 1 else 0 end), 0)`.as('mine'),
        ])
        .where('gone', '=', 0)
        .executeTakeFirstOrThrow()
      if (Number(mine) >= own || Number(total) >= all) {
        throw new StorageError('busy', 'there are too many locks', { path: lock.path, retryAfter: 60 })
      }
      const next = await this.#next(tx)
      await tx
        .insertInto('locks')
        .values({ ...rowOf(lock), serial: next, pending: 1, expires: this.now() + confirmWithin })
        .execute()
      return next
    })
    if (added !== undefined) await this.#options.bell.ring()
    return added
  }

  async confirm(token: string, bound: LockBinding, expires: number): Promise<boolean> {
    return (await this.#update([token], { pending: 0, expires, ...boundColumns(bound) })) > 0
  }

  async bind(token: string, bound: LockBinding): Promise<void> {
    await this.#update([token], boundColumns(bound))
  }

  async refresh(token: string, expires: number): Promise<boolean> {
    return (await this.#update([token], { expires })) > 0
  }

  async remove(tokens: readonly string[]): Promise<void> {
    if (tokens.length > 0) await this.#update(tokens, { gone: 1 })
  }

  async refuse(token: string): Promise<void> {
    await this.#update([token], { gone: 1 }, { pending: true })
  }

  async expire(): Promise<void> {
    const rows = await this.#db
      .selectFrom('locks')
      .select('token')
      .where('gone', '=', 0)
      .where('expires', '<=', this.now())
      .execute()
    if (rows.length === 0) return
    const tokens = rows.map(({ token }) => token)
    await this.#update(tokens, { gone: 1 }, { expired: true })
  }

  /** Stops watching; the others wait for this process no more. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#options.bell.close()
    await this.#telling
    if (this.#changed) await this.#db.deleteFrom('lock_watchers').where('id', '=', this.#options.id).execute()
  }

  /** Calls `changed`, and once more if there was reason to meanwhile. */
  #tell(): void {
    if (this.#closed) return
    if (this.#telling) {
      this.#again = true
      return
    }
    clearTimeout(this.#timer)
    this.#telling = this.#callChanged().finally(() => {
      this.#telling = undefined
      const again = this.#again
      this.#again = false
      if (this.#closed) return
      if (again) return this.#tell()
      this.#timer = setTimeout(() => this.#tell(), this.#pause)
      this.#timer.unref()
    })
  }

  async #callChanged(): Promise<void> {
    try {
      await this.#changed?.()
    } catch {
      // Tried again soon; until then the others come to count this process as gone, and it knows.
    }
  }

  /** Tells how many there were. */
  async #update(
    tokens: readonly string[],
    values: Partial<Omit<Row, 'token' | 'serial'>>,
    only: { readonly pending?: boolean; readonly expired?: boolean } = {},
  ): Promise<number> {
    const count = await this.#db.transaction().execute(async (tx) => {
      const serial = await this.#next(tx)
      let query = tx
        .updateTable('locks')
        .set({ ...values, serial })
        .where('token', 'in', tokens)
        .where('gone', '=', 0)
      if (only.pending) query = query.where('pending', '=', 1)
      // It may have been refreshed meanwhile.
      if (only.expired) query = query.where('expires', '<=', this.now())
      const result = await query.executeTakeFirst()
      if (values.gone === 1) await this.#forget(tx)
      return Number(result.numUpdatedRows)
    })
    await this.#options.bell.ring()
    return count
  }

  /** Removed locks that every process has seen as removed. */
  async #forget(tx: Transaction<Tables>): Promise<void> {
    await tx.deleteFrom('lock_watchers').where('expires', '<', this.now()).execute()
    const row = await tx.selectFrom('lock_watchers').select(sql<number | null>`min(seen)`.as('seen')).executeTakeFirst()
    const seen = Number(row?.seen ?? 0)
    const { floor } = await this.#serials(tx)
    if (seen <= floor) return
    await tx.deleteFrom('locks').where('gone', '=', 1).where('serial', '<=', seen).execute()
    await tx.updateTable('lock_serials').set({ floor: seen }).execute()
  }

  async #serials(db: Kysely<Tables>): Promise<{ readonly serial: number; readonly floor: number }> {
    const { serial, floor } = await db.selectFrom('lock_serials').select(['serial', 'floor']).executeTakeFirstOrThrow()
    return { serial: Number(serial), floor: Number(floor) }
  }

  async #next(tx: Transaction<Tables>): Promise<number> {
    await tx.updateTable('lock_serials').set({ serial: sql<number>`serial + 1` }).execute()
    return (await this.#serials(tx)).serial
  }
}

function boundColumns({ object, above, fresh }: LockBinding): Pick<Row, 'object' | 'above' | 'fresh'> {
  return { object: object ?? null, above: JSON.stringify(above), fresh: fresh ? 1 : 0 }
}

function rowOf(lock: StoredLock): Omit<Row, 'serial' | 'pending'> {
  const { token, principal, counted, user, backend, realm, at, path, scope, depth, owner, created, expires } = lock
  return {
    ...{ token, principal, counted, backend, realm, place: at, path, scope, depth, owner, created, expires },
    user_name: user ?? null,
    gone: 0,
    ...boundColumns(lock),
  }
}

/** Rows are of our own making. */
function lockOf(row: Row): StoredLock {
  const { token, principal, counted, backend, realm, owner } = row
  return {
    ...{ token, principal, counted, backend, realm, owner },
    user: row.user_name ?? undefined,
    at: row.place as Path,
    path: row.path as Path,
    object: row.object ?? undefined,
    above: JSON.parse(row.above) as string[],
    scope: row.scope === 'shared' ? 'shared' : 'exclusive',
    depth: row.depth === '0' ? '0' : 'infinity',
    fresh: row.fresh !== 0,
    created: Number(row.created),
    expires: Number(row.expires),
  }
}
