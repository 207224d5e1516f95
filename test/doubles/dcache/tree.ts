/**
 * The namespace (PnfsManager over Chimera, the dCache Book, "The namespace in Chimera"): every object has
 * a PNFS-ID that stays with it, files are written once, and a new upload is a new object.
 */

import { randomBytes } from 'node:crypto'
import type { DcacheAce } from './acl-text.ts'
import type { Clock } from './clock.ts'
import type { ChecksumKind, Content } from './content.ts'
import { Failure } from './failure.ts'

interface Common {
  readonly pnfsId: string
  name: string
  parent: DirectoryNode | undefined
  mode: number
  owner: number
  group: number
  /** Undefined where the object has none, and the mode bits decide. */
  acl: readonly DcacheAce[] | undefined
  readonly created: number
  modified: number
  changed: number
  accessed: number
  readonly xattrs: Map<string, string>
  readonly labels: Set<string>
}

export interface DirectoryNode extends Common {
  readonly type: 'directory'
  readonly children: Map<string, Node>
}

export interface FileNode extends Common {
  readonly type: 'file'
  /** Undefined while it is being uploaded. */
  content: Content | undefined
  readonly checksums: Map<ChecksumKind, Buffer>
  latency: 'ONLINE' | 'NEARLINE'
  retention: 'REPLICA' | 'CUSTODIAL'
  onTape: boolean
  /** Name of the pool with a copy on disk. */
  pool: string | undefined
}

export type Node = DirectoryNode | FileNode

/** One change, for whoever watches the directory it happened in (inotify(7)). */
export interface Change {
  readonly directory: DirectoryNode
  /** Absent when it is the watched object itself. */
  readonly name?: string
  readonly mask: readonly string[]
  readonly cookie?: string
}

export interface Making {
  readonly owner: number
  readonly group: number
  readonly mode?: number
}

export class Tree {
  readonly root: DirectoryNode
  readonly #clock: Clock
  readonly #byId = new Map<string, Node>()
  readonly #watchers = new Set<(change: Change) => void>()
  #cookies = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.root = { ...this.#common('', undefined, { owner: 0, group: 0, mode: 0o755 }), ...directoryParts() }
    this.#byId.set(this.root.pnfsId, this.root)
  }

  /** The object at a path, without looking at rights. */
  find(path: string): Node | undefined {
    let node: Node | undefined = this.root
    for (const name of namesOf(path)) {
      node = node?.type === 'directory' ? node.children.get(name) : undefined
    }
    return node
  }

  byId(pnfsId: string): Node | undefined {
    return this.#byId.get(pnfsId)
  }

  pathOf(node: Node): string {
    const names: string[] = []
    for (let at: Node | undefined = node; at?.parent; at = at.parent) names.unshift(at.name)
    return `/${names.join('/')}`
  }

  makeDirectory(parent: DirectoryNode, name: string, making: Making): DirectoryNode {
    const node: DirectoryNode = { ...this.#common(name, parent, { mode: 0o755, ...making }), ...directoryParts() }
    return this.#add(parent, node)
  }

  /** A file without content yet. */
  makeFile(parent: DirectoryNode, name: string, making: Making): FileNode {
    const node: FileNode = {
      ...this.#common(name, parent, { mode: 0o644, ...making }),
      type: 'file',
      content: undefined,
      checksums: new Map(),
      latency: 'ONLINE',
      retention: 'REPLICA',
      onTape: false,
      pool: undefined,
    }
    return this.#add(parent, node)
  }

  /** The upload is complete: from here on the bytes never change. */
  close(file: FileNode, content: Content, pool: string): void {
    file.content = content
    file.pool = pool
    file.modified = this.#clock.now()
    file.changed = file.modified
    this.#tell(file, ['IN_CLOSE_WRITE'])
  }

  remove(node: Node): void {
    const { parent } = node
    if (!parent || parent.children.get(node.name) !== node) throw new Failure('missing', 'No such file or directory')
    if (node.type === 'directory' && node.children.size > 0) throw new Failure('not-empty', 'Directory is not empty')
    this.#drop(parent, node)
    this.#announce({ directory: parent, name: node.name, mask: flagsFor(node, 'IN_DELETE') })
    if (node.type === 'directory') this.#announce({ directory: node, mask: ['IN_DELETE_SELF'] })
  }

  /** As rename(2): what is at the target is replaced, where that can be. */
  move(node: Node, target: DirectoryNode, name: string): void {
    const source = node.parent
    if (!source) throw new Failure('forbidden', 'the root cannot be moved')
    for (let at: DirectoryNode | undefined = target; at; at = at.parent) {
      if (at === node) throw new Failure('conflict', 'a directory cannot be moved below itself')
    }
    const existing = target.children.get(name)
    if (existing === node) return
    if (existing) {
      if (existing.type !== node.type) throw new Failure('conflict', 'the target is of another type')
      this.remove(existing)
    }
    const cookie = `c${++this.#cookies}`
    const from = { directory: source, name: node.name, mask: flagsFor(node, 'IN_MOVED_FROM'), cookie }
    source.children.delete(node.name)
    node.name = name
    node.parent = target
    target.children.set(name, node)
    const now = this.#clock.now()
    for (const directory of [source, target]) {
      directory.modified = now
      directory.changed = now
    }
    node.changed = now
    this.#announce(from)
    this.#announce({ directory: target, name, mask: flagsFor(node, 'IN_MOVED_TO'), cookie })
  }

  /** After a change of attributes. */
  touch(node: Node): void {
    node.changed = this.#clock.now()
    this.#tell(node, ['IN_ATTRIB'])
  }

  watch(watcher: (change: Change) => void): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  *all(): IterableIterator<Node> {
    yield* this.#byId.values()
  }

  #common(name: string, parent: DirectoryNode | undefined, making: Making): Common {
    const now = this.#clock.now()
    return {
      // 36 upper-case hexadecimal digits.
      pnfsId: randomBytes(18).toString('hex').toUpperCase(),
      name,
      parent,
      mode: making.mode ?? 0o755,
      owner: making.owner,
      group: making.group,
      acl: inheritedAcl(parent),
      created: now,
      modified: now,
      changed: now,
      accessed: now,
      xattrs: new Map(),
      labels: new Set(),
    }
  }

  #add<T extends Node>(parent: DirectoryNode, node: T): T {
    if (parent.children.has(node.name)) throw new Failure('exists', `File exists: ${node.name}`)
    if (node.type === 'file') node.acl = node.acl?.filter(({ flags }) => flags.includes('f'))
    else node.acl = node.acl?.filter(({ flags }) => flags.includes('d') || flags.includes('f'))
    if (node.acl?.length === 0) node.acl = undefined
    parent.children.set(node.name, node)
    parent.modified = this.#clock.now()
    parent.changed = parent.modified
    this.#byId.set(node.pnfsId, node)
    this.#announce({ directory: parent, name: node.name, mask: flagsFor(node, 'IN_CREATE') })
    return node
  }

  #drop(parent: DirectoryNode, node: Node): void {
    parent.children.delete(node.name)
    parent.modified = this.#clock.now()
    parent.changed = parent.modified
    this.#byId.delete(node.pnfsId)
    if (node.type === 'file') node.content?.dispose()
  }

  #tell(node: Node, mask: readonly string[]): void {
    if (node.parent) this.#announce({ directory: node.parent, name: node.name, mask })
    if (node.type === 'directory') this.#announce({ directory: node, mask })
  }

  #announce(change: Change): void {
    for (const watcher of this.#watchers) watcher(change)
  }
}

/** Names of a path; duplicated slashes count as one. */
export function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '')
}

function directoryParts(): { readonly type: 'directory'; readonly children: Map<string, Node> } {
  return { type: 'directory', children: new Map() }
}

function flagsFor(node: Node, flag: string): string[] {
  return node.type === 'directory' ? [flag, 'IN_ISDIR'] : [flag]
}

function inheritedAcl(parent: DirectoryNode | undefined): readonly DcacheAce[] | undefined {
  const aces = parent?.acl?.filter(({ flags }) => /[fd]/.test(flags))
  return aces?.length ? aces : undefined
}
