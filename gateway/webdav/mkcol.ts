/** MKCOL (RFC 4918, section 9.3), with properties (RFC 5689): both or neither. */

import { StorageError } from '../core/errors.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Method } from '../http/options.ts'
import { respond } from '../http/respond.ts'
import { encodePath } from '../http/target.ts'
import { parseMkcol } from './bodies.ts'
import { receiveXml } from './body.ts'
import { applyChange, changeOf } from './changing.ts'
import { declarations } from './names.ts'
import { xmlHead, xmlType } from './problem.ts'

export const mkcol: Method = {
  action: 'mkdir',
  async run(x) {
    const change = x.hasBody ? changeOf(await propertiesOf(x)) : undefined
    const { storage } = x.door
    await storage.mkdir(x.call, x.path)
    if (change && change.names.length > 0) {
      const failed = await setOrUndo(x, () => applyChange(x, change))
      if (failed !== undefined) return refuse(x, failed)
    }
    await respond(x, 201, ['Location', `${x.door.publicUrl}${encodePath(x.path)}/`])
  },
}

/** RFC 4918, section 9.3: a body that is not understood is 415. */
async function propertiesOf(x: Exchange): Promise<ReturnType<typeof parseMkcol>> {
  const type = x.request.headers['content-type'] ?? ''
  if (!/^(?:application|text)\/xml\s*(?:;|$)/i.test(type)) {
    throw new HttpError(415, 'unsupported', 'the body of MKCOL is XML (RFC 5689), or there is none')
  }
  const root = await receiveXml(x)
  return root ? parseMkcol(root) : []
}

/** A collection without the properties that it was to have is no answer to the request. */
async function setOrUndo(x: Exchange, set: () => Promise<string | undefined>): Promise<string | undefined> {
  let failed: string | undefined
  try {
    failed = await set()
    if (failed === undefined) return undefined
  } catch (error) {
    await undo(x)
    throw error
  }
  await undo(x)
  return failed
}

async function undo(x: Exchange): Promise<void> {
  try {
    await x.door.storage.remove(x.call, x.path)
  } catch (error) {
    // Who may make directories need not be allowed to remove them; and others may have begun to use it.
    if (!(error instanceof StorageError)) throw error
  }
}

/** RFC 5689, section 3.4. */
function refuse(x: Exchange, propstats: string): Promise<void> {
  const status = /HTTP\/1\.1 (?!424)(\d{3})/.exec(propstats)?.[1]
  const body = `${xmlHead}<D:mkcol-response ${declarations}>${propstats}</D:mkcol-response>\n`
  return respond(x, Number(status ?? 403), ['Content-Type', xmlType, 'Cache-Control', 'no-store'], body)
}
