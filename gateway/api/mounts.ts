/** GET mounts: the parts of the namespace that the caller can see, with what their administrators say of them. */

import { parseQuery } from '../http/query.ts'
import type { ApiHandler } from './routes.ts'

export const mounts: ApiHandler = async ({ door, storage }, request) => {
  const exchange = await door.authenticate(request)
  parseQuery(exchange.query, [])
  exchange.action = 'list'
  return {
    mounts: storage.mounts(exchange.call).map(({ note, tape, ...mount }) => ({
      ...mount,
      note: note ?? null,
      tape: tape ?? null,
    })),
  }
}
