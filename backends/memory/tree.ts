/** The objects of the memory back end: a plain tree, and what a walk over it sees. */

import { StorageError } from '../../gateway/core/errors.ts'
import { namesOf, type Path } from '../../gateway/core/path.ts'
import type { Entry, Kept, Locality, Trail } from '../backend.ts'
import type { Permissions } from './acls.ts'

export interface Node {
  readonly id: string
  readonly type: 'file' | 'directory' | 'symlink'
  readonly target: string | undefined
  readonly children: Map<string, Node>
  bytes: Buffer
  modified: bigint
  changed: bigint
  accessed: bigint
  permissions: Permissions
  properties: Map<string, string>
  readonly xattrs: Map<string, Uint8Array>
  /** Of the bytes of one version only. */
  kept: Kept & { readonly version: string }
  /** Names that lead to it. */
  names: number
  /** Absent where there is no tape. */
  locality?: Locality
}

/** A place in the tree as one look found it. */
export interface Spot {
  readonly path: Path
  readonly name: string
  /** The directories from the root down to the parent, as far as they exist. */
  readonly ancestors: ReadonlyArray<{ readonly name: string; readonly node: Node }>
  /** Undefined for the root, and where the parent is no directory or does not exist. */
  readonly parent: Node | undefined
  readonly node: Node | undefined
}

export class Tree {
  readonly top: Node
  readonly #reserved: ReadonlySet<string>
  readonly #now: () => bigint
  readonly #tape: boolean
  #lastTime = 0n
  #lastId = 0

  constructor(
    permissions: Permissions,
    options: { readonly reserved: Iterable<string>; now(): bigint; readonly tape: boolean },
  ) {
    this.#tape = options.tape
    this.#reserved = new Set(options.reserved)
    this.#now = options.now
    this.top = this.make('directory', permissions)
  }

  /** A time that no earlier change has, so that two changes never look like one. */
  tick(): bigint {
    const now = this.#now()
    this.#lastTime = now > this.#lastTime ? now : this.#lastTime + 1n
    return this.#lastTime
  }

  /** An id that no node has had. */
  nextId(): string {
    return (++this.#lastId).toString(16)
  }

  /** A node that no directory holds yet. */
  make(type: Node['type'], permissions: Permissions, target?: string, id = this.nextId()): Node {
    const time = this.tick()
    return {
      id,
      type,
      target,
      children: new Map(),
      bytes: Buffer.alloc(0),
      modified: time,
      changed: time,
      accessed: time,
      permissions,
      properties: new Map(),
      xattrs: new Map(),
      kept: { version: '', digests: {} },
      names: 0,
      ...(this.#tape && { locality: type === 'file' ? 'disk' : 'none' }),
    }
  }

  /** Links are not followed: what lies behind one does not exist. */
  look(path: Path): Spot {
    const names = namesOf(path)
    const ancestors: Array<{ name: string; node: Node }> = []
    let at: { name: string; node: Node | undefined } = { name: '', node: this.top }
    let parent: Node | undefined
    for (const name of names) {
      parent = at.node?.type === 'directory' ? at.node : undefined
      if (parent) ancestors.push({ name: at.name, node: parent })
      at = { name, node: this.isReserved(name) ? undefined : parent?.children.get(name) }
    }
    return { path, name: at.name, ancestors, parent, node: at.node }
  }

  isReserved(name: string): boolean {
    return this.#reserved.has(name)
  }

  /** Throws `stale` unless the spot still is what the look found. */
  requireSame(spot: Spot): void {
    const { parent, name, node, path } = spot
    if (!parent) return
    if ((parent.names === 0 && parent !== this.top) || parent.children.get(name) !== node) {
      throw new StorageError('stale', 'the object has changed since it was looked at', { path })
    }
  }

  /** Puts a node under a name, over whatever is there. */
  attach(parent: Node, name: string, node: Node): void {
    this.detach(parent, name)
    parent.children.set(name, node)
    node.names++
    parent.modified = parent.changed = this.tick()
  }

  detach(parent: Node, name: string): void {
    const node = parent.children.get(name)
    if (!node) return
    parent.children.delete(name)
    node.names--
    parent.modified = parent.changed = this.tick()
  }

  /** Bytes and number of all files. */
  usage(): { readonly bytes: number; readonly files: number } {
    const nodes = new Set([this.top])
    let bytes = 0
    // Grows meanwhile.
    for (const node of nodes) {
      bytes += node.bytes.length
      for (const child of node.children.values()) nodes.add(child)
    }
    return { bytes, files: nodes.size }
  }
}

export function versionOf(node: Node): string {
  return `${node.id}-${node.bytes.length.toString(16)}-${node.modified.toString(16)}`
}

/** What is kept with the bytes as they are. */
export function keptOf(node: Node): Kept {
  const { version, ...kept } = node.kept
  return version === versionOf(node) ? kept : { digests: {} }
}

export function entryOf(name: string, node: Node): Entry {
  const { acl, mode } = node.permissions
  return {
    name,
    type: node.type,
    size: node.bytes.length,
    modified: node.modified,
    changed: node.changed,
    version: versionOf(node),
    id: node.id,
    mode,
    links: Math.max(1, node.names),
    accessed: node.accessed,
    allocated: Math.ceil(node.bytes.length / 512) * 512,
    ...(node.target === undefined ? {} : { target: node.target }),
    ...(acl ? { acl } : {}),
    ...(node.locality ? { locality: node.locality } : {}),
  }
}

export function trailOf(spot: Spot): Trail {
  return {
    ancestors: spot.ancestors.map(({ name, node }) => entryOf(name, node)),
    parentExists: spot.parent !== undefined || spot.name === '',
    entry: spot.node && entryOf(spot.name, spot.node),
  }
}

/** The node of a look, or why there is none. */
export function need(spot: Spot): Node {
  if (spot.node) return spot.node
  throw new StorageError('not-found', 'no such file or directory', { path: spot.path })
}

/** The node of a look, if it is a file. */
export function needFile(spot: Spot): Node {
  const node = need(spot)
  if (node.type === 'directory') throw new StorageError('is-directory', 'this is a directory', { path: spot.path })
  if (node.type === 'symlink') throw new StorageError('denied', 'links are not followed here', { path: spot.path })
  return node
}

/** The parent in which a name is about to appear, or why it cannot. */
export function needParent(spot: Spot): Node {
  if (spot.parent) return spot.parent
  if (spot.name === '') throw new StorageError('exists', 'the root is always there', { path: spot.path })
  throw new StorageError('no-parent', 'the parent directory does not exist', { path: spot.path })
}
