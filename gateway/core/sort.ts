/**
 * Listings in the order of names, in bounded memory: what does not fit is written to one temporary file
 * in sorted runs, which are merged. The file loses its name as soon as it is open, so that nothing stays
 * behind, however the process ends.
 */

import { randomUUID } from 'node:crypto'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Acl } from '../../acl/acl.ts'
import type { Entry } from '../../backends/backend.ts'
import { StorageError } from './errors.ts'
import { compareNames } from './names.ts'

export interface SortOptions {
  /** An existing directory, writable for this process alone. */
  readonly directory: string
  /** Bytes of entries kept in memory, roughly; 8 MiB by default. */
  readonly memory?: number
  /** Entries in a page that comes out; 1,000 by default. */
  readonly pageLength?: number
  /** Runs merged at once; 64 by default. */
  readonly fanIn?: number
}

/** Bytes read at once from each run that is merged. */
const piece = 32_768

/** Yields the same entries by the UTF-8 bytes of their names. Reads all of `pages` before the first page. */
export async function* sortedPages(
  pages: AsyncIterable<readonly Entry[]>,
  options: SortOptions,
): AsyncGenerator<readonly Entry[]> {
  const { memory = 8 * 1024 * 1024, pageLength = 1000 } = options
  let held: Entry[] = []
  let acls = new Set<Acl>()
  let size = 0
  let spill: Spill | undefined
  try {
    for await (const page of pages) {
      for (const entry of page) {
        held.push(entry)
        size += sizeOf(entry)
        // Entries share ACLs; each costs once.
        if (entry.acl && !acls.has(entry.acl)) {
          acls.add(entry.acl)
          size += perAce * entry.acl.aces.length
        }
      }
      if (size < memory) continue
      spill ??= await Spill.open(options)
      await spill.add(held.sort(byName))
      held = []
      acls = new Set()
      size = 0
    }
    held.sort(byName)
    if (!spill) {
      for (let at = 0; at < held.length; at += pageLength) yield held.slice(at, at + pageLength)
      return
    }
    if (held.length > 0) await spill.add(held)
    held = []
    yield* spill.merged(pageLength)
  } finally {
    await spill?.close()
  }
}

/** A sorted run in the file. */
interface Run {
  readonly start: number
  readonly end: number
}

class Spill {
  readonly #handle: FileHandle
  readonly #fanIn: number
  #runs: Run[] = []
  #end = 0

  static async open({ directory, fanIn = 64 }: SortOptions): Promise<Spill> {
    const file = join(directory, `listing-${randomUUID()}`)
    try {
      const handle = await open(file, 'wx+', 0o600)
      await unlink(file)
      return new Spill(handle, fanIn)
    } catch (cause) {
      throw new StorageError('unavailable', 'the listing cannot be sorted', { cause })
    }
  }

  private constructor(handle: FileHandle, fanIn: number) {
    this.#handle = handle
    this.#fanIn = fanIn
  }

  /** `entries` are sorted. */
  async add(entries: readonly Entry[]): Promise<void> {
    const writer = new RunWriter(this.#handle, this.#end)
    for (const entry of entries) if (writer.add(entry)) await writer.flush()
    await this.#finish(writer)
    if (this.#runs.length >= this.#fanIn * this.#fanIn) await this.#shrink()
  }

  async *merged(pageLength: number): AsyncGenerator<readonly Entry[]> {
    while (this.#runs.length > this.#fanIn) await this.#shrink()
    let page: Entry[] = []
    for await (const entry of merge(this.#handle, this.#runs)) {
      page.push(entry)
      if (page.length < pageLength) continue
      yield page
      page = []
    }
    if (page.length > 0) yield page
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  /** Merges the oldest runs into one behind all others. */
  async #shrink(): Promise<void> {
    const oldest = this.#runs.splice(0, this.#fanIn)
    const writer = new RunWriter(this.#handle, this.#end)
    for await (const entry of merge(this.#handle, oldest)) if (writer.add(entry)) await writer.flush()
    await this.#finish(writer)
  }

  async #finish(writer: RunWriter): Promise<void> {
    await writer.flush()
    this.#runs.push({ start: this.#end, end: writer.end })
    this.#end = writer.end
  }
}

class RunWriter {
  readonly #handle: FileHandle
  #lines: string[] = []
  #length = 0
  end: number

  constructor(handle: FileHandle, start: number) {
    this.#handle = handle
    this.end = start
  }

  /** True: it is time to flush. */
  add(entry: Entry): boolean {
    const line = lineOf(entry)
    this.#lines.push(line)
    this.#length += line.length
    return this.#length > 8 * piece
  }

  async flush(): Promise<void> {
    const bytes = Buffer.from(this.#lines.join(''))
    this.#lines = []
    this.#length = 0
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, this.end)
        done += bytesWritten
        this.end += bytesWritten
      }
    } catch (cause) {
      throw new StorageError('unavailable', 'the listing cannot be sorted', { cause })
    }
  }
}

/** Reads a run from its start, one entry at a time. */
class RunReader {
  readonly #handle: FileHandle
  readonly #run: Run
  #at: number
  #bytes = Buffer.alloc(0)
  /** The entry whose turn it is. */
  entry: Entry | undefined

  constructor(handle: FileHandle, run: Run) {
    this.#handle = handle
    this.#run = run
    this.#at = run.start
  }

  /** Takes the next entry from what has been read; false: more must be read first. */
  step(): boolean {
    const end = this.#bytes.indexOf(10)
    if (end < 0 && this.#at < this.#run.end) return false
    this.entry = end < 0 ? undefined : entryOf(this.#bytes.toString('utf8', 0, end))
    this.#bytes = this.#bytes.subarray(end + 1)
    return true
  }

  async fill(): Promise<void> {
    const buffer = Buffer.allocUnsafe(Math.min(piece, this.#run.end - this.#at))
    const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, this.#at)
    if (bytesRead === 0) throw new StorageError('internal', 'a sorted run ends too early')
    this.#at += bytesRead
    this.#bytes = Buffer.concat([this.#bytes, buffer.subarray(0, bytesRead)])
  }
}

async function* merge(handle: FileHandle, runs: readonly Run[]): AsyncGenerator<Entry> {
  const heap: RunReader[] = []
  for (const run of runs) {
    const reader = new RunReader(handle, run)
    while (!reader.step()) await reader.fill()
    if (reader.entry) heap.push(reader)
  }
  for (let at = heap.length >> 1; at >= 0; at--) sink(heap, at)
  for (let top = heap[0]; top?.entry; top = heap[0]) {
    yield top.entry
    while (!top.step()) await top.fill()
    if (top.entry === undefined) {
      const last = heap.pop()
      if (last && last !== top) heap[0] = last
    }
    sink(heap, 0)
  }
}

/** Restores the heap below `at`: the reader with the first name on top. */
function sink(heap: RunReader[], start: number): void {
  for (let at = start; ; ) {
    let first = at
    for (const child of [2 * at + 1, 2 * at + 2]) if (isBefore(heap[child], heap[first])) first = child
    if (first === at) return
    const moved = heap[at] as RunReader
    heap[at] = heap[first] as RunReader
    heap[first] = moved
    at = first
  }
}

function isBefore(a: RunReader | undefined, b: RunReader | undefined): boolean {
  return a?.entry !== undefined && b?.entry !== undefined && compareNames(a.entry.name, b.entry.name) < 0
}

function byName(a: Entry, b: Entry): number {
  return compareNames(a.name, b.name)
}

/** Roughly what an entry of an ACL costs in memory. */
const perAce = 150

/** Roughly what an entry costs in memory, without its ACL. */
function sizeOf(entry: Entry): number {
  return 300 + 2 * entry.name.length
}

/** JSON knows no bigint: times go as text. Without replacer and reviver this is several times faster. */
function lineOf(entry: Entry): string {
  const { modified, changed, accessed } = entry
  const times = { modified: `${modified}`, changed: `${changed}`, accessed: accessed?.toString() }
  return `${JSON.stringify({ ...entry, ...times })}\n`
}

function entryOf(line: string): Entry {
  const entry = JSON.parse(line) as Entry
  const { modified, changed, accessed } = entry
  const times = { modified: BigInt(modified), changed: BigInt(changed) }
  return Object.assign(entry, times, accessed === undefined ? {} : { accessed: BigInt(accessed) })
}
