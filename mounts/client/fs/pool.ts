/** Connections that are kept, by what they are for, bounded in number. */

import { StorageError } from '../../../gateway/core/errors.ts'
import type { Dialer } from './dial.ts'
import { Wire } from './wire.ts'

/** `waiting`: requests that the gateway holds back, so that they are in nobody's way. */
export type WireUse = 'data' | 'metadata' | 'waiting'

export type PoolSizes = Readonly<Record<WireUse, number>>

export const usualSizes: PoolSizes = { data: 8, metadata: 16, waiting: 48 }

/** Milliseconds: whatever lies between us may have forgotten a connection that was idle for longer. */
const longestIdle = 45_000
const lookEvery = 15_000

interface Waiter {
  readonly take: (wire: Wire | undefined) => void
}

interface Shelf {
  readonly idle: Wire[]
  /** Those that are open, whoever has them. */
  readonly open: Set<Wire>
  readonly waiters: Set<Waiter>
  /** Idle, in use and being opened. */
  count: number
}

export class Pool {
  readonly #dialer: Dialer
  readonly #sizes: PoolSizes
  readonly #shelves: Readonly<Record<WireUse, Shelf>>
  readonly #timer: NodeJS.Timeout
  #isClosed = false

  constructor(dialer: Dialer, sizes: PoolSizes) {
    const shelf = (): Shelf => ({ idle: [], open: new Set(), waiters: new Set(), count: 0 })
    this.#dialer = dialer
    this.#sizes = sizes
    this.#shelves = { data: shelf(), metadata: shelf(), waiting: shelf() }
    this.#timer = setInterval(() => this.#sweep(), lookEvery).unref()
  }

  /**
   * One that nobody else uses, until `give`: at `worker`, or not known to be at another one. Throws as `Dialer.dial`. Where
   * all are in use, `limit` is the time in which none of them gets on.
   */
  async take(
    use: WireUse,
    terms: { readonly worker: string | undefined; readonly limit: number; readonly signal?: AbortSignal | undefined },
  ): Promise<Wire> {
    if (this.#isClosed) throw closed()
    const shelf = this.#shelves[use]
    for (let wire = shelf.idle.pop(); wire !== undefined; wire = shelf.idle.pop()) {
      if (wire.isOpen && (terms.worker === undefined || wire.worker === undefined || wire.worker === terms.worker))
        return wire
      wire.close()
    }
    if (shelf.count >= this.#sizes[use]) {
      const began = performance.now()
      const wire = await this.#wait(shelf, terms)
      if (wire?.isOpen) return wire
      const left = terms.limit - (performance.now() - began)
      return this.take(use, { ...terms, limit: left > 0 ? left : terms.limit })
    }
    return this.#open(shelf, terms)
  }

  /** It goes back, unless it was closed; whoever waits gets it. */
  give(use: WireUse, wire: Wire): void {
    if (!wire.isOpen) return
    if (this.#isClosed || wire.isBusy) {
      wire.close()
      return
    }
    const shelf = this.#shelves[use]
    const [waiter] = shelf.waiters
    if (waiter) waiter.take(wire)
    else shelf.idle.push(wire)
  }

  /** Closes all, also those in use. */
  close(): void {
    this.#isClosed = true
    clearInterval(this.#timer)
    for (const shelf of Object.values(this.#shelves)) {
      for (const waiter of [...shelf.waiters]) waiter.take(undefined)
      shelf.idle.length = 0
      for (const wire of shelf.open) wire.close()
    }
  }

  async #open(
    shelf: Shelf,
    terms: { readonly limit: number; readonly signal?: AbortSignal | undefined },
  ): Promise<Wire> {
    shelf.count++
    const free = (wire?: Wire) => {
      shelf.count--
      if (wire) shelf.open.delete(wire)
      // There is room for another one now.
      const [waiter] = shelf.waiters
      waiter?.take(undefined)
    }
    try {
      const opened = await Wire.open(this.#dialer, { ...terms, closed: free })
      if (!this.#isClosed) {
        shelf.open.add(opened)
        return opened
      }
      opened.close()
    } catch (error) {
      free()
      throw error
    }
    throw closed()
  }

  #wait(
    shelf: Shelf,
    { limit, signal }: { readonly limit: number; readonly signal?: AbortSignal | undefined },
  ): Promise<Wire | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<Wire | undefined>()
    const done = () => {
      shelf.waiters.delete(waiter)
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
    const fail = (error: StorageError) => {
      done()
      reject(error)
    }
    const waiter: Waiter = {
      take: (wire) => {
        done()
        resolve(wire)
      },
    }
    const abort = () => fail(new StorageError('cancelled', 'interrupted'))
    const late = () => {
      const worked = [...shelf.open].map((wire) => (wire.worker === undefined ? 0 : wire.usedAt))
      const left = Math.max(...worked, 0) + limit - performance.now()
      // On a slow link each may take minutes; as long as they get on it is our turn some time.
      if (left > 0) timer = setTimeout(late, left)
      else fail(new StorageError('timeout', 'all connections are in use'))
    }
    let timer = setTimeout(late, limit)
    shelf.waiters.add(waiter)
    if (signal?.aborted) abort()
    else signal?.addEventListener('abort', abort, { once: true })
    return promise
  }

  #sweep(): void {
    const oldest = performance.now() - longestIdle
    for (const { idle } of Object.values(this.#shelves)) {
      const old = idle.filter(({ usedAt, isOpen }) => usedAt < oldest || !isOpen)
      for (const wire of old) {
        idle.splice(idle.indexOf(wire), 1)
        wire.close()
      }
    }
  }
}

function closed(): StorageError {
  return new StorageError('unavailable', 'the mount is closed')
}
