/**
 * Random operations on one file beside a model of it in memory, after Apple's and NeXT's fsx: reads, writes, maps,
 * truncations, holes, copies within the file, appends, syncs, renames and opening anew. Whatever is read is compared.
 *
 *   node fsx.ts DIRECTORY STEPS SEED
 *
 * The same seed does the same. The first byte that differs ends it, with the operations that came before.
 */

import { closeSync, constants, fstatSync, openSync, readFileSync, renameSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import {
  copyFileRange,
  fallocate,
  fdatasync,
  fsync,
  ftruncate,
  lseek,
  pread,
  pwrite,
} from '../../backends/posix/native/sys.ts'
import { readMapped, writeMapped } from './memory-map.ts'

const largest = 128 * 1024
const longest = 10 * 1024
const keptOperations = 30
const FALLOC_KEEP_SIZE = 1
const FALLOC_PUNCH_HOLE = 2
const FALLOC_ZERO_RANGE = 16
const SEEK_DATA = 3
const SEEK_HOLE = 4

/** What some back ends cannot, by the words of `Fsx.operations`. */
export interface FsxOptions {
  readonly without?: readonly string[]
}

/** mulberry32: the same numbers for the same seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

export class Fsx {
  readonly #directory: string
  readonly #random: (below: number) => number
  /** Beyond `#size` it is all zeros. */
  readonly #model = Buffer.alloc(largest)
  readonly #scratch = Buffer.alloc(largest + 1)
  readonly #names = ['one', 'two']
  readonly #done: string[] = []
  readonly #operations: readonly (readonly [string, number, () => string])[]
  #size = 0
  #fd: number
  #steps = 0

  constructor(directory: string, seed: number, { without = [] }: FsxOptions = {}) {
    this.#directory = directory
    this.#random = randomFrom(seed)
    this.#fd = openSync(this.#path(), constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600)
    this.#operations = this.#all().filter(([name]) => !without.includes(name))
  }

  /** Throws at the first difference. */
  run(steps: number): void {
    const drawn = this.#operations.flatMap((operation) => Array.from({ length: operation[1] }, () => operation))
    const until = this.#steps + steps
    while (this.#steps < until) {
      this.#steps++
      const chosen = drawn[this.#random(drawn.length)]
      if (!chosen) throw new Error('no operation')
      const [name, , work] = chosen
      try {
        this.#remember(`${this.#steps} ${name} ${work()}`)
        if (this.#steps % 64 === 0) this.#checkSize()
      } catch (error) {
        throw new Error(`step ${this.#steps}, ${name}: ${(error as Error).message}\n${this.#done.join('\n')}`, {
          cause: error,
        })
      }
    }
    this.#reopen()
  }

  close(): void {
    closeSync(this.#fd)
  }

  /** Name, how often, and what it does; each tells its numbers. */
  #all(): readonly (readonly [string, number, () => string])[] {
    return [
      ['read', 50, () => this.#read(pread)],
      ['write', 20, () => this.#write()],
      ['append', 3, () => this.#append()],
      ['map-read', 15, () => this.#read((fd, into, at) => this.#readMap(fd, into, at))],
      ['map-write', 6, () => this.#writeMap()],
      ['truncate', 4, () => this.#truncate((size) => ftruncate(this.#fd, size))],
      ['truncate-by-name', 2, () => this.#truncate((size) => truncateSync(this.#path(), size))],
      ['punch', 3, () => this.#zero(FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE)],
      ['zero', 2, () => this.#zero(FALLOC_ZERO_RANGE)],
      ['extend', 1, () => this.#extend()],
      ['copy', 3, () => this.#copy()],
      ['seek', 2, () => this.#seek()],
      ['sync', 1, () => this.#sync()],
      ['rename', 1, () => this.#rename()],
      ['reopen', 2, () => this.#reopen()],
      ['whole', 1, () => this.#whole()],
    ]
  }

  #path(): string {
    return join(this.#directory, `fsx-${this.#names[0]}`)
  }

  #remember(line: string): void {
    this.#done.push(line)
    if (this.#done.length > keptOperations) this.#done.shift()
  }

  /** A range that begins within the file, and ends there too. */
  #range(): readonly [number, number] {
    if (this.#size === 0) return [0, 0]
    const start = this.#random(this.#size)
    return [start, Math.min(this.#random(longest) + 1, this.#size - start)]
  }

  /** One that may lie beyond its end. */
  #place(): readonly [number, number] {
    const start = this.#random(4) === 0 ? this.#random(largest) : this.#random(Math.min(this.#size + longest, largest))
    return [start, Math.min(this.#random(longest) + 1, largest - start)]
  }

  #compare(found: Buffer, start: number): void {
    const expected = this.#model.subarray(start, start + found.length)
    if (found.equals(expected)) return
    const at = found.findIndex((byte, index) => byte !== expected[index])
    const wrong = found.reduce((sum, byte, index) => sum + Number(byte !== expected[index]), 0)
    throw new Error(
      `byte ${start + at} is ${found[at]} and not ${expected[at]}; ${wrong} of ${found.length} differ; the size is ${this.#size}`,
    )
  }

  #read(by: (fd: number, into: Buffer, at: number) => number): string {
    const [start, length] = this.#range()
    if (length === 0) return 'nothing'
    const into = this.#scratch.subarray(0, length)
    const got = by(this.#fd, into, start)
    if (got !== length) throw new Error(`${got} of ${length} bytes at ${start}; the size is ${this.#size}`)
    this.#compare(into, start)
    return `${start}+${length}`
  }

  #readMap(fd: number, into: Buffer, at: number): number {
    return readMapped(fd, at, into.length).copy(into)
  }

  #fill(start: number, length: number): Buffer {
    const bytes = this.#model.subarray(start, start + length)
    const first = this.#random(256)
    for (let index = 0; index < length; index++) bytes[index] = first + index + (index >>> 8)
    this.#size = Math.max(this.#size, start + length)
    return bytes
  }

  #write(): string {
    const [start, length] = this.#place()
    const bytes = this.#fill(start, length)
    const wrote = pwrite(this.#fd, bytes, start)
    if (wrote !== length) throw new Error(`${wrote} of ${length} bytes were written`)
    return `${start}+${length}`
  }

  #append(): string {
    const start = this.#size
    const length = Math.min(this.#random(longest) + 1, largest - start)
    if (length === 0) return 'nothing'
    const fd = openSync(this.#path(), constants.O_WRONLY | constants.O_APPEND)
    try {
      pwrite(fd, this.#fill(start, length), 0)
    } finally {
      closeSync(fd)
    }
    return `${start}+${length}`
  }

  #writeMap(): string {
    const [start, length] = this.#range()
    if (length === 0) return 'nothing'
    writeMapped(this.#fd, start, this.#fill(start, length))
    return `${start}+${length}`
  }

  #truncate(by: (size: number) => void): string {
    const size = this.#random(3) === 0 ? this.#random(largest) : this.#random(this.#size + 1)
    by(size)
    if (size < this.#size) this.#model.fill(0, size, this.#size)
    this.#size = size
    return String(size)
  }

  #zero(mode: number): string {
    const [start, length] = this.#range()
    if (length === 0) return 'nothing'
    fallocate(this.#fd, mode, start, length)
    this.#model.fill(0, start, start + length)
    return `${start}+${length}`
  }

  #extend(): string {
    const [start, length] = this.#place()
    fallocate(this.#fd, 0, start, length)
    this.#size = Math.max(this.#size, start + length)
    return `${start}+${length}`
  }

  /** Within the file, to a range that does not meet the first. */
  #copy(): string {
    const [start, length] = this.#range()
    const to = start + length + this.#random(longest)
    if (length === 0 || to + length > largest) return 'nothing'
    let copied = 0
    while (copied < length) {
      const part = copyFileRange(this.#fd, start + copied, this.#fd, to + copied, length - copied)
      if (part === 0) throw new Error(`copying ends after ${copied} of ${length} bytes`)
      copied += part
    }
    this.#model.copy(this.#model, to, start, start + length)
    this.#size = Math.max(this.#size, to + length)
    return `${start}+${length} to ${to}`
  }

  /** Between two data there may be any number of holes, and only of zeros. */
  #seek(): string {
    const [start] = this.#range()
    if (this.#size === 0) return 'nothing'
    const hole = lseek(this.#fd, start, SEEK_HOLE)
    if (hole < start || hole > this.#size)
      throw new Error(`a hole at ${hole} after ${start}; the size is ${this.#size}`)
    const data = this.#dataAfter(start)
    const zeros = this.#model.subarray(start, data)
    if (zeros.some((byte) => byte !== 0)) throw new Error(`no data from ${start} to ${data}, where there is some`)
    return `${start} to ${data} and ${hole}`
  }

  #dataAfter(start: number): number {
    try {
      return lseek(this.#fd, start, SEEK_DATA)
    } catch {
      // ENXIO: no more data.
      return this.#size
    }
  }

  #sync(): string {
    if (this.#random(2) === 0) fsync(this.#fd)
    else fdatasync(this.#fd)
    return ''
  }

  #rename(): string {
    const from = this.#path()
    this.#names.reverse()
    renameSync(from, this.#path())
    return this.#path()
  }

  #reopen(): string {
    closeSync(this.#fd)
    this.#fd = openSync(this.#path(), constants.O_RDWR)
    this.#checkSize()
    return this.#whole()
  }

  #whole(): string {
    const found = readFileSync(this.#path())
    if (found.length !== this.#size) throw new Error(`${found.length} bytes are read of ${this.#size}`)
    this.#compare(found, 0)
    return ''
  }

  #checkSize(): void {
    const { size } = fstatSync(this.#fd)
    if (size !== this.#size) throw new Error(`the size is said to be ${size} and is ${this.#size}`)
  }
}
