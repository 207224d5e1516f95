/**
 * Directories that are open. Each reads the gateway's listing page by page, one ahead, and keeps no more, however many
 * names there are; going back begins a new listing.
 */

import { maxNameBytes } from '../../gateway/core/path.ts'
import type { ListedEntry } from '../client/fs/remote.ts'
import { directoryType, inodeOf } from './attributes.ts'
import { directoryOf, type Parts } from './common.ts'
import { Errno } from './errno.ts'
import { type Node, rootNodeid } from './nodes.ts'
import type { DirectoryEntry, DirectoryFiller, Operations } from './operations.ts'
import type { Moment } from './recent.ts'
import type { View } from './view.ts'

/** Entries before those of the listing: `.` and `..`, with cookies 1 and 2. */
const dots = 2

interface Page {
  readonly entries: readonly ListedEntry[]
  /** Of the first one, from 0. */
  readonly start: number
  readonly moment: Moment
  /** Milliseconds of the mount's clock. */
  readonly read: number
}

class OpenDirectory {
  readonly #parts: Parts
  readonly #view: View
  readonly #node: Node
  #listing: AsyncIterator<readonly ListedEntry[]> | undefined
  #ending = new AbortController()
  #page: Page | undefined
  /** A page that is on its way, whoever asked for it. */
  #coming: Promise<Page | undefined> | undefined
  #turn: Promise<unknown> = Promise.resolve()

  constructor(parts: Parts, view: View, node: Node) {
    this.#parts = parts
    this.#view = view
    this.#node = node
  }

  /** One after the other: two threads may read one descriptor. */
  read(cookie: bigint, filler: DirectoryFiller, plus: boolean, signal: AbortSignal): Promise<void> {
    const mine = this.#turn.then(() => this.#read(Number(cookie), filler, plus, signal))
    this.#turn = mine.catch(() => {})
    return mine
  }

  close(): void {
    this.#ending.abort()
    // What it throws by being ended is nobody's matter.
    this.#listing?.return?.().catch(() => {})
    this.#coming?.catch(() => {})
    this.#listing = undefined
    this.#page = undefined
  }

  async #read(cookie: number, filler: DirectoryFiller, plus: boolean, signal: AbortSignal): Promise<void> {
    if (!Number.isSafeInteger(cookie)) throw new Errno('EINVAL')
    for (let at = cookie; at < dots; at++) if (!filler.add(this.#dot(at))) return
    const from = Math.max(0, cookie - dots)
    // rewinddir(3) sees the directory as it is now.
    if (cookie === 0 && this.#page !== undefined) this.#restart()
    for (let index = from; ; ) {
      const page = await this.#pageWith(index, signal)
      if (!page) return
      for (; index < page.start + page.entries.length; index++) {
        const entry = page.entries[index - page.start]
        if (entry && isName(entry.name) && !this.#add(entry, index, page, filler, plus)) return
      }
    }
  }

  #dot(index: number): DirectoryEntry {
    const { nodeid, id, parent } = this.#node
    const of = index === 0 ? { nodeid, id } : (parent ?? { nodeid, id })
    const ino = of.nodeid === rootNodeid ? 1n : inodeOf(of.id)
    return { name: index === 0 ? '.' : '..', ino, type: directoryType('directory'), cookie: BigInt(index + 1) }
  }

  /** False: no room. The kernel knows the node once more only if it was sent. */
  #add(listed: ListedEntry, index: number, page: Page, filler: DirectoryFiller, plus: boolean): boolean {
    const { nodes, now } = this.#parts
    const learned = this.#view.learnNamed(this.#node, listed.name, listed.attributes, page.moment, now() - page.read)
    const { node } = learned
    nodes.hold(node)
    try {
      const entry = this.#view.entryOf(learned)
      const { ino } = entry.attributes
      const cookie = BigInt(index + dots + 1)
      const plain = { name: listed.name, ino, type: directoryType(listed.attributes.type), cookie }
      if (!filler.add(plus ? { ...plain, entry } : plain)) return false
      if (plus) node.lookups++
      return true
    } finally {
      nodes.letGo(node)
    }
  }

  /** The page that holds the entry; undefined behind the last one. */
  async #pageWith(index: number, signal: AbortSignal): Promise<Page | undefined> {
    if (this.#page && index < this.#page.start) this.#restart()
    for (;;) {
      const page = this.#page
      if (page && index < page.start + page.entries.length) return page
      const coming = this.#ask(page)
      const next = await orAborted(coming, signal)
      if (!next) return undefined
      // A restart may have come between.
      if (this.#coming === coming) this.#coming = undefined
      this.#page = next
      // The gateway reads on while the kernel takes this page.
      this.#ask(next).catch(() => {})
    }
  }

  /** For the page after this one, or the first, unless it is on its way. */
  #ask(page: Page | undefined): Promise<Page | undefined> {
    this.#coming ??= this.#next(page ? page.start + page.entries.length : 0)
    return this.#coming
  }

  async #next(start: number): Promise<Page | undefined> {
    const { nodes, recent, now } = this.#parts
    this.#listing ??= this.#view.remote.list(nodes.pathOf(this.#node), this.#ending.signal)[Symbol.asyncIterator]()
    const moment = recent.moment()
    const { value, done } = await this.#listing.next()
    this.#view.listed(this.#node)
    return done === true ? undefined : { entries: value, start, moment, read: now() }
  }

  #restart(): void {
    this.close()
    this.#coming = undefined
    this.#ending = new AbortController()
  }
}

export function directoryOperations(
  parts: Parts,
  first = 1,
): Pick<Operations, 'opendir' | 'readdir' | 'releasedir' | 'fsyncdir'> & {
  closeDirectories(): void
  isListing(view: View): boolean
} {
  const open = new Map<number, { readonly directory: OpenDirectory; readonly view: View; readonly node: Node }>()
  let next = first
  const find = (fh: number) => {
    const found = open.get(fh)
    if (!found) throw new Errno('EBADF')
    return found
  }
  const release = (fh: number) => {
    const found = open.get(fh)
    if (!found || !open.delete(fh)) return
    found.directory.close()
    parts.nodes.letGo(found.node)
  }
  return {
    async opendir(context) {
      const node = directoryOf(parts, context)
      const view = await parts.viewOf(context)
      const fh = next++
      parts.nodes.hold(node)
      open.set(fh, { directory: new OpenDirectory(parts, view, node), view, node })
      return { fh, flags: 0 }
    },
    readdir: (context, fh, cookie, filler, plus) => find(fh).directory.read(cookie, filler, plus, context.signal),
    async releasedir(_context, fh) {
      release(fh)
    },
    async fsyncdir(_context, fh) {
      // The gateway's storage has made durable what it answered.
      find(fh)
    },
    isListing: (view) => [...open.values()].some((each) => each.view === view),
    closeDirectories() {
      for (const fh of [...open.keys()]) release(fh)
    },
  }
}

/** What a gateway tells becomes a name on this machine only if it can be one. */
function isName(name: string): boolean {
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) return false
  return name.length * 3 <= maxNameBytes || Buffer.byteLength(name) <= maxNameBytes
}

/** The page goes on coming when only this caller gives up. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
