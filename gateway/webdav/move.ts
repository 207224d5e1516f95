/** MOVE (RFC 4918, section 9.9): atomic within a mount, copy and remove from one to another. */

import type { Method } from '../http/options.ts'
import { destinationOf, elsewhere, requireWholeDepth } from './headers.ts'
import { transplant } from './transplant.ts'

export const move: Method = {
  action: 'move-away',
  async run(x) {
    await requireWholeDepth(x)
    const destination = destinationOf(x)
    if (destination === 'elsewhere') throw elsewhere()
    return transplant(x, destination, (options) => x.door.storage.rename(x.call, x.path, destination, options))
  },
}
