/**
 * Names of one directory in the order that keys have below it: by the bytes of their UTF-8, that of a directory with
 * a slash behind it, so that `a.txt` comes before what is in `a`. Packed, since there may be millions.
 */

import { setImmediate } from 'node:timers/promises'
import type { Entry, PackedEntries } from '../../backends/backend.ts'

const slash = 47

/** Sorted and each once. What a name is here ends in a slash where it is a directory's. */
export class PackedNames {
  readonly length: number
  readonly #bytes: Buffer
  readonly #ends: Uint32Array

  constructor(bytes: Buffer, ends: Uint32Array) {
    this.length = ends.length
    this.#bytes = bytes
    this.#ends = ends
  }

  /** Of memory. */
  get bytes(): number {
    return this.#bytes.length + this.#ends.byteLength
  }

  at(index: number): string {
    return this.#bytes.toString('utf8', this.#start(index), this.#end(index))
  }

  isDirectory(index: number): boolean {
    return this.#bytes[this.#end(index) - 1] === slash
  }

  /** The index of the first name that is not less than `key`. */
  from(key: Uint8Array): number {
    let low = 0
    let high = this.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.compare(middle, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Below 0 where the name is less than `key`. */
  compare(index: number, key: Uint8Array): number {
    return compare(this.#bytes, this.#start(index), this.#end(index), key, 0, key.length)
  }

  bytesAt(index: number): Buffer {
    return this.#bytes.subarray(this.#start(index), this.#end(index))
  }

  #start(index: number): number {
    return index === 0 ? 0 : (this.#ends[index - 1] ?? 0)
  }

  #end(index: number): number {
    return this.#ends[index] ?? 0
  }
}

/** Names of one read of a directory, from a key on; up to the last of them where there was no room for all. */
export interface Window {
  readonly names: PackedNames
  /** The first key it would tell. */
  readonly from: Uint8Array
  /** Nothing follows. */
  readonly complete: boolean
}

/** The least key behind all that begin with `prefix`; of none it is the end of all. UTF-8 has no byte of 255. */
export function behind(prefix: Uint8Array): Buffer {
  const key = Buffer.from(prefix)
  const last = key.length - 1
  if (last < 0) return Buffer.of(255)
  key[last] = (key[last] ?? 0) + 1
  return key
}

/** The least key after `key`. */
export function successor(key: Uint8Array): Buffer {
  return Buffer.concat([key, Buffer.of(0)])
}

/** Names sorted at once; more are merged run by run. */
const runLength = 4096
/** ms that sorting may keep the event loop waiting. */
const slice = 8
const perName = 4

/** Takes names in any order and gives all of them; where there is no room, as many as fit from a key on. */
export class NamesBuilder {
  readonly #wanted: Uint8Array
  readonly #most: number
  #from: Uint8Array = Buffer.alloc(0)
  #bytes: Buffer = Buffer.allocUnsafeSlow(4096)
  #used = 0
  /** Where the name of each id begins; one more is where the next will. */
  #starts = new Uint32Array(257)
  #count = 0
  /** Ids in runs, each sorted, the later ones shorter. */
  #runs: Uint32Array[] = []
  /** Ids below are in runs. */
  #sorted = 0
  /** Names that are not less are no longer taken. */
  #ceiling: Uint8Array | undefined

  /** `from`: the first key that is needed. `most`: bytes of memory for names, while they are collected. */
  constructor(from: Uint8Array, most: number) {
    this.#wanted = from
    this.#most = most
  }

  /** Of memory. */
  get bytes(): number {
    return this.#used + this.#count * perName
  }

  /** Files and directories of a page; everything else has no key. */
  async add(entries: readonly Entry[] | PackedEntries): Promise<void> {
    if ('names' in entries) this.#appendAll(entries)
    else {
      for (const { name, type } of entries) {
        if (type === 'file' || type === 'directory') this.#append(name, type === 'directory')
      }
    }
    if (this.#count - this.#sorted >= runLength) await this.#run()
    if (this.bytes > this.#most) await this.#halve()
  }

  async finish(): Promise<Window> {
    const ids = await this.#order()
    return { names: await this.#packed(ids), from: this.#from, complete: this.#ceiling === undefined }
  }

  #append(name: string, isDirectory: boolean): void {
    this.#makeRoom(name.length * 3 + 1)
    const end = this.#used + this.#bytes.write(name, this.#used)
    this.#take(end, isDirectory)
  }

  #appendAll({ names, types }: PackedEntries): void {
    this.#makeRoom(names.length + types.length)
    let start = 0
    for (const type of types) {
      let end = this.#used
      for (let byte = names[start++]; byte; byte = names[start++]) this.#bytes[end++] = byte
      if (type < 2) this.#take(end, type === 1)
    }
  }

  #makeRoom(bytes: number): void {
    const needed = this.#used + bytes
    if (needed > this.#bytes.length) this.#bytes = grown(this.#bytes, needed)
  }

  /** What has been written behind the last name, up to `end`, is a name. */
  #take(nameEnd: number, isDirectory: boolean): void {
    let end = nameEnd
    if (isDirectory) this.#bytes[end++] = slash
    const { length } = this.#from
    if (length > 0 && compare(this.#bytes, this.#used, end, this.#from, 0, length) < 0) return
    const ceiling = this.#ceiling
    if (ceiling && compare(this.#bytes, this.#used, end, ceiling, 0, ceiling.length) >= 0) return
    this.#used = end
    if (++this.#count >= this.#starts.length) {
      const starts = new Uint32Array(2 * this.#starts.length)
      starts.set(this.#starts)
      this.#starts = starts
    }
    this.#starts[this.#count] = end
  }

  async #run(): Promise<void> {
    const run = Uint32Array.from({ length: this.#count - this.#sorted }, (_, index) => this.#sorted + index)
    this.#runs.push(run.sort((a, b) => this.#compare(a, b)))
    this.#sorted = this.#count
    for (;;) {
      const [before, last] = this.#runs.slice(-2)
      if (!before || !last || before.length > 2 * last.length) return
      this.#runs.splice(-2, 2, await this.#merge(before, last))
    }
  }

  /** All ids in order. */
  async #order(): Promise<Uint32Array> {
    if (this.#sorted < this.#count) await this.#run()
    let all = this.#runs.pop() ?? new Uint32Array(0)
    for (let next = this.#runs.pop(); next; next = this.#runs.pop()) all = await this.#merge(next, all)
    return all
  }

  async #merge(a: Uint32Array, b: Uint32Array): Promise<Uint32Array> {
    const merged = new Uint32Array(a.length + b.length)
    const breath = new Breath()
    for (let i = 0, j = 0, at = 0; at < merged.length; at++) {
      const x = a[i]
      const y = b[j]
      const takesA = y === undefined || (x !== undefined && this.#compare(x, y) <= 0)
      merged[at] = (takesA ? x : y) ?? 0
      if (takesA) i++
      else j++
      if (breath.isDue(at)) await breath.take()
    }
    return merged
  }

  /** Makes room by keeping no more than the first half of what is needed. */
  async #halve(): Promise<void> {
    this.#from = this.#wanted
    const all = await this.#order()
    const ids = all.subarray(all.findIndex((id) => this.#isWanted(id)) >>> 0)
    let used = 0
    let kept = 0
    while (kept < ids.length && used < this.#most / 2) used += this.#lengthOf(ids[kept++] ?? 0) + perName
    // What does not fit a name will not be less than the first one that goes.
    const first = ids[kept]
    if (first !== undefined) {
      this.#ceiling = Buffer.from(this.#bytes.subarray(this.#starts[first], this.#starts[first + 1]))
    }
    const names = await this.#packed(ids.subarray(0, kept))
    this.#used = 0
    this.#count = 0
    for (let index = 0; index < names.length; index++) {
      this.#used += names.bytesAt(index).copy(this.#bytes, this.#used)
      this.#starts[++this.#count] = this.#used
    }
    this.#sorted = this.#count
    this.#runs = [Uint32Array.from({ length: this.#count }, (_, index) => index)]
  }

  async #packed(ids: Uint32Array): Promise<PackedNames> {
    let size = 0
    for (const id of ids) size += this.#lengthOf(id)
    const bytes = Buffer.allocUnsafeSlow(size)
    const ends = new Uint32Array(ids.length)
    const breath = new Breath()
    let used = 0
    let count = 0
    for (let at = 0; at < ids.length; at++) {
      const id = ids[at] ?? 0
      if (breath.isDue(at)) await breath.take()
      // A directory that changes while it is read may tell a name twice.
      if (at > 0 && this.#compare(ids[at - 1] ?? 0, id) === 0) continue
      const end = this.#starts[id + 1] ?? 0
      for (let from = this.#starts[id] ?? 0; from < end; from++) bytes[used++] = this.#bytes[from] ?? 0
      ends[count++] = used
    }
    return new PackedNames(bytes, count === ends.length ? ends : ends.slice(0, count))
  }

  #isWanted(id: number): boolean {
    const end = this.#starts[id + 1] ?? 0
    return compare(this.#bytes, this.#starts[id] ?? 0, end, this.#wanted, 0, this.#wanted.length) >= 0
  }

  #lengthOf(id: number): number {
    return (this.#starts[id + 1] ?? 0) - (this.#starts[id] ?? 0)
  }

  #compare(a: number, b: number): number {
    const starts = this.#starts
    const bytes = this.#bytes
    return compare(bytes, starts[a] ?? 0, starts[a + 1] ?? 0, bytes, starts[b] ?? 0, starts[b + 1] ?? 0)
  }
}

/** Lets others have the event loop in between. */
class Breath {
  #last = performance.now()

  isDue(step: number): boolean {
    return (step & 4095) === 4095 && performance.now() - this.#last > slice
  }

  async take(): Promise<void> {
    await setImmediate()
    this.#last = performance.now()
  }
}

function compare(a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number): number {
  const length = Math.min(aEnd - aStart, bEnd - bStart)
  for (let at = 0; at < length; at++) {
    const difference = (a[aStart + at] ?? 0) - (b[bStart + at] ?? 0)
    if (difference !== 0) return difference
  }
  return aEnd - aStart - (bEnd - bStart)
}

function grown(bytes: Buffer, needed: number): Buffer {
  const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * bytes.length))
  bytes.copy(larger)
  return larger
}
