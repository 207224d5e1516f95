/** copy: files, and whole trees of them. */

import type { Entry } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { requireApart } from './apart.ts'
import type { Call } from './call.ts'
import { clearTarget } from './clearing.ts'
import { copyFile, copyProperties, type FileOptions } from './copying-file.ts'
import type { Gate } from './deciding.ts'
import { StorageError } from './errors.ts'
import { openListing } from './listing.ts'
import { makeDirectory } from './making.ts'
import { isWithin, join, type Path } from './path.ts'
import { look } from './reading.ts'
import type { MoveOptions } from './storage.ts'
import { Target } from './target.ts'
import type { Task } from './task.ts'

export interface Copied {
  readonly entry: Entry
  readonly created: boolean
  /** With `members: 'each'`: what could not be copied, by its path in the source. At most `mostFailures`; then the operation has stopped. */
  readonly failed?: readonly Failure[]
}

export interface CopyOptions extends MoveOptions, FileOptions {
  /** With directories, everything in them. */
  readonly recursive?: boolean
  /**
   * Of a recursive copy. `first` (default): the first failure ends it. `each`: what fails is named and the rest is
   * copied all the same. `none`: a directory is copied alone, with its properties.
   */
  readonly members?: 'first' | 'each' | 'none'
}

/** Of the copies in a tree. */
export interface TreeOptions extends MoveOptions {
  /** As TransferOptions.exact. */
  readonly exact?: boolean
  /** Takes what fails below the top, so that the rest is copied all the same. */
  readonly failed?: Failure[]
}

interface Failure {
  readonly path: Path
  readonly error: unknown
}

/** A tree in which more than this fails is left alone from there on. */
const mostFailures = 1000

/** Directories of one parent remembered at a time. */
const mostPending = 10_000

/** StorageOperations.copy */
export function copy(gate: Gate, call: Call, from: Path, to: Path, options: CopyOptions): Promise<Copied> {
  return gate.perform(
    call,
    'copy',
    from,
    async (task) => {
      if (isWithin(to, from)) throw new StorageError('invalid', 'the target lies in the source', { path: to })
      const source = await lookAtSource(gate, task, from)
      if (source.type === 'directory' && !options.recursive) {
        throw new StorageError('is-directory', 'this is a directory', { path: from })
      }
      await requireOutside(gate, task, from, source, to)
      const cleared = options.replaceWhole && (await clearTarget(gate, task, source, from, to, options))
      const copied = await copyAny(gate, task, from, source, to, options)
      return cleared ? { ...copied, created: false } : copied
    },
    to,
  )
}

async function copyAny(
  gate: Gate,
  task: Task,
  from: Path,
  source: Entry,
  to: Path,
  options: CopyOptions,
): Promise<Copied> {
  if (source.type !== 'directory') return copyFile(gate, task, from, source, to, options)
  if (options.members === 'none') return copyDirectory(gate, task, from, to, options)
  const all = options.overwrite === undefined ? {} : { overwrite: options.overwrite }
  if (options.members !== 'each') return copyTree(gate, task, from, to, all)
  const failed: Failure[] = []
  return { ...(await copyTree(gate, task, from, to, { ...all, failed })), failed }
}

/** What the credential says of the target comes first: a refusal by it costs the back end nothing. */
async function requireOutside(gate: Gate, task: Task, from: Path, source: Entry, to: Path): Promise<void> {
  const target = source.type === 'directory' ? gate.place(task, 'mkdir', to) : new Target(gate, task, to).place
  const look = async (place: Place) => {
    const walk = () => place.mount.backend.walk(place.inner, task)
    return { place, trail: await gate.run(task, place, walk, { admission: 'continues' }) }
  }
  requireApart(await look(gate.place(task, 'read', from)), await look(target))
}

/** Merges into a directory that is there, unless `overwrite` is false. Stops at the first failure. */
export async function copyTree(gate: Gate, task: Task, from: Path, to: Path, options: TreeOptions): Promise<Copied> {
  const { pages } = await openListing(gate, task, from, { names: true }, 'continues')
  const copied = await copyDirectory(gate, task, from, to, options)
  const directories: string[] = []
  const copyOne = (name: string, work: (child: Path, target: Path) => Promise<unknown>) =>
    attempt(task, join(from, name), options, () => work(join(from, name), join(to, name)))
  for await (const page of pages()) {
    for (const { name, type } of page) {
      if (type === 'directory' && directories.length < mostPending) directories.push(name)
      else if (type === 'directory')
        await copyOne(name, (child, target) => copyTree(gate, task, child, target, options))
      else
        await copyOne(name, async (child, target) =>
          copyFile(gate, task, child, await lookAtSource(gate, task, child), target, options),
        )
    }
  }
  // One listing open at a time, however deep the tree is.
  for (const name of directories) await copyOne(name, (child, target) => copyTree(gate, task, child, target, options))
  return copied
}

/** One member of a tree. Where failures are collected, what is wrong with it alone does not end the operation. */
async function attempt(task: Task, path: Path, { failed }: TreeOptions, work: () => Promise<unknown>): Promise<void> {
  if (!failed) return void (await work())
  if (failed.length >= mostFailures) return
  try {
    await work()
  } catch (thrown) {
    const error = StorageError.from(thrown)
    if (task.expired) throw task.expired
    // Nothing more can be done for anybody.
    if (error.code === 'cancelled' || error.code === 'no-space' || error.code === 'quota') throw error
    failed.push({ path, error })
  }
}

/** The directory alone, and what goes with it. */
async function copyDirectory(gate: Gate, task: Task, from: Path, to: Path, options: TreeOptions): Promise<Copied> {
  const created = await makeTarget(gate, task, to, options)
  await copyProperties(gate, task, from, to, true)
  return { entry: created ?? (await look(gate, task, 'stat', to)), created: created !== undefined }
}

/** What is to be copied; throws `unsupported` for links and special files, which no operation can make. */
async function lookAtSource(gate: Gate, task: Task, path: Path): Promise<Entry> {
  const entry = await look(gate, task, 'read', path)
  if (entry.type === 'file' || entry.type === 'directory') return entry
  throw new StorageError('unsupported', 'links and special files cannot be copied', { path })
}

/** The new directory; undefined where one was there. */
async function makeTarget(gate: Gate, task: Task, to: Path, options: TreeOptions): Promise<Entry | undefined> {
  try {
    return await makeDirectory(gate, task, to, 'continues')
  } catch (error) {
    if (!(error instanceof StorageError) || error.code !== 'exists' || options.overwrite === false) throw error
    return undefined
  }
}
