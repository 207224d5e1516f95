/** Parts of uploads: see `PartStore`. */

import { type Kysely, sql, type Transaction } from 'kysely'
import { type Holder, isDead } from './holder.ts'
import type { Durably } from './journal.ts'
import type { CountedPlace, NewStoredPart, PartMove, PartPlace, PartStore, StoredPart } from './part-store.ts'
import type { UploadBounds } from './state.ts'
import type { Tables } from './tables.ts'
import { requireRoom } from './uploads.ts'

/** Numbers there are: behind the places of that many parts of one size is the place of what fits nowhere. */
const numbers = 10_000
/**
 * With no more places than these a larger part may say that the ones before were not of the usual size: the last part
 * may well come first.
 */
const fewPlaces = 8
/** Parts that one transaction counts. */
const maxBatch = 500

type Rows = Transaction<Tables>

interface Counting {
  readonly upload: string
  readonly place: CountedPlace
  resolve(part: StoredPart | undefined): void
  reject(error: unknown): void
}

export class SharedParts implements PartStore {
  readonly #db: Kysely<Tables>
  readonly #holder: Holder
  readonly #durably: Durably
  #counting: Counting[] = []
  #writing: Promise<void> | undefined

  constructor(db: Kysely<Tables>, holder: Holder, durably: Durably) {
    this.#db = db
    this.#holder = holder
    this.#durably = durably
  }

  async reserve(upload: string, part: NewStoredPart, bounds: UploadBounds): Promise<PartPlace | undefined> {
    return this.#db.transaction().execute(async (db) => {
      const row = await inTurn(db, upload, part.turn)
      if (!row) return undefined
      const size = await usualSize(db, upload, Number(row.part_size), part.size)
      const { offset, room, used } = await freePlace(db, upload, part, size)
      const values = { number: part.number, size: part.size, holder: this.#holder.id }
      if (used) await atPlace(db, upload, offset).set(values).execute()
      else {
        await requireRoom(db, { principal: row.principal, spooled: row.spooled === 1 }, room, bounds)
        const more = { upload, offset, room, digests: null, modified: null }
        await db
          .insertInto('upload_parts')
          .values({ ...values, ...more })
          .execute()
      }
      const reserved = sql<number>`reserved + ${used ? 0 : room}`
      await db.updateTable('uploads').set({ reserved, part_size: size }).where('id', '=', upload).execute()
      return { offset, used }
    })
  }

  /** What arrives while others are being written is written together in the next transaction. */
  count(upload: string, place: CountedPlace): Promise<StoredPart | undefined> {
    return new Promise((resolve, reject) => {
      this.#counting.push({ upload, place, resolve, reject })
      this.#writing ??= this.#write()
    })
  }

  async release(upload: string, offset: number, { written }: { readonly written: boolean }): Promise<void> {
    await this.#db.transaction().execute(async (db) => {
      if (written) {
        await atPlace(db, upload, offset).set(unused).where('modified', 'is', null).execute()
        return
      }
      const gone = await db
        .deleteFrom('upload_parts')
        .where('upload', '=', upload)
        .where('offset', '=', offset)
        .where('modified', 'is', null)
        .returning('room')
        .executeTakeFirst()
      if (gone) await unreserve(db, upload, Number(gone.room))
    })
  }

  async list(upload: string, after: number, limit: number): Promise<readonly StoredPart[]> {
    const rows = await this.#db
      .selectFrom('upload_parts')
      .select(['number', 'offset', 'size', 'digests', 'modified'])
      .where('upload', '=', upload)
      .where('number', '>', after)
      .where('modified', 'is not', null)
      .orderBy('number')
      .limit(limit)
      .execute()
    return rows.map(partOf)
  }

  async coming(upload: string): Promise<number> {
    const row = await this.#db
      .selectFrom('upload_parts')
      .select(sql<number>`count(*)`.as('parts'))
      .where('upload', '=', upload)
      .where('modified', 'is', null)
      .where('number', '>', 0)
      .where(({ not }) => not(isDead('upload_parts.holder', this.#holder.now())))
      .executeTakeFirstOrThrow()
    return Number(row.parts)
  }

  async move(upload: string, turn: number, moves: readonly PartMove[]): Promise<boolean> {
    let done = false
    await this.#durably(async (connection) => {
      await connection.transaction().execute(async (db) => {
        if (!(await atTurn(db, upload, turn))) return
        const coming = db.deleteFrom('upload_parts').where('upload', '=', upload).where('modified', 'is', null)
        const gone = await coming.returning('room').execute()
        const freed = gone.reduce((sum, { room }) => sum + Number(room), 0)
        if (freed > 0) await unreserve(db, upload, freed)
        for (const { from, to } of moves) {
          const moved = db.updateTable('upload_parts').set({ offset: to })
          await moved.where('upload', '=', upload).where('offset', '=', from).execute()
        }
        done = true
      })
    })
    return done
  }

  async #write(): Promise<void> {
    while (this.#counting.length > 0) {
      const batch = this.#counting.splice(0, maxBatch)
      try {
        const counted = await this.#count(batch)
        for (const [index, { resolve }] of batch.entries()) resolve(counted[index])
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    this.#writing = undefined
  }

  async #count(batch: readonly Counting[]): Promise<ReadonlyArray<StoredPart | undefined>> {
    const counted: Array<StoredPart | undefined> = []
    const now = this.#holder.now()
    await this.#durably(async (connection) => {
      await connection.transaction().execute(async (db) => {
        for (const { upload, place } of batch) counted.push(await countOne(db, upload, place, now))
      })
    })
    return counted
  }
}

/** The upload, if it goes on at this turn. */
async function atTurn(db: Rows, upload: string, turn: number) {
  const row = await db
    .selectFrom('uploads')
    .select(['principal', 'spooled', 'called', 'taken', 'part_size'])
    .where('id', '=', upload)
    .where('result', 'is', null)
    .where('part_size', 'is not', null)
    .executeTakeFirst()
  return row && Number(row.called) === turn ? row : undefined
}

/** The same for who shares the turn: nobody has taken it, whose parts may not change under his hands. */
async function inTurn(db: Rows, upload: string, turn: number) {
  const row = await atTurn(db, upload, turn)
  return turn > 0 && Number(row?.taken) === turn ? undefined : row
}

/** Bytes of all parts but the last, as far as can be told; 0 as long as nobody knows. */
async function usualSize(db: Rows, upload: string, known: number, size: number): Promise<number> {
  if (size <= known) return known
  if (known === 0) return size
  const few = db
    .selectFrom('upload_parts')
    .select('offset')
    .where('upload', '=', upload)
    .limit(fewPlaces + 1)
  return (await few.execute()).length > fewPlaces ? known : size
}

interface FreePlace extends PartPlace {
  readonly room: number
}

/** Where the part will be in the whole if that is free, else behind all such places. */
async function freePlace(
  db: Rows,
  upload: string,
  { number, size, largest }: NewStoredPart,
  usual: number,
): Promise<FreePlace> {
  const all = db.selectFrom('upload_parts').select(['offset', 'room', 'number']).where('upload', '=', upload)
  const room = Math.max(size, 1)
  const base = Math.min(numbers * usual, largest)
  const offset = (number - 1) * usual
  const end = offset + room
  if (room <= Math.max(usual, 1) && end <= base) {
    // Places do not overlap, so it is enough to look at the last one that begins before the end of this one.
    const before = await all.where('offset', '<', end).orderBy('offset', 'desc').limit(1).executeTakeFirst()
    if (!before || endOf(before) <= offset) return { offset, room, used: false }
    const fits = before.number === 0 && Number(before.offset) === offset && Number(before.room) >= room
    if (fits) return { offset, room: Number(before.room), used: true }
  }
  const unused = all.where('number', '=', 0).where('offset', '>=', base).where('room', '>=', room)
  const fitting = await unused.orderBy('room').limit(1).executeTakeFirst()
  if (fitting) return { offset: Number(fitting.offset), room: Number(fitting.room), used: true }
  const last = await all.orderBy('offset', 'desc').limit(1).executeTakeFirst()
  return { offset: Math.max(base, last ? endOf(last) : 0), room: rounded(room), used: false }
}

/** To one of few sizes, at most an eighth larger, so that a place of one part soon fits another. */
function rounded(size: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(size)) - 3)
  return Math.ceil(size / step) * step
}

/** What stays of a place whose bytes do not count. */
const unused = { number: 0, size: 0, digests: null, modified: null } as const

function atPlace(db: Rows, upload: string, offset: number) {
  return db.updateTable('upload_parts').where('upload', '=', upload).where('offset', '=', offset)
}

function endOf({ offset, room }: { readonly offset: number; readonly room: number }): number {
  return Number(offset) + Number(room)
}

async function countOne(
  db: Rows,
  upload: string,
  { offset, turn, digests }: CountedPlace,
  now: number,
): Promise<StoredPart | undefined> {
  if (!(await inTurn(db, upload, turn))) return undefined
  const places = () => db.selectFrom('upload_parts').selectAll().where('upload', '=', upload)
  const waiting = places().where('offset', '=', offset).where('modified', 'is', null).where('number', '>', 0)
  const place = await waiting.executeTakeFirst()
  if (!place) return undefined
  const { number } = place
  const before = await places().where('number', '=', number).where('modified', 'is not', null).executeTakeFirst()
  const freed = Number(before?.size ?? 0)
  if (before) await atPlace(db, upload, Number(before.offset)).set(unused).execute()
  const modified = Math.max(now, Number(before?.modified ?? 0) + 1)
  await atPlace(db, upload, offset).set({ digests, modified }).execute()
  const size = Number(place.size)
  const done = sql<number>`done + ${size - freed}`
  await db.updateTable('uploads').set({ done }).where('id', '=', upload).execute()
  return { number, offset, size, digests, modified }
}

async function unreserve(db: Rows, upload: string, size: number): Promise<void> {
  const reserved = sql<number>`reserved - ${size}`
  await db.updateTable('uploads').set({ reserved }).where('id', '=', upload).execute()
}

function partOf(row: {
  readonly number: number
  readonly offset: number
  readonly size: number
  readonly digests: string | null
  readonly modified: number | null
}): StoredPart {
  return {
    number: row.number,
    offset: Number(row.offset),
    size: Number(row.size),
    digests: row.digests ?? '',
    modified: Number(row.modified),
  }
}
