/** The two steps that replace one object by another: the commit of a draft, and a rename. */

import type { Principal } from '../../acl/principal.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { isWithin, type Path } from '../../gateway/core/path.ts'
import type { CommitCondition, CommitOptions, Entry, MoveOptions } from '../backend.ts'
import { permissionsOfNew } from './acls.ts'
import type { Host } from './files.ts'
import { entryOf, type Node, need, needFile, needParent, type Spot, type Tree, trailOf, versionOf } from './tree.ts'

/** What a change works on, and for whom. */
export interface Change {
  readonly tree: Tree
  readonly host: Host
  readonly principal: Principal
}

/**
 * Makes bytes visible under the place that `seen` describes. Replacing keeps owner, group, ACL, mode and
 * properties. Throws `stale` when the parent is another one now, what `decide` throws, `exists` or
 * `precondition` for the condition, `is-directory`, `quota`. `id`: that of the new node.
 */
export function commit(change: Change, seen: Spot, bytes: Buffer, options: CommitOptions, id?: string): Entry {
  const { tree, host, principal } = change
  const spot = tree.look(seen.path)
  if (!spot.parent || spot.parent !== seen.parent) {
    throw new StorageError('stale', 'the parent directory has changed', { path: seen.path })
  }
  options.decide(trailOf(spot))
  requireCondition(options.condition, spot)
  const old = spot.node ? needFile(spot) : undefined
  host.makeRoom(bytes.length - (old?.bytes.length ?? 0))
  const permissions = old?.permissions ?? permissionsOfNew('file', spot.parent.permissions, principal)
  const node = tree.make('file', permissions, undefined, id)
  node.bytes = bytes
  node.modified = options.modified ?? node.modified
  node.properties = new Map(old?.properties)
  for (const [name, value] of old?.xattrs ?? []) node.xattrs.set(name, value)
  const { digests = {}, record } = options
  node.kept = { version: versionOf(node), digests, ...(record !== undefined && { record }) }
  tree.attach(spot.parent, spot.name, node)
  return entryOf(spot.name, node)
}

/** The rules of rename(2), and `exists` for the condition. `source` is what it was when it was looked at. */
export function rename(tree: Tree, source: Spot, target: Spot, options: MoveOptions): Entry {
  const node = need(source)
  const { path } = target
  if (!source.parent) throw new StorageError('invalid', 'the root cannot be moved', { path: source.path })
  tree.requireSame(target)
  const parent = needPlace(tree, target)
  if (isWithin(path, source.path) && path !== source.path) {
    throw new StorageError('invalid', 'a directory cannot move into itself', { path })
  }
  const old = target.node
  if (old && options.condition === 'absent') throw new StorageError('exists', 'the target exists', { path })
  if (old === node) return entryOf(target.name, node)
  if (isWithin(source.path, path)) throw new StorageError('not-empty', 'the target holds what is moved', { path })
  if (old) requireReplaceable(node, old, path)
  tree.detach(source.parent, source.name)
  tree.attach(parent, target.name, node)
  node.changed = tree.tick()
  return entryOf(target.name, node)
}

/** The directory in which a name may appear: `no-parent` where there is none, `denied` for a reserved name. */
export function needPlace(tree: Tree, spot: Spot): Node {
  const parent = needParent(spot)
  if (tree.isReserved(spot.name)) throw new StorageError('denied', 'the name is reserved', { path: spot.path })
  return parent
}

function requireCondition(condition: CommitCondition, { node, path }: Spot): void {
  if (condition === 'any') return
  if (condition === 'absent') {
    if (node) throw new StorageError('exists', 'the file exists', { path })
    return
  }
  const wanted = node && (condition === 'present' || condition.versions.includes(versionOf(node)))
  if (!wanted) throw new StorageError('precondition', 'the file is not the one that was meant', { path })
}

/** The rules of rename(2): a directory replaces only an empty directory, anything else no directory. */
function requireReplaceable(node: Node, old: Node, path: Path): void {
  if (node.type === 'directory') {
    if (old.type !== 'directory') throw new StorageError('not-directory', 'the target is not a directory', { path })
    if (old.children.size > 0) throw new StorageError('not-empty', 'the target is not empty', { path })
  } else if (old.type === 'directory') {
    throw new StorageError('is-directory', 'the target is a directory', { path })
  }
}
