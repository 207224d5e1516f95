/** Where the bytes are: pools, tape, recalls and pins (the dCache Book, "PinManager" and "File locality"). */

import type { Clock } from './clock.ts'
import type { Counters } from './counters.ts'
import { Failure } from './failure.ts'
import type { Pools } from './pools.ts'
import type { FileNode, Node } from './tree.ts'

/** FileLocality of dCache. */
export type FileLocality = 'ONLINE' | 'NEARLINE' | 'ONLINE_AND_NEARLINE' | 'UNAVAILABLE' | 'LOST' | 'NONE'

interface Recall {
  readonly done: Promise<void>
}

export class Tape {
  /** Milliseconds from the request to the copy on disk. */
  delay: number
  readonly #clock: Clock
  readonly #counters: Counters
  readonly #pools: Pools
  readonly #waiting: (() => void)[] = []
  readonly #recalls = new Map<string, Recall>()
  /** When each pin ends, by PNFS-ID and the request that holds it. */
  readonly #pins = new Map<string, Map<string, number>>()

  constructor(clock: Clock, counters: Counters, pools: Pools, delay: number) {
    this.#clock = clock
    this.#counters = counters
    this.#pools = pools
    this.delay = delay
  }

  locality(node: Node): FileLocality {
    if (node.type === 'directory' || !node.content || node.content.size === 0) return 'NONE'
    if (node.pool !== undefined && this.#pools.isUp(node.pool)) return node.onTape ? 'ONLINE_AND_NEARLINE' : 'ONLINE'
    if (node.onTape) return 'NEARLINE'
    return node.pool === undefined ? 'LOST' : 'UNAVAILABLE'
  }

  /** Brings the file to disk if need be; one recall serves all who ask for it. */
  async fetch(file: FileNode): Promise<void> {
    const locality = this.locality(file)
    if (locality === 'UNAVAILABLE' || locality === 'LOST') throw new Failure('internal', 'File is unavailable.')
    if (locality !== 'NEARLINE') return
    let recall = this.#recalls.get(file.pnfsId)
    if (!recall) {
      recall = { done: this.#recall(file) }
      this.#recalls.set(file.pnfsId, recall)
    }
    await recall.done
  }

  /** Resolves when the next recall begins. */
  nextRecall(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push(resolve)
    return promise
  }

  /** `lifetime` in milliseconds. */
  pin(file: FileNode, holder: string, lifetime: number): void {
    const pins = this.#pins.get(file.pnfsId) ?? new Map<string, number>()
    pins.set(holder, this.#clock.now() + lifetime)
    this.#pins.set(file.pnfsId, pins)
  }

  /** Pins, and brings to disk what is not there, without anybody waiting for it. */
  hold(file: FileNode, holder: string, lifetime: number): void {
    this.pin(file, holder, lifetime)
    if (this.locality(file) === 'NEARLINE') void this.fetch(file)
  }

  /** Ends one pin, or all pins where nobody is named. */
  unpin(file: FileNode, holder: string | undefined): void {
    if (holder === undefined) this.#pins.delete(file.pnfsId)
    else this.#pins.get(file.pnfsId)?.delete(holder)
  }

  isPinned(file: FileNode): boolean {
    const now = this.#clock.now()
    return [...(this.#pins.get(file.pnfsId)?.values() ?? [])].some((end) => end > now)
  }

  /** What a full pool does: the copy on disk goes, unless it is pinned or the only one. */
  evict(file: FileNode): boolean {
    if (!file.onTape || this.isPinned(file)) return false
    file.pool = undefined
    return true
  }

  async #recall(file: FileNode): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#clock.after(this.delay, resolve)
    for (const told of this.#waiting.splice(0)) told()
    await promise
    this.#counters.recalls++
    file.pool = this.#pools.choose()
    this.#recalls.delete(file.pnfsId)
  }
}
