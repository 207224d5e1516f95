/** GET versions: the earlier states of a file that the storage keeps. One is read by GET on the file with ?version=. */

import { etagOf } from '../http/conditions.ts'
import { isoDate } from '../http/dates.ts'
import { parseQuery } from '../http/query.ts'
import { pathOf } from './parameters.ts'
import type { ApiHandler } from './routes.ts'

export const versions: ApiHandler = async ({ door, storage }, request) => {
  const exchange = await door.authenticate(request)
  const path = pathOf(parseQuery(exchange.query, ['path']).path)
  exchange.path = path
  exchange.action = 'stat'
  const found = await storage.versions(exchange.call, path)
  return {
    path,
    versions: found.map(({ version, kept, entry }) => ({
      version,
      kept: isoDate(kept),
      type: entry.type,
      size: entry.size,
      modified: isoDate(entry.modified),
      etag: etagOf(entry.version),
    })),
  }
}
