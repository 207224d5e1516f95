/** Digests over bytes that come in pieces. */

import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { Digest } from './backend.ts'
import { Crc64Nvme } from './crc64.ts'

export { type Crc, combineCrc } from './crc-combining.ts'

/** One digest being computed. */
export interface Digesting {
  update(bytes: Uint8Array): void
  /** Big-endian bytes. Ends it. */
  digest(): Uint8Array
}

/** All kinds there are. */
export const digestKinds: readonly Digest[] = [
  'adler32',
  'crc32',
  'crc32c',
  'crc64nvme',
  'md5',
  'sha-1',
  'sha-256',
  'sha-512',
]

/** Bytes of a digest of each kind. */
export const digestSizes: Readonly<Record<Digest, number>> = {
  adler32: 4,
  crc32: 4,
  crc32c: 4,
  crc64nvme: 8,
  md5: 16,
  'sha-1': 20,
  'sha-256': 32,
  'sha-512': 64,
}

/** Starts a digest of nothing yet. */
export function startDigest(kind: Digest): Digesting {
  switch (kind) {
    case 'adler32':
      return new Adler32()
    case 'crc32':
      return new Crc32()
    case 'crc32c':
      return new Crc32c()
    case 'crc64nvme':
      return new Crc64Nvme()
    case 'md5':
      return createHash('md5')
    case 'sha-1':
      return createHash('sha1')
    case 'sha-256':
      return createHash('sha256')
    case 'sha-512':
      return createHash('sha512')
  }
}

const prime = 65521
/** So many bytes can be added before the high sum leaves 32 bits (5,552 in zlib); a multiple of `step`. */
const most = 5504
/** Bytes whose sums of sums fit into half a word: 255 · (1 + 2 + … + 15) is 30,600. */
const step = 64
/** Two bytes of a word, each in a half of it. */
const halves = 0xff00ff

/**
 * RFC 1950, section 8.2, sixteen words a step. Of each word the bytes 0 and 2, and the bytes 1 and 3, are added as two
 * sums in one integer; `evens` and `odds` add up what those were before each word, which is what the high sum is made of.
 */
class Adler32 implements Digesting {
  #low = 1
  #high = 0

  update(bytes: Uint8Array): void {
    let low = this.#low
    let high = this.#high
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const { length } = bytes
    for (let at = 0; at < length; ) {
      const stop = Math.min(at + most, length)
      for (; at + step <= stop; at += step) {
        let even = 0
        let odd = 0
        let evens = 0
        let odds = 0
        for (let word = at; word < at + step; word += 16) {
          const a = view.getInt32(word, true)
          const b = view.getInt32(word + 4, true)
          const c = view.getInt32(word + 8, true)
          const d = view.getInt32(word + 12, true)
          const evenA = even + (a & halves)
          const evenB = evenA + (b & halves)
          const evenC = evenB + (c & halves)
          evens = (evens + even + evenA + evenB + evenC) | 0
          even = (evenC + (d & halves)) | 0
          const oddA = odd + ((a >>> 8) & halves)
          const oddB = oddA + ((b >>> 8) & halves)
          const oddC = oddB + ((c >>> 8) & halves)
          odds = (odds + odd + oddA + oddB + oddC) | 0
          odd = (oddC + ((d >>> 8) & halves)) | 0
        }
        const first = even & 0xffff
        const second = odd & 0xffff
        const third = even >>> 16
        const fourth = odd >>> 16
        const before = (evens & 0xffff) + (evens >>> 16) + (odds & 0xffff) + (odds >>> 16)
        high = (high + (low << 6) + (before << 2) + (first << 2) + second * 3 + (third << 1) + fourth) | 0
        low = (low + first + second + third + fourth) | 0
      }
      for (; at < stop; at++) {
        low = (low + (bytes[at] as number)) | 0
        high = (high + low) | 0
      }
      low %= prime
      high = (high >>> 0) % prime
    }
    this.#low = low
    this.#high = high
  }

  digest(): Uint8Array {
    return word(((this.#high << 16) | this.#low) >>> 0)
  }
}

/** RFC 1952, section 8. */
class Crc32 implements Digesting {
  #crc = 0

  update(bytes: Uint8Array): void {
    this.#crc = crc32(bytes, this.#crc)
  }

  digest(): Uint8Array {
    return word(this.#crc)
  }
}

/** Castagnoli's polynomial, reflected (RFC 3720, section 12.1). */
const polynomial = 0x82f63b78
const tables = makeTables()

/** Sixteen tables of 256 words: the effect of a byte that is followed by 0 to 15 others. */
function makeTables(): Int32Array {
  const all = new Int32Array(16 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1
    all[byte] = crc
  }
  for (let at = 256; at < all.length; at++) {
    const before = all[at - 256] as number
    all[at] = (before >>> 8) ^ (all[before & 0xff] as number)
  }
  return all
}

/** RFC 3720, section 12.1, sixteen bytes a step. */
class Crc32c implements Digesting {
  #crc = -1

  update(bytes: Uint8Array): void {
    let crc = this.#crc
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const { length } = bytes
    let at = 0
    for (; at + 16 <= length; at += 16) {
      const a = crc ^ view.getInt32(at, true)
      const b = view.getInt32(at + 4, true)
      const c = view.getInt32(at + 8, true)
      const d = view.getInt32(at + 12, true)
      crc = fold(a, 12) ^ fold(b, 8) ^ fold(c, 4) ^ fold(d, 0)
    }
    for (; at < length; at++) crc = (crc >>> 8) ^ (tables[(crc ^ (bytes[at] as number)) & 0xff] as number)
    this.#crc = crc
  }

  digest(): Uint8Array {
    return word((this.#crc ^ -1) >>> 0)
  }
}

/** The effect of four bytes that are followed by `rest` others of the step. */
function fold(four: number, rest: number): number {
  const base = rest * 256
  return (
    (tables[base + 768 + (four & 0xff)] as number) ^
    (tables[base + 512 + ((four >>> 8) & 0xff)] as number) ^
    (tables[base + 256 + ((four >>> 16) & 0xff)] as number) ^
    (tables[base + (four >>> 24)] as number)
  )
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}
