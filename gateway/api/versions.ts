/** GET versions: the earlier states of a file that the storage keeps. One is read by GET on the file with ?version=. */

import { etagOf } from '../http/conditions.ts'
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
      kept: timeOf(kept),
      type: entry.type,
      size: entry.size,
      modified: timeOf(entry.modified),
      etag: etagOf(entry.version),
    })),
  }
}

/** RFC 3339, to the millisecond. */
function timeOf(ns: bigint): string {
  return new Date(Number(ns / 1_000_000n)).toISOString()
}
