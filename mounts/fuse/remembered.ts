/** Attributes that one identity has seen, each for its time, the least recently used forgotten first. */

import type { Attributes, HeldRights } from '../client/fs/remote.ts'
import type { Common } from './common.ts'
import type { Node, NodeTable } from './nodes.ts'

const most = 65_536
/** Of each identity where there are many. */
const few = 4096

interface Remembered {
  readonly node: Node
  readonly attributes: Attributes
  /** Milliseconds of the mount's clock. */
  readonly until: number
  rights: HeldRights | undefined
}

export class RememberedAttributes {
  readonly #nodes: NodeTable
  readonly #now: () => number
  readonly #isShared: boolean
  readonly #most: number
  readonly #byNode = new Map<number, Remembered>()

  constructor({ nodes, now, isShared }: Pick<Common, 'nodes' | 'now' | 'isShared'>) {
    this.#nodes = nodes
    this.#now = now
    this.#isShared = isShared
    this.#most = isShared ? few : most
  }

  /** With the milliseconds that the kernel may take them for good. */
  get(node: Node): { readonly attributes: Attributes; readonly valid: number } | undefined {
    const found = this.#byNode.get(node.nodeid)
    if (!found) return undefined
    const valid = found.until - this.#now()
    return valid > 0 ? { attributes: found.attributes, valid: this.#isShared ? 0 : valid } : undefined
  }

  /** However old. */
  last(node: Node): Attributes | undefined {
    return this.#byNode.get(node.nodeid)?.attributes
  }

  /** What one may do, for as long as the attributes are good. */
  rightsOf(node: Node): HeldRights | undefined {
    return this.get(node) ? this.#byNode.get(node.nodeid)?.rights : undefined
  }

  putRights(node: Node, rights: HeldRights): void {
    const found = this.#byNode.get(node.nodeid)
    if (found) found.rights = rights
  }

  /** The node is held as long as this remembers it. */
  put(node: Node, attributes: Attributes, valid: number): void {
    const before = this.#byNode.get(node.nodeid)
    if (before) this.#byNode.delete(node.nodeid)
    else this.#nodes.hold(node)
    // Rights may be others whenever the object's change time is.
    const rights = before?.attributes.changed === attributes.changed ? before.rights : undefined
    this.#byNode.set(node.nodeid, { node, attributes, until: this.#now() + valid, rights })
    if (this.#byNode.size <= this.#most) return
    for (const oldest of this.#byNode.values()) {
      this.drop(oldest.node)
      break
    }
  }

  drop(node: Node): void {
    if (this.#byNode.delete(node.nodeid)) this.#nodes.letGo(node)
  }

  clear(): void {
    for (const { node } of this.#byNode.values()) this.#nodes.letGo(node)
    this.#byNode.clear()
  }
}
