/** OPTIONS (RFC 9110, section 9.3.7): the same for every path and every caller, so it asks for no credential. */

import type { Method } from '../http/options.ts'
import { respond } from '../http/respond.ts'

/** `allowed` names the methods that are served. */
export function options(allowed: () => readonly string[]): Method {
  return {
    open: true,
    // 200 rather than 204: clients of the WebDAV world insist on it.
    run: (exchange) => respond(exchange, 200, ['Allow', allowed().join(', '), 'Accept-Ranges', 'bytes']),
  }
}
