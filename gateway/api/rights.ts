/** GET rights: what the caller may do with an object, credential and ACL together. */

import { rightsNames } from '../../acl/rights-names.ts'
import { parseQuery } from '../http/query.ts'
import { pathOf } from './parameters.ts'
import type { ApiHandler } from './routes.ts'

export const rights: ApiHandler = async ({ door, storage }, request) => {
  const exchange = await door.authenticate(request)
  const path = pathOf(parseQuery(exchange.query, ['path']).path)
  exchange.path = path
  exchange.action = 'stat'
  const { type } = await storage.stat(exchange.call, path)
  const held = await storage.rights(exchange.call, path)
  const kind = type === 'directory' ? 'directory' : 'file'
  return {
    path,
    type,
    rights: held.rights,
    names: held.rights === 'unknown' ? null : rightsNames(held.rights, kind),
    actions: held.actions,
  }
}
