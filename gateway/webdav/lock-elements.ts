/** Locks in XML (RFC 4918, sections 14 and 15.8): what a LOCK asks for, and how locks are shown. */

import { StorageError } from '../core/errors.ts'
import type { LockWish } from '../core/lock-request.ts'
import type { LockView } from '../core/locking.ts'
import { HttpError } from '../http/errors.ts'
import { encodePath } from '../http/target.ts'
import { childrenOf, dav, elementsIn, writeElement, type XmlElement } from './xml.ts'

/** Content of DAV:supportedlock: write locks of both kinds. */
export const supportedLock = ['exclusive', 'shared']
  .map(
    (scope) => `<D:lockentry><D:lockscope><D:${scope}/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>`,
  )
  .join('')

/** Content of DAV:lockdiscovery. The owner is text that we wrote ourselves from what was parsed. */
export function lockDiscovery(locks: readonly LockView[]): string {
  return locks.map(activeLock).join('')
}

function activeLock({ token, path, scope, depth, owner, timeout }: LockView): string {
  const named = token === undefined ? '' : `<D:locktoken><D:href>${token}</D:href></D:locktoken>`
  return (
    `<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:${scope}/></D:lockscope>` +
    `<D:depth>${depth}</D:depth>${owner}<D:timeout>Second-${timeout}</D:timeout>${named}` +
    `<D:lockroot><D:href>${encodePath(path)}</D:href></D:lockroot></D:activelock>`
  )
}

/** DAV:lockinfo. Throws `invalid`, and 422 for a kind of lock that there is not. */
export function parseLockInfo(root: XmlElement): Pick<LockWish, 'scope' | 'owner'> {
  if (root.uri !== dav || root.local !== 'lockinfo') throw new StorageError('invalid', 'the body is no lockinfo')
  const [scope] = onlyIn(root, 'lockscope')
  const [type] = onlyIn(root, 'locktype')
  if (type?.uri !== dav || type.local !== 'write' || scope?.uri !== dav) throw unknown()
  const [owner] = childrenOf(root, dav, 'owner')
  const told = owner && { owner: writeElement(owner) }
  if (scope.local === 'exclusive' || scope.local === 'shared') return { scope: scope.local, ...told }
  throw unknown()
}

function onlyIn(root: XmlElement, name: string): XmlElement[] {
  const [found, more] = childrenOf(root, dav, name)
  const kinds = found ? elementsIn(found) : []
  if (kinds.length !== 1 || more) throw new StorageError('invalid', `a lockinfo has one ${name}`)
  return kinds
}

function unknown(): HttpError {
  return new HttpError(422, 'unsupported', 'there are exclusive and shared write locks')
}
