/** What is kept for one mount, in the memory of the process that it began with. */

import { createHash } from 'node:crypto'
import type { Principal } from '../../../acl/principal.ts'
import type { Call } from '../../core/call.ts'
import { StorageError } from '../../core/errors.ts'
import { isWithin, type Path, rebase } from '../../core/path.ts'
import { ownerOf } from '../../http/admission.ts'
import type { Exchange } from '../../http/exchange.ts'
import type { EventStream } from './events.ts'
import { type Content, Handle } from './handles.ts'
import type { Ledger } from './ledger.ts'
import type { MountLimits } from './limits.ts'
import { Listings } from './listings.ts'
import { Looked } from './looked.ts'
import { Replies } from './replies.ts'
import { Wishes } from './wishes.ts'

/** Milliseconds that the table of mounts is remembered. */
const mountsKnown = 2000

export class Session {
  readonly id: string
  /** Who may use it. */
  readonly owner: string
  /** Whose limits it counts against. */
  readonly counted: string
  /** What its locks are kept under: of no use to whoever sees it. */
  readonly lockName: string
  readonly listings: Listings
  readonly replies = new Replies<object>()
  readonly wishes = new Wishes()
  readonly looked: Looked
  /** Where its client hears of changes. */
  stream: EventStream | undefined
  /** It may have locks. */
  hasLocked = false
  /** The credential of the last request. */
  principal: Principal
  readonly #limits: MountLimits
  readonly #ledger: Ledger
  readonly #handles = new Map<string, Handle>()
  readonly #ended = new AbortController()
  readonly #closing = new Set<Promise<void>>()
  /** Told when it ends. */
  readonly #endings = new Set<() => void>()
  #mounts: { readonly paths: readonly Path[]; readonly until: number } | undefined
  #made = 0
  /** Requests and streams under way. */
  #busy = 0
  /** On the clock of `performance`. */
  #used = performance.now()

  constructor(id: string, x: Exchange, limits: MountLimits, ledger: Ledger) {
    this.id = id
    this.lockName = lockNameOf(id)
    this.owner = boundsOf(x)
    this.counted = ownerOf(x.principal, x.from)
    this.principal = x.principal
    this.#limits = limits
    this.#ledger = ledger
    this.listings = new Listings(ledger, this.counted)
    this.looked = new Looked(ledger, this.counted)
  }

  /** Aborts when it ends. */
  get signal(): AbortSignal {
    return this.#ended.signal
  }

  /** It is of a caller without a credential. */
  get isStranger(): boolean {
    return this.principal.user === undefined
  }

  /** Nobody has asked for anything for the time of the lease. */
  get isExpired(): boolean {
    return this.#busy === 0 && performance.now() - this.#used > this.#limits.lease * 1000
  }

  /** A request or stream begins; call what it gives when it is over. */
  enter({ principal }: Exchange): () => void {
    this.principal = principal
    this.#busy++
    return () => {
      this.#busy--
      this.#used = performance.now()
    }
  }

  /** For what goes on after the request that begins it, each time with the credential of the last one. */
  lasting({ call: { id, protocol, from } }: Exchange): Call {
    const present = () => this.principal
    return {
      ...{ id, protocol, from, signal: this.signal },
      get principal() {
        return present()
      },
    }
  }

  /** Throws `busy` where there is no room for another file. */
  requireRoom(): void {
    if (this.signal.aborted) throw new StorageError('stale', 'the session is over')
    this.#ledger.requireRoom(this.counted)
    if (this.#handles.size < this.#limits.filesPerSession) return
    throw new StorageError('busy', 'too many open files', { retryAfter: 1 })
  }

  /** Keeps an open file until it is released, or the session ends. */
  keep(make: (id: string) => Content): Handle {
    const handle = new Handle(make((++this.#made).toString(36)))
    if (this.signal.aborted) {
      void this.#close(handle)
      throw new StorageError('stale', 'the session is over')
    }
    this.#handles.set(handle.content.id, handle)
    this.#ledger.open(this.counted)
    return handle
  }

  /** Throws `stale` for a file that is not open. */
  handle(id: string): Handle {
    const handle = this.#handles.get(id)
    if (!handle) throw new StorageError('stale', 'the file is not open any more')
    return handle
  }

  /** Undefined where it is not open any more. */
  take(id: string): Handle | undefined {
    const handle = this.#handles.get(id)
    if (this.#handles.delete(id)) this.#ledger.close(this.counted)
    return handle
  }

  /** Files below `from` are below `to` now. */
  moved(from: Path, to: Path): void {
    for (const handle of this.#handles.values()) {
      if (isWithin(handle.path, from)) handle.path = rebase(handle.path, from, to)
    }
  }

  /** What was below one of them is below the other now. */
  exchanged(one: Path, other: Path): void {
    for (const handle of this.#handles.values()) {
      if (isWithin(handle.path, one)) handle.path = rebase(handle.path, one, other)
      else if (isWithin(handle.path, other)) handle.path = rebase(handle.path, other, one)
    }
  }

  /** Some file may have become shorter. */
  forgetSizes(): void {
    for (const handle of this.#handles.values()) handle.size = 0
  }

  /** Names the storage that a path belongs to, by where it is mounted. */
  storageAt(path: Path, mounts: () => readonly Path[]): string {
    const now = performance.now()
    if (!this.#mounts || this.#mounts.until < now) {
      this.#mounts = { paths: mounts().toSorted((a, b) => b.length - a.length), until: now + mountsKnown }
    }
    return this.#mounts.paths.find((at) => isWithin(path, at)) ?? '/'
  }

  /** Calls `ended` when it ends; gives what takes that back. */
  onEnd(ended: () => void): () => void {
    this.#endings.add(ended)
    return () => void this.#endings.delete(ended)
  }

  sweep(): void {
    this.listings.sweep()
    this.replies.sweep()
  }

  /** Closes everything. Harmless twice. */
  async end(): Promise<void> {
    if (!this.signal.aborted) {
      this.#ended.abort(new StorageError('cancelled', 'the session is over'))
      this.listings.close()
      this.looked.close()
      for (const ended of this.#endings) ended()
      for (const id of [...this.#handles.keys()]) {
        const handle = this.take(id)
        if (handle) void this.#close(handle)
      }
    }
    await Promise.all(this.#closing)
  }

  async #close(handle: Handle): Promise<void> {
    const closing = handle.close().finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
    await closing
  }
}

/** Of the session with this id. */
export function lockNameOf(id: string): string {
  return createHash('sha256').update(id).digest('base64url')
}

const bounds = new WeakMap<Principal, string>()

/**
 * A session is for one person with one set of bounds: a file that was opened with a wide credential is not to be used with
 * a narrow one. Callers without a credential have nothing in common but their address.
 */
export function boundsOf({ principal, from }: Exchange): string {
  let text = bounds.get(principal)
  if (text === undefined) {
    const { id, user, grants, within, addresses, maxUpload, session, link } = principal
    text = JSON.stringify([id, user, grants, within, addresses?.networks, maxUpload, session, link])
    bounds.set(principal, text)
  }
  return principal.user === undefined ? `${text} ${from}` : text
}
