/** Extended attributes of the memory back end, within the limits of xattr(7). */

import { StorageError } from '../../gateway/core/errors.ts'
import type { Node, Spot, Tree } from './tree.ts'

const longestName = 255 - 'user.'.length
const largestValue = 65_536

/** Throws for what is no name; `name-too-long` beyond the limit. */
export function requireName(name: string): void {
  if (name === '' || name.includes('\0') || !name.isWellFormed()) {
    throw new StorageError('invalid', 'this is no name of an attribute')
  }
  if (Buffer.byteLength(name) > longestName) throw new StorageError('name-too-long', 'the name is too long')
}

/** Names that the gateway keeps for itself. */
export function isReservedName(name: string): boolean {
  return name.startsWith('portolan.')
}

/** As XattrFacet.set. */
export function setXattr(
  tree: Tree,
  { path }: Spot,
  node: Node,
  { name, value, condition }: { name: string; value: Uint8Array | undefined; condition: 'any' | 'absent' | 'present' },
): void {
  const isThere = node.xattrs.has(name)
  if (isReservedName(name) || node.type === 'symlink') throw new StorageError('denied', 'not for callers', { path })
  requireName(name)
  if (isThere && condition === 'absent') throw new StorageError('exists', 'there is one of that name', { path })
  if (!isThere && (condition === 'present' || !value))
    throw new StorageError('not-found', 'no such attribute', { path })
  if (value && value.length > largestValue) throw new StorageError('too-large', 'the value is too long', { path })
  if (value) node.xattrs.set(name, new Uint8Array(value))
  else node.xattrs.delete(name)
  node.changed = tree.tick()
}
