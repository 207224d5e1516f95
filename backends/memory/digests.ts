/** Digests of bytes in memory, each written for being right rather than fast. */

import { createHash } from 'node:crypto'
import type { Digest } from '../backend.ts'

/** The digest as big-endian bytes: 4 for adler32, crc32 and crc32c, 8 for crc64nvme. */
export function digestOf(kind: Digest, bytes: Uint8Array): Uint8Array {
  switch (kind) {
    case 'adler32':
      return word(adler32(bytes))
    case 'crc32':
      return word(crc(bytes, 0xedb88320))
    case 'crc32c':
      return word(crc(bytes, 0x82f63b78))
    case 'crc64nvme':
      return crc64nvme(bytes)
    case 'md5':
      return createHash('md5').update(bytes).digest()
    case 'sha-1':
      return createHash('sha1').update(bytes).digest()
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

/** RFC 1952, section 8, and RFC 3720, section 12.1, for the reflected polynomial of each. */
function crc(bytes: Uint8Array, polynomial: number): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1
  }
  return (crc ^ 0xffffffff) >>> 0
}

/** NVM Express NVM Command Set Specification, section 5.2.1.3.4, reflected. */
function crc64nvme(bytes: Uint8Array): Uint8Array {
  const ones = 0xffff_ffff_ffff_ffffn
  let crc = ones
  for (const byte of bytes) {
    crc ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x9a6c_9329_ac4b_c9b5n : crc >> 1n
  }
  const digest = Buffer.alloc(8)
  digest.writeBigUInt64BE(crc ^ ones)
  return digest
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}
