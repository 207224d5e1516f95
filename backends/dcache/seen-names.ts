/** Which names a listing has given already, in 8 bytes a name: pages of a directory that changes overlap. */

import { randomInt } from 'node:crypto'

const firstSlots = 4096

/**
 * A set of 64-bit hashes with a seed of its own. Two names of a million are taken for one with a chance of about
 * 3 in 100,000,000; then one of them is missing in that one listing.
 */
export class SeenNames {
  readonly #seed = randomInt(2 ** 32)
  #high = new Uint32Array(firstSlots)
  #low = new Uint32Array(firstSlots)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** False where the name was there. */
  add(name: string): boolean {
    let high = this.#seed
    let low = ~this.#seed
    for (let at = 0; at < name.length; at++) {
      const unit = name.charCodeAt(at)
      high = Math.imul(high ^ unit, 0x85ebca6b)
      low = Math.imul(low ^ unit, 0xc2b2ae35)
      high = (high << 13) | (high >>> 19)
      low = (low << 17) | (low >>> 15)
    }
    high = mix(high ^ name.length)
    // 0 and 0 is an empty slot.
    low = mix(low ^ high) || 1
    if (!this.#put(high >>> 0, low >>> 0)) return false
    this.#size++
    if (this.#size * 2 > this.#low.length) this.#grow()
    return true
  }

  #put(high: number, low: number): boolean {
    const mask = this.#low.length - 1
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      if (this.#low[slot] === 0) {
        this.#high[slot] = high
        this.#low[slot] = low
        return true
      }
      if (this.#low[slot] === low && this.#high[slot] === high) return false
    }
  }

  #grow(): void {
    const [high, low] = [this.#high, this.#low]
    this.#high = new Uint32Array(high.length * 2)
    this.#low = new Uint32Array(low.length * 2)
    for (let slot = 0; slot < low.length; slot++) {
      const value = low[slot] ?? 0
      if (value !== 0) this.#put(high[slot] ?? 0, value)
    }
  }
}

function mix(value: number): number {
  let mixed = value
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x7feb352d)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b)
  return mixed ^ (mixed >>> 16)
}
