/** GET whoami: what the gateway takes the caller for. */

import { parseQuery } from '../http/query.ts'
import type { ApiHandler } from './routes.ts'

export const whoami: ApiHandler = async ({ door }, request) => {
  const exchange = await door.authenticate(request)
  parseQuery(exchange.query, [])
  const { id, user, groups, grants, posix, administrator, expires } = exchange.principal
  return {
    id,
    user: user ?? null,
    groups: [...groups],
    grants,
    posix: posix ?? null,
    administrator: administrator ?? false,
    expires: expires === undefined ? null : new Date(expires * 1000).toISOString(),
  }
}
