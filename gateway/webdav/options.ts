/** OPTIONS (RFC 9110, section 9.3.7; RFC 4918, section 10.1): no credential is needed to ask. */

import { StorageError } from '../core/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Method } from '../http/options.ts'
import { respond } from '../http/respond.ts'

/** Methods that make no sense on what is there; `none` is a path with nothing at it. */
const senseless = {
  directory: ['PUT', 'MKCOL', 'POST'],
  other: ['MKCOL', 'POST'],
  none: ['GET', 'HEAD', 'DELETE', 'PROPFIND', 'PROPPATCH', 'COPY', 'MOVE', 'UNLOCK'],
  unknown: [],
} as const satisfies Readonly<Record<string, readonly string[]>>

const locking: ReadonlySet<string> = new Set(['LOCK', 'UNLOCK'])

/** `served` names the methods that there are. */
export function options(served: () => readonly string[]): Method {
  return {
    open: 'welcome',
    async run(x) {
      const all = served().filter((name) => x.door.storage.locks.available || !locking.has(name))
      const not: readonly string[] = senseless[await kindOf(x)]
      const classes = x.door.storage.locks.available ? '1, 2, 3' : '1, 3'
      // 200 rather than 204: clients of the WebDAV world insist on it.
      await respond(x, 200, [
        'Allow',
        all.filter((name) => !not.includes(name)).join(', '),
        'DAV',
        `${classes}, extended-mkcol`,
        // Set and told as mod_dav does; cadaver looks for it. Windows wants it apart.
        'DAV',
        '<http://apache.org/dav/propset/fs/1>',
        // Windows takes a server without it for one that only FrontPage can write to.
        'MS-Author-Via',
        'DAV',
        'Accept-Ranges',
        'bytes',
      ])
    },
  }
}

/** Told only to who may look. */
async function kindOf(x: Exchange): Promise<keyof typeof senseless> {
  if (!x.begun || x.request.url === '*') return 'unknown'
  try {
    const { type } = await x.door.storage.stat(x.call, x.path)
    return type === 'directory' ? 'directory' : 'other'
  } catch (error) {
    const { code } = StorageError.from(error)
    return code === 'not-found' ? 'none' : 'unknown'
  }
}
