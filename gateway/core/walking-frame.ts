/** One directory of a walk: its names in order, from where the walk begins to where it ends. */

import { StorageError } from './errors.ts'
import { nextOf } from './known-names.ts'
import { behind, successor } from './packed-names.ts'
import { join, type Path } from './path.ts'
import type { Directory } from './walking-directories.ts'

/** All keys up to `after` are left out; those too that begin with it, where it says so. */
export interface Resume {
  readonly after: string
  readonly beyond?: boolean
}

export interface Opening {
  readonly path: Path
  /** What all its keys begin with: nothing, or something with a slash at the end. */
  readonly keys: string
  /** What its names begin with. */
  readonly names: string
  readonly resume: Resume | undefined
  /** Reads the names of a directory from a key on. */
  open(path: Path, from: Uint8Array): Promise<Directory>
}

/** Directories read before their turn comes, of one above. */
const mostAhead = 4
/** Directories larger than this on average are read when their turn comes. */
const tooLarge = 10_000

export class Frame {
  readonly keys: string
  readonly #opening: Opening
  readonly #until: Uint8Array | undefined
  #directory: Directory
  /** No key before it is told. */
  #from: Uint8Array
  #at: number
  #ended = false
  readonly #ahead = new Map<string, Promise<Frame | undefined>>()
  /** Directories in it that were entered, and their names. */
  #entered = 0
  #found = 0

  /** Throws what the look says: `denied`, `not-found`, `not-directory`. */
  static async open(opening: Opening): Promise<Frame> {
    const from = beginning(opening)
    return new Frame(opening, await opening.open(opening.path, from), from)
  }

  private constructor(opening: Opening, directory: Directory, from: Uint8Array) {
    this.keys = opening.keys
    this.#opening = opening
    this.#directory = directory
    this.#from = from
    this.#at = directory.window.names.from(from)
    if (opening.names !== '') this.#until = behind(Buffer.from(opening.names))
  }

  get directory(): Directory {
    return this.#directory
  }

  /** Nobody has put anything into it that is a key. */
  get isEmpty(): boolean {
    const { complete, names } = this.#directory.window
    return complete && names.length === 0 && this.#opening.names === ''
  }

  /** The name whose turn it is, a directory's with its slash. To be asked while it is open. */
  get name(): string {
    return this.#directory.window.names.at(this.#at)
  }

  get isDirectory(): boolean {
    return this.#directory.window.names.isDirectory(this.#at)
  }

  advance(): void {
    this.#at++
  }

  /** Whether it is known that there is a name whose turn it is. */
  get isReady(): boolean {
    return this.#until === undefined && !this.#ended && this.#at < this.#directory.window.names.length
  }

  /** Whether there is a name whose turn it is. */
  async isOpen(): Promise<boolean> {
    while (!this.#ended) {
      const { names, complete } = this.#directory.window
      if (this.#at < names.length) {
        this.#ended = this.#until !== undefined && names.compare(this.#at, this.#until) >= 0
        return !this.#ended
      }
      if (complete) return false
      await this.#more()
    }
    return false
  }

  /** Goes on behind all keys that begin so. */
  skip(prefix: string): void {
    this.#from = behind(Buffer.from(prefix.slice(this.keys.length)))
    this.#at = Math.max(this.#at, this.#directory.window.names.from(this.#from))
  }

  /**
   * The directory whose turn it is; undefined where the caller may not list it, or it is gone. `wanted`: how many keys
   * are needed, so that the directories behind it can be opened meanwhile.
   */
  async enter(wanted: number): Promise<Frame | undefined> {
    const { name } = this
    this.advance()
    const early = this.#ahead.get(name)
    this.#ahead.delete(name)
    // What went wrong before its turn may be right by now.
    const child = early ? early.catch(() => this.#child(name)) : this.#child(name)
    this.#lookAhead(wanted)
    const frame = await child
    this.#entered++
    this.#found += frame?.directory.window.names.length ?? 0
    return frame
  }

  #lookAhead(wanted: number): void {
    const usual = Math.max(1, this.#found / Math.max(1, this.#entered))
    if (this.#entered === 0 || usual > tooLarge) return
    const { names } = this.#directory.window
    const most = Math.min(mostAhead, Math.ceil(wanted / usual) - 1)
    for (let at = this.#at, ahead = 0; at < names.length && ahead < most && names.isDirectory(at); at++, ahead++) {
      if (this.#until && names.compare(at, this.#until) >= 0) return
      const name = names.at(at)
      if (this.#ahead.has(name)) continue
      const child = this.#child(name)
      // Whoever enters it is told.
      child.catch(() => {})
      this.#ahead.set(name, child)
    }
  }

  async #child(name: string): Promise<Frame | undefined> {
    const { path, resume, open } = this.#opening
    const at = join(path, name.slice(0, -1))
    try {
      return await Frame.open({ path: at, keys: this.keys + name, names: '', resume, open })
    } catch (error) {
      if (isClosed(error)) return undefined
      throw error
    }
  }

  async #more(): Promise<void> {
    const next = nextOf(this.#directory.window)
    if (Buffer.compare(next, this.#from) > 0) this.#from = next
    try {
      this.#directory = await this.#opening.open(this.#opening.path, this.#from)
      this.#at = this.#directory.window.names.from(this.#from)
    } catch (error) {
      if (!isClosed(error)) throw error
      this.#ended = true
    }
  }
}

/** The caller may not list it, or it is no directory any more. */
export function isClosed(error: unknown): boolean {
  if (!(error instanceof StorageError)) return false
  return error.code === 'denied' || error.code === 'not-found' || error.code === 'not-directory'
}

/** The first of its keys, without `keys`, that may be told or that is on the way to one. */
function beginning({ keys, names, resume }: Opening): Uint8Array {
  const first = Buffer.from(names)
  if (!resume?.after.startsWith(keys)) return first
  const rest = resume.after.slice(keys.length)
  const cut = rest.indexOf('/') + 1
  const from = cut > 0 && (cut < rest.length || !resume.beyond) ? Buffer.from(rest.slice(0, cut)) : past(rest, resume)
  return Buffer.compare(from, first) > 0 ? from : first
}

function past(name: string, { beyond }: Resume): Uint8Array {
  const bytes = Buffer.from(name)
  return beyond ? behind(bytes) : successor(bytes)
}
