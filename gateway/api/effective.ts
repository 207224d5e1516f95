/** GET acl/effective: who may do something with one object, computed over the accounts that are known. */

import type { Identity } from '../../acl/identity/identity.ts'
import { needs } from '../../acl/needs.ts'
import type { Principal } from '../../acl/principal.ts'
import { StorageError } from '../core/errors.ts'
import type { Effective } from '../core/storage.ts'
import { parseQuery } from '../http/query.ts'
import { actionOf, pathOf } from './parameters.ts'
import type { ApiHandler } from './routes.ts'

/** Users in one answer. */
const mostShown = 10_000
/** Accounts looked at. */
const mostLookedAt = 100_000
/** Milliseconds between two turns of other callers: long lists of entries make an account cost more. */
const turn = 10
/** One answer is worth so many questions about one user. */
const cost = 10

/** One user and what was decided. */
interface Row {
  readonly user: string
  readonly allowed: boolean
  readonly rule: string
  readonly text: string
  readonly path?: string
  /** Index of the deciding entry in the ACL of `path`, from 0. */
  readonly ace?: number
}

export const effective: ApiHandler = async ({ door, storage, identity, pacing }, request) => {
  const known = door.exchangeOf(request)
  pacing.spendAddress(known, cost)
  const exchange = await door.authenticate(request)
  pacing.spendCaller(exchange, cost)
  const query = parseQuery(exchange.query, ['path', 'action', 'all'])
  const path = pathOf(query.path)
  exchange.path = path
  exchange.action = 'read-acl'
  const action = actionOf(query.action)
  if (query.all !== undefined && query.all !== 'true')
    throw new StorageError('invalid', 'the parameter all is true, or absent')
  const people = identity.people?.()
  if (!people) throw new StorageError('unsupported', 'there are no accounts here')
  const seen = await storage.effective(exchange.call, action, path)
  const { users, lookedAt, complete } = await rowsOf(seen, identity, people.principals, {
    all: query.all === 'true',
    signal: exchange.call.signal,
  })
  const { type, owner, group, exact, anonymous } = seen
  return {
    path,
    action,
    type: type ?? null,
    owner: owner ?? null,
    group: group ?? null,
    exact,
    anonymous,
    lookedAt,
    complete,
    users,
    notes: notesOf(seen, people.unlisted, complete),
  }
}

interface Wanted {
  /** Also who may not. */
  readonly all: boolean
  /** Nobody waits any more. */
  readonly signal: AbortSignal
}

async function rowsOf(seen: Effective, identity: Identity, people: AsyncIterable<Principal>, { all, signal }: Wanted) {
  const users: Row[] = []
  let lookedAt = 0
  let began = performance.now()
  for await (const principal of people) {
    if (lookedAt === mostLookedAt) return { users, lookedAt, complete: false }
    lookedAt++
    if (performance.now() - began > turn) {
      await othersTurn()
      if (signal.aborted) throw new StorageError('cancelled', 'nobody waits for the answer any more')
      began = performance.now()
    }
    const row = rowOf(seen, identity, principal)
    if (!row.allowed && !all) continue
    if (users.length === mostShown) return { users, lookedAt, complete: false }
    users.push(row)
  }
  return { users, lookedAt, complete: true }
}

function rowOf(seen: Effective, identity: Identity, principal: Principal): Row {
  const user = principal.user ?? principal.id
  if (identity.isRevoked?.(principal)) return { user, allowed: false, rule: 'revoked', text: 'the user is banned' }
  const { allowed, reason } = seen.judge(principal)
  const { rule, text, path, ace } = reason
  return { user, allowed, rule, text, ...(path !== undefined && { path }), ...(ace !== undefined && { ace }) }
}

/** What the answer leaves open. */
function notesOf({ action, exact, groups }: Effective, unlisted: readonly string[], complete: boolean): string[] {
  const notes: string[] = []
  if (!complete) notes.push('There are more users than are shown here.')
  if (unlisted.length > 0) notes.push(`Accounts of ${unlisted.join(', ')} cannot be listed, and were not looked at.`)
  const outside = groups.filter((group) => group.includes('@'))
  if (outside.length > 0) {
    notes.push(
      'Groups that a token of an issuer brings are known only when it comes; entries for such groups may let in more.',
    )
  }
  if (!exact) notes.push('The storage itself decides here; this is what its ACLs say.')
  if (needs[action].grants.length > 0) notes.push('Tokens, links and keys may allow less than their owner has.')
  return notes
}

function othersTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}
