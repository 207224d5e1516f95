/** How much memory the bytes of transfers may take, shared fairly by all transfers of a process. */

const smallest = 64 * 1024
/** A transfer holds one chunk that the other side takes and one that is being filled. */
const chunksHeld = 2

/** ms a chunk may take to be consumed for the next one to be larger, and from which on it is smaller. */
const quick = 5
const slow = 100

/** A bound on the bytes in flight, from which transfers lease room for their chunks. */
export class ByteBudget {
  readonly limit: number
  #leases = 0
  #reserved = 0

  /** `limit` in bytes. It is passed only by the 128 KiB that every transfer may hold whatever happens. */
  constructor(limit: number) {
    this.limit = limit
  }

  /** Bytes that transfers may hold at present. */
  get reserved(): number {
    return this.#reserved
  }

  /** Room for one transfer with chunks up to `largest` bytes (a power of two). It must be released. */
  lease(largest: number): ChunkLease {
    this.#leases++
    return new ChunkLease(largest, {
      resize: (from, to) => this.#resize(from, to),
      end: () => {
        this.#leases--
      },
    })
  }

  /** The chunk size a transfer gets instead of `from` when it would like `to`. */
  #resize(from: number, to: number): number {
    let size = to
    if (size > smallest) {
      const fair = this.limit / Math.max(1, this.#leases) / chunksHeld
      const left = from + (this.limit - this.#reserved) / chunksHeld
      while (size > smallest && (size > fair || size > left)) size /= 2
    }
    this.#reserved += (size - from) * chunksHeld
    return size
  }
}

interface Lessor {
  resize(from: number, to: number): number
  end(): void
}

/**
 * The chunk size of one transfer: 64 KiB at first, doubled while the other side is quick and there is
 * room, halved when it is slow, so that a slow client holds little.
 */
export class ChunkLease {
  readonly #largest: number
  readonly #lessor: Lessor
  #size: number
  #since = performance.now()

  constructor(largest: number, lessor: Lessor) {
    this.#largest = largest
    this.#lessor = lessor
    this.#size = lessor.resize(0, smallest)
  }

  /** Bytes of the next chunk. */
  get size(): number {
    return this.#size
  }

  /** A chunk was consumed; adapts the size of the next. */
  consumed(): void {
    const now = performance.now()
    const took = now - this.#since
    this.#since = now
    const wish = took < quick ? this.#size * 2 : took > slow ? this.#size / 2 : this.#size
    this.#size = this.#lessor.resize(this.#size, Math.min(this.#largest, Math.max(smallest, wish)))
  }

  release(): void {
    if (this.#size === 0) return
    this.#size = this.#lessor.resize(this.#size, 0)
    this.#lessor.end()
  }
}

/** The budget of this process. */
export const byteBudget = new ByteBudget(96 * 1024 * 1024)
