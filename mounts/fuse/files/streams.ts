/** Who reads in order, from what a handle is asked for, and how far ahead of him it pays to read. */

/** Longest distance read ahead, in bytes. */
const farthest = 32 * 2 ** 20
const nearest = 256 * 1024
/** The kernel's own read-ahead asks a little out of order, by this much at most; readers skip small parts. */
const slack = 2 ** 20
/** Places of one file that are read in turn. */
const most = 4
/** Milliseconds after which somebody who has read nothing does not count. */
const absent = 2000

export interface Stream {
  /** Where the next read is expected. */
  frontier: number
  /** Bytes read in order so far. */
  run: number
  /** Bytes that are wanted beyond the frontier; 0 while it is not known to be a stream. */
  window: number
  /** Up to where reads were sent. */
  issued: number
  used: number
}

/** How many read in order in the whole mount: they share its memory. */
export class Readers {
  readonly #streams = new Set<Stream>()
  #counted = 0
  #present = 1

  add(stream: Stream): void {
    this.#streams.add(stream)
  }

  delete(stream: Stream): void {
    this.#streams.delete(stream)
  }

  /** At least 1. */
  present(): number {
    const now = performance.now()
    if (now - this.#counted > 50) {
      this.#counted = now
      this.#present = 1
      let count = 0
      for (const { window, used } of this.#streams) if (window > 0 && now - used < absent) count++
      this.#present = Math.max(1, count)
    }
    return this.#present
  }
}

/** What one handle is asked for. */
export class Streams {
  readonly #all: Stream[] = []
  readonly #readers: Readers
  readonly #memory: number

  constructor(readers: Readers, memory: number) {
    this.#readers = readers
    this.#memory = memory
  }

  /**
   * Whose read this is; its window says what to read ahead. `left` is told a place that nobody reads at any more, with
   * what was read ahead there.
   */
  note(offset: number, end: number, left: (stream: Stream) => void): Stream {
    const stream = this.#continuing(offset)
    if (!stream) return this.#begin(offset, end, left)
    stream.used = performance.now()
    if (end <= stream.frontier) return stream
    stream.run += end - Math.max(offset, stream.frontier)
    stream.frontier = end
    this.#join(stream)
    const share = Math.min(farthest, this.#memory / this.#readers.present())
    stream.window = Math.min(share, Math.max(nearest, stream.run * 2))
    return stream
  }

  /** Nobody reads any more. */
  close(): void {
    for (const stream of this.#all) this.#readers.delete(stream)
    this.#all.length = 0
  }

  #continuing(offset: number): Stream | undefined {
    return (
      this.#all.find(({ frontier }) => frontier === offset) ??
      this.#all.find(({ frontier, window }) => window > nearest && Math.abs(frontier - offset) <= slack)
    )
  }

  /** What began as two, because requests came out of order, is one reader. */
  #join(stream: Stream): void {
    for (const other of [...this.#all]) {
      if (other === stream || Math.abs(other.frontier - stream.frontier) > slack) continue
      stream.run += other.run
      stream.frontier = Math.max(stream.frontier, other.frontier)
      stream.issued = Math.max(stream.issued, other.issued)
      this.#all.splice(this.#all.indexOf(other), 1)
      this.#readers.delete(other)
    }
  }

  #begin(offset: number, end: number, left: (stream: Stream) => void): Stream {
    const stream = { frontier: end, run: end - offset, window: 0, issued: end, used: performance.now() }
    if (this.#all.length >= most) {
      const [oldest] = this.#all.toSorted((one, other) => one.used - other.used)
      if (oldest) {
        this.#all.splice(this.#all.indexOf(oldest), 1)
        this.#readers.delete(oldest)
        left(oldest)
      }
    }
    this.#all.push(stream)
    this.#readers.add(stream)
    return stream
  }
}

/** Bytes of one request that reads ahead: a part of the window, so that several are under way. */
export function stride(window: number, largest: number): number {
  const part = 2 ** Math.floor(Math.log2(Math.max(window / 4, nearest)))
  return Math.min(largest, part)
}
