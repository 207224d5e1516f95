/** Digests over bytes that come in pieces. */

import { createHash } from 'node:crypto'
import type { Digest } from './backend.ts'

/** One digest being computed. */
export interface Digesting {
  update(bytes: Uint8Array): void
  /** Big-endian bytes. Ends it. */
  digest(): Uint8Array
}

/** All kinds there are. */
export const digestKinds: readonly Digest[] = ['adler32', 'crc32c', 'md5', 'sha-256', 'sha-512']

/** Starts a digest of nothing yet. */
export function startDigest(kind: Digest): Digesting {
  switch (kind) {
    case 'adler32':
      return new Adler32()
    case 'crc32c':
      return new Crc32c()
    case 'md5':
      return createHash('md5')
    case 'sha-256':
      return createHash('sha256')
    case 'sha-512':
      return createHash('sha512')
  }
}

const prime = 65521
/** So many bytes can be added before a sum leaves 31 bits and the engine's quick integers; a multiple of 16. */
const most = 3792

/** RFC 1950, section 8.2. */
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
      for (; at + 4 <= stop; at += 4) {
        // Four bytes at once: each is in the low sum once, in the high one as often as sums follow it.
        const four = view.getInt32(at, true)
        const a = four & 0xff
        const b = (four >>> 8) & 0xff
        const c = (four >>> 16) & 0xff
        const d = four >>> 24
        high = (high + (low << 2) + (a << 2) + b * 3 + (c << 1) + d) | 0
        low = (low + a + b + c + d) | 0
      }
      for (; at < stop; at++) {
        low = (low + (bytes[at] as number)) | 0
        high = (high + low) | 0
      }
      low %= prime
      high %= prime
    }
    this.#low = low
    this.#high = high
  }

  digest(): Uint8Array {
    return word(((this.#high << 16) | this.#low) >>> 0)
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
