/**
 * What the next process has to know of this one when it takes over the kernel's side (`--supervise`): which number means
 * which object, and which files are open. Lines of JSON in a file without a name, written before the kernel is answered.
 */

import { fstatSync, ftruncateSync, readSync, writeSync } from 'node:fs'
import type { ObjectType } from '../client/fs/remote.ts'

/** Bytes. Beyond, nothing more is written: what came later is stale for the next process. */
const longest = 256 * 1024 * 1024
const chunkSize = 1024 * 1024
/** Bytes from which on what is still true is written anew, and all before forgotten. */
const usualLength = 64 * 1024 * 1024

/** Nodes by number, files by handle; the letters are those of the lines. */
export type Line =
  /** A node has this name (further). */
  | readonly ['l', nodeid: number, parent: number, name: string, id: string, type: ObjectType]
  /** A name is gone from its directory. */
  | readonly ['u', parent: number, name: string]
  /** The object of a node got its id. */
  | readonly ['i', nodeid: number, id: string]
  /** Nobody knows the node any more. */
  | readonly ['r', nodeid: number]
  /** A file was opened. */
  | readonly ['o', fh: number, nodeid: number, isWritable: boolean, opener: number, path: string]
  | readonly ['c', fh: number]
  /** What was written may not be at the gateway; it is. */
  | readonly ['d', fh: number]
  | readonly ['k', fh: number]
  /** It holds locks, which end with their process. */
  | readonly ['h', fh: number]
  /** All that is still true begins here; it ends here. */
  | readonly ['s']
  | readonly ['e']

const letters: ReadonlySet<unknown> = new Set(['l', 'u', 'i', 'r', 'o', 'c', 'd', 'k', 'h', 's', 'e'])

export interface Journal {
  write(line: Line): void
}

export const noJournal: Journal = { write() {} }

/** One that begins when what the process before wrote has been read. */
export class SwitchedJournal implements Journal {
  readonly #fd: number | undefined
  #journal = noJournal

  constructor(fd: number | undefined) {
    this.#fd = fd
  }

  /** `present`: lines that say all that is true. `length`: bytes after which they are written instead of what led there. */
  begin(present: () => Iterable<Line>, length = usualLength): void {
    if (this.#fd !== undefined) this.#journal = journalIn(this.#fd, present, length)
  }

  write(line: Line): void {
    this.#journal.write(line)
  }
}

/** Goes on behind what is in the file already. */
function journalIn(fd: number, present: () => Iterable<Line>, length: number): Journal {
  let at = fstatSync(fd).size
  // The end of a line that its process did not finish.
  if (at > 0) at += writeSync(fd, '\n', at)
  let limit = Math.max(length, 2 * at)
  let isShortening = false
  const shorten = () => {
    isShortening = false
    try {
      at = shortened(fd, at, present())
    } catch {
      // No room for it: the file is as it was.
      ftruncateSync(fd, at)
    }
    limit = Math.max(length, 2 * at)
  }
  return {
    write(line) {
      if (at > longest) return
      const text = `${JSON.stringify(line)}\n`
      const bytes = Buffer.byteLength(text)
      // Whole or not at all: half a line at the end is passed over.
      at = written(fd, text, at) === bytes ? at + bytes : longest + 1
      if (at < limit || isShortening) return
      isShortening = true
      // Not in the middle of a change.
      setImmediate(shorten)
    },
  }
}

/** Bytes; a file system that is full is no reason to refuse what was done already. */
function written(fd: number, text: string, at: number): number {
  try {
    return writeSync(fd, text, at)
  } catch {
    return 0
  }
}

/**
 * Where the file ends when these lines alone are in it. Throws where there is no room. Whenever the process is killed, the
 * file has all of them: they are written at the end, and moved to the beginning only where the file is long enough.
 */
function shortened(fd: number, end: number, lines: Iterable<Line>): number {
  let at = end
  let batch: string[] = []
  const flush = () => {
    const text = Buffer.from(batch.join(''))
    batch = []
    for (let done = 0; done < text.length; ) done += writeSync(fd, text, done, text.length - done, at + done)
    at += text.length
  }
  const add = (line: Line) => {
    if (batch.push(`${JSON.stringify(line)}\n`) >= 4096) flush()
  }
  add(['s'])
  for (const line of lines) add(line)
  add(['e'])
  flush()
  const length = at - end
  // The place where it goes must end before the place that it comes from.
  if (length > end) return at
  const chunk = Buffer.allocUnsafe(chunkSize)
  for (let done = 0; done < length; ) {
    const count = readSync(fd, chunk, 0, Math.min(chunkSize, length - done), end + done)
    if (count === 0 || writeSync(fd, chunk, 0, count, done) !== count) return at
    done += count
  }
  ftruncateSync(fd, length)
  return length
}

/** All whole lines that count, in order: what came before all that was true at some moment does not. */
export function* linesIn(fd: number): Generator<Line> {
  let [index, begun, from] = [0, 0, 0]
  for (const [letter] of allLines(fd)) {
    if (letter === 's') begun = index
    else if (letter === 'e') from = begun
    index++
  }
  index = 0
  for (const line of allLines(fd)) if (index++ >= from && line[0] !== 's' && line[0] !== 'e') yield line
}

function* allLines(fd: number): Generator<Line> {
  const { size } = fstatSync(fd)
  let rest = Buffer.alloc(0)
  for (let at = 0; at < size; ) {
    const chunk = Buffer.allocUnsafe(Math.min(chunkSize, size - at))
    const length = readSync(fd, chunk, 0, chunk.length, at)
    if (length === 0) return
    at += length
    const bytes = Buffer.concat([rest, chunk.subarray(0, length)])
    let from = 0
    for (let end = bytes.indexOf(10, from); end >= 0; end = bytes.indexOf(10, from)) {
      const line = parse(bytes.toString('utf8', from, end))
      if (line) yield line
      from = end + 1
    }
    rest = bytes.subarray(from)
  }
}

/** Written by ourselves; what is torn is none. */
function parse(text: string): Line | undefined {
  if (text === '') return undefined
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) && letters.has(value[0]) ? (value as unknown as Line) : undefined
  } catch {
    return undefined
  }
}
