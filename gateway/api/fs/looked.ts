/** Directories that a session has looked at: of what happens elsewhere it is told nothing. */

import { isWithin, type Path, parentOf, root } from '../../core/path.ts'
import type { Ledger } from './ledger.ts'

const most = 65_536
/** Milliseconds that an answer holds whether a directory may be listed. */
const holds = 30_000
/** Bytes of one beside its name. */
const overhead = 160
/** Names of a path that a search goes by. */
const mostWays = 16

interface Sight {
  may: boolean | undefined
  /** On the clock of `performance`. */
  until: number
}

export class Looked {
  readonly #ledger: Ledger
  readonly #owner: string
  readonly #directories = new Map<Path, Sight>()
  /** How those begin, and all above: what changes elsewhere is known at once to be of no interest. */
  readonly #ways = new Set<Path>()
  #bytes = 0
  #closed = false
  /** Told when directories were forgotten. */
  forgotten: (() => void) | undefined

  constructor(ledger: Ledger, owner: string) {
    this.#ledger = ledger
    this.#owner = owner
  }

  /** An object was looked at, in its directory. */
  at(path: Path): void {
    this.#add(parentOf(path))
  }

  /** A directory is about to be listed: what happens meanwhile is to be told. */
  listing(directory: Path): void {
    this.#add(directory)
  }

  /** A directory was listed. */
  listed(directory: Path): void {
    const sight = this.#add(directory)
    sight.may = true
    sight.until = performance.now() + holds
  }

  has(directory: Path): boolean {
    return this.#directories.has(directory)
  }

  /** Those within `top`, at most so many; undefined where there are more. */
  within(top: Path, most: number): readonly Path[] | undefined {
    if (!this.#ways.has(beginning(top))) return []
    const found: Path[] = []
    for (const directory of this.#directories.keys()) {
      if (!isWithin(directory, top)) continue
      if (found.length === most) return undefined
      found.push(directory)
    }
    return found
  }

  /** Whether it may be listed, as far as that is known. */
  mayList(directory: Path): boolean | undefined {
    const sight = this.#directories.get(directory)
    return sight && sight.until > performance.now() ? sight.may : undefined
  }

  learn(directory: Path, may: boolean): void {
    const sight = this.#directories.get(directory)
    if (!sight) return
    sight.may = may
    sight.until = performance.now() + holds
  }

  /** It may be another one, or open to others. */
  doubt(directory: Path): void {
    const sight = this.#directories.get(directory)
    if (sight) sight.until = 0
  }

  /** Nothing is remembered any more. */
  close(): void {
    this.#closed = true
    this.clear()
  }

  clear(): void {
    this.#directories.clear()
    this.#ways.clear()
    this.#ledger.forget(this.#owner, this.#bytes)
    this.#bytes = 0
  }

  #add(directory: Path): Sight {
    const known = this.#directories.get(directory)
    if (known) return known
    if (this.#closed) return { may: undefined, until: 0 }
    if (this.#directories.size >= most || !this.#remember(directory)) {
      // All at once: whoever is told so once may forget everything, instead of one thing at a time.
      this.clear()
      this.forgotten?.()
      if (!this.#remember(directory)) return { may: undefined, until: 0 }
    }
    const sight: Sight = { may: undefined, until: 0 }
    this.#directories.set(directory, sight)
    return sight
  }

  /** False, and nothing is remembered, where there is no room. */
  #remember(directory: Path): boolean {
    const ways: Path[] = []
    for (let way = beginning(directory); !this.#ways.has(way); way = parentOf(way)) {
      ways.push(way)
      if (way === root) break
    }
    const bytes = directory.length + overhead * (1 + ways.length)
    if (!this.#ledger.remember(this.#owner, bytes)) return false
    this.#bytes += bytes
    for (const way of ways) this.#ways.add(way)
    return true
  }
}

/** The first names of a path: of deep trees no more is remembered for each directory. */
function beginning(path: Path): Path {
  let end = 0
  for (let names = 0; names < mostWays; names++) {
    end = path.indexOf('/', end + 1)
    if (end < 0) return path
  }
  return path.slice(0, end) as Path
}
