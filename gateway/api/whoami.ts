/** GET whoami: what the gateway takes the caller for, and with `explain=true` how it came to that; for himself alone. */

import { ownId, type Principal } from '../../acl/principal.ts'
import type { Exchange } from '../http/exchange.ts'
import { headerOf } from '../http/page-header.ts'
import { parseQuery } from '../http/query.ts'
import { whoamiPage } from '../web/whoami.ts'
import { flagOf } from './parameters.ts'
import { sendPage } from './people-pages.ts'
import type { ApiContext, ApiHandler } from './routes.ts'

export const whoami: ApiHandler = async (context, request) => {
  const exchange = await context.door.authenticate(request)
  const { explain } = parseQuery(exchange.query, ['explain'])
  const wanted = flagOf(explain, 'explain')
  const { user, grants, within, addresses, maxUpload, administrator, expires } = exchange.principal
  const { groups, posix } = ownOf(exchange.principal)
  return {
    id: ownId(exchange.principal),
    user: user ?? null,
    groups: [...groups],
    grants,
    ...(within && { within }),
    ...(addresses && { addresses: addresses.networks }),
    ...(maxUpload !== undefined && { maxUpload }),
    posix: posix ?? null,
    administrator: administrator ?? false,
    expires: expires === undefined ? null : new Date(expires * 1000).toISOString(),
    ...(wanted && { steps: await stepsFor(context, exchange) }),
  }
}

/** The same for people. */
export const showWhoami: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  const { user } = x.principal
  const id = ownId(x.principal)
  const { groups } = ownOf(x.principal)
  const steps = await stepsFor(context, x)
  return sendPage(x, reply, whoamiPage({ header: headerOf(x), id, user, groups: [...groups], steps }))
}

/** Whoever opens a link has nothing to do with the groups and numbers of its maker. */
function ownOf({ guest, groups, posix }: Principal): Pick<Principal, 'groups' | 'posix'> {
  return guest ? { groups: new Set() } : { groups, ...(posix && { posix }) }
}

/** Each time all is found out anew, so it is for nobody to ask without end. Throws `busy`. */
function stepsFor({ identity, pacing }: ApiContext, x: Exchange) {
  pacing.spendCaller(x)
  return identity.explainCredential?.(x.principal) ?? []
}
