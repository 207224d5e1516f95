/** Of which directories one identity is told what changes in them: the gateway tells those who have looked, and may list. */

import { right } from '../../acl/acl.ts'
import type { HeldRights } from '../client/fs/remote.ts'

/** Names asked for in a directory before it is worth a question whether changes in it will be told. */
const fewNames = 3
const most = 65_536

export class WatchedDirectories {
  /** By nodeid: whether they may be listed; or how many names were asked for. */
  readonly #known = new Map<number, boolean | number>()

  has(nodeid: number): boolean {
    return this.#known.get(nodeid) === true
  }

  /** The whole of it could be listed, or not. */
  learn(nodeid: number, isOpen: boolean): void {
    this.#put(nodeid, isOpen)
  }

  forget(nodeid: number): void {
    this.#known.delete(nodeid)
  }

  clear(): void {
    this.#known.clear()
  }

  /** A name in it was asked for. Asks, once it seems worth it, what the caller may do there. */
  count(nodeid: number, rights: () => Promise<HeldRights>): void {
    const known = this.#known.get(nodeid) ?? 0
    if (typeof known === 'boolean') return
    this.#put(nodeid, known + 1)
    if (known + 1 !== fewNames) return
    const ask = async () => {
      const held = await rights()
      const isOpen =
        held.rights === 'unknown' ? held.actions.includes('list') : (held.rights & right.listDirectory) !== 0
      // Forgotten meanwhile, it is not the same place any more.
      if (typeof this.#known.get(nodeid) === 'number') this.#put(nodeid, isOpen)
    }
    // Unanswered, the directory stays one of which nothing is told.
    ask().catch(() => {})
  }

  #put(nodeid: number, what: boolean | number): void {
    this.#known.set(nodeid, what)
    if (this.#known.size <= most) return
    const [oldest] = this.#known.keys()
    if (oldest !== undefined) this.#known.delete(oldest)
  }
}
