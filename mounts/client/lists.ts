/** Lists that the gateway tells in parts. */

import { StorageError } from '../../gateway/core/errors.ts'
import { list, members, optional } from './members.ts'

/** Whose; the caller's own without. Those of others take an administrator. */
export interface Whose {
  readonly all?: boolean | undefined
  /** NAME@DOMAIN. */
  readonly user?: string | undefined
}

/** Entries of all parts together, and parts, which may be empty. */
const mostRead = 100_000
const mostParts = 1000

/** Asks for part after part; `name`: of the member that holds the entries. Throws `too-large` for what has no end. */
export async function readParts<Entry>(
  name: string,
  { all, user }: Whose,
  ask: (query: Readonly<Record<string, string>>) => Promise<unknown>,
  read: (value: unknown) => Entry,
): Promise<readonly Entry[]> {
  const entries: Entry[] = []
  const query = { ...(all && { all: 'true' }), ...(user !== undefined && { user }) }
  let after: string | undefined
  for (let parts = 0; parts < mostParts && entries.length < mostRead; parts++) {
    const part = members(await ask({ ...query, ...(after !== undefined && { after }) }))
    for (const value of list(part[name], name)) entries.push(read(value))
    const next = optional(part.next)
    if (next === undefined || next === after) return entries
    after = next
  }
  throw new StorageError('too-large', 'the list is too long: ask for one user')
}
