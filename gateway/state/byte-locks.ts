/** Byte-range locks over all processes of one state store: see `ByteLockStore`. */

import { randomUUID } from 'node:crypto'
import { type Kysely, sql, type Transaction } from 'kysely'
import { StorageError } from '../core/errors.ts'
import type { Path } from '../core/path.ts'
import type { Bell } from './bell.ts'
import { isCircle } from './byte-lock-circle.ts'
import {
  changed,
  heldOf,
  inTheWay,
  isBehind,
  isSameOwner,
  type LiveRow,
  type Owner,
  partsOf,
} from './byte-lock-line.ts'
import { isAmong, isMetBy, lockOf, nextTurn, rowOf } from './byte-lock-rows.ts'
import type { ByteLockStore, LockedObject, StoredByteLock, Taken } from './byte-lock-store.ts'
import type { ByteLockRow } from './byte-lock-table.ts'
import type { Held, Span } from './byte-ranges.ts'
import { type Holder, isDead } from './holder.ts'
import type { Tables } from './tables.ts'

/** ms after which what a process that is gone has left is nobody's to adopt any more. */
const keptFor = 120_000

/** So many sessions with as many locks as they can have make all that one principal can have. */
const mostSessions = 4

type Rows = Transaction<Tables>

/** Of an object that has more locks and wishes nobody asks who waits for whom. */
const mostSearched = 2000

/** A part of an object, as an owner has it or wishes for it. */
type Part = Owner & Span

/** So many locks that are in the way are compared before the store is asked: a crowd waits for one, and a few are cheap. */
const mostKnown = 16

/** What was found while those who wait were looked at, so that of many who wait for one lock the store is asked once. */
interface Known {
  /** In the way of somebody; no more than `mostKnown`. */
  held: readonly LiveRow[]
  /** By session: whether it has something. */
  readonly having: Map<string, boolean>
}

export class SharedByteLocks implements ByteLockStore {
  readonly #db: Kysely<Tables>
  readonly #holder: Holder
  readonly #bell: Bell
  readonly #sweep: NodeJS.Timeout

  constructor(db: Kysely<Tables>, holder: Holder, bell: Bell) {
    this.#db = db
    this.#holder = holder
    this.#bell = bell
    // Who took a dead process's place looks once; who dies later is replaced as well.
    this.#sweep = setTimeout(() => void this.#forget(), keptFor)
    this.#sweep.unref()
  }

  listen(moved: () => void): boolean {
    return this.#bell.listen(moved)
  }

  onLost(lost: () => void): void {
    this.#holder.onLapse(lost)
  }

  async test(lock: StoredByteLock): Promise<StoredByteLock | undefined> {
    const found = await this.#inTheWay(this.#db, this.#rowOf(lock, null))
    return found && lockOf(found)
  }

  take(lock: StoredByteLock, wait: boolean, most: number): Promise<Taken> {
    // A wish alone gives nobody else anything.
    let isWish = false
    const work = async (tx: Rows): Promise<Taken> => {
      const wish = this.#rowOf(lock, wait ? await nextTurn(tx) : null)
      const own = await this.#ownOf(tx, lock)
      const before = partsOf(own, wish, lock)
      const living = await this.#inTheWay(tx, wish)
      if (!living && !(wait && (await this.#isBehind(tx, wish)))) {
        await this.#removeDead(tx, wish)
        if ((await this.#apply(tx, own, wish, lock, [heldOf(wish)])) > 0) await this.#requireRoom(tx, wish, most)
        return { kind: 'had', before }
      }
      if (!wait && living) return { kind: 'held', by: lockOf(living) }
      if (living && (await this.#isCircle(tx, wish))) return { kind: 'deadlock', by: lockOf(living) }
      // flock(2): who changes the type gives back what it has before it waits.
      const gives = lock.kind === 'flock' && own.length > 0
      if (gives) await this.#apply(tx, own, wish, lock, [])
      isWish = !gives
      await tx.insertInto('byte_locks').values(wish).execute()
      await this.#requireRoom(tx, wish, most)
      return { kind: 'waits', ticket: wish.id, before: gives ? [] : before }
    }
    return this.#change(lock, work, () => !isWish)
  }

  async waiting(tickets: readonly string[]): Promise<ReadonlySet<string>> {
    const rows = await this.#db
      .selectFrom('byte_locks')
      .select('id')
      .where(isAmong(tickets))
      .where('queued', 'is not', null)
      .execute()
    const left = new Set(rows.map(({ id }) => id))
    for (const object of await this.#withDead([...left])) await this.#change(object, async () => {})
    return left
  }

  async leave(ticket: string): Promise<boolean> {
    const row = await this.#db.selectFrom('byte_locks').selectAll().where('id', '=', ticket).executeTakeFirst()
    if (!row) return false
    return this.#change(row, async (tx) => {
      const result = await tx
        .deleteFrom('byte_locks')
        .where('id', '=', ticket)
        .where('queued', 'is not', null)
        .executeTakeFirst()
      return result.numDeletedRows > 0n
    })
  }

  async release(lock: StoredByteLock, instead: readonly Held[] = []): Promise<void> {
    await this.#change(lock, async (tx) =>
      this.#apply(tx, await this.#ownOf(tx, lock), this.#rowOf(lock, null), lock, instead),
    )
  }

  async releaseAll(session: string, owner = ''): Promise<void> {
    const of = () => sql<boolean>`session = ${session} and substr(owner, 1, length(${owner})) = ${owner}`
    const objects = await this.#db.selectFrom('byte_locks').select(['realm', 'object']).distinct().where(of()).execute()
    for (const object of objects) {
      await this.#change(object, async (tx) => {
        await tx
          .deleteFrom('byte_locks')
          .where('realm', '=', object.realm)
          .where('object', '=', object.object)
          .where(of())
          .execute()
      })
    }
  }

  async adopt(principal: string, from: string, to: string): Promise<number> {
    const result = await this.#db
      .updateTable('byte_locks')
      .set({ session: to, holder: this.#holder.id })
      .where('session', '=', from)
      .where('principal', '=', principal)
      .where('queued', 'is', null)
      .executeTakeFirst()
    return Number(result.numUpdatedRows)
  }

  async foreign(
    principal: string,
    spot: { readonly realm: string; readonly object: string | undefined; readonly below: Path | undefined },
    type: 'any' | 'exclusive',
  ): Promise<StoredByteLock | undefined> {
    const { realm, object = '', below } = spot
    const top = below === '/' ? '' : below
    const row = await this.#db
      .selectFrom('byte_locks')
      .selectAll()
      .where('realm', '=', realm)
      .where('queued', 'is', null)
      .where('principal', '!=', principal)
      .where('type', 'in', type === 'any' ? ['shared', 'exclusive'] : ['exclusive'])
      .where(({ eb, and, or }) =>
        or([
          eb('object', '=', object),
          // All that begins with the directory and a slash: "0" comes right behind "/".
          ...(top === undefined ? [] : [and([eb('place', '>', `${top}/`), eb('place', '<', `${top}0`)])]),
        ]),
      )
      .where(({ not }) => not(isDead('byte_locks.holder', this.#holder.now())))
      .limit(1)
      .executeTakeFirst()
    return row && lockOf(row)
  }

  close(): void {
    clearTimeout(this.#sweep)
    this.#bell.close()
  }

  /** One change of an object's locks; afterwards, if it `frees` anything, those that wait are given what they can have now. */
  async #change<T>(object: LockedObject, work: (tx: Rows) => Promise<T>, frees = () => true): Promise<T> {
    const { result, moved } = await this.#db.transaction().execute(async (tx) => {
      const result = await work(tx)
      return { result, moved: frees() && (await this.#serve(tx, object)) }
    })
    if (moved) await this.#bell.ring()
    return result
  }

  /** In the order in which they came. Whether anybody was given something. */
  async #serve(tx: Rows, object: LockedObject): Promise<boolean> {
    const wishes = (await this.#lineOf(tx, object)).filter(({ alive }) => alive)
    let line: readonly LiveRow[] = wishes.toSorted((a, b) => Number(a.queued) - Number(b.queued))
    const known: Known = { held: [], having: new Map() }
    for (let moved = false; ; moved = true) {
      const served = await this.#serveFirst(tx, line, known)
      if (!served) return moved
      line = line.filter((wish) => wish !== served)
      // What it has now may be another part, or less.
      known.held = known.held.filter((row) => !isSameOwner(row, served))
      known.having.set(served.session, true)
    }
  }

  async #serveFirst(tx: Rows, line: readonly LiveRow[], known: Known): Promise<LiveRow | undefined> {
    for (const wish of line) {
      if (inTheWay(known.held, wish).length > 0) continue
      const living = await this.#inTheWay(tx, wish)
      if (living) {
        if (known.held.length < mostKnown) known.held = [...known.held, { ...living, alive: true }]
        continue
      }
      const { session } = wish
      const hasSome = known.having.get(session) ?? (await this.#hasSome(tx, { session }))
      known.having.set(session, hasSome)
      if (isBehind(line, wish, hasSome)) continue
      await this.#removeDead(tx, wish)
      await tx.deleteFrom('byte_locks').where('id', '=', wish.id).execute()
      const own = await this.#ownOf(tx, { ...wish, ...heldOf(wish) })
      await this.#apply(tx, own, wish, heldOf(wish), [heldOf(wish)])
      return wish
    }
    return undefined
  }

  /** Whether somebody came earlier who goes first. */
  async #isBehind(tx: Rows, wish: ByteLockRow): Promise<boolean> {
    const line = await this.#lineOf(tx, wish)
    return line.length > 0 && isBehind(line, wish, await this.#hasSome(tx, { session: wish.session }))
  }

  /** Objects that somebody waits for with one of these tickets, and a process that is gone has left something of. */
  async #withDead(tickets: readonly string[]): Promise<readonly LockedObject[]> {
    return this.#db
      .selectFrom((db) =>
        db
          .selectFrom('byte_locks')
          .select(['byte_locks.realm', 'byte_locks.object'])
          .distinct()
          .where(isAmong(tickets))
          .as('wanted'),
      )
      .select(['wanted.realm', 'wanted.object'])
      .where(({ exists, selectFrom }) =>
        exists(
          selectFrom('byte_locks')
            .select('byte_locks.id')
            .whereRef('byte_locks.realm', '=', 'wanted.realm')
            .whereRef('byte_locks.object', '=', 'wanted.object')
            .where(isDead('byte_locks.holder', this.#holder.now())),
        ),
      )
      .execute()
  }

  /** All wishes. */
  async #lineOf(tx: Rows, { realm, object }: LockedObject): Promise<LiveRow[]> {
    const of = this.#living(tx).where('realm', '=', realm).where('object', '=', object)
    return (await of.where('queued', 'is not', null).execute()).map(rowOf)
  }

  /** What the owner has that meets or touches the part. */
  async #ownOf(tx: Rows, { realm, object, session, owner, kind, start, end }: LockedObject & Part): Promise<LiveRow[]> {
    const of = this.#living(tx).where(({ and }) => and({ realm, object, session, owner, kind }))
    const own = of.where('queued', 'is', null).where('first', '<=', end).where('behind', '>=', start)
    return (await own.execute()).map(rowOf)
  }

  /** Nothing where there are too many. */
  async #allOf(tx: Rows, { realm, object }: LockedObject): Promise<LiveRow[]> {
    const all = this.#living(tx).where('realm', '=', realm).where('object', '=', object)
    const rows = await all.limit(mostSearched + 1).execute()
    return rows.length > mostSearched ? [] : rows.map(rowOf)
  }

  #living(tx: Rows) {
    const living = sql<number>`case when ${isDead('byte_locks.holder', this.#holder.now())} then 0 else 1 end`
    return tx.selectFrom('byte_locks').selectAll().select(living.as('living'))
  }

  /** One that another has, in a process that lives. However many there are, one is read. */
  #inTheWay(db: Kysely<Tables>, wish: ByteLockRow): Promise<ByteLockRow | undefined> {
    return db
      .selectFrom('byte_locks')
      .selectAll()
      .where(isMetBy(wish))
      .where(({ not }) => not(isDead('byte_locks.holder', this.#holder.now())))
      .orderBy('first')
      .limit(1)
      .executeTakeFirst()
  }

  async #removeDead(tx: Rows, wish: ByteLockRow): Promise<void> {
    const dead = isDead('byte_locks.holder', this.#holder.now())
    await tx.deleteFrom('byte_locks').where(isMetBy(wish)).where(dead).execute()
  }

  async #requireRoom(tx: Rows, { session, counted }: ByteLockRow, most: number): Promise<void> {
    const bounds = [
      ['session', session, most],
      ['counted', counted, mostSessions * most],
    ] as const
    for (const [column, value, bound] of bounds) {
      const { count } = await tx
        .selectFrom('byte_locks')
        .select(sql<number>`count(*)`.as('count'))
        .where(column, '=', value)
        .executeTakeFirstOrThrow()
      if (Number(count) > bound) throw new StorageError('busy', 'there are too many locks', { retryAfter: 60 })
    }
  }

  /** How many rows there are more than before. */
  async #apply(
    tx: Rows,
    rows: readonly LiveRow[],
    wish: ByteLockRow,
    span: Span,
    instead: readonly Held[],
  ): Promise<number> {
    const { gone, come } = changed(rows, wish, span, instead)
    if (gone.length > 0) await tx.deleteFrom('byte_locks').where(isAmong(gone)).execute()
    const { realm, object, place, holder, principal, counted, session, owner, pid, kind } = wish
    const fresh = come.map(({ start, end, type }) => ({
      ...{ id: randomUUID(), realm, object, place, holder, principal, counted, session, owner, pid, kind, type },
      ...{ first: start, behind: end, queued: null },
    }))
    if (fresh.length > 0) await tx.insertInto('byte_locks').values(fresh).execute()
    return come.length - gone.length
  }

  /** Which owners are one process is not known here: each file of flock(2) is an owner of its own. */
  async #hasSome(tx: Rows, of: Pick<ByteLockRow, 'session'> & Partial<Owner>): Promise<boolean> {
    const row = await tx
      .selectFrom('byte_locks')
      .select('id')
      .where(({ and }) => and({ ...of }))
      .where('queued', 'is', null)
      .limit(1)
      .executeTakeFirst()
    return row !== undefined
  }

  /** Whether all would wait for each other. For one who has nothing nobody waits. */
  async #isCircle(tx: Rows, wish: ByteLockRow): Promise<boolean> {
    const { session, owner, kind } = wish
    if (!(await this.#hasSome(tx, { session, owner, kind }))) return false
    return isCircle(wish, {
      rowsOf: (object) => this.#allOf(tx, object),
      wishesOf: (each) => this.#wishesOf(tx, each),
    })
  }

  #wishesOf(tx: Rows, { session, owner, kind }: ByteLockRow): Promise<ByteLockRow[]> {
    return tx
      .selectFrom('byte_locks')
      .selectAll()
      .where('session', '=', session)
      .where('owner', '=', owner)
      .where('kind', '=', kind)
      .where('queued', 'is not', null)
      .execute()
  }

  #rowOf(lock: StoredByteLock, queued: number | null): ByteLockRow {
    const { realm, object, at, principal, counted, session, owner, pid, kind, type, start, end } = lock
    const holder = this.#holder.id
    return {
      ...{ id: randomUUID(), realm, object, place: at, holder, principal, counted, session, owner, pid, kind, type },
      ...{ first: start, behind: end, queued },
    }
  }

  async #forget(): Promise<void> {
    try {
      await this.#db.deleteFrom('byte_locks').where(isDead('byte_locks.holder', this.#holder.now())).execute()
    } catch {
      // They are in nobody's way; the next process looks again.
    }
  }
}
