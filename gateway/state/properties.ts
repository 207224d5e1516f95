/** Properties that do not fit into extended attributes, by back-end object id. */

import type { Kysely } from 'kysely'
import type { PropertyStore } from '../../backends/backend.ts'
import type { Tables } from './tables.ts'

export class SharedProperties implements PropertyStore {
  readonly #db: Kysely<Tables>

  constructor(db: Kysely<Tables>) {
    this.#db = db
  }

  async get(backend: string, id: string): Promise<ReadonlyMap<string, string>> {
    const rows = await this.#db
      .selectFrom('properties')
      .select(['name', 'value'])
      .where('backend', '=', backend)
      .where('object', '=', id)
      .orderBy('name')
      .execute()
    return new Map(rows.map((row) => [row.name, row.value]))
  }

  /** All or nothing; undefined removes. */
  async set(backend: string, id: string, values: ReadonlyMap<string, string | undefined>): Promise<void> {
    if (values.size === 0) return
    await this.#db.transaction().execute(async (transaction) => {
      for (const [name, value] of values) {
        if (value === undefined) {
          await transaction
            .deleteFrom('properties')
            .where('backend', '=', backend)
            .where('object', '=', id)
            .where('name', '=', name)
            .execute()
        } else {
          await transaction
            .insertInto('properties')
            .values({ backend, object: id, name, value })
            .onConflict((conflict) => conflict.columns(['backend', 'object', 'name']).doUpdateSet({ value }))
            .execute()
        }
      }
    })
  }

  async removeAll(backend: string, id: string): Promise<void> {
    await this.#db.deleteFrom('properties').where('backend', '=', backend).where('object', '=', id).execute()
  }
}
