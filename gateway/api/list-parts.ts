/** Lists that are told in parts: whose things, how many, and behind which one. */

import type { ListPart } from '../../acl/identity/identity.ts'
import { StorageError } from '../core/errors.ts'
import { administered } from '../http/derived.ts'
import type { Exchange } from '../http/exchange.ts'
import { parseQuery } from '../http/query.ts'
import { flagOf } from './parameters.ts'
import { requireCaller } from './shares.ts'

/** Entries of one answer, unless fewer are asked for. */
const mostTold = 1000

export interface Told {
  readonly id: string
  /** Milliseconds since 1970. */
  readonly created: number
}

export interface Listed<Entry> {
  readonly entries: readonly Entry[]
  /** For the parameter `after` of the next question; absent when these were the last. */
  readonly next?: string
}

/**
 * The parameters `all`, `user`, `limit` and `after`, and what `list` gives for them. Without the first two they are
 * the caller's own, all at once. What an administrator looks at is written down, as is who is refused to. `what`: in the
 * plural.
 */
export async function listFor<Entry extends Told>(
  x: Exchange,
  what: string,
  list: (all: boolean, part: ListPart) => Promise<readonly Entry[]>,
): Promise<Listed<Entry>> {
  const { all, user, limit, after } = parseQuery(x.query, ['all', 'user', 'limit', 'after'])
  const most = limitOf(limit)
  const place = after === undefined ? undefined : placeOf(after)
  requireCaller(x)
  const isOwn = !flagOf(all, 'all') && (user === undefined || user === x.principal.user)
  if (isOwn) return { entries: await list(false, {}) }
  const about = `${what} of ${user ?? 'all'}`
  // One more than is told, to know whether there are more.
  const work = () => list(true, { user, most: most + 1, after: place })
  const found = await administered(
    x,
    'inspect',
    about,
    work,
    (entries) => `${about}: ${Math.min(entries.length, most)}`,
  )
  const entries = found.slice(0, most)
  const last = entries.at(-1)
  return found.length > most && last ? { entries, next: `${last.created}.${last.id}` } : { entries }
}

/** 1 to 1,000. Throws `invalid`. */
export function limitOf(text: string | undefined): number {
  if (text === undefined) return mostTold
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > mostTold) throw new StorageError('invalid', `limit is a number from 1 to ${mostTold}`)
  return limit
}

function placeOf(text: string): { readonly created: number; readonly id: string } {
  const [, created = '', id = ''] = /^(\d{1,15})\.([\w-]{1,128})$/.exec(text) ?? []
  if (id === '') throw new StorageError('invalid', 'after is what an answer gave as `next`')
  return { created: Number(created), id }
}
