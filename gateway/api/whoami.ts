/** GET whoami: what the gateway takes the caller for. */

import { parseQuery } from '../http/query.ts'
import type { ApiHandler } from './routes.ts'

export const whoami: ApiHandler = async ({ door }, request) => {
  const exchange = await door.authenticate(request)
  parseQuery(exchange.query, [])
  const { id, user, groups, grants, within, addresses, maxUpload, posix, administrator, expires } = exchange.principal
  return {
    id,
    user: user ?? null,
    groups: [...groups],
    grants,
    ...(within && { within }),
    ...(addresses && { addresses: addresses.networks }),
    ...(maxUpload !== undefined && { maxUpload }),
    posix: posix ?? null,
    administrator: administrator ?? false,
    expires: expires === undefined ? null : new Date(expires * 1000).toISOString(),
  }
}
