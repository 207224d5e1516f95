/** Lists that are read in parts, the newest first. */

import { type RawBuilder, type SqlBool, sql } from 'kysely'

/** The last one of a part; the next part begins behind it. */
export interface ListPlace {
  /** Milliseconds since 1970. */
  readonly created: number
  readonly id: string
}

/** For `where`: what comes behind a place, in the order of creation, the newest first, and then of ids. */
export function behind(place: ListPlace | undefined): RawBuilder<SqlBool> {
  if (place === undefined) return sql<SqlBool>`1 = 1`
  const { created, id } = place
  return sql<SqlBool>`(created < ${created} or (created = ${created} and id > ${id}))`
}
