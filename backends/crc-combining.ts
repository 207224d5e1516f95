/**
 * The CRC of two pieces of data one after the other, of the CRC of each and the length of the second: the first is
 * multiplied by x to the number of bits that follow it, modulo the polynomial (zlib's crc32_combine, crc32.c).
 */

import type { Digest } from './backend.ts'
import { nvmeHigh, nvmeLow } from './crc64.ts'

/** Digests that can be put together of those of parts. */
export type Crc = Extract<Digest, 'crc32' | 'crc32c' | 'crc64nvme'>

/** A polynomial over GF(2), reflected: the coefficient of x^0 is the highest bit. One of 32 bits is in `low` alone. */
interface Polynomial {
  readonly high: number
  readonly low: number
}

interface Field {
  readonly bytes: 4 | 8
  readonly polynomial: Polynomial
  /** x to the power of 2^k, at k. */
  readonly powers: Polynomial[]
}

const fields: Readonly<Record<Crc, Field>> = {
  crc32: fieldOf(4, { high: 0, low: 0xedb88320 }),
  crc32c: fieldOf(4, { high: 0, low: 0x82f63b78 }),
  crc64nvme: fieldOf(8, { high: nvmeHigh, low: nvmeLow }),
}

/** `a` and `b` as big-endian bytes, as is the result; `lengthB` in bytes, a safe integer. */
export function combineCrc(kind: Crc, a: Uint8Array, b: Uint8Array, lengthB: number): Uint8Array {
  const field = fields[kind]
  const shifted = multiply(field, read(field, a), powerOf(field, lengthB))
  const last = read(field, b)
  return write(field, { high: shifted.high ^ last.high, low: shifted.low ^ last.low })
}

function fieldOf(bytes: Field['bytes'], polynomial: Polynomial): Field {
  const x = bytes === 4 ? { high: 0, low: 1 << 30 } : { high: 1 << 30, low: 0 }
  return { bytes, polynomial, powers: [x] }
}

/** x to the power of eight times `length`. */
function powerOf(field: Field, length: number): Polynomial {
  let power: Polynomial | undefined
  for (let rest = length, bit = 3; rest >= 1; rest = Math.floor(rest / 2), bit++) {
    if (rest % 2 === 0) continue
    const factor = powerOfTwo(field, bit)
    power = power ? multiply(field, power, factor) : factor
  }
  return power ?? (field.bytes === 4 ? { high: 0, low: 1 << 31 } : { high: 1 << 31, low: 0 })
}

function powerOfTwo({ powers, ...rest }: Field, k: number): Polynomial {
  const field = { powers, ...rest }
  for (let last = powers.at(-1); last && powers.length <= k; last = powers.at(-1)) {
    powers.push(multiply(field, last, last))
  }
  return powers[k] ?? { high: 0, low: 0 }
}

/** The product modulo the field's polynomial. */
function multiply({ bytes, polynomial }: Field, a: Polynomial, b: Polynomial): Polynomial {
  let high = 0
  let low = 0
  let { high: factorHigh, low: factorLow } = b
  for (let bit = bytes * 8 - 1; bit >= 0; bit--) {
    if (((bit >= 32 ? a.high >>> (bit - 32) : a.low >>> bit) & 1) === 1) {
      high ^= factorHigh
      low ^= factorLow
    }
    const carry = factorLow & 1
    factorLow = (factorLow >>> 1) | (factorHigh << 31)
    factorHigh >>>= 1
    if (carry === 1) {
      factorHigh ^= polynomial.high
      factorLow ^= polynomial.low
    }
  }
  return { high, low }
}

function read({ bytes }: Field, digest: Uint8Array): Polynomial {
  const view = new DataView(digest.buffer, digest.byteOffset, digest.byteLength)
  return bytes === 4 ? { high: 0, low: view.getInt32(0) } : { high: view.getInt32(0), low: view.getInt32(4) }
}

function write({ bytes }: Field, { high, low }: Polynomial): Uint8Array {
  const digest = new Uint8Array(bytes)
  const view = new DataView(digest.buffer)
  if (bytes === 8) view.setInt32(0, high)
  view.setInt32(bytes - 4, low)
  return digest
}
