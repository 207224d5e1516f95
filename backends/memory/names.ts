/** Links, and two names that change places. */

import { StorageError } from '../../gateway/core/errors.ts'
import { isWithin } from '../../gateway/core/path.ts'
import type { Entry } from '../backend.ts'
import { permissionsOfLink } from './acls.ts'
import { needPlace } from './changes.ts'
import { entryOf, need, needFile, type Spot, type Tree } from './tree.ts'

/** Makes a symbolic link. */
export function symlink(tree: Tree, spot: Spot, target: string): Entry {
  const { path, name } = spot
  if (target === '' || target.includes('\0') || !target.isWellFormed()) {
    throw new StorageError('invalid', 'a link cannot lead there', { path })
  }
  const parent = needFree(tree, spot)
  const node = tree.make('symlink', permissionsOfLink, target)
  tree.attach(parent, name, node)
  return entryOf(name, node)
}

/** Gives a file a further name. */
export function link(tree: Tree, file: Spot, place: Spot): Entry {
  const node = needFile(file)
  tree.requireSame(place)
  tree.attach(needFree(tree, place), place.name, node)
  node.changed = tree.tick()
  return entryOf(place.name, node)
}

function needFree(tree: Tree, spot: Spot) {
  if (spot.node) throw new StorageError('exists', 'something of that name exists', { path: spot.path })
  return needPlace(tree, spot)
}

/** Two objects change places. */
export function exchange(tree: Tree, one: Spot, other: Spot): void {
  const first = need(one)
  const second = need(other)
  tree.requireSame(other)
  if (!one.parent || !other.parent) throw new StorageError('invalid', 'the root cannot be moved', { path: one.path })
  if (one.path === other.path) return
  if (isWithin(one.path, other.path) || isWithin(other.path, one.path)) {
    throw new StorageError('invalid', 'a directory cannot move into itself', { path: other.path })
  }
  tree.attach(one.parent, one.name, second)
  tree.attach(other.parent, other.name, first)
  first.changed = second.changed = tree.tick()
}
