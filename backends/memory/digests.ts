/** Digests of bytes in memory, each written for being right rather than fast. */

import { createHash } from 'node:crypto'
import type { Digest } from '../backend.ts'

/** The digest as big-endian bytes: 4 for adler32 and crc32c. */
export function digestOf(kind: Digest, bytes: Uint8Array): Uint8Array {
  switch (kind) {
    case 'adler32':
      return word(adler32(bytes))
    case 'crc32c':
      return word(crc32c(bytes))
    case 'md5':
      return createHash('md5').update(bytes).digest()
    case 'sha-256':
      return createHash('sha256').update(bytes).digest()
    case 'sha-512':
      return createHash('sha512').update(bytes).digest()
  }
}

/** RFC 1950, section 8.2. */
function adler32(bytes: Uint8Array): number {
  let low = 1
  let high = 0
  for (const byte of bytes) {
    low = (low + byte) % 65521
    high = (high + low) % 65521
  }
  return high * 65536 + low
}

/** RFC 3720, section 12.1: the Castagnoli polynomial, here reflected. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return (crc ^ 0xffffffff) >>> 0
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}
