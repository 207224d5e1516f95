/** PROPPATCH (RFC 4918, section 9.2): all the changes in document order, or none. */

import type { Method } from '../http/options.ts'
import { parsePropertyUpdate } from './bodies.ts'
import { receiveXml } from './body.ts'
import { applyChange, changeOf } from './changing.ts'
import { hrefOf, propstat, sendMultistatus } from './multistatus.ts'
import { requirePreconditions } from './preconditions.ts'
import { emptyElement } from './xml.ts'

export const proppatch: Method = {
  action: 'write-properties',
  async run(x) {
    const change = changeOf(parsePropertyUpdate(await receiveXml(x)))
    await requirePreconditions(x)
    const failed = await applyChange(x, change)
    const stats = failed ?? propstat(change.names.map(emptyElement).join(''), 200)
    await sendMultistatus(x, [`<D:response><D:href>${hrefOf(x.path, x.slash)}</D:href>${stats}</D:response>\n`])
  },
}
