/** GET usage: bytes and files used, available and allowed at a path. */

import { parseQuery } from '../http/query.ts'
import { pathOf } from './parameters.ts'
import type { ApiHandler } from './routes.ts'

export const usage: ApiHandler = async ({ door, storage }, request) => {
  const exchange = await door.authenticate(request)
  const path = pathOf(parseQuery(exchange.query, ['path']).path)
  exchange.path = path
  exchange.action = 'stat'
  const { used, available, limit, files } = await storage.usage(exchange.call, path)
  return {
    path,
    used,
    available: available ?? null,
    limit: limit ?? null,
    files: files === undefined ? null : { used: files.used, limit: files.limit ?? null },
  }
}
