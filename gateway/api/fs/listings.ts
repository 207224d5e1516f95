/** Directories that a session is listing, page by page. */

import { StorageError } from '../../core/errors.ts'
import type { Ledger } from './ledger.ts'

/** Of one session; the one that was asked least recently gives way. */
const most = 16
/** Milliseconds between two pages. */
const patience = 60_000
/** A page is kept, for a client that lost it, up to this many characters. */
const largestKept = 256 * 1024

/** A page, and the cursor for the one after it where there is one. */
export interface Told {
  readonly page: Page
  readonly cursor?: string
}

/** Pages as they are sent. */
export interface Page {
  readonly text: string
  readonly last: boolean
}

interface Open {
  /** The page that the next cursor stands for. */
  next: number
  readonly pages: AsyncIterator<Page>
  /** The last one that was told. */
  before: Page | undefined
  /** Whoever asks twice at once. */
  turn: Promise<unknown>
  /** On the clock of `performance`. */
  used: number
}

export class Listings {
  readonly #open = new Map<string, Open>()
  readonly #ledger: Ledger
  readonly #owner: string
  #made = 0
  #closed = false

  constructor(ledger: Ledger, owner: string) {
    this.#ledger = ledger
    this.#owner = owner
  }

  /** The first page. */
  async begin(pages: AsyncIterator<Page>): Promise<Told> {
    const page = await nextOf(pages)
    if (page.last) return { page }
    if (this.#closed) {
      letGo(pages)
      throw new StorageError('stale', 'the session is over')
    }
    const id = (++this.#made).toString(36)
    const now = performance.now()
    for (const [oldest, open] of this.#open) {
      if (this.#open.size < most) break
      this.#end(oldest, open)
    }
    this.#open.set(id, { next: 1, pages, before: undefined, turn: Promise.resolve(), used: now })
    this.#ledger.open(this.#owner)
    return { page, cursor: `${id}.1` }
  }

  /** The page of a cursor, also once more. Throws `invalid` for one that is not known any more. */
  async next(cursor: string): Promise<Told> {
    const [, id = '', number = ''] = /^([0-9a-z]{1,12})\.([1-9]\d{0,14})$/.exec(cursor) ?? []
    const open = this.#open.get(id)
    if (!open) throw gone()
    this.#open.delete(id)
    this.#open.set(id, open)
    open.used = performance.now()
    const turn = open.turn.then(() => this.#take(id, open, Number(number)))
    open.turn = turn.catch(() => {})
    return turn
  }

  async #take(id: string, open: Open, number: number): Promise<Told> {
    if (number === open.next - 1 && open.before) return told(id, open.before, number)
    if (number !== open.next) throw gone()
    const page = await this.#nextOf(id, open)
    if (this.#open.get(id) !== open) throw gone()
    open.next++
    this.#keep(open, page)
    return told(id, page, number)
  }

  async #nextOf(id: string, open: Open): Promise<Page> {
    try {
      return await nextOf(open.pages)
    } catch (error) {
      this.#end(id, open)
      throw error
    }
  }

  #keep(open: Open, page: Page | undefined): void {
    if (open.before) this.#ledger.forget(this.#owner, open.before.text.length)
    const isKept = page && page.text.length <= largestKept && this.#ledger.remember(this.#owner, page.text.length)
    open.before = isKept ? page : undefined
  }

  #end(id: string, open: Open): void {
    if (!this.#open.delete(id)) return
    this.#ledger.close(this.#owner)
    this.#keep(open, undefined)
    letGo(open.pages)
  }

  /** Ends what nobody has asked about for a while. */
  sweep(): void {
    const now = performance.now()
    for (const [id, open] of this.#open) {
      if (now - open.used < patience) return
      this.#end(id, open)
    }
  }

  close(): void {
    this.#closed = true
    for (const [id, open] of this.#open) this.#end(id, open)
  }
}

/** It may wait for a storage that hangs, and so nobody waits for it. */
function letGo(pages: AsyncIterator<Page>): void {
  pages.return?.().catch(() => {})
}

function told(id: string, page: Page, number: number): Told {
  return page.last ? { page } : { page, cursor: `${id}.${number + 1}` }
}

async function nextOf(pages: AsyncIterator<Page>): Promise<Page> {
  const step = await pages.next()
  if (step.done) throw new StorageError('internal', 'a listing without a last page')
  return step.value
}

function gone(): StorageError {
  return new StorageError('invalid', 'the listing is not known any more: begin anew')
}
