/** Digests of file contents, computed piece by piece: those of node:crypto and two checksums it lacks. */

import { createHash } from 'node:crypto'
import type { Digest, Digests } from '../../backends/backend.ts'

/** A digest under way. Nothing may be added after `finish`, which may be called once. */
export interface RunningDigest {
  update(bytes: Uint8Array): void
  /** Checksums are four bytes, the most significant one first. */
  finish(): Uint8Array
}

/** Every kind that `startDigest` knows. */
export const digestKinds: readonly Digest[] = ['adler32', 'crc32c', 'md5', 'sha-256', 'sha-512']

export function startDigest(kind: Digest): RunningDigest {
  switch (kind) {
    case 'adler32':
      return new Adler32()
    case 'crc32c':
      return new Crc32c()
    case 'md5':
    case 'sha-256':
    case 'sha-512': {
      const hash = createHash(kind.replace('-', ''))
      return { update: (bytes) => void hash.update(bytes), finish: () => hash.digest() }
    }
  }
}

/** Several digests over the same bytes, in one pass. */
export class DigestSet {
  readonly #running: ReadonlyMap<Digest, RunningDigest>

  constructor(kinds: Iterable<Digest>) {
    this.#running = new Map([...new Set(kinds)].map((kind) => [kind, startDigest(kind)]))
  }

  get size(): number {
    return this.#running.size
  }

  update(bytes: Uint8Array): void {
    for (const digest of this.#running.values()) digest.update(bytes)
  }

  finish(): Digests {
    const done: Partial<Record<Digest, Uint8Array>> = {}
    for (const [kind, digest] of this.#running) done[kind] = digest.finish()
    return done
  }
}

/** Whether two digests of one kind are the same bytes. */
export function sameDigest(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}

/** Largest prime below 2^16, and the most bytes whose sums stay below 2^32 (RFC 1950, section 9). */
const adlerBase = 65_521
const adlerRun = 5552

class Adler32 implements RunningDigest {
  #low = 1
  #high = 0

  update(bytes: Uint8Array): void {
    let low = this.#low
    let high = this.#high
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(at + adlerRun, bytes.length)
      for (; at < end; at++) {
        low += bytes[at] as number
        high += low
      }
      low %= adlerBase
      high %= adlerBase
    }
    this.#low = low
    this.#high = high
  }

  finish(): Uint8Array {
    return bigEndian(this.#high * 65_536 + this.#low)
  }
}

/** Castagnoli's polynomial, reflected (RFC 9260, appendix A), eight bytes a step. */
const crcTables = makeCrcTables(0x82f63b78)

class Crc32c implements RunningDigest {
  #crc = ~0

  update(bytes: Uint8Array): void {
    const t = crcTables
    const end = bytes.length
    let crc = this.#crc
    let at = 0
    for (; at + 8 <= end; at += 8) {
      const low =
        crc ^
        ((bytes[at] as number) |
          ((bytes[at + 1] as number) << 8) |
          ((bytes[at + 2] as number) << 16) |
          ((bytes[at + 3] as number) << 24))
      crc =
        (t[1792 + (low & 0xff)] as number) ^
        (t[1536 + ((low >>> 8) & 0xff)] as number) ^
        (t[1280 + ((low >>> 16) & 0xff)] as number) ^
        (t[1024 + (low >>> 24)] as number) ^
        (t[768 + (bytes[at + 4] as number)] as number) ^
        (t[512 + (bytes[at + 5] as number)] as number) ^
        (t[256 + (bytes[at + 6] as number)] as number) ^
        (t[bytes[at + 7] as number] as number)
    }
    for (; at < end; at++) crc = (t[(crc ^ (bytes[at] as number)) & 0xff] as number) ^ (crc >>> 8)
    this.#crc = crc
  }

  finish(): Uint8Array {
    return bigEndian(~this.#crc >>> 0)
  }
}

/** Eight tables of 256 in a row; table n is n zero bytes ahead of table 0. */
function makeCrcTables(polynomial: number): Int32Array {
  const tables = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1
    tables[byte] = crc
  }
  for (let at = 256; at < tables.length; at++) {
    const before = tables[at - 256] as number
    tables[at] = (tables[before & 0xff] as number) ^ (before >>> 8)
  }
  return tables
}

function bigEndian(value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
