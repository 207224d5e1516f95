/** The namespace as one identity sees it through the mount: what it remembers, for how long, and what makes it forget. */

import { type ErrorCode, StorageError } from '../../gateway/core/errors.ts'
import { nameOf, type Path, parentOf } from '../../gateway/core/path.ts'
import type { Attributes, Change, HeldRights, RemoteFs } from '../client/fs/remote.ts'
import { AbsentNames } from './absent.ts'
import { inodeOf, nodeAttributes, type Ownership } from './attributes.ts'
import type { Common } from './common.ts'
import { rightsOfMaker, shownDraft } from './drafts.ts'
import { Errno } from './errno.ts'
import type { FileStore } from './files/data.ts'
import { withKept } from './nameless.ts'
import { isApart, type Node, rootNodeid } from './nodes.ts'
import type { FileState } from './open-files.ts'
import type { EntryReply, NodeAttributes } from './operations.ts'
import type { Moment } from './recent.ts'
import { RememberedAttributes } from './remembered.ts'
import { settleTelling } from './settling.ts'
import { WatchedDirectories } from './watched-directories.ts'

/** Attributes, and the milliseconds that the kernel may take them for good. */
export interface Seen {
  readonly attributes: Attributes
  readonly valid: number
}

/** What a name leads to. */
export interface Known extends Seen {
  readonly node: Node
}

/** Milliseconds: where nothing tells us of changes, and where something does. */
const brief = 1000
const long = 30_000
const slice = 4096
/** After these something may have happened all the same. */
const unsure: ReadonlySet<ErrorCode> = new Set(['unavailable', 'timeout', 'cancelled', 'internal', 'stale'])

/** Of all views so far. */
let count = 0

export class View {
  readonly remote: RemoteFs
  readonly files: FileStore
  readonly remembered: RememberedAttributes
  readonly #absent: AbsentNames
  readonly #common: Common
  readonly ownership: Ownership
  /** No other identity has it, nor had. */
  readonly #number = ++count
  readonly #watched = new WatchedDirectories()
  /** Whose attributes are closed to us. */
  readonly #hollow = new WeakSet<Node>()
  #isClosed = false

  constructor(common: Common, remote: RemoteFs, files: FileStore, ownership: Ownership) {
    this.#common = common
    this.remote = remote
    this.files = files
    this.ownership = ownership
    this.#absent = new AbsentNames(common.now)
    this.remembered = new RememberedAttributes(common)
    common.views.add(this)
    remote.watch((change) => this.#changed(change))
  }

  /** Undefined, or `not-found` of the gateway, where there is no such name. */
  async lookup(directory: Node, name: string, signal: AbortSignal): Promise<Known | undefined> {
    const { nodes, open, recent } = this.#common
    const known = nodes.child(directory, name)
    const isHere = known && (this.remembered.get(known) ?? open.draftOf(known, this)) !== undefined
    if (isHere) return { node: known, ...(await this.look(known, signal)) }
    if (this.#absent.left(directory.nodeid, name) !== undefined) return undefined
    const rights = () => this.remote.rights(nodes.pathOf(directory))
    if (this.remote.live === true) this.#watched.count(directory.nodeid, rights)
    const path = nodes.pathIn(directory, name)
    const moment = recent.moment()
    const mend = await this.#beforeLook(known, signal)
    return this.learnNamed(directory, name, mend(await this.remote.stat(path, signal)), moment)
  }

  /** Attributes of an object. ESTALE where another one has its place. */
  async look(node: Node, signal: AbortSignal): Promise<Seen> {
    const remembered = this.remembered.get(node)
    if (remembered) return remembered
    const { nodes, open, recent } = this.#common
    const moment = recent.moment()
    const mend = await this.#beforeLook(node, signal)
    const told = this.remembered.get(node)
    if (told) return told
    const file = open.anyOf(node, this)
    // What is being written, or has lost its name, tells by its descriptor.
    if (file && (file.isWritable || !nodes.hasPath(node))) {
      const seen = withKept(file.state, mend(await file.data.remote.stat(signal)))
      return this.learn(node, shownDraft(file, seen), moment)
    }
    const attributes = mend(await this.orStale(node, this.remote.stat(nodes.pathOf(node), signal)))
    this.checkSame(node, attributes)
    return this.learn(node, attributes, moment)
  }

  /** ESTALE, and the node has lost its place, where these are another object's attributes. */
  checkSame(node: Node, attributes: Attributes): void {
    const [{ type }, id] = [attributes, idOf(attributes)]
    if (node.nodeid === rootNodeid || ((id === node.id || isApart(node)) && type === node.type)) return
    // What had no id before may have got one by being written.
    if (type === node.type && (id === '' || this.#common.nodes.adopt(node, id))) return
    this.#lost(node)
    throw new Errno('ESTALE')
  }

  /**
   * What is asked of an object by its place. Where nothing is there any more the answer is ESTALE: the kernel looks the name
   * up again, and a program that would make the file does so. ENOENT would be told to the program.
   */
  async orStale<T>(node: Node, asked: Promise<T>): Promise<T> {
    try {
      return await asked
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'not-found' || node.nodeid === rootNodeid) throw error
      this.#lost(node)
      throw new Errno('ESTALE', { cause: error })
    }
  }

  /** What came of asking, at that moment, for a name of a directory. */
  learnNamed(directory: Node, name: string, attributes: Attributes, moment: Moment, age = 0): Known {
    const { type, links } = attributes
    this.#absent.forget(directory.nodeid, name)
    const { nodes, isShared } = this.#common
    const isHidden = isShared && type === 'file' && attributes.version === ''
    const object = { id: idOf(attributes), type, ...(links !== undefined && { links }) }
    const node = isHidden ? nodes.apart(directory, name, type, this.#number) : nodes.see(directory, name, object)
    // What is remembered of it no longer must not end it: the kernel is about to know it.
    nodes.hold(node)
    const seen = this.learn(node, attributes, moment, age)
    nodes.passOn(node)
    return { node, ...seen }
  }

  /** What we have made at a name; asked for at that moment. */
  made(directory: Node, name: string, attributes: Attributes, moment: Moment): Known {
    const { nodes, recent } = this.#common
    const path = nodes.pathIn(directory, name)
    const isSure = !recent.touched(moment, path)
    this.changedHere(path, directory)
    return this.learnNamed(directory, name, attributes, isSure ? recent.moment() : moment)
  }

  /** What came of asking, at that moment and `age` milliseconds ago, for an object. */
  learn(node: Node, attributes: Attributes, moment: Moment, age = 0): Seen {
    if (attributes.version === '') this.#hollow.add(node)
    else this.#hollow.delete(node)
    this.#compareVersion(node, attributes)
    const { nodes, recent } = this.#common
    const isUnsure = !nodes.hasPath(node) || recent.touched(moment, nodes.pathOf(node))
    const valid = isUnsure ? 0 : Math.max(0, this.#lifetime(node, attributes) - age)
    if (valid > 0) this.remembered.put(node, attributes, valid)
    else this.remembered.drop(node)
    return { attributes, valid: this.#told(valid) }
  }

  /** We have made this directory. */
  madeDirectory(node: Node): void {
    this.#absent.began(node.nodeid)
  }

  /** How long the kernel may take it that there is no such name. */
  absentFor(directory: Node, name: string): number {
    const known = this.#absent.left(directory.nodeid, name)
    const valid = known ?? (this.#isTold(directory) ? long : brief)
    if (known === undefined) this.#absent.put(directory.nodeid, name, valid)
    return this.#told(valid)
  }

  /** Whether attributes were closed when they were last asked for: the kernel was told no size then. */
  isHollow(node: Node): boolean {
    return this.#hollow.has(node)
  }

  async rights(node: Node, signal: AbortSignal): Promise<HeldRights> {
    const known = this.remembered.rightsOf(node)
    if (known) return known
    if (this.#common.open.draftOf(node, this)?.data.remote.created) return rightsOfMaker
    await this.look(node, signal)
    const held = await this.orStale(node, this.remote.rights(this.#common.nodes.pathOf(node), signal))
    this.remembered.putRights(node, held)
    return held
  }

  attributesOf(node: Node, attributes: Attributes): NodeAttributes {
    const ino = node.nodeid === rootNodeid ? 1n : inodeOf(attributes.id === '' ? node.id : attributes.id)
    return nodeAttributes(attributes, ino, this.ownership)
  }

  /** The kernel knows the node once more. */
  entry({ node, attributes, valid }: Known): EntryReply {
    node.lookups++
    return this.entryOf({ node, attributes, valid })
  }

  entryOf({ node, attributes, valid }: Known): EntryReply {
    return {
      nodeid: node.nodeid,
      generation: 0,
      entryValid: valid,
      // Closed to the caller: whoever asks for them by themselves is told so.
      attrValid: attributes.version === '' ? 0 : valid,
      attributes: this.attributesOf(node, attributes),
    }
  }

  /** The whole of a directory could be listed: what changes in it is told from now on. */
  listed(directory: Node): void {
    this.#watched.learn(directory.nodeid, true)
  }

  /** Changes what has these names. What the gateway tells of them meanwhile, and shortly after, is our own doing. */
  async doing<T>(paths: readonly Path[], act: () => Promise<T>): Promise<T> {
    const { recent } = this.#common
    for (const path of paths) {
      recent.expectOwn(path)
      this.#mayBeThere(path)
    }
    try {
      return await act()
    } catch (error) {
      // Of a broken connection nobody knows what it did; and somebody else's change may have been taken for ours.
      const isUnsure = !(error instanceof StorageError) || unsure.has(error.code)
      for (const path of paths) {
        if (!recent.unexpectOwn(path) && !isUnsure) continue
        recent.note({ path, kind: 'tree' })
        this.#forget({ path, kind: 'tree' })
      }
      throw error
    }
  }

  /** We have changed this ourselves: nothing that was remembered of it holds, nor its directory's times. */
  changedHere(path: Path, ...touched: readonly (Node | undefined)[]): void {
    this.#common.recent.noteOwn(path)
    this.#mayBeThere(path)
    for (const node of touched) if (node) this.remembered.drop(node)
    for (const other of this.#common.views) if (other !== this) other.#changedBeside(path, touched)
  }

  /** A directory has another place. What changes in it is told only to those who have looked at it there. */
  movedHere(directory: Node): void {
    const { nodes, notifier, isShared } = this.#common
    for (const node of nodes.below(directory)) {
      this.remembered.drop(node)
      this.#watched.forget(node.nodeid)
      this.#absent.forgetAll(node.nodeid)
      if (node === directory || isShared) continue
      notifier.invalidateNode(node.nodeid, false)
      if (node.parent) notifier.invalidateEntry(node.parent.nodeid, node.name)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#common.views.delete(this)
    await this.files.close()
    await this.remote.close()
    this.remembered.clear()
  }

  /** What was written here is to be seen in the answer, with the times that it keeps. */
  async #beforeLook(node: Node | undefined, signal: AbortSignal): Promise<(seen: Attributes) => Attributes> {
    if (node?.type !== 'file') return (seen) => seen
    await settleTelling(this.#common, this, node, signal)
    return this.#common.open.stateOf(node) ? this.files.looking(node.nodeid) : (seen) => seen
  }

  /** Another identity did this through the same mount: nobody waits for the gateway to tell. */
  #changedBeside(path: Path, touched: readonly (Node | undefined)[]): void {
    this.#mayBeThere(path)
    for (const node of touched) if (node) this.remembered.drop(node)
    const node = this.#common.nodes.find(path)
    if (!node) return
    for (const each of this.#common.nodes.below(node)) {
      this.remembered.drop(each)
      this.#watched.forget(each.nodeid)
    }
  }

  /** It is not at its place any more, unless it has not got there yet. */
  #lost(node: Node): void {
    if (node.parent && !this.#common.open.draftOf(node)) this.#common.nodes.unlink(node.parent, node.name)
    this.remembered.drop(node)
  }

  #mayBeThere(path: Path): void {
    const parent = path === '/' ? undefined : this.#common.nodes.find(parentOf(path))
    if (parent) this.#absent.forget(parent.nodeid, nameOf(path))
  }

  /** Pages and buffers of a version that is not there any more are dropped. */
  #compareVersion(node: Node, { version }: Attributes): void {
    const state = this.#common.open.stateOf(node)
    if (!state || state.version === undefined || version === '' || version === state.version) return
    state.version = undefined
    if (this.#isBeingWritten(state)) return
    this.files.changed(node.nodeid)
    this.#common.notifier.invalidateNode(node.nodeid, true)
  }

  #isBeingWritten(state: FileState): boolean {
    return state.written > this.#common.now() - 2 * brief
  }

  #lifetime(node: Node, { links, type }: Attributes): number {
    const { nodes, recent } = this.#common
    // A change is told by one name only, and of what we have just changed ourselves nothing is believed.
    if ((type !== 'directory' && (links ?? 1) > 1) || isApart(node)) return brief
    return node.parent && this.#isTold(node.parent) && !recent.isOwn(nodes.pathOf(node)) ? long : brief
  }

  #isTold(directory: Node): boolean {
    return this.remote.live === true && this.#watched.has(directory.nodeid)
  }

  #told(valid: number): number {
    return this.#common.isShared ? 0 : valid
  }

  #changed(change: Change): void {
    if (this.#isClosed) return
    const { recent, isShared } = this.#common
    // Of several identities one has done it, and the others have not.
    if (change.kind !== 'all' && recent.isEcho(change.path) && !isShared) return
    recent.note(change)
    if (change.kind === 'all') this.#forgetAll().catch(() => {})
    else this.#forget(change)
  }

  #forget(change: Change): void {
    const { nodes, notifier } = this.#common
    const node = nodes.find(change.path)
    if (change.kind === 'content' || change.kind === 'attributes') {
      if (node) this.#objectChanged(node, change.kind)
      return
    }
    if (change.path === '/') return
    const parent = nodes.find(parentOf(change.path))
    this.#mayBeThere(change.path)
    if (parent) {
      this.remembered.drop(parent)
      notifier.invalidateNode(parent.nodeid, false)
      notifier.invalidateEntry(parent.nodeid, nameOf(change.path))
    }
    if (!node) return
    for (const each of change.kind === 'tree' ? nodes.below(node) : [node]) {
      this.remembered.drop(each)
      this.#watched.forget(each.nodeid)
    }
  }

  #objectChanged(node: Node, kind: 'content' | 'attributes'): void {
    const state = this.#common.open.stateOf(node)
    this.remembered.drop(node)
    if (kind === 'attributes') this.#watched.forget(node.nodeid)
    const isOurs = state && this.#isBeingWritten(state) && (!this.#common.isShared || this.#writes(state))
    const isForeign = kind === 'content' && !isOurs
    if (isForeign) {
      if (state) state.version = undefined
      this.files.changed(node.nodeid)
    }
    this.#common.notifier.invalidateNode(node.nodeid, isForeign)
  }

  #writes({ open }: FileState): boolean {
    for (const file of open) if (file.view === this && file.isWritable) return true
    return false
  }

  /** Changes were missed: nothing that the kernel was told is believed any longer. */
  async #forgetAll(): Promise<void> {
    this.remembered.clear()
    this.#absent.clear()
    this.#watched.clear()
    this.files.changed()
    const { nodes, notifier, open } = this.#common
    let count = 0
    for (const node of nodes.all()) {
      const state = open.stateOf(node)
      if (state) state.version = undefined
      notifier.invalidateNode(node.nodeid, state !== undefined)
      if (node.parent) notifier.invalidateEntry(node.parent.nodeid, node.name)
      for (const { parent, name } of node.more ?? []) notifier.invalidateEntry(parent.nodeid, name)
      if (++count % slice === 0) await new Promise((resolve) => setImmediate(resolve))
      if (this.#isClosed) return
    }
  }
}

/** Where attributes are closed the object is told by its place: another identity may know it better. */
function idOf({ id, version }: Attributes): string {
  return version === '' ? '' : id
}
