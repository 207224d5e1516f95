/** Links between identities and accounts, for all processes of one state store. */

import { type Kysely, sql, type Transaction } from 'kysely'
import { StorageError } from '../core/errors.ts'
import type { Durably } from './journal.ts'
import type { LinkStore, StoredLink } from './link-store.ts'
import { behind, type ListPlace } from './list-part.ts'
import type { Tables } from './tables.ts'

export interface LinkRow {
  readonly id: string
  readonly issuer: string
  readonly subject: string
  readonly user: string
  readonly added_by: string
  readonly note: string
  readonly created: number
  readonly proven: number
}

export async function addLinks(db: Transaction<Tables>): Promise<void> {
  await db.schema
    .createTable('links')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('issuer', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('user', 'text', (column) => column.notNull())
    .addColumn('added_by', 'text', (column) => column.notNull())
    .addColumn('note', 'text', (column) => column.notNull())
    .addColumn('created', 'bigint', (column) => column.notNull())
    .addColumn('proven', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('links_identity').unique().on('links').columns(['issuer', 'subject']).execute()
  await db.schema.createIndex('links_user').on('links').column('user').execute()
}

export class SharedLinks implements LinkStore {
  readonly #db: Kysely<Tables>
  readonly #durably: Durably
  readonly now: () => number

  constructor(db: Kysely<Tables>, now: () => number, durably: Durably) {
    this.#db = db
    this.#durably = durably
    this.now = now
  }

  async add(
    link: Omit<StoredLink, 'created' | 'proven'>,
    bounds: { readonly most: number; readonly since: number },
  ): Promise<StoredLink> {
    const now = this.now()
    const row: { link: StoredLink } = { link: { ...link, created: now, proven: now } }
    await this.#durably(async (db) => {
      await db.transaction().execute(async (transaction) => {
        row.link = await addTo(transaction, row.link, bounds)
      })
    })
    return row.link
  }

  async find(issuer: string, subject: string): Promise<StoredLink | undefined> {
    return findIn(this.#db, issuer, subject)
  }

  async get(id: string): Promise<StoredLink | undefined> {
    const row = await this.#db.selectFrom('links').selectAll().where('id', '=', id).executeTakeFirst()
    return row && linkOf(row)
  }

  async list(user: string | undefined, most: number, after?: ListPlace): Promise<readonly StoredLink[]> {
    const all = this.#db.selectFrom('links').selectAll().where(behind(after))
    const some = user === undefined ? all : all.where('user', '=', user)
    const rows = await some.orderBy('created', 'desc').orderBy('id').limit(most).execute()
    return rows.map(linkOf)
  }

  async remove(id: string): Promise<boolean> {
    let removed = false
    await this.#durably(async (db) => {
      const { numDeletedRows } = await db.deleteFrom('links').where('id', '=', id).executeTakeFirstOrThrow()
      removed = numDeletedRows > 0n
    })
    return removed
  }
}

async function addTo(
  db: Transaction<Tables>,
  link: StoredLink,
  { most, since }: { readonly most: number; readonly since: number },
): Promise<StoredLink> {
  const { issuer, subject, user, proven } = link
  const before = await findIn(db, issuer, subject)
  if (before?.user === user) {
    await db.updateTable('links').set({ proven }).where('id', '=', before.id).execute()
    return { ...before, proven }
  }
  if (before !== undefined && before.proven >= since) {
    throw new StorageError('exists', 'the identity is linked to another account')
  }
  const { count } = await db
    .selectFrom('links')
    .select(sql<number>`count(*)`.as('count'))
    .where('user', '=', user)
    .executeTakeFirstOrThrow()
  if (Number(count) >= most) throw new StorageError('busy', 'too many identities are linked', { retryAfter: 3600 })
  if (before !== undefined) await db.deleteFrom('links').where('id', '=', before.id).execute()
  const { by, ...same } = link
  await db
    .insertInto('links')
    .values({ ...same, added_by: by })
    .execute()
  return link
}

async function findIn(db: Kysely<Tables>, issuer: string, subject: string): Promise<StoredLink | undefined> {
  const row = await db
    .selectFrom('links')
    .selectAll()
    .where('issuer', '=', issuer)
    .where('subject', '=', subject)
    .executeTakeFirst()
  return row && linkOf(row)
}

function linkOf({ added_by: by, created, proven, ...same }: LinkRow): StoredLink {
  return { ...same, by, created: Number(created), proven: Number(proven) }
}
