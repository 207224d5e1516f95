/**
 * The staging queue's memory. A request and its files are written in one transaction and are on disk when `add`
 * resolves, since callers keep its id for days; what only tells how far it has come need not survive a power cut.
 */

import { randomUUID } from 'node:crypto'
import { type Kysely, sql, type Transaction } from 'kysely'
import type { StageState } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import type { Path } from '../core/path.ts'
import type { Durably } from './journal.ts'
import type {
  FileChange,
  NewStagedFile,
  NewStaging,
  StagedFile,
  Staging,
  StagingBounds,
  StagingOrder,
  StagingStore,
} from './state.ts'
import type { Tables } from './tables.ts'

/** Rows of one statement: engines bound its parameters, and others wait while it runs. */
const rowsAtOnce = 500
/** Requests that one sweep removes. */
const sweptAtOnce = 20

type Db = Kysely<Tables> | Transaction<Tables>

export class SharedStagings implements StagingStore {
  readonly #db: Kysely<Tables>
  readonly #durably: Durably
  readonly now: () => number

  constructor(db: Kysely<Tables>, now: () => number, durably: Durably) {
    this.#db = db
    this.now = now
    this.#durably = durably
  }

  async add(
    request: NewStaging,
    bounds: StagingBounds,
  ): Promise<{ readonly staging: Staging; readonly added: boolean }> {
    let outcome: { readonly staging: Staging; readonly added: boolean } | undefined
    await this.#durably(async (db) => {
      outcome = await db.transaction().execute((transaction) => this.#insert(transaction, request, bounds))
    })
    if (!outcome) throw new StorageError('internal', 'the state store did not answer')
    return outcome
  }

  claimed(principal: string, claim: string): Promise<Staging | undefined> {
    return find(this.#db, { principal, claim })
  }

  get(id: string): Promise<Staging | undefined> {
    return find(this.#db, { id })
  }

  async files(id: string): Promise<readonly StagedFile[]> {
    const rows = await this.#db
      .selectFrom('staging_files')
      .selectAll()
      .where('request', '=', id)
      .orderBy('number')
      .execute()
    return rows.map(fileOf)
  }

  async ask(id: string, mount: Path): Promise<number | undefined> {
    const changed = await this.#db
      .updateTable('staging_orders')
      .set({ asked: this.now() })
      .where('request', '=', id)
      .where('mount', '=', mount)
      .where('asked', 'is', null)
      .executeTakeFirst()
    if (changed.numUpdatedRows > 0n) return undefined
    const order = (await ordersOf(this.#db, id)).find((each) => each.mount === mount)
    if (!order) throw new StorageError('not-found', 'no such request')
    return order.asked
  }

  async place(id: string, mount: Path, order: string): Promise<void> {
    await this.#db
      .updateTable('staging_orders')
      .set({ order_id: order })
      .where('request', '=', id)
      .where('mount', '=', mount)
      .execute()
  }

  async isOrder(backend: string, order: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom('staging_orders')
      .select('request')
      .where('order_id', '=', order)
      .where('backend', '=', backend)
      .executeTakeFirst()
    return row !== undefined
  }

  async takePoll(id: string, mount: Path, due: number): Promise<boolean> {
    const changed = await this.#db
      .updateTable('staging_orders')
      .set({ polled: this.now() })
      .where('request', '=', id)
      .where('mount', '=', mount)
      .where((expression) => expression.or([expression('polled', 'is', null), expression('polled', '<=', due)]))
      .executeTakeFirst()
    return changed.numUpdatedRows > 0n
  }

  async update(id: string, changes: readonly FileChange[]): Promise<void> {
    await this.#db.transaction().execute(async (db) => {
      const request = await db.selectFrom('stagings').select('completed').where('id', '=', id).executeTakeFirst()
      // Rows written for a request that was removed meanwhile would stay for ever.
      if (!request) return
      await change(db, id, changes)
      await complete(db, id, this.now())
    })
  }

  async remove(id: string): Promise<void> {
    await this.#db.transaction().execute((db) => drop(db, [id]))
  }

  async sweep(before: { readonly completed: number; readonly created: number }): Promise<boolean> {
    return this.#db.transaction().execute(async (db) => {
      const rows = await db
        .selectFrom('stagings')
        .select('id')
        .where((expression) =>
          expression.or([expression('completed', '<', before.completed), expression('created', '<', before.created)]),
        )
        .limit(sweptAtOnce)
        .execute()
      await drop(
        db,
        rows.map(({ id }) => id),
      )
      return rows.length > 0
    })
  }

  async #insert(
    db: Transaction<Tables>,
    request: NewStaging,
    bounds: StagingBounds,
  ): Promise<{ readonly staging: Staging; readonly added: boolean }> {
    const { principal, counted, claim, lasting, fingerprint } = request
    const known = await find(db, { principal, claim })
    if (known) return { staging: known, added: false }
    await requireRoom(db, request, bounds)
    await trim(db, counted, bounds)
    const id = randomUUID()
    const now = this.now()
    const waiting = request.files.some(({ state }) => isWaiting(state))
    const completed = waiting ? null : now
    await db
      .insertInto('stagings')
      .values({
        id,
        principal,
        counted,
        claim: waiting || lasting ? claim : null,
        lasting: lasting ? 1 : 0,
        fingerprint,
        files: request.files.length,
        created: now,
        started: null,
        completed,
      })
      .execute()
    await insertFiles(db, id, request.files, now)
    const orders = request.orders.map(({ mount, backend }) => ({
      request: id,
      mount,
      backend,
      asked: null,
      order_id: null,
      polled: null,
    }))
    if (orders.length > 0) await db.insertInto('staging_orders').values(orders).execute()
    const staging = await find(db, { id })
    if (!staging) throw new StorageError('internal', 'a request was not kept')
    return { staging, added: true }
  }
}

async function insertFiles(
  db: Transaction<Tables>,
  id: string,
  files: readonly NewStagedFile[],
  now: number,
): Promise<void> {
  for (let at = 0; at < files.length; at += rowsAtOnce) {
    const rows = files.slice(at, at + rowsAtOnce).map((file, index) => ({
      request: id,
      number: at + index,
      path: file.path,
      inner_path: file.inner,
      mount: file.mount,
      lifetime: file.lifetime ?? null,
      state: file.state,
      outside: file.outside ? 1 : 0,
      started: file.state === 'completed' ? now : null,
      finished: isWaiting(file.state) ? null : now,
      error: file.error ?? null,
    }))
    await db.insertInto('staging_files').values(rows).execute()
  }
}

function isWaiting(state: StageState): boolean {
  return state === 'submitted' || state === 'started'
}

async function requireRoom(db: Transaction<Tables>, request: NewStaging, bounds: StagingBounds): Promise<void> {
  const row = await db
    .selectFrom('stagings')
    .select([sql<number>`count(*)`.as('requests'), sql<number>`coalesce(sum(files), 0)`.as('files')])
    .where('counted', '=', request.counted)
    .where('completed', 'is', null)
    .executeTakeFirstOrThrow()
  if (Number(row.requests) < bounds.requests && Number(row.files) + request.files.length <= bounds.files) return
  throw new StorageError('busy', 'too many files are being staged already', { retryAfter: 600 })
}

/** Removes what is finished and too much, the oldest first. */
async function trim(db: Transaction<Tables>, counted: string, bounds: StagingBounds): Promise<void> {
  for (;;) {
    const row = await db
      .selectFrom('stagings')
      .select([sql<number>`count(*)`.as('requests'), sql<number>`coalesce(sum(files), 0)`.as('files')])
      .where('counted', '=', counted)
      .where('completed', 'is not', null)
      .executeTakeFirstOrThrow()
    if (Number(row.requests) <= bounds.requests && Number(row.files) <= bounds.files) return
    const oldest = await db
      .selectFrom('stagings')
      .select('id')
      .where('counted', '=', counted)
      .where('completed', 'is not', null)
      .orderBy('completed')
      .limit(1)
      .executeTakeFirst()
    if (!oldest) return
    await drop(db, [oldest.id])
  }
}

async function find(
  db: Db,
  by: { readonly id: string } | { readonly principal: string; readonly claim: string },
): Promise<Staging | undefined> {
  const query = db.selectFrom('stagings').selectAll()
  const row = await ('id' in by
    ? query.where('id', '=', by.id)
    : query.where('principal', '=', by.principal).where('claim', '=', by.claim)
  ).executeTakeFirst()
  if (!row) return undefined
  return {
    id: row.id,
    principal: row.principal,
    fingerprint: row.fingerprint,
    created: Number(row.created),
    started: numberOf(row.started),
    completed: numberOf(row.completed),
    orders: await ordersOf(db, row.id),
  }
}

async function ordersOf(db: Db, id: string): Promise<readonly StagingOrder[]> {
  const rows = await db.selectFrom('staging_orders').selectAll().where('request', '=', id).orderBy('mount').execute()
  return rows.map((row) => ({
    // Written by us, from a Path.
    mount: row.mount as Path,
    backend: row.backend,
    asked: numberOf(row.asked),
    order: row.order_id ?? undefined,
  }))
}

function fileOf(row: Tables['staging_files']): StagedFile {
  return {
    number: Number(row.number),
    // Written by us, from Paths and a StageState.
    path: row.path as Path,
    inner: row.inner_path as Path,
    mount: row.mount as Path,
    lifetime: numberOf(row.lifetime),
    state: row.state as StageState,
    outside: Number(row.outside) === 1,
    started: numberOf(row.started),
    finished: numberOf(row.finished),
    error: row.error ?? undefined,
  }
}

function numberOf(value: number | null): number | undefined {
  return value === null ? undefined : Number(value)
}

async function change(db: Transaction<Tables>, id: string, changes: readonly FileChange[]): Promise<void> {
  for (let at = 0; at < changes.length; at += rowsAtOnce) {
    // Many rows in one statement: the ones there keep what is not said here, and none is new.
    const rows = changes.slice(at, at + rowsAtOnce).map(({ number, state, started, finished, error }) => ({
      request: id,
      number,
      path: '',
      inner_path: '',
      mount: '',
      lifetime: null,
      state,
      outside: 0,
      started: started ?? null,
      finished: finished ?? null,
      error: error ?? null,
    }))
    await db
      .insertInto('staging_files')
      .values(rows)
      .onConflict((conflict) =>
        conflict
          .columns(['request', 'number'])
          .doUpdateSet({
            state: (expression) => expression.ref('excluded.state'),
            started: sql<number | null>`coalesce(excluded.started, staging_files.started)`,
            finished: (expression) => expression.ref('excluded.finished'),
            error: (expression) => expression.ref('excluded.error'),
          })
          .where('staging_files.state', 'in', ['submitted', 'started']),
      )
      .execute()
  }
}

async function complete(db: Transaction<Tables>, id: string, now: number): Promise<void> {
  await db
    .updateTable('stagings')
    .set({
      started: sql<number | null>`(select min(f.started) from staging_files f where f.request = ${id})`,
    })
    .where('id', '=', id)
    .where('started', 'is', null)
    .execute()
  await db
    .updateTable('stagings')
    .set({ completed: now, claim: sql<string | null>`case when lasting = 1 then claim else null end` })
    .where('id', '=', id)
    .where('completed', 'is', null)
    .where((expression) =>
      expression.not(
        expression.exists(
          expression
            .selectFrom('staging_files')
            .select('number')
            .where('request', '=', id)
            .where('state', 'in', ['submitted', 'started']),
        ),
      ),
    )
    .execute()
}

async function drop(db: Transaction<Tables>, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  await db.deleteFrom('staging_files').where('request', 'in', ids).execute()
  await db.deleteFrom('staging_orders').where('request', 'in', ids).execute()
  await db.deleteFrom('stagings').where('id', 'in', ids).execute()
}
