/** GET uploads: unfinished ones of the caller, to administrators those of all. DELETE uploads/{id}: takes one away. */

import { parseQuery } from '../http/query.ts'
import type { ApiHandler } from './routes.ts'

export const listUploads: ApiHandler = async ({ door, storage }, request) => {
  const exchange = await door.authenticate(request)
  parseQuery(exchange.query, [])
  const uploads = await storage.uploads.list(exchange.call)
  return {
    uploads: uploads.map(({ id, path, offset, length, user, created, expires }) => ({
      ...{ id, path, offset },
      length: length ?? null,
      user: user ?? null,
      created: timeOf(created),
      expires: timeOf(expires),
    })),
  }
}

export const removeUpload: ApiHandler = async ({ door, storage }, request, reply) => {
  const exchange = await door.authenticate(request)
  parseQuery(exchange.query, [])
  const { id = '' } = request.params as { readonly id?: string }
  await storage.uploads.remove(exchange.call, id)
  return reply.code(204).send()
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}
