/** A tape library in memory: files go to tape when they are told to, and come back when its clock says so. */

import { randomUUID } from 'node:crypto'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { Locality, StageOrder, StageProgress, TapeFacet } from '../backend.ts'
import { type Node, needFile, type Tree } from './tree.ts'

export interface MemoryTapeOptions {
  /** Milliseconds since 1970; the system's clock by default. */
  readonly now?: () => number
  /** Milliseconds that a file waits for a drive; none by default. */
  readonly queue?: number
  /** Milliseconds from the drive to the disk; none by default. */
  readonly delay?: number
  /** Seconds that a file stays on disk where the request does not say; 300 by default. */
  readonly lifetime?: number
}

interface Wanted {
  readonly path: Path
  readonly asked: number
  readonly lifetime: number
  /** Undefined: there was no such file. */
  readonly node: Node | undefined
  state: StageProgress['state']
  finished: number | undefined
  error: string | undefined
  /** Milliseconds since 1970; the request keeps the file on disk so long. */
  pinned: number
}

interface Order {
  readonly key: string
  readonly files: ReadonlyMap<Path, Wanted>
}

/** The facet, and what tests do behind the gateway's back. */
export class MemoryTape implements TapeFacet {
  readonly #tree: Tree
  readonly #check: (call: Call) => void
  readonly #options: Required<MemoryTapeOptions>
  readonly #orders = new Map<string, Order>()

  constructor(tree: Tree, check: (call: Call) => void, options: MemoryTapeOptions) {
    this.#tree = tree
    this.#check = check
    this.#options = { now: Date.now, queue: 0, delay: 0, lifetime: 300, ...options }
  }

  async stage({ key, files }: StageOrder, call: Call): Promise<string> {
    this.#check(call)
    for (const [id, order] of this.#orders) if (order.key === key) return id
    const asked = this.#options.now()
    const wanted = files.map(({ path, lifetime = this.#options.lifetime }): [Path, Wanted] => {
      const { node } = this.#tree.look(path)
      const common = { path, asked, lifetime, node, pinned: 0 }
      const error = node ? refusalOf(node) : 'no such file'
      if (error !== undefined) return [path, { ...common, state: 'failed', finished: asked, error }]
      return [path, { ...common, state: 'submitted', finished: undefined, error: undefined }]
    })
    const id = randomUUID()
    this.#orders.set(id, { key, files: new Map(wanted) })
    return id
  }

  async progress(id: string, call: Call): Promise<readonly StageProgress[]> {
    this.#check(call)
    this.#settle()
    const order = this.#orders.get(id)
    if (!order) throw new StorageError('not-found', 'no such request')
    const { queue } = this.#options
    return [...order.files.values()].map(({ path, state, asked, finished, error }) => ({
      path,
      state,
      ...(state !== 'submitted' && state !== 'failed' && { startedAt: asked + queue }),
      ...(finished !== undefined && { finishedAt: finished }),
      ...(error !== undefined && { error }),
    }))
  }

  async cancel(id: string, files: readonly Path[] | undefined, call: Call): Promise<void> {
    this.#check(call)
    this.#settle()
    const order = this.#orders.get(id)
    if (!order) throw new StorageError('not-found', 'no such request')
    for (const path of files ?? order.files.keys()) {
      const wanted = order.files.get(path)
      if (!wanted || isFinal(wanted)) continue
      wanted.state = 'cancelled'
      wanted.finished = this.#options.now()
    }
  }

  async release(id: string, files: readonly Path[], call: Call): Promise<void> {
    this.#check(call)
    this.#settle()
    for (const path of files) {
      const wanted = this.#orders.get(id)?.files.get(path)
      if (wanted) wanted.pinned = 0
    }
  }

  async locality(files: readonly Path[], call: Call): Promise<ReadonlyArray<Locality | StorageError>> {
    this.#check(call)
    this.#settle()
    return files.map((path) => {
      const { node } = this.#tree.look(path)
      return node ? (node.locality ?? 'none') : new StorageError('not-found', 'no such file', { path })
    })
  }

  /** For tests: where the bytes are from now on. */
  put(path: Path, locality: Locality): void {
    needFile(this.#tree.look(path)).locality = locality
  }

  /** For tests: frees the disk as the storage would; true if the file had to stay, since a request keeps it there. */
  evict(path: Path): boolean {
    this.#settle()
    const node = needFile(this.#tree.look(path))
    const now = this.#options.now()
    for (const { files } of this.#orders.values()) {
      for (const wanted of files.values()) if (wanted.node === node && wanted.pinned > now) return true
    }
    if (node.locality === 'disk-and-tape') node.locality = 'tape'
    return false
  }

  /** For tests: requests that were made so far. */
  get orders(): number {
    return this.#orders.size
  }

  /** What the robot has done since it was looked at last. */
  #settle(): void {
    const { now, queue, delay } = this.#options
    const time = now()
    for (const { files } of this.#orders.values()) {
      for (const wanted of files.values()) {
        if (isFinal(wanted) || !wanted.node) continue
        const there = wanted.node.locality === 'disk' || wanted.node.locality === 'disk-and-tape'
        const due = there ? wanted.asked : wanted.asked + queue + delay
        if (time >= due) arrive(wanted, wanted.node, due)
        else if (time >= wanted.asked + queue) wanted.state = 'started'
      }
    }
  }
}

function arrive(wanted: Wanted, node: Node, due: number): void {
  const error = refusalOf(node)
  wanted.finished = due
  wanted.state = error === undefined ? 'completed' : 'failed'
  wanted.error = error
  if (error !== undefined) return
  if (node.locality === 'tape') node.locality = 'disk-and-tape'
  wanted.pinned = due + wanted.lifetime * 1000
}

function refusalOf(node: Node): string | undefined {
  if (node.names === 0) return 'the file was removed'
  if (node.type !== 'file') return 'not a file'
  return node.locality === 'lost' ? 'the bytes of the file are lost' : undefined
}

function isFinal({ state }: Wanted): boolean {
  return state !== 'submitted' && state !== 'started'
}
