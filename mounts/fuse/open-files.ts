/** Files that are open, and what is known of the bytes of each object. */

import type { Attributes, Changes } from '../client/fs/remote.ts'
import { Errno } from './errno.ts'
import type { FileData } from './files/data.ts'
import { type Journal, type Line, noJournal } from './journal.ts'
import type { Node, NodeTable } from './nodes.ts'
import type { Told } from './told.ts'
import type { View } from './view.ts'

/** One open(2), however many descriptors share it. */
export interface OpenFile {
  readonly fh: number
  readonly node: Node
  readonly view: View
  readonly data: FileData
  readonly state: FileState
  readonly isWritable: boolean
  /** Process that opened it; 0 where it is not known. */
  readonly opener: number
  /** Something was written by it that the gateway may not have. */
  isDirty: boolean
  /** Locks were asked for. */
  hasLocks: boolean
  /** The last read that failed for want of the gateway, on the mount's clock. */
  failed: { readonly error: unknown; readonly start: number; readonly end: number; readonly until: number } | undefined
  /** Of a draft: what is to be changed of it once it is complete. */
  later: Changes | undefined
  /** A process before this one had taken bytes that it did not write. */
  hasLost: boolean
}

/** Of one object, over all its handles. */
export interface FileState {
  readonly node: Node
  readonly open: Set<OpenFile>
  /** Version of the bytes that the kernel has in its pages; undefined where that cannot be told. */
  version: string | undefined
  /** When something was written here last, in milliseconds of the mount's clock. */
  written: number
  /** Something was written that the gateway may not have yet. */
  isDirty: boolean
  /** Lock owners of fcntl(2) that may hold something. */
  readonly lockers: Set<string>
  /** Counts where something begins to be changed through a file, and where it is done. */
  altered: number
  /** What the gateway has told along with the last bytes that were written. */
  told: Told | undefined
  /** What was changed of it after its last name had gone. */
  nameless: Partial<Attributes> | undefined
}

/** Objects remembered without being open. */
const mostClosed = 65_536

export class OpenFiles {
  readonly #nodes: NodeTable
  readonly #journal: Journal
  /** Handles of another process that could not be had again. */
  readonly #lost = new Set<number>()
  readonly #byHandle = new Map<number, OpenFile>()
  /** By nodeid, the one used last at the end. */
  readonly #states = new Map<number, FileState>()
  #next = 1

  constructor(nodes: NodeTable, journal: Journal = noJournal) {
    this.#nodes = nodes
    this.#journal = journal
  }

  /** EBADF for what is not open; ESTALE for what another process had open and this one could not open again. */
  get(fh: number): OpenFile {
    const file = this.#byHandle.get(fh)
    if (!file && this.#lost.has(fh)) throw new Errno('ESTALE')
    if (!file) throw new Errno('EBADF')
    return file
  }

  find(fh: number): OpenFile | undefined {
    return this.#byHandle.get(fh)
  }

  /** Handles begin here, behind all that another process may have given out. */
  beginAt(fh: number): void {
    this.#next = fh
  }

  isUsed(view: View): boolean {
    for (const file of this.#byHandle.values()) if (file.view === view) return true
    return false
  }

  /** Of an object that was open before, or is. */
  stateOf(node: Node): FileState | undefined {
    return this.#states.get(node.nodeid)
  }

  /**
   * A file of this identity that can tell about an object, or be written through, although it may have no name any more.
   * What another one has open tells and does what this one may not.
   */
  anyOf(node: Node, view: View, isWritable = false): OpenFile | undefined {
    const open = this.#states.get(node.nodeid)?.open ?? []
    let found: OpenFile | undefined
    for (const file of open) {
      if (file.view !== view) continue
      if (file.isWritable) return file
      if (!isWritable) found ??= file
    }
    return found
  }

  /** A whole new file that is not complete, of this identity if one is given. */
  draftOf(node: Node, view?: View): OpenFile | undefined {
    for (const file of this.#states.get(node.nodeid)?.open ?? []) {
      if (file.data.isDraft && (view === undefined || file.view === view)) return file
    }
    return undefined
  }

  add(
    node: Node,
    view: View,
    data: FileData,
    options: { readonly isWritable: boolean; readonly opener: number },
  ): OpenFile {
    const file = this.#add({ fh: this.#next++, node, view, data, ...options })
    const path = this.#nodes.hasPath(node) ? this.#nodes.pathOf(node) : ''
    this.#journal.write(['o', file.fh, node.nodeid, file.isWritable, file.opener, path])
    return file
  }

  /** What another process had open. Bytes that it had taken and not written are an error at the next use. */
  restore(
    fh: number,
    { node, view, data }: Pick<OpenFile, 'node' | 'view' | 'data'>,
    was: { readonly isWritable: boolean; readonly opener: number; readonly isDirty: boolean },
  ): void {
    const { isWritable, opener } = was
    const file = this.#add({ fh, node, view, data, isWritable, opener })
    file.hasLost = was.isDirty
  }

  lose(fh: number): void {
    this.#lost.add(fh)
    this.#journal.write(['c', fh])
  }

  /** Throws EIO, once, where something that a program had written is lost. */
  checkLost(file: OpenFile): void {
    if (!file.hasLost) return
    file.hasLost = false
    this.#journal.write(['k', file.fh])
    throw new Errno('EIO')
  }

  /** Lines that say what is open. */
  *lines(): Iterable<Line> {
    for (const file of this.#byHandle.values()) {
      const { fh, node, isWritable, opener } = file
      yield ['o', fh, node.nodeid, isWritable, opener, this.#nodes.hasPath(node) ? this.#nodes.pathOf(node) : '']
      if (file.isDirty || file.hasLost) yield ['d', fh]
      if (file.hasLocks) yield ['h', fh]
    }
  }

  /** Something was written that the gateway may not have; it has it; locks were asked for. */
  note(file: OpenFile, what: 'd' | 'k' | 'h'): void {
    if (what === 'h') file.hasLocks = true
    this.#journal.write([what, file.fh])
  }

  #add(parts: Omit<OpenFile, 'state' | 'hasLost' | 'isDirty' | 'hasLocks' | 'later' | 'failed'>): OpenFile {
    const { fh, node } = parts
    const state = this.#state(node)
    const file: OpenFile = {
      ...parts,
      state,
      hasLost: false,
      isDirty: false,
      hasLocks: false,
      later: undefined,
      failed: undefined,
    }
    this.#byHandle.set(fh, file)
    state.open.add(file)
    this.#nodes.hold(node)
    return file
  }

  remove(file: OpenFile): void {
    if (!this.#byHandle.delete(file.fh)) return
    this.#journal.write(['c', file.fh])
    file.state.open.delete(file)
    if (file.state.open.size === 0) file.state.told = undefined
    // At the end of the queue: those that were not used for the longest time go first.
    this.#states.delete(file.node.nodeid)
    this.#states.set(file.node.nodeid, file.state)
    this.#nodes.letGo(file.node)
    this.#forgetOldest()
  }

  /** After a rename: where files are that are open. */
  tellPaths(): void {
    for (const { node, data } of this.#byHandle.values()) {
      if (this.#nodes.hasPath(node)) data.remote.path = this.#nodes.pathOf(node)
    }
  }

  #state(node: Node): FileState {
    const known = this.#states.get(node.nodeid)
    if (known) return known
    const state: FileState = {
      node,
      open: new Set(),
      version: undefined,
      written: Number.NEGATIVE_INFINITY,
      isDirty: false,
      lockers: new Set(),
      altered: 0,
      told: undefined,
      nameless: undefined,
    }
    this.#states.set(node.nodeid, state)
    return state
  }

  #forgetOldest(): void {
    if (this.#states.size <= mostClosed) return
    for (const [nodeid, state] of this.#states) {
      if (state.open.size > 0) continue
      this.#states.delete(nodeid)
      if (this.#states.size <= mostClosed) return
    }
  }
}
