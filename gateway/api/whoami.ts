/** GET whoami: what the gateway takes the caller for, and with `explain=true` how it came to that; for himself alone. */

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
    ...(wanted && { steps: await stepsFor(context, exchange) }),
  }
}

/** The same for people. */
export const showWhoami: ApiHandler = async (context, request, reply) => {
  const x = await context.door.authenticate(request)
  parseQuery(x.query, [])
  const { id, user, groups } = x.principal
  const steps = await stepsFor(context, x)
  return sendPage(x, reply, whoamiPage({ header: headerOf(x), id, user, groups: [...groups], steps }))
}

function stepsFor({ identity }: ApiContext, { principal }: Exchange) {
  return identity.explainCredential?.(principal) ?? []
}
