/**
 * Extended attributes: those of the storage (`user.`), the NFSv4 ACL (`system.nfs4_acl`), and what the gateway knows
 * (`user.portolan.`), which is read only. The last two are not listed, so that no copy takes them along.
 */

import { inFull, lettersOfRights } from '../../acl/codec/letters.ts'
import { decodeNfs4Acl, encodeNfs4Acl, maxXattrBytes } from '../../acl/codec/nfs4-xattr.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Parts } from './common.ts'
import { Errno } from './errno.ts'
import type { Node } from './nodes.ts'
import type { Context, Operations } from './operations.ts'
import type { View } from './view.ts'

const aclName = 'system.nfs4_acl'
const userPrefix = 'user.'
const ownPrefix = 'user.portolan.'
const checksumPrefix = 'checksum.'
/** setxattr(2). */
const xattrCreate = 1
const xattrReplace = 2

interface Place {
  readonly view: View
  readonly node: Node
  readonly path: Path
  readonly signal: AbortSignal
}

export function xattrOperations(parts: Parts): Pick<Operations, 'getxattr' | 'listxattr' | 'setxattr' | 'removexattr'> {
  const placeOf = async (context: Context): Promise<Place> => {
    const node = parts.nodes.get(context.nodeid)
    const view = await parts.viewOf(context)
    return { view, node, path: parts.nodes.pathOf(node), signal: context.signal }
  }
  /** The gateway does not know it by name yet. */
  const isDraft = ({ nodeid }: Context) => parts.open.draftOf(parts.nodes.get(nodeid)) !== undefined
  return {
    async getxattr(context, name) {
      // Asked for by the kernel and by ls for each file: answered here.
      // As a file system without labels: ls(1) does not ask again for each file then.
      if (name.startsWith('security.')) throw new Errno('EOPNOTSUPP')
      if (name !== aclName && !name.startsWith(userPrefix)) throw new Errno('EOPNOTSUPP')
      if (isDraft(context)) throw new Errno('ENODATA')
      const place = await placeOf(context)
      const { view, path, signal } = place
      if (name === aclName) return encodeNfs4Acl((await view.remote.getAcl(path, signal)).aces)
      if (name.startsWith(ownPrefix)) return Buffer.from(await told(place, name.slice(ownPrefix.length)))
      const value = await view.remote.getXattr(path, name.slice(userPrefix.length), signal)
      if (value === undefined) throw new Errno('ENODATA')
      return value
    },
    async listxattr(context) {
      if (isDraft(context)) return []
      const { view, path, signal } = await placeOf(context)
      try {
        return (await view.remote.listXattrs(path, signal)).map((name) => userPrefix + name)
      } catch (error) {
        // A storage without them has none; an error would keep programs from copying the file.
        if (error instanceof StorageError && error.code === 'unsupported') return []
        throw error
      }
    },
    async setxattr(context, name, value, flags) {
      if (value.length > maxXattrBytes) throw new Errno('E2BIG')
      const isAcl = name === aclName
      if (!isAcl) checkWritable(name)
      if (isDraft(context)) throw new Errno('EOPNOTSUPP')
      const place = await placeOf(context)
      if (isAcl) await setAcl(place, value)
      else
        await place.view.remote
          .setXattr(place.path, name.slice(userPrefix.length), value, conditionOf(flags), place.signal)
          .catch(attributeError)
      place.view.changedHere(place.path, place.node)
    },
    async removexattr(context, name) {
      if (name.startsWith('security.')) throw new Errno('ENODATA')
      checkWritable(name)
      if (isDraft(context)) throw new Errno('ENODATA')
      const { view, node, path, signal } = await placeOf(context)
      await view.remote
        .setXattr(path, name.slice(userPrefix.length), undefined, 'present', signal)
        .catch(attributeError)
      view.changedHere(path, node)
    },
  }
}

/** Owner, group and dialect are the storage's; the list is replaced. */
async function setAcl({ view, path, signal }: Place, value: Buffer): Promise<void> {
  const aces = decodeNfs4Acl(value)
  const before = await view.remote.getAcl(path, signal)
  await view.remote.setAcl(path, { ...before, aces }, signal)
}

/** What the gateway knows, as text. ENODATA for what it does not know, and for names that mean nothing. */
async function told({ view, node, path, signal }: Place, name: string): Promise<string> {
  if (name === 'locality') {
    const { attributes } = await view.look(node, signal)
    if (attributes.version === '') throw new Errno('EACCES')
    if (attributes.locality === undefined) throw new Errno('ENODATA')
    return attributes.locality
  }
  if (name === 'rights') {
    const { rights, actions } = await view.rights(node, signal)
    // Letters of nfs4_acl(5); words where the storage decides by itself.
    return rights === 'unknown' ? actions.join(' ') : inFull(lettersOfRights(rights))
  }
  if (name === 'explain') return textOf(await view.remote.explain(path, signal))
  if (!name.startsWith(checksumPrefix)) throw new Errno('ENODATA')
  const sum = (await view.remote.checksums(path, signal)).get(name.slice(checksumPrefix.length))
  if (sum === undefined) throw new Errno('ENODATA')
  return sum
}

/** As much of it as an attribute can hold. */
function textOf(text: string): string {
  return Buffer.byteLength(text) <= maxXattrBytes ? text : Buffer.from(text).toString('utf8', 0, maxXattrBytes - 4)
}

function checkWritable(name: string): void {
  if (!name.startsWith(userPrefix)) throw new Errno('EOPNOTSUPP')
  if (name.startsWith(ownPrefix)) throw new Errno('EPERM')
  if (name.length === userPrefix.length) throw new Errno('EINVAL')
}

function conditionOf(flags: number): 'any' | 'absent' | 'present' {
  if ((flags & ~(xattrCreate | xattrReplace)) !== 0 || flags === (xattrCreate | xattrReplace)) throw new Errno('EINVAL')
  if (flags === xattrCreate) return 'absent'
  return flags === xattrReplace ? 'present' : 'any'
}

/** setxattr(2) has numbers of its own. */
function attributeError(error: unknown): never {
  if (error instanceof StorageError && error.code === 'too-large') throw new Errno('E2BIG', { cause: error })
  // The object is there, or its attributes would not have been asked for: it is the attribute that is not.
  if (error instanceof StorageError && error.code === 'not-found') throw new Errno('ENODATA', { cause: error })
  throw error
}
