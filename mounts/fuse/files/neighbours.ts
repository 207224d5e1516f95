/**
 * Whether small reads at places out of order come near each other, as those of HDF5, ROOT and parquet files do: then a
 * whole block costs hardly more than a part of it, and the next read finds it here. Where they do not, nothing but what
 * was asked for is read.
 */

export const blockSize = 64 * 1024
/** Reads longer than this are no small ones. */
export const smallRead = blockSize / 2
const remembered = 128
/** Of the latest reads, weighted by age, this share must have come near an earlier one. */
const enough = 0.4

export class Neighbours {
  readonly #recent = new Set<number>()
  #share = 0

  /** Notes a read; true where its whole block is worth having. */
  note(offset: number): boolean {
    const block = Math.floor(offset / blockSize)
    const near = this.#recent.delete(block)
    this.#recent.add(block)
    if (this.#recent.size > remembered) {
      const [oldest] = this.#recent
      if (oldest !== undefined) this.#recent.delete(oldest)
    }
    this.#share += ((near ? 1 : 0) - this.#share) / 16
    return this.#share > enough
  }
}
