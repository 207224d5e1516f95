/**
 * Which block is in which slot of a disk cache: records of 32 bytes, as they are in the file, and a table to find them.
 * A record that is torn or foreign is a free slot.
 */

import { crc32 } from 'node:zlib'

/** Bytes of a record: 16 of the key, length, checksum of the block, checksum of the record, and 4 that are zero. */
export const recordSize = 32
const keySize = 16

export interface Slot {
  readonly slot: number
  /** Bytes of the block. */
  readonly length: number
  readonly checksum: number
}

export class DiskIndex {
  readonly slots: number
  readonly #records: Buffer
  /** Slot + 1, by the key's first bytes; 0 is empty. A power of two, at most half full. */
  readonly #table: Int32Array
  /** 1: used since the hand came by. */
  readonly #used: Uint8Array
  #free: number[] = []
  #hand = 0

  /** `records`: what the file has, of any length. */
  constructor(slots: number, records: Buffer) {
    this.slots = slots
    this.#records = Buffer.alloc(slots * recordSize)
    records.copy(this.#records)
    this.#table = new Int32Array(2 ** Math.ceil(Math.log2(slots * 2)))
    this.#used = new Uint8Array(slots)
    for (let slot = slots - 1; slot >= 0; slot--) {
      const sound = this.#isSound(slot)
      // Of two records with one key one is from before a crash.
      if (sound && this.#find(this.#key(slot)) < 0) this.#insert(slot)
      else this.#clear(slot)
    }
  }

  find(key: Buffer): Slot | undefined {
    const at = this.#find(key)
    if (at < 0) return undefined
    const slot = (this.#table[at] ?? 0) - 1
    this.#used[slot] = 1
    const start = slot * recordSize + keySize
    return { slot, length: this.#records.readUInt32LE(start), checksum: this.#records.readUInt32LE(start + 4) }
  }

  /** A slot that nothing points to any more: a free one, or that of a block not used for long. */
  take(): number {
    const free = this.#free.pop()
    if (free !== undefined) return free
    for (;;) {
      const slot = this.#hand
      this.#hand = (this.#hand + 1) % this.slots
      if (this.#used[slot] === 1) this.#used[slot] = 0
      else if (this.#find(this.#key(slot), slot) >= 0) {
        this.remove(slot)
        this.#free.pop()
        return slot
      }
    }
  }

  /** Gives back what `take` gave, or what has become useless. */
  remove(slot: number): void {
    const at = this.#find(this.#key(slot), slot)
    if (at >= 0) this.#cut(at)
    this.#clear(slot)
  }

  /** Files a block; returns the record for the file. */
  put(slot: number, key: Buffer, length: number, checksum: number): Buffer {
    const record = this.#record(slot)
    key.copy(record, 0, 0, keySize)
    record.writeUInt32LE(length, keySize)
    record.writeUInt32LE(checksum, keySize + 4)
    record.writeUInt32LE(crc32(record.subarray(0, keySize + 8)), keySize + 8)
    this.#insert(slot)
    return record
  }

  #record(slot: number): Buffer {
    return this.#records.subarray(slot * recordSize, (slot + 1) * recordSize)
  }

  #key(slot: number): Buffer {
    return this.#record(slot).subarray(0, keySize)
  }

  #isSound(slot: number): boolean {
    const record = this.#record(slot)
    const checksum = record.readUInt32LE(keySize + 8)
    return record.readUInt32LE(keySize) > 0 && crc32(record.subarray(0, keySize + 8)) === checksum
  }

  #clear(slot: number): void {
    this.#record(slot).fill(0)
    this.#used[slot] = 0
    this.#free.push(slot)
  }

  /** Where the table has the key (in that slot, if one is named); -1 where it has not. */
  #find(key: Buffer, slot?: number): number {
    const mask = this.#table.length - 1
    for (let at = key.readUInt32LE(0) & mask; ; at = (at + 1) & mask) {
      const found = (this.#table[at] ?? 0) - 1
      if (found < 0) return -1
      if (slot === undefined ? this.#key(found).equals(key.subarray(0, keySize)) : found === slot) return at
    }
  }

  #insert(slot: number): void {
    const mask = this.#table.length - 1
    let at = this.#key(slot).readUInt32LE(0) & mask
    while (this.#table[at] !== 0) at = (at + 1) & mask
    this.#table[at] = slot + 1
  }

  /** Takes one out and moves up those behind it that would not be found any more. */
  #cut(hole: number): void {
    const mask = this.#table.length - 1
    let empty = hole
    for (let at = (hole + 1) & mask; this.#table[at] !== 0; at = (at + 1) & mask) {
      const home = this.#key((this.#table[at] ?? 1) - 1).readUInt32LE(0) & mask
      if (((at - home) & mask) < ((at - empty) & mask)) continue
      this.#table[empty] = this.#table[at] ?? 0
      empty = at
    }
    this.#table[empty] = 0
  }
}
