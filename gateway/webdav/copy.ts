/** COPY (RFC 4918, section 9.8): files, and directories with or without what is in them. */

import { StorageError } from '../core/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Method } from '../http/options.ts'
import { depthOf, destinationOf, elsewhere } from './headers.ts'
import { transplant } from './transplant.ts'

export const copy: Method = {
  action: 'read',
  async run(x) {
    const { thirdParty } = x.door
    if (thirdParty && x.request.headers.source !== undefined) return thirdParty.copy(x)
    const destination = destinationOf(x)
    if (destination !== 'elsewhere') {
      const members = membersOf(x)
      return transplant(x, destination, (options) =>
        x.door.storage.copy(x.call, x.path, destination, { ...options, recursive: true, members }),
      )
    }
    if (!thirdParty) throw elsewhere()
    return thirdParty.copy(x)
  },
}

function membersOf(x: Exchange): 'each' | 'none' {
  const depth = depthOf(x)
  if (depth === 1) throw new StorageError('invalid', 'Depth of a COPY is 0 or infinity')
  return depth === 0 ? 'none' : 'each'
}
