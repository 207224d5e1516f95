/** Rows of the table of byte-range locks: how they are found, and what they say. */

import { type RawBuilder, type SqlBool, sql, type Transaction } from 'kysely'
import type { Path } from '../core/path.ts'
import { heldOf, type LiveRow } from './byte-lock-line.ts'
import type { StoredByteLock } from './byte-lock-store.ts'
import type { ByteLockRow } from './byte-lock-table.ts'
import type { Tables } from './tables.ts'

/** SQL: others have it, and it is in the way. */
export function isMetBy({
  realm,
  object,
  session,
  owner,
  kind,
  type,
  first,
  behind,
}: ByteLockRow): RawBuilder<SqlBool> {
  return sql<SqlBool>`realm = ${realm} and object = ${object} and queued is null and kind = ${kind}
    and first < ${behind} and behind > ${first} and not (session = ${session} and owner = ${owner})
    and (type = 'exclusive' or ${type} = 'exclusive')`
}

export function rowOf({ living, ...row }: ByteLockRow & { readonly living: number }): LiveRow {
  return { ...row, alive: Number(living) === 1 }
}

/** SQL: of any number of rows, which a list of parameters is not. */
export function isAmong(ids: readonly string[]): RawBuilder<SqlBool> {
  return sql<SqlBool>`byte_locks.id in (select value from json_each(${JSON.stringify(ids)}))`
}

export function lockOf(row: ByteLockRow): StoredByteLock {
  const { realm, object, place, principal, counted, session, owner, pid, kind } = row
  return {
    ...{ realm, object, at: place as Path, principal, counted, session, owner, pid: Number(pid) },
    kind: kind === 'flock' ? 'flock' : 'posix',
    ...heldOf(row),
  }
}

/** The end of the line of those who wait, for anything. */
export async function nextTurn(tx: Transaction<Tables>): Promise<number> {
  const { last } = await tx
    .selectFrom('byte_locks')
    .select(sql<number>`coalesce(max(queued), 0)`.as('last'))
    .executeTakeFirstOrThrow()
  return Number(last) + 1
}
