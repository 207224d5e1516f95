/** Uploads that outlive their connections: see `UploadStore`. */

import { type Kysely, type RawBuilder, type SqlBool, sql } from 'kysely'
import { StorageError } from '../core/errors.ts'
import type { Path } from '../core/path.ts'
import type { Durably } from './journal.ts'
import type { NewStoredUpload, PartedMarker, StoredUpload, UploadBounds, UploadProgress, UploadStore } from './state.ts'
import type { Tables } from './tables.ts'

const mostSwept = 100
/** Finished ones of one principal that are known. */
const mostFinished = 1000

type Row = Tables['uploads']

export interface UploadsOptions {
  readonly now: () => number
  readonly life: number
  readonly durably: Durably
}

export class SharedUploads implements UploadStore {
  readonly life: number
  readonly #db: Kysely<Tables>
  readonly #now: () => number
  readonly #durably: Durably

  constructor(db: Kysely<Tables>, { now, life, durably }: UploadsOptions) {
    this.#db = db
    this.#now = now
    this.life = life
    this.#durably = durably
  }

  now(): number {
    return this.#now()
  }

  async add(upload: NewStoredUpload, bounds: UploadBounds): Promise<void> {
    const { user, inner, spooled, length, parted, ...same } = upload
    const created = this.#now()
    await this.#durably(async (db) => {
      await db.transaction().execute(async (transaction) => {
        const { uploads } = await reservedBy(transaction, upload.principal)
        if (uploads >= bounds.uploads) throw new StorageError('busy', 'too many unfinished uploads', { retryAfter: 60 })
        await requireRoom(transaction, upload, upload.reserved, bounds)
        await transaction
          .insertInto('uploads')
          .values({
            ...same,
            ...{ user_name: user ?? null, inner_path: inner, spooled: spooled ? 1 : 0, total: length ?? null },
            ...{ object: null, done: 0, created, swept: 0, called: 0, taken: 0, result: null },
            ...{ part_size: parted ? 0 : null, attempt: null },
          })
          .execute()
      })
    })
  }

  async made(id: string, object: string): Promise<StoredUpload> {
    const row = await this.#db
      .updateTable('uploads')
      .set({ object })
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirst()
    if (!row) throw new StorageError('stale', 'the upload was removed meanwhile')
    return uploadOf(row)
  }

  async get(id: string): Promise<StoredUpload | undefined> {
    const row = await this.#db.selectFrom('uploads').selectAll().where('id', '=', id).executeTakeFirst()
    return row && uploadOf(row)
  }

  async list(principal: string | undefined, most: number): Promise<readonly StoredUpload[]> {
    const all = this.#db
      .selectFrom('uploads')
      .selectAll()
      .where('result', 'is', null)
      .where('object', 'is not', null)
      .where('expires', '>', this.#now())
    const some = principal === undefined ? all : all.where('principal', '=', principal)
    const rows = await some.orderBy('created', 'desc').orderBy('id').limit(most).execute()
    return rows.map(uploadOf)
  }

  async call(id: string): Promise<number | undefined> {
    const row = await this.#db
      .updateTable('uploads')
      .set({ called: sql<number>`called + 1` })
      .where('id', '=', id)
      .returning('called')
      .executeTakeFirst()
    return row && Number(row.called)
  }

  async called(ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const rows = await this.#db.selectFrom('uploads').select(['id', 'called']).where('id', 'in', ids).execute()
    return new Map(rows.map(({ id, called }) => [id, Number(called)]))
  }

  async take(id: string, turn: number): Promise<StoredUpload | undefined> {
    const row = await this.#db
      .updateTable('uploads')
      .set({ taken: turn })
      .where('id', '=', id)
      .where('called', '=', turn)
      .returningAll()
      .executeTakeFirst()
    return row && uploadOf(row)
  }

  async progress(id: string, turn: number, progress: UploadProgress, bounds: UploadBounds): Promise<boolean> {
    const { offset, length, reserved } = progress
    const change = {
      ...(offset !== undefined && { done: offset }),
      ...(length !== undefined && { total: length }),
      ...(reserved !== undefined && { reserved }),
    }
    let done = false
    await this.#durably(async (db) => {
      await db.transaction().execute(async (transaction) => {
        const before = await transaction.selectFrom('uploads').selectAll().where('id', '=', id).executeTakeFirst()
        if (!before || Number(before.taken) !== turn || before.result !== null) return
        const more = (reserved ?? 0) - Number(before.reserved)
        if (more > 0) await requireRoom(transaction, uploadOf(before), more, bounds)
        await transaction.updateTable('uploads').set(change).where('id', '=', id).execute()
        done = true
      })
    })
    return done
  }

  async attempt(id: string, turn: number, attempt: string | undefined): Promise<boolean> {
    let done = false
    await this.#durably(async (db) => {
      const row = await db
        .updateTable('uploads')
        .set({ attempt: attempt ?? null })
        .where('id', '=', id)
        .where('taken', '=', turn)
        .where('called', '=', turn)
        .returning('id')
        .executeTakeFirst()
      done = row !== undefined
    })
    return done
  }

  async parted(
    principal: string,
    below: Path,
    after: PartedMarker | undefined,
    most: number,
  ): Promise<readonly StoredUpload[]> {
    const mine = this.#db
      .selectFrom('uploads')
      .selectAll()
      .where('principal', '=', principal)
      .where('part_size', 'is not', null)
      .where('result', 'is', null)
      .where('object', 'is not', null)
      .where('expires', '>', this.#now())
    const within = below === '/' ? mine : mine.where(isWithin(below))
    const rest = after ? within.where(await this.#isBehind(after)) : within
    const rows = await rest.orderBy('path').orderBy('created').orderBy('id').limit(most).execute()
    return rows.map(uploadOf)
  }

  async complete(id: string, result: string, expires: number): Promise<void> {
    await this.#durably(async (db) => {
      const row = await db
        .updateTable('uploads')
        .set({ result, expires, reserved: 0 })
        .where('id', '=', id)
        .returning('principal')
        .executeTakeFirst()
      await db.deleteFrom('upload_parts').where('upload', '=', id).execute()
      if (row) await forgetOldest(db, row.principal)
    })
  }

  async remove(id: string): Promise<void> {
    await this.#db.transaction().execute(async (db) => {
      await db.deleteFrom('upload_parts').where('upload', '=', id).execute()
      await db.deleteFrom('uploads').where('id', '=', id).execute()
    })
  }

  async expired(): Promise<readonly StoredUpload[]> {
    const now = this.#now()
    const rows = await this.#db
      .selectFrom('uploads')
      .selectAll()
      .where('expires', '<=', now)
      .where('swept', '<=', now)
      .orderBy('expires')
      .limit(mostSwept)
      .execute()
    return rows.map(uploadOf)
  }

  async postpone(id: string, until: number): Promise<void> {
    await this.#db.updateTable('uploads').set({ swept: until }).where('id', '=', id).execute()
  }

  async spooled(places: readonly string[]): Promise<ReadonlySet<string>> {
    const rows = await this.#db
      .selectFrom('uploads')
      .select('place')
      .where('spooled', '=', 1)
      .where('place', 'in', places)
      .execute()
    return new Set(rows.map(({ place }) => place))
  }

  /** One that is gone by now was the last of its path, as far as anybody can tell. */
  async #isBehind({ path, id }: PartedMarker): Promise<RawBuilder<SqlBool>> {
    const last = id === undefined ? undefined : await this.get(id)
    if (last?.path !== path) return sql<SqlBool>`path > ${path}`
    const { created } = last
    return sql<SqlBool>`(path > ${path} or (path = ${path} and (created > ${created} or (created = ${created} and id > ${last.id}))))`
  }
}

/** By bytes: `0` comes next after the slash. */
function isWithin(below: Path): RawBuilder<SqlBool> {
  return sql<SqlBool>`(path = ${below} or (path >= ${`${below}/`} and path < ${`${below}0`}))`
}

/** Who finishes very many in a short time is told again of the last ones only. */
async function forgetOldest(db: Kysely<Tables>, principal: string): Promise<void> {
  const oldest = db
    .selectFrom('uploads')
    .select('id')
    .where('principal', '=', principal)
    .where('result', 'is not', null)
    .orderBy('expires', 'desc')
    .limit(-1)
    .offset(mostFinished)
  await db.deleteFrom('uploads').where('id', 'in', oldest).execute()
}

async function reservedBy(db: Kysely<Tables>, principal: string) {
  const row = await db
    .selectFrom('uploads')
    .select([sql<number>`count(*)`.as('uploads'), sql<number>`coalesce(sum(reserved), 0)`.as('bytes')])
    .where('principal', '=', principal)
    .where('result', 'is', null)
    .executeTakeFirstOrThrow()
  return { uploads: Number(row.uploads), bytes: Number(row.bytes) }
}

/** Whether `more` bytes still fit. */
export async function requireRoom(
  db: Kysely<Tables>,
  { principal, spooled }: Pick<NewStoredUpload, 'principal' | 'spooled'>,
  more: number,
  bounds: UploadBounds,
): Promise<void> {
  const { bytes } = await reservedBy(db, principal)
  if (bytes + more > bounds.bytes) {
    throw new StorageError('busy', 'too many bytes in unfinished uploads', { retryAfter: 60 })
  }
  if (!spooled) return
  const row = await db
    .selectFrom('uploads')
    .select(sql<number>`coalesce(sum(reserved), 0)`.as('bytes'))
    .where('spooled', '=', 1)
    .executeTakeFirstOrThrow()
  if (Number(row.bytes) + more > bounds.spool) throw new StorageError('no-space', 'too many bytes wait to be sent on')
}

function uploadOf(row: Row): StoredUpload {
  const { id, principal, path, backend, place, terms, object, total, result } = row
  return {
    ...{ id, principal, backend, place, terms },
    path: path as Path,
    inner: row.inner_path as Path,
    user: row.user_name ?? undefined,
    spooled: row.spooled === 1,
    object: object ?? undefined,
    length: total === null ? undefined : Number(total),
    offset: Number(row.done),
    reserved: Number(row.reserved),
    created: Number(row.created),
    expires: Number(row.expires),
    called: Number(row.called),
    turn: Number(row.taken),
    parted: row.part_size !== null,
    attempt: row.attempt ?? undefined,
    result: result ?? undefined,
  }
}
