/**
 * CRC-64/NVME (NVM Express NVM Command Set Specification, section 5.2.1.3.4; Amazon S3's CRC64NVME), sixteen bytes a
 * step. Numbers are taken in two halves of 32 bits: in 64 bits at once they would have to be BigInts.
 */

import type { Digesting } from './digesting.ts'

/** The polynomial, reflected. */
export const nvmeHigh = 0x9a6c9329
export const nvmeLow = 0xac4bc9b5

const step = 16
/** For each of sixteen places the effect of a byte that is followed by 0 to 15 others: its high and its low half. */
const highs = new Int32Array(step * 256)
const lows = new Int32Array(step * 256)

for (let byte = 0; byte < 256; byte++) {
  let high = 0
  let low = byte
  for (let bit = 0; bit < 8; bit++) {
    const carry = low & 1
    low = (low >>> 1) | (high << 31)
    high >>>= 1
    if (carry) {
      high ^= nvmeHigh
      low ^= nvmeLow
    }
  }
  highs[byte] = high
  lows[byte] = low
}
for (let at = 256; at < highs.length; at++) {
  const high = highs[at - 256] as number
  const low = lows[at - 256] as number
  highs[at] = (high >>> 8) ^ (highs[low & 0xff] as number)
  lows[at] = ((low >>> 8) | (high << 24)) ^ (lows[low & 0xff] as number)
}

export class Crc64Nvme implements Digesting {
  #high = -1
  #low = -1

  update(bytes: Uint8Array): void {
    let high = this.#high
    let low = this.#low
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const { length } = bytes
    let at = 0
    for (; at + step <= length; at += step) {
      const a = low ^ view.getInt32(at, true)
      const b = high ^ view.getInt32(at + 4, true)
      const c = view.getInt32(at + 8, true)
      const d = view.getInt32(at + 12, true)
      high = fold(highs, a, 3072) ^ fold(highs, b, 2048) ^ fold(highs, c, 1024) ^ fold(highs, d, 0)
      low = fold(lows, a, 3072) ^ fold(lows, b, 2048) ^ fold(lows, c, 1024) ^ fold(lows, d, 0)
    }
    for (; at < length; at++) {
      const index = (low ^ (bytes[at] as number)) & 0xff
      low = ((low >>> 8) | (high << 24)) ^ (lows[index] as number)
      high = (high >>> 8) ^ (highs[index] as number)
    }
    this.#high = high
    this.#low = low
  }

  digest(): Uint8Array {
    const bytes = new Uint8Array(8)
    const view = new DataView(bytes.buffer)
    view.setInt32(0, ~this.#high)
    view.setInt32(4, ~this.#low)
    return bytes
  }
}

/** The effect of four bytes of a step; `base`: where the table of the last of them begins. */
function fold(table: Int32Array, four: number, base: number): number {
  return (
    (table[base + 768 + (four & 0xff)] as number) ^
    (table[base + 512 + ((four >>> 8) & 0xff)] as number) ^
    (table[base + 256 + ((four >>> 16) & 0xff)] as number) ^
    (table[base + (four >>> 24)] as number)
  )
}
