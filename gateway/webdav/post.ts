/** POST on the namespace: asks for macaroons. */

import { HttpError } from '../http/errors.ts'
import type { Method } from '../http/options.ts'
import { isMacaroonRequest, sendMacaroon } from './macaroon-request.ts'

export const post: Method = {
  async run(x) {
    if (isMacaroonRequest(x)) return sendMacaroon(x)
    throw new HttpError(415, 'unsupported', 'POST takes application/macaroon-request here')
  },
}
