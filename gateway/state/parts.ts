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
      const row = await atTurn(db, upload, part.turn)
      if (!row) return undefined
      const spooled = row.spooled === 1
      await requireRoom(db, { principal: row.principal, spooled }, part.size, bounds)
      const size = await usualSize(db, upload, Number(row.part_size), part.size)
      const room = Math.max(part.size, 1)
      const offset = await freePlace(db, upload, { ...part, room }, size)
      const { number } = part
      const holder = this.#holder.id
      const values = { upload, offset, room, number, size: part.size, holder, digests: null, modified: null }
      await db.insertInto('upload_parts').values(values).execute()
      const reserved = sql<number>`reserved + ${part.size}`
      await db.updateTable('uploads').set({ reserved, part_size: size }).where('id', '=', upload).execute()
      return { offset }
    })
  }

  /** What arrives while others are being written is written together in the next transaction. */
  count(upload: string, place: CountedPlace): Promise<StoredPart | undefined> {
    return new Promise((resolve, reject) => {
      this.#counting.push({ upload, place, resolve, reject })
      this.#writing ??= this.#write()
    })
  }

  async release(upload: string, offset: number): Promise<void> {
    await this.#db.transaction().execute(async (db) => {
      const gone = await db
        .deleteFrom('upload_parts')
        .where('upload', '=', upload)
        .where('offset', '=', offset)
        .where('modified', 'is', null)
        .returning('size')
        .executeTakeFirst()
      if (gone) await unreserve(db, upload, Number(gone.size))
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
        const gone = await coming.returning('size').execute()
        const freed = gone.reduce((sum, { size }) => sum + Number(size), 0)
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
    .select(['principal', 'spooled', 'called', 'part_size'])
    .where('id', '=', upload)
    .where('result', 'is', null)
    .where('part_size', 'is not', null)
    .executeTakeFirst()
  return row && Number(row.called) === turn ? row : undefined
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

/** Where the part will be in the whole if that is free, else behind everything. */
async function freePlace(
  db: Rows,
  upload: string,
  { number, room, largest }: NewStoredPart & { readonly room: number },
  size: number,
): Promise<number> {
  const all = db.selectFrom('upload_parts').select(['offset', 'room']).where('upload', '=', upload)
  const base = Math.min(numbers * size, largest)
  const offset = (number - 1) * size
  const end = offset + room
  if (room <= Math.max(size, 1) && end <= base) {
    // Places do not overlap, so it is enough to look at the last one that begins before the end of this one.
    const before = await all.where('offset', '<', end).orderBy('offset', 'desc').limit(1).executeTakeFirst()
    if (!before || endOf(before) <= offset) return offset
  }
  const last = await all.orderBy('offset', 'desc').limit(1).executeTakeFirst()
  return Math.max(base, last ? endOf(last) : 0)
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
  if (!(await atTurn(db, upload, turn))) return undefined
  const places = () => db.selectFrom('upload_parts').selectAll().where('upload', '=', upload)
  const place = await places().where('offset', '=', offset).where('modified', 'is', null).executeTakeFirst()
  if (!place) return undefined
  const { number } = place
  const before = await places().where('number', '=', number).where('modified', 'is not', null).executeTakeFirst()
  const freed = Number(before?.size ?? 0)
  if (before) {
    const gone = db.deleteFrom('upload_parts').where('upload', '=', upload)
    await gone.where('offset', '=', before.offset).execute()
  }
  const modified = Math.max(now, Number(before?.modified ?? 0) + 1)
  const here = db.updateTable('upload_parts').set({ digests, modified })
  await here.where('upload', '=', upload).where('offset', '=', offset).execute()
  const size = Number(place.size)
  const done = sql<number>`done + ${size - freed}`
  const reserved = sql<number>`reserved - ${freed}`
  await db.updateTable('uploads').set({ done, reserved }).where('id', '=', upload).execute()
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
