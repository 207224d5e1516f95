/** GET login-options: where programs without a browser get a token (RFC 8628). Told to everybody: nobody has one before. */

import { parseQuery } from '../http/query.ts'
import type { ApiHandler } from './routes.ts'

export const loginOptions: ApiHandler = async ({ door, identity }, request) => {
  const exchange = await door.authenticate(request)
  parseQuery(exchange.query, [])
  return {
    issuers: (identity.deviceClients ?? []).map(({ issuer, name, clientId, scopes }) => ({
      ...{ issuer, name, clientId, scopes },
    })),
  }
}
