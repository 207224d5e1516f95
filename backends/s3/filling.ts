/** A part being filled: grows with what comes, and its memory is used again for the next. */

const firstBytes = 64 * 1024

export class Filling {
  #buffer: Buffer = Buffer.alloc(0)
  #length = 0
  #spare: Buffer[] = []
  #ended = false
  /** One part was full, so the next will be. */
  #isLarge = false

  get length(): number {
    return this.#length
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  /** Copies bytes until `limit` are there; the sender may use its buffer again. Returns how many it took. */
  add(chunk: Uint8Array, limit: number): number {
    const taken = Math.min(chunk.length, limit - this.#length)
    const needed = this.#length + taken
    if (this.#buffer.length < needed) this.#grow(needed, limit)
    this.#buffer.set(chunk.subarray(0, taken), this.#length)
    this.#length = needed
    return taken
  }

  /** What is there, and what to call when it is needed no more. The filling is empty then. */
  take(): { readonly bytes: Buffer; recycle(): void } {
    const buffer = this.#buffer
    const bytes = this.bytes
    this.#buffer = this.#spare.pop() ?? Buffer.alloc(0)
    this.#length = 0
    this.#isLarge = true
    return {
      bytes,
      recycle: () => {
        if (!this.#ended) this.#spare.push(buffer)
      },
    }
  }

  /** Lets go of all memory. */
  end(): void {
    this.#ended = true
    this.#spare = []
    this.#buffer = Buffer.alloc(0)
    this.#length = 0
  }

  #grow(needed: number, limit: number): void {
    const size = this.#isLarge ? limit : Math.min(limit, Math.max(firstBytes, needed, this.#buffer.length * 2))
    // Nothing but what was written is ever shown.
    const larger = Buffer.allocUnsafeSlow(size)
    larger.set(this.bytes)
    this.#buffer = larger
  }
}
