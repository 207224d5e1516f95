/** Sessions of browsers: listed and ended by whose they are, and by administrators. */

import type { ListPart, Session, Sessions } from '../../acl/identity/identity.ts'
import { StorageError } from '../core/errors.ts'
import { parseQuery } from '../http/query.ts'
import { listFor } from './list-parts.ts'
import { endSession } from './login.ts'
import type { ApiContext, ApiHandler } from './routes.ts'
import { requireCaller } from './shares.ts'

export const listSessions: ApiHandler = async (context, request) => {
  const x = await context.door.authenticate(request)
  const list = (all: boolean, part: ListPart) => sessionsOf(context).list(x.principal, all, part)
  const { entries, ...more } = await listFor(x, 'sessions', list)
  return { sessions: entries.map((session) => shownSession(session, x.principal.session)), ...more }
}

export const endOne: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  requireCaller(x)
  const { id = '' } = request.params as { readonly id?: string }
  await endSession(x, sessionsOf(context), id)
  return reply.code(204).send()
}

export function sessionsOf({ identity }: ApiContext): Sessions {
  if (identity.sessions) return identity.sessions
  throw new StorageError('unsupported', 'there are no sessions here')
}

/** `own`: the one that the caller came with. */
export function shownSession({ id, user, agent, from, created, used, expires }: Session, own: string | undefined) {
  const times = {
    created: new Date(created).toISOString(),
    used: new Date(used).toISOString(),
    expires: new Date(expires).toISOString(),
  }
  return { id, user, agent, from, ...times, current: id === own }
}
