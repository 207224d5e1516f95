/** GET locks: those that the caller holds; to administrators those of all. DELETE locks: ends one. */

import { StorageError } from '../core/errors.ts'
import { parseQuery } from '../http/query.ts'
import { pathOf } from './parameters.ts'
import type { ApiHandler } from './routes.ts'

export const listLocks: ApiHandler = async ({ door, storage }, request) => {
  const exchange = await door.authenticate(request)
  const query = parseQuery(exchange.query, ['path'])
  const path = query.path === undefined ? undefined : pathOf(query.path)
  if (path !== undefined) exchange.path = path
  exchange.action = 'stat'
  const locks = await storage.locks.list(exchange.call, path)
  return {
    locks: locks.map(({ token, path, scope, depth, owner, user, timeout, created }) => ({
      ...{ token, path, scope, depth, owner },
      user: user ?? null,
      timeout,
      created: new Date(created).toISOString(),
    })),
  }
}

export const endLock: ApiHandler = async ({ door, storage }, request, reply) => {
  const exchange = await door.authenticate(request)
  const { token } = parseQuery(exchange.query, ['token'])
  if (token === undefined) throw new StorageError('invalid', 'the parameter token is missing')
  await storage.locks.release(exchange.call, token)
  return reply.code(204).send()
}
