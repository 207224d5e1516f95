/** Ranges of one file that were read, or are being read, from the gateway and that nobody has changed since. */

import { StorageError } from '../../../gateway/core/errors.ts'
import type { RemoteFile } from '../../client/fs/remote.ts'
import { interrupted, type Lease, type Pool, unlessAborted } from './pool.ts'

export class Segment {
  readonly start: number
  readonly #pool: Pool
  readonly #lease: Lease
  readonly #abort = new AbortController()
  readonly #forget: (segment: Segment) => void
  /** Exclusive; that of the file, once it is known to end here. */
  end: number
  #state: 'coming' | 'ready' | 'failed' = 'coming'
  #dropped = false
  #holders = 0
  #taken = 0
  readonly #arrived: Promise<void>

  constructor(
    remote: RemoteFile,
    range: { readonly start: number; readonly end: number },
    pool: Pool,
    lease: Lease,
    forget: (segment: Segment) => void,
  ) {
    this.start = range.start
    this.end = range.end
    this.#pool = pool
    this.#lease = lease
    this.#forget = forget
    this.#arrived = this.#fetch(remote)
    // Whoever waits is told; a segment nobody waits for may fail unseen.
    this.#arrived.catch(() => {})
  }

  async #fetch(remote: RemoteFile): Promise<void> {
    try {
      const wanted = this.end - this.start
      const length = await remote.read(this.#lease.buffer.subarray(0, wanted), this.start, this.#abort.signal)
      this.end = this.start + length
      this.#state = 'ready'
    } catch (error) {
      this.#state = 'failed'
      this.drop()
      throw StorageError.from(error)
    } finally {
      this.#rest()
    }
  }

  /** Keeps its memory until `letGo`, also when it is dropped meanwhile. */
  hold(): void {
    this.#holders++
    this.#pool.keep(this.#lease)
  }

  letGo(): void {
    this.#holders--
    if (this.#state === 'coming' && this.#dropped && this.#holders === 0) this.#abort.abort()
    this.#rest()
  }

  /** Whether its bytes are here, when they are; false where they are not to be had: the caller reads on his own. */
  async arrived(signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#state === 'ready') return true
    try {
      await unlessAborted(this.#arrived, signal)
      return true
    } catch {
      if (signal?.aborted) throw interrupted()
      return false
    }
  }

  /** Of one that has not arrived: throws why. */
  async failure(): Promise<never> {
    await this.#arrived
    throw new StorageError('internal', 'a read failed without an error')
  }

  /**
   * Of one that is held and has arrived: its bytes from `start` up to `end`, or fewer where the file ended. What was taken
   * once is not kept: the kernel has it.
   */
  take(start: number, end: number): Buffer {
    const chunk = this.#lease.buffer.subarray(start - this.start, Math.max(start, Math.min(end, this.end)) - this.start)
    this.#taken += chunk.length
    if (this.#taken >= this.end - this.start) this.drop()
    return chunk
  }

  /** Takes it from those that may be asked; who holds it already gets it. */
  drop(): void {
    if (this.#dropped) return
    this.#dropped = true
    this.#forget(this)
    if (this.#state === 'coming' && this.#holders === 0) this.#abort.abort()
    this.#rest()
  }

  /** Its memory goes back when nobody needs it, and may be taken when nobody holds it. */
  #rest(): void {
    if (this.#state === 'coming') return
    if (this.#holders > 0) this.#pool.keep(this.#lease)
    else if (this.#dropped) this.#lease.release()
    else this.#pool.idle(this.#lease, () => this.drop())
  }
}

/** What is known of one file's bytes, in no order: there are few. */
export class Segments {
  readonly #all = new Set<Segment>()
  readonly #pool: Pool

  constructor(pool: Pool) {
    this.#pool = pool
  }

  /** The one that has the byte at `offset`. */
  at(offset: number): Segment | undefined {
    for (const segment of this.#all) if (segment.start <= offset && offset < segment.end) return segment
    return undefined
  }

  /** Where the next one begins after `offset`, if before `end`; otherwise `end`. */
  next(offset: number, end: number): number {
    let nearest = end
    for (const { start } of this.#all) if (start > offset && start < nearest) nearest = start
    return nearest
  }

  /** Asks the gateway for a range. The lease is the segment's from now on. */
  fetch(remote: RemoteFile, start: number, end: number, lease: Lease): Segment {
    const segment = new Segment(remote, { start, end }, this.#pool, lease, (gone) => this.#all.delete(gone))
    this.#all.add(segment)
    return segment
  }

  /** Forgets all that touch the range. */
  drop(start = 0, end = Number.POSITIVE_INFINITY): void {
    for (const segment of [...this.#all]) if (segment.start < end && start < segment.end) segment.drop()
  }

  /** Forgets those that lie before `offset` and after `from`. */
  dropWithin(from: number, offset: number): void {
    for (const segment of [...this.#all]) if (segment.start >= from && segment.end <= offset) segment.drop()
  }
}
