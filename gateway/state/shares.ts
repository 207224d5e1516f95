/** Share links that were made, for their issuers to see and to revoke. */

import { type Kysely, sql } from 'kysely'
import { StorageError } from '../core/errors.ts'
import type { Path } from '../core/path.ts'
import { behind, type ListPlace } from './list-part.ts'
import type { Share, ShareStore } from './state.ts'
import type { Tables } from './tables.ts'

export class SharedShares implements ShareStore {
  readonly #db: Kysely<Tables>
  readonly #now: () => number

  constructor(db: Kysely<Tables>, now: () => number) {
    this.#db = db
    this.#now = now
  }

  async add(share: Omit<Share, 'created'>, most: number): Promise<Share> {
    const kept = { ...share, created: this.#now() }
    const { created } = kept
    await this.#db.transaction().execute(async (transaction) => {
      await transaction.deleteFrom('shares').where('expires', '<=', created).execute()
      const { count } = await transaction
        .selectFrom('shares')
        .select(sql<number>`count(*)`.as('count'))
        .where('user', '=', share.user)
        .executeTakeFirstOrThrow()
      if (Number(count) >= most) throw new StorageError('busy', 'too many links', { retryAfter: 3600 })
      await transaction.insertInto('shares').values(kept).execute()
    })
    return kept
  }

  async get(id: string): Promise<Share | undefined> {
    const row = await this.#db
      .selectFrom('shares')
      .selectAll()
      .where('id', '=', id)
      .where('expires', '>', this.#now())
      .executeTakeFirst()
    return row && shareOf(row)
  }

  async list(user: string | undefined, most: number, after?: ListPlace): Promise<readonly Share[]> {
    const all = this.#db.selectFrom('shares').selectAll().where('expires', '>', this.#now()).where(behind(after))
    const some = user === undefined ? all : all.where('user', '=', user)
    const rows = await some.orderBy('created', 'desc').orderBy('id').limit(most).execute()
    return rows.map(shareOf)
  }

  async remove(id: string): Promise<boolean> {
    const { numDeletedRows } = await this.#db.deleteFrom('shares').where('id', '=', id).executeTakeFirstOrThrow()
    return numDeletedRows > 0n
  }
}

function shareOf({ path, created, expires, ...same }: Tables['shares']): Share {
  return { ...same, path: path as Path, created: Number(created), expires: Number(expires) }
}
