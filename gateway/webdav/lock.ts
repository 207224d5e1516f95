/** LOCK (RFC 4918, section 9.10): takes a lock, or refreshes one. */

import { StorageError } from '../core/errors.ts'
import type { LockView } from '../core/locking.ts'
import { parseConditions } from '../http/conditions.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Method } from '../http/options.ts'
import { respond } from '../http/respond.ts'
import { receiveXml } from './body.ts'
import { depthOf } from './headers.ts'
import { evaluateIf, parseIf, requiredTokensOf, withVersions } from './if-header.ts'
import { lockDiscovery, parseLockInfo } from './lock-elements.ts'
import { requireDirectory } from './preconditions.ts'
import { xmlHead, xmlType } from './problem.ts'
import type { XmlElement } from './xml.ts'

export const lock: Method = {
  action: 'replace',
  async run(x) {
    const timeout = timeoutOf(x)
    const info = await receiveXml(x)
    const versions = await evaluateIf(x)
    if (info) await take(x, info, timeout, versions)
    else await refresh(x, timeout)
  },
}

async function take(
  x: Exchange,
  info: XmlElement,
  timeout: number | undefined,
  versions: readonly string[] | undefined,
): Promise<void> {
  const depth = depthOf(x)
  if (depth === 1) throw new StorageError('invalid', 'Depth is 0 or infinity')
  const asked = parseLockInfo(info)
  if (x.slash) await requireDirectory(x)
  const conditions = withVersions(parseConditions(x.request.headers, 'LOCK'), versions)
  const wish = { ...asked, depth: depth === 0 ? '0' : 'infinity', timeout, conditions } as const
  const { lock, created } = await x.door.storage.locks.lock(x.call, x.path, wish)
  await answer(x, created ? 201 : 200, lock, ['Lock-Token', `<${lock.token}>`])
}

/** RFC 4918, section 9.10.2: the If header names the lock. */
async function refresh(x: Exchange, timeout: number | undefined): Promise<void> {
  const header = x.request.headers.if
  const [token, more] = header === undefined ? [] : requiredTokensOf(parseIf(String(header)))
  if (token === undefined) throw new StorageError('invalid', 'neither a lockinfo nor the token of a lock')
  if (more !== undefined) throw new StorageError('invalid', 'one lock is refreshed at a time')
  await answer(x, 200, await x.door.storage.locks.refresh(x.call, x.path, token, timeout))
}

async function answer(x: Exchange, status: number, lock: LockView, headers: readonly string[] = []): Promise<void> {
  const property = `<D:lockdiscovery>${lockDiscovery([lock])}</D:lockdiscovery>`
  const body = `${xmlHead}<D:prop xmlns:D="DAV:">${property}</D:prop>\n`
  await respond(x, status, ['Content-Type', xmlType, 'Cache-Control', 'no-store', ...headers], body)
}

/** Seconds: the first wish that is understood (section 10.7). Undefined: whatever the gateway likes, as for `Infinite`. */
function timeoutOf({ request }: Exchange): number | undefined {
  for (const wish of String(request.headers.timeout ?? '').split(',')) {
    const [, seconds] = /^\s*Second-(\d{1,10})\s*$/i.exec(wish) ?? []
    if (seconds !== undefined) return Number(seconds)
    if (/^\s*Infinite\s*$/i.test(wish)) return undefined
  }
  return undefined
}
