/**
 * walk: what is below a directory, as keys: names joined by slashes, in the order of their UTF-8 bytes, a page at a
 * time. It takes memory for a page and for the names of the directories on its way, whatever lies below.
 *
 * Files are keys, and directories in which nothing is to be seen, with a slash at the end. Links, devices, names that
 * are too long together, and what the caller may not list or look at, are left out.
 */

import { setImmediate } from 'node:timers/promises'
import type { Entry, Kept } from '../../backends/backend.ts'
import type { Call } from './call.ts'
import type { Gate } from './deciding.ts'
import { StorageError } from './errors.ts'
import type { Admission } from './limits.ts'
import { compareNames } from './names.ts'
import { checkName, join, type Path } from './path.ts'
import type { Task } from './task.ts'
import { Directories } from './walking-directories.ts'
import { Frame, type Resume } from './walking-frame.ts'
import { Batches, type Found } from './walking-members.ts'

export interface WalkOptions {
  /** Only keys that begin with it. */
  readonly prefix?: string
  /** Where to go on; `Walked.next`, or any text as `after`. */
  readonly resume?: WalkPosition
  /** The keys for which it tells the same text, with which they begin, are told as one: that text. */
  readonly fold?: (key: string) => string | undefined
  /** Keys and folded ones for which it says no are left out, with everything that begins so. */
  readonly accepts?: (key: string) => boolean
  /** Keys and folded ones that are told at most. */
  readonly limit: number
  /** What is kept with files is wanted too. */
  readonly kept?: boolean
  /** ms after which fewer are told rather than to go on; without end by default. */
  readonly patience?: number
}

/** Between two keys. */
export interface WalkPosition {
  /** The key before, which need not exist. */
  readonly after: string
  /** What begins with `after` is before, too. */
  readonly beyond?: boolean
  /** ms since 1970 at which the first page was asked for: names of directories need be no newer for the following. */
  readonly since?: number
}

export type WalkedItem =
  | { readonly key: string; readonly entry: Entry; readonly kept: Kept | undefined }
  | { readonly folded: string }

export interface Walked {
  readonly items: readonly WalkedItem[]
  /** Absent where there is nothing more: then that was looked at. */
  readonly next?: WalkPosition
}

/** Bytes of a key. */
export const maxKeyBytes = 1024
/** Names left out between two turns of the event loop. */
const breath = 1000

/** All walks of a process, which remember names for each other. */
export class Walking {
  readonly #gate: Gate
  readonly #directories: Directories

  constructor(gate: Gate) {
    this.#gate = gate
    this.#directories = new Directories(gate)
  }

  /** StorageOperations.walk */
  walk(call: Call, path: Path, options: WalkOptions): Promise<Walked> {
    const { prefix = '' } = options
    const cut = prefix.lastIndexOf('/') + 1
    const top = below(path, prefix.slice(0, cut))
    return this.#gate.perform(call, 'list', top ?? path, async (task) => {
      const walk = new Walk(this.#gate, this.#directories, task, options)
      // Where no key can begin so, whether there is such a place is told all the same.
      const walked = await walk.run(top ?? path, { keys: prefix.slice(0, cut), names: prefix.slice(cut) }, !top)
      task.items = walked.items.length
      return walked
    })
  }
}

/** Where the keys lie that begin so; undefined where none can. */
function below(path: Path, keys: string): Path | undefined {
  if (Buffer.byteLength(keys) > maxKeyBytes) return undefined
  let at = path
  try {
    for (const name of keys.split('/').slice(0, -1)) {
      checkName(name)
      at = join(at, name)
    }
  } catch (error) {
    if (error instanceof StorageError) return undefined
    throw error
  }
  return at
}

type Candidate = { readonly folded: string } | { readonly key: string; readonly found: Found }

/** One page. */
class Walk {
  readonly #directories: Directories
  readonly #task: Task
  readonly #options: WalkOptions
  readonly #began: number
  readonly #resume: Resume | undefined
  readonly #batches: Batches
  readonly #stack: Frame[] = []
  #until = Number.POSITIVE_INFINITY
  /** All before it has been told or left out. */
  #position: WalkPosition | undefined

  constructor(gate: Gate, directories: Directories, task: Task, options: WalkOptions) {
    this.#directories = directories
    this.#task = task
    this.#options = options
    const { resume, fold } = options
    this.#began = resume?.since ?? Date.now()
    // Who comes from within has been told what they are folded to.
    const folded = resume && fold?.(resume.after)
    this.#resume = folded === undefined ? resume : { after: folded, beyond: true }
    this.#position = resume
    this.#batches = new Batches(gate, task, options.kept === true)
  }

  async run(path: Path, prefix: { readonly keys: string; readonly names: string }, empty: boolean): Promise<Walked> {
    const { limit, patience = Number.POSITIVE_INFINITY } = this.#options
    const top = await this.#top(path, prefix)
    if (!top || empty || limit < 1 || this.#isOver(prefix.keys)) return { items: [] }
    this.#stack.push(top)
    // However long the names of the first directory took, by now they are there.
    this.#until = performance.now() + patience
    const items: WalkedItem[] = []
    while (items.length <= limit && this.#stack.length > 0 && performance.now() < this.#until) {
      const candidates = await this.#gather(limit + 1 - items.length)
      items.push(...(await itemsOf(candidates)))
    }
    if (items.length > limit) {
      items.length = limit
      return { items, next: this.#after(items[limit - 1]) }
    }
    if (this.#stack.length === 0) return { items }
    return { items, next: { after: '', ...this.#position, since: this.#began } }
  }

  /** Undefined where no directory is at the end of the prefix. */
  async #top(
    path: Path,
    { keys, names }: { readonly keys: string; readonly names: string },
  ): Promise<Frame | undefined> {
    try {
      return await this.#open(path, keys, names)
    } catch (error) {
      const isNone = error instanceof StorageError && (error.code === 'not-found' || error.code === 'not-directory')
      if (!isNone || keys === '') throw error
      return undefined
    }
  }

  /** The keys begin with something that is behind all that begin with `keys`. */
  #isOver(keys: string): boolean {
    const resume = this.#resume
    if (!resume) return false
    if (resume.beyond && keys.startsWith(resume.after)) return true
    return !resume.after.startsWith(keys) && compareNames(keys, resume.after) < 0
  }

  #after(item: WalkedItem | undefined): WalkPosition {
    const since = this.#began
    if (!item) return { after: '', since }
    return 'folded' in item ? { after: item.folded, beyond: true, since } : { after: item.key, since }
  }

  /** So many, or fewer where there are no more, or where it has taken too long. Looks are under way. */
  async #gather(count: number): Promise<readonly Candidate[]> {
    const candidates: Candidate[] = []
    let leftOut = 0
    while (candidates.length < count) {
      const frame = this.#stack.at(-1)
      if (!frame || performance.now() >= this.#until) break
      if (!frame.isReady && !(await frame.isOpen())) {
        this.#stack.pop()
        this.#batches.leave(frame.directory)
        const own = frame.isEmpty ? this.#ownKey(frame) : undefined
        if (own) candidates.push(own)
        this.#position = { after: frame.keys, beyond: true }
        continue
      }
      const step = this.#step(frame)
      if (step === 'enter') await this.#enter(frame, count - candidates.length)
      else if (step) candidates.push(step)
      else if (++leftOut % breath === 0) await this.#breathe()
    }
    this.#batches.send()
    return candidates
  }

  /** Lets others have the event loop, and ends for a caller who has gone. */
  async #breathe(): Promise<void> {
    await setImmediate()
    const { aborted, reason } = this.#task.signal
    if (aborted) throw new StorageError('cancelled', 'the caller has gone', { cause: reason })
  }

  /** The next name of a directory; undefined where it is left out. */
  #step(frame: Frame): Candidate | 'enter' | undefined {
    const name = frame.name
    const key = frame.keys + name
    if (key.length * 3 > maxKeyBytes && Buffer.byteLength(key) > maxKeyBytes) {
      frame.advance()
      return undefined
    }
    const { fold, accepts } = this.#options
    const folded = fold?.(key)
    const isAccepted = accepts?.(folded ?? key) ?? true
    if (folded !== undefined) {
      this.#skip(folded)
      this.#position = { after: folded, beyond: true }
      return isAccepted ? { folded } : undefined
    }
    if (!isAccepted) {
      frame.advance()
      return undefined
    }
    if (frame.isDirectory) return 'enter'
    frame.advance()
    this.#position = { after: key }
    return { key, found: this.#batches.add(frame.directory, name) }
  }

  async #enter(frame: Frame, wanted: number): Promise<void> {
    const key = frame.keys + frame.name
    const child = await frame.enter(wanted)
    if (child) this.#stack.push(child)
    else this.#position = { after: key, beyond: true }
  }

  /** Goes on behind all keys that begin so. */
  #skip(prefix: string): void {
    while (this.#stack.length > 1 && this.#stack.at(-1)?.keys.startsWith(prefix)) this.#stack.pop()
    this.#stack.at(-1)?.skip(prefix)
  }

  /** A directory in which there is nothing is a key itself. */
  #ownKey({ keys, directory }: Frame): Candidate | undefined {
    if (keys === '' || this.#resume?.after.startsWith(keys)) return undefined
    return { key: keys, found: this.#batches.own(directory) }
  }

  #open(path: Path, keys: string, names: string): Promise<Frame> {
    const since = this.#options.resume?.since
    let admission: Admission = 'new'
    const open = (directory: Path, from: Uint8Array) => {
      const opening = this.#directories.open(this.#task, directory, { from, since, admission })
      admission = 'continues'
      return opening
    }
    return Frame.open({ path, keys, names, resume: this.#resume, open })
  }
}

/** Candidates in their order, without those of which nothing may be told. */
async function itemsOf(candidates: readonly Candidate[]): Promise<readonly WalkedItem[]> {
  const items: WalkedItem[] = []
  let waited: Found['members'] | undefined
  let members: Awaited<Found['members']> = []
  for (const candidate of candidates) {
    if ('folded' in candidate) {
      items.push(candidate)
      continue
    }
    const { key, found } = candidate
    if (found.members !== waited) {
      waited = found.members
      members = await waited
    }
    const member = members[found.index]
    if (member) items.push({ key, entry: member.entry, kept: member.kept })
  }
  return items
}
