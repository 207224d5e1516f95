/**
 * What the kernel knows by number: one node for each object, however many names it has. Numbers are never used again.
 *
 * A node stays while the kernel may name it (look-ups that were not taken back), while something here holds it (an open
 * file, remembered attributes) and while something below it stays, for paths are put together from parents.
 */

import { StorageError } from '../../gateway/core/errors.ts'
import { isWithin, join, maxPathBytes, namesOf, type Path, rebase } from '../../gateway/core/path.ts'
import type { ObjectType } from '../client/fs/remote.ts'
import { Errno } from './errno.ts'
import { type Journal, type Line, noJournal } from './journal.ts'

/** One object. All that changes is changed by its table. */
export class Node {
  readonly nodeid: number
  /** Of the object; `Attributes.id`. What has none yet is told by its place: `?`, directory, name. */
  id: string
  readonly type: ObjectType
  /** The name that was seen last; undefined for the top, and for what has no name any more. */
  parent: Node | undefined
  name: string
  /** Further names, of hard links. */
  more: Link[] | undefined = undefined
  children: Map<string, Node> | undefined = undefined
  lookups = 0
  holds = 0

  constructor(nodeid: number, id: string, type: ObjectType, name: string) {
    this.nodeid = nodeid
    this.id = id
    this.type = type
    this.parent = undefined
    this.name = name
  }
}

/** Whether the object is told by its place alone: it has no id yet, or its attributes are closed. */
function isPlaced({ id }: Node): boolean {
  return id.startsWith('?')
}

/** Whether it stands for what somebody is not shown. */
export function isApart({ id }: Node): boolean {
  return id.startsWith('?!')
}

interface Link {
  readonly parent: Node
  readonly name: string
}

export const rootNodeid = 1

const chunkSize = 1024
/** Look-ups of a node that came from another process. */
const uncounted = 2 ** 40

interface Chunk {
  readonly nodes: (Node | undefined)[]
  used: number
}

export class NodeTable {
  readonly #top: Path
  readonly #journal: Journal
  readonly #root: Node
  readonly #byId = new Map<string, Node>()
  /** Nodes by number. Numbers only grow, so whole chunks come and go. */
  readonly #chunks = new Map<number, Chunk>()
  #next: number = rootNodeid
  #size = 0

  /** `top` is where the mount begins. The root's object gets its id when that is known: it has one number in any case. */
  constructor(top: Path, journal: Journal = noJournal) {
    this.#top = top
    this.#journal = journal
    this.#root = this.#make('', 'directory', '')
    this.#root.lookups = 1
  }

  /** Numbers begin here, behind all that another process may have given out. Before anything was seen. */
  beginAt(nodeid: number): void {
    this.#next = nodeid
  }

  get root(): Node {
    return this.#root
  }

  get size(): number {
    return this.#size
  }

  /** ESTALE for a number that was forgotten. */
  get(nodeid: number): Node {
    const node = this.#at(nodeid)
    if (!node) throw new Errno('ESTALE')
    return node
  }

  child(directory: Node, name: string): Node | undefined {
    return directory.children?.get(name)
  }

  /** Where it is, as far as is known. ESTALE for what has no name any more, or lies below such. */
  pathOf(node: Node): Path {
    const names: string[] = []
    for (let at = node; at !== this.#root; ) {
      if (!at.parent) throw new Errno('ESTALE')
      names.push(at.name)
      at = at.parent
    }
    if (names.length === 0) return this.#top
    const below = names.reverse().join('/')
    const path = join(this.#top, below)
    if (path.length * 3 > maxPathBytes && Buffer.byteLength(path) > maxPathBytes) throw new Errno('ENAMETOOLONG')
    return path
  }

  hasPath(node: Node): boolean {
    let at: Node | undefined = node
    while (at && at !== this.#root) at = at.parent
    return at !== undefined
  }

  /** The path of a name, known or not. */
  pathIn(directory: Node, name: string): Path {
    const path = join(this.pathOf(directory), name)
    if (path.length * 3 > maxPathBytes && Buffer.byteLength(path) > maxPathBytes) throw new Errno('ENAMETOOLONG')
    return path
  }

  /** What is known at a path of the gateway; undefined outside of the mount, too. */
  find(path: Path): Node | undefined {
    if (!isWithin(path, this.#top)) return undefined
    let node: Node | undefined = this.#root
    for (const name of namesOf(rebase(path, this.#top, '/' as Path))) {
      node = node.children?.get(name)
      if (!node) return undefined
    }
    return node
  }

  /**
   * The node of an object that was seen under a name; made where it is new. Whatever else had that name has it no longer.
   * Throws `stale` for a directory that would lie below itself.
   */
  see(
    directory: Node,
    name: string,
    object: { readonly id: string; readonly type: ObjectType; readonly links?: number },
  ): Node {
    // Without an id it is told by its place.
    const id = object.id === '' ? `?${directory.nodeid}/${name}` : object.id
    const before = directory.children?.get(name)
    if (before?.type === object.type && (before.id === id || object.id === '' || this.adopt(before, id))) return before
    if (before) this.unlink(directory, name)
    const known = this.#byId.get(id)
    // A node cannot change its type: the kernel would hold it for broken.
    const node = known?.type === object.type ? known : this.#make(id, object.type, name)
    const isFurther = node.type !== 'directory' && node.parent !== undefined && (object.links ?? 1) > 1
    if (!isFurther) this.#unlinkAll(node)
    this.#link(node, directory, name)
    return node
  }

  /**
   * A node of its own for a file that somebody is not shown: what the kernel is told of it, above all no size, is not to
   * hold for others who have the file open.
   */
  apart(directory: Node, name: string, type: ObjectType, whose: number): Node {
    const id = `?!${whose}/${directory.nodeid}/${name}`
    const known = this.#byId.get(id)
    if (known?.type === type && known.parent === directory) return known
    const node = this.#make(id, type, name)
    node.parent = directory
    return node
  }

  /** An object that had no id yet has this one. False where another node has it, or it had one. */
  adopt(node: Node, id: string): boolean {
    if (!isPlaced(node) || isApart(node) || this.#byId.has(id)) return false
    if (this.#byId.get(node.id) === node) this.#byId.delete(node.id)
    node.id = id
    this.#byId.set(id, node)
    this.#journal.write(['i', node.nodeid, id])
    return true
  }

  /** A name is gone. The node stays as long as somebody knows it. */
  unlink(directory: Node, name: string): void {
    const node = directory.children?.get(name)
    if (!node) return
    this.#unname(node, directory, name)
    this.#dropIdle(node)
    this.#dropIdle(directory)
  }

  /** What had the new name has it no longer. */
  move(from: Node, name: string, to: Node, newName: string): void {
    const node = from.children?.get(name)
    if (node && node === to.children?.get(newName)) return
    node && this.hold(node)
    this.hold(from)
    this.unlink(to, newName)
    if (node) {
      this.#unname(node, from, name)
      this.#link(node, to, newName)
      this.letGo(node)
    }
    this.letGo(from)
  }

  exchange(one: Node, name: string, other: Node, otherName: string): void {
    const [first, second] = [one.children?.get(name), other.children?.get(otherName)]
    for (const node of [first, second, one, other]) node && this.hold(node)
    if (first) this.#unname(first, one, name)
    if (second) this.#unname(second, other, otherName)
    if (first) this.#link(first, other, otherName)
    if (second) this.#link(second, one, name)
    for (const node of [first, second, one, other]) node && this.letGo(node)
  }

  /** Does once more what another process did, with its numbers. */
  replay(line: Line): void {
    if (line[0] === 'l') {
      const [, nodeid, parent, name, id, type] = line
      const directory = this.#at(parent)
      if (!directory) return
      const node = this.#at(nodeid) ?? this.#put(new Node(nodeid, id, type, name))
      node.lookups = uncounted
      const before = directory.children?.get(name)
      if (before === node) return
      if (before) this.#unname(before, directory, name)
      this.#link(node, directory, name)
    } else if (line[0] === 'u') {
      const directory = this.#at(line[1])
      const node = directory?.children?.get(line[2])
      if (directory && node) this.#unname(node, directory, line[2])
    } else if (line[0] === 'i') {
      const node = this.#at(line[1])
      if (node) this.adopt(node, line[2])
    } else if (line[0] === 'r') {
      const node = this.#at(line[1])
      if (node && !node.children) this.#remove(node)
    }
  }

  /** Lines that make the same table when they are replayed. */
  *lines(): Iterable<Line> {
    for (const top of this.all()) {
      if (top.parent) continue
      // Without a name it got one that no object has, and lost it.
      const name = `/${top.nodeid}`
      if (top !== this.#root) {
        yield ['l', top.nodeid, rootNodeid, name, top.id, top.type]
        yield ['u', rootNodeid, name]
      }
      for (const at of this.below(top)) {
        for (const [each, node] of at.children ?? []) yield ['l', node.nodeid, at.nodeid, each, node.id, node.type]
      }
    }
  }

  /** The kernel does not know it as often as before. */
  forget(nodeid: number, lookups: number): void {
    const node = this.#at(nodeid)
    if (!node || node === this.#root) return
    // Of a node that another process made known the kernel tells all look-ups at once, and only at the end.
    node.lookups = node.lookups >= uncounted ? 0 : Math.max(0, node.lookups - lookups)
    this.#dropIdle(node)
  }

  hold(node: Node): void {
    node.holds++
  }

  letGo(node: Node): void {
    node.holds--
    this.#dropIdle(node)
  }

  /** The same, where somebody is about to know the node: `letGo` would end it. */
  passOn(node: Node): void {
    node.holds--
  }

  /** All that the kernel may know, in slices between which others have their turn. */
  *all(): Iterable<Node> {
    for (const { nodes } of this.#chunks.values()) for (const node of nodes) if (node) yield node
  }

  /** The node and all known below it. */
  *below(node: Node): Iterable<Node> {
    const open = [node]
    for (let at = open.pop(); at; at = open.pop()) {
      yield at
      if (at.children) for (const child of at.children.values()) open.push(child)
    }
  }

  #at(nodeid: number): Node | undefined {
    return this.#chunks.get(Math.floor(nodeid / chunkSize))?.nodes[nodeid % chunkSize]
  }

  #make(id: string, type: ObjectType, name: string): Node {
    return this.#put(new Node(this.#next++, id, type, name))
  }

  #put(node: Node): Node {
    const { nodeid, id } = node
    const index = Math.floor(nodeid / chunkSize)
    const chunk = this.#chunks.get(index) ?? { nodes: new Array<Node | undefined>(chunkSize).fill(undefined), used: 0 }
    this.#chunks.set(index, chunk)
    chunk.nodes[nodeid % chunkSize] = node
    chunk.used++
    this.#byId.set(id, node)
    this.#size++
    return node
  }

  #link(node: Node, directory: Node, name: string): void {
    if (node.type === 'directory') {
      for (let at: Node | undefined = directory; at; at = at.parent) {
        if (at === node) throw new StorageError('stale', 'a directory lies below itself')
      }
    }
    if (node.parent) {
      node.more ??= []
      node.more.push({ parent: node.parent, name: node.name })
    }
    node.parent = directory
    node.name = name
    directory.children ??= new Map()
    directory.children.set(name, node)
    this.#journal.write(['l', node.nodeid, directory.nodeid, name, node.id, node.type])
  }

  #unname(node: Node, directory: Node, name: string): void {
    // Of several nodes for one name (`apart`) the directory knows one.
    if (directory.children?.get(name) === node) {
      directory.children.delete(name)
      this.#journal.write(['u', directory.nodeid, name])
      if (directory.children.size === 0) directory.children = undefined
    }
    if (node.parent === directory && node.name === name) {
      const next = node.more?.pop()
      node.parent = next?.parent
      node.name = next?.name ?? ''
    } else {
      node.more = node.more?.filter((link) => link.parent !== directory || link.name !== name)
    }
    if (node.more?.length === 0) node.more = undefined
  }

  #unlinkAll(node: Node): void {
    while (node.parent) {
      const { parent, name } = node
      this.#unname(node, parent, name)
      this.#dropIdle(parent)
    }
  }

  /** Ends what nobody needs, and then what was there for its sake. */
  #dropIdle(node: Node): void {
    for (let at: Node | undefined = node; at; ) {
      if (at === this.#root || at.lookups > 0 || at.holds > 0 || at.children) return
      const links: Link[] = [...(at.more ?? [])]
      if (at.parent) links.push({ parent: at.parent, name: at.name })
      for (const { parent, name } of links) this.#unname(at, parent, name)
      this.#remove(at)
      for (const { parent } of links.slice(1)) this.#dropIdle(parent)
      at = links[0]?.parent
    }
  }

  #remove(node: Node): void {
    const index = Math.floor(node.nodeid / chunkSize)
    const chunk = this.#chunks.get(index)
    if (!chunk || chunk.nodes[node.nodeid % chunkSize] !== node) return
    chunk.nodes[node.nodeid % chunkSize] = undefined
    chunk.used--
    // The chunk that is still filled is kept.
    if (chunk.used === 0 && index !== Math.floor(this.#next / chunkSize)) this.#chunks.delete(index)
    if (this.#byId.get(node.id) === node) this.#byId.delete(node.id)
    this.#size--
    this.#journal.write(['r', node.nodeid])
  }
}
