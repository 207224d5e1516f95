/** Listings of the POSIX back end: in the file system's own order, about a thousand entries a page. */

import type { Path } from '../../gateway/core/path.ts'
import type { Entry, Listing } from '../backend.ts'
import type { Caller, Desk } from './desk.ts'
import type { Stray } from './emptying.ts'
import type { Handle } from './handles.ts'
import type { Page } from './looking.ts'
import { withoutAcl } from './path-acls.ts'

/** Entries whose ACLs are fetched by path before the first of them is told. */
const batch = 128

/** Listings that were asked for and never read. */
const forgotten = new FinalizationRegistry<Handle>((handle) => handle.release())

/** The directory stays open from one page to the next, and is closed with the last one or when nobody wants more. */
export class DirectoryListing implements Listing {
  readonly #desk: Desk
  readonly #directory: Path
  readonly #handle: Handle
  readonly #caller: Caller
  readonly #acls: boolean

  constructor(desk: Desk, directory: Path, handle: Handle, caller: Caller, options: { readonly acls: boolean }) {
    this.#desk = desk
    this.#directory = directory
    this.#handle = handle
    this.#caller = caller
    this.#acls = options.acls
    forgotten.register(this, handle)
  }

  /** Can be called once. */
  async *pages(): AsyncGenerator<readonly Entry[]> {
    try {
      let next = this.#next()
      for (;;) {
        const page = await next
        if (page.done) return
        this.#desk.badNames += page.skipped
        const entries = this.#desk.entries(page.entries, page)
        if (page.strays.length > 0) await this.#drop(page.strays)
        // The next page is read while this one is on its way out.
        next = this.#next()
        if (entries.length > 0) yield* this.#completed(entries)
      }
    } finally {
      this.#handle.release()
    }
  }

  async *#completed(entries: readonly Entry[]): AsyncGenerator<readonly Entry[]> {
    const { pathAcls } = this.#desk
    if (!pathAcls || !this.#acls) {
      yield pathAcls ? entries.map(withoutAcl) : entries
      return
    }
    const glance = this.#desk.glance(this.#caller)
    for (let at = 0; at < entries.length; at += batch) {
      const some = entries.slice(at, at + batch)
      yield await pathAcls.completeEntries(this.#directory, some, glance, this.#caller.signal)
    }
  }

  /** As their owners, who made them there. What cannot be taken away stays. */
  async #drop(strays: readonly Stray[]): Promise<void> {
    const { name, setup, itself } = this.#desk
    const age = setup.abandoned ?? Number.POSITIVE_INFINITY
    for (const some of Map.groupBy(strays, ({ uid }) => uid).values()) {
      const [{ uid, gid } = { uid: 0, gid: 0 }] = some
      const caller = setup.native ? { ids: { uid, gid, gids: [] }, signal: itself.signal } : itself
      const args = { directory: this.#handle.ref, names: some.map((stray) => stray.name), age }
      try {
        const count = await this.#desk.run('dropStrays', args, caller)
        this.#desk.log(`${name}: ${count} hidden files of nobody were taken away`)
      } catch {
        // The next listing tries again.
      }
    }
  }

  #next(): Promise<Page> {
    const page = this.#desk.run('page', { directory: this.#handle.ref, acls: this.#acls }, this.#caller)
    // Whoever stops reading is not told what became of the page after.
    page.catch(() => {})
    return page
  }
}
