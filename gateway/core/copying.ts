/** copy: within a back end where it can, else the bytes pass through the gateway; files and whole trees. */

import { pipeline } from 'node:stream/promises'
import type { Entry, OpenFile, Trail } from '../../backends/backend.ts'
import { startDigest } from '../../backends/digesting.ts'
import type { Place } from '../../mounts/namespace.ts'
import { touchOf } from './acting.ts'
import { requireApart } from './apart.ts'
import type { Call } from './call.ts'
import { clearTarget } from './clearing.ts'
import { LatePassage } from './committing.ts'
import { type Gate, missing, requirePlain } from './deciding.ts'
import { sameDigest } from './digests.ts'
import { StorageError } from './errors.ts'
import { openListing } from './listing.ts'
import { makeDirectory, makeParents } from './making.ts'
import { isWithin, join, type Path } from './path.ts'
import { getPropertiesOf, setPropertiesOf } from './properties.ts'
import { look, openFile, requireOnline, streamOf } from './reading.ts'
import type { MoveOptions, Written } from './storage.ts'
import { Target } from './target.ts'
import type { Task } from './task.ts'
import { startUpload } from './writing.ts'

export interface Copied {
  readonly entry: Entry
  readonly created: boolean
  /** With `members: 'each'`: what could not be copied, by its path in the source. At most `mostFailures`; then the operation has stopped. */
  readonly failed?: readonly Failure[]
}

export interface CopyOptions extends MoveOptions {
  /** With directories, everything in them. */
  readonly recursive?: boolean
  /**
   * Of a recursive copy. `first` (default): the first failure ends it. `each`: what fails is named and the rest is
   * copied all the same. `none`: a directory is copied alone, with its properties.
   */
  readonly members?: 'first' | 'each' | 'none'
}

interface Failure {
  readonly path: Path
  readonly error: unknown
}

/** For moves over mounts: the copy keeps the modification time, and is read again and compared. */
export interface TransferOptions extends MoveOptions {
  readonly exact?: boolean
  /** Takes what fails below the top, so that the rest is copied all the same. */
  readonly failed?: Failure[]
}

/** A tree in which more than this fails is left alone from there on. */
const mostFailures = 1000

/** Bytes that a copy inside a back end adds a millisecond to the deadline for. */
const copyBytesPerMs = 32 * 1024
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
  if (options.members !== 'each') return copyTree(gate, task, from, to, options)
  const failed: Failure[] = []
  return { ...(await copyTree(gate, task, from, to, { ...options, failed })), failed }
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

/** `source` is what a look found at `from`; the decision to read it is made again when it is opened. */
export async function copyFile(
  gate: Gate,
  task: Task,
  from: Path,
  source: Entry,
  to: Path,
  options: TransferOptions,
): Promise<Copied> {
  const place = gate.place(task, 'read', from)
  requireOnline(place, source)
  const target = new Target(gate, task, to)
  const { backend } = place.mount
  const copying = !options.exact && backend === target.place.mount.backend ? backend.copying : undefined
  const copied = copying
    ? await copyWithin(gate, task, place, source, target, options)
    : await transfer(gate, task, place, to, options)
  if (!copying?.takesProperties?.(task.principal)) await copyProperties(gate, task, from, to, copied.created)
  task.items = (task.items ?? 0) + 1
  return copied
}

/** Merges into a directory that is there, unless `overwrite` is false. Stops at the first failure. */
export async function copyTree(
  gate: Gate,
  task: Task,
  from: Path,
  to: Path,
  options: TransferOptions,
): Promise<Copied> {
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
async function attempt(
  task: Task,
  path: Path,
  { failed }: TransferOptions,
  work: () => Promise<unknown>,
): Promise<void> {
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
async function copyDirectory(gate: Gate, task: Task, from: Path, to: Path, options: TransferOptions): Promise<Copied> {
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
async function makeTarget(gate: Gate, task: Task, to: Path, options: TransferOptions): Promise<Entry | undefined> {
  try {
    return await makeDirectory(gate, task, to, 'continues')
  } catch (error) {
    if (!(error instanceof StorageError) || error.code !== 'exists' || options.overwrite === false) throw error
    return undefined
  }
}

async function copyWithin(
  gate: Gate,
  task: Task,
  place: Place,
  source: Entry,
  target: Target,
  options: TransferOptions,
): Promise<Copied> {
  try {
    return await copyInside(gate, task, place, source, target, options)
  } catch (error) {
    const { mount, path } = target.place
    if (!mount.createParents || !(error instanceof StorageError) || error.code !== 'no-parent') throw error
    await makeParents(gate, task, path)
    return await copyInside(gate, task, place, source, target, options)
  }
}

async function copyInside(
  gate: Gate,
  task: Task,
  place: Place,
  source: Entry,
  target: Target,
  options: TransferOptions,
): Promise<Copied> {
  const { backend, deadline } = place.mount
  const { copying } = backend
  if (!copying) throw new StorageError('unsupported', 'this mount cannot copy', { path: place.path })
  const onlyNew = options.overwrite === false
  const condition = target.bound(onlyNew ? 'absent' : 'any')
  let goal: Trail | undefined
  const decide = (trail: Trail) => {
    target.decide(gate, task, trail)
    if (onlyNew && trail.entry) throw new StorageError('exists', 'the target exists', { path: target.place.path })
    goal = trail
  }
  const passage = new LatePassage(gate, task, target.place)
  const decideLast = (trail: Trail) => {
    decide(trail)
    passage.decide(trail)
  }
  try {
    const entry = await gate.act(
      task,
      place,
      async () => {
        await passage.prepare()
        const pending = await copying.copy(place.inner, target.place.inner, { condition, decide: decideLast }, task)
        goal = pending.target
        return passage.over(pending)
      },
      ({ trail }) => {
        gate.allow(task, 'read', place, trail)
        if (!trail.entry && !backend.enforces(task.principal)) throw missing(place.path)
        if (trail.entry) requirePlain(trail.entry, place.path)
        if (trail.entry) requireOnline(place, trail.entry)
        if (goal) decide(goal)
      },
      {
        admission: 'continues',
        deadline: deadline + source.size / copyBytesPerMs,
        touching: {
          touched: () => [{ place: target.place, trail: goal, touch: goal ? touchOf(goal) : 'name' }],
          prepares: true,
        },
      },
    )
    return { entry, created: goal?.entry === undefined }
  } catch (error) {
    throw target.translate(error, onlyNew)
  }
}

/** Through the gateway. The size is announced, so a source that shrinks or grows meanwhile commits nothing. */
async function transfer(gate: Gate, task: Task, place: Place, to: Path, options: TransferOptions): Promise<Written> {
  const file = await openFile(gate, task, place)
  try {
    const { size, modified } = file.entry
    const upload = await startUpload(
      gate,
      task,
      to,
      {
        size,
        onlyNew: options.overwrite === false,
        ...(options.exact ? { modified, digests: ['sha-256'] as const } : {}),
      },
      'continues',
    )
    try {
      if (file.content) upload.body.end(file.content)
      else
        await pipeline(streamOf(gate, task, place.mount, file, { start: 0, end: size }), upload.body, {
          signal: task.signal,
        })
    } catch (error) {
      await upload.discard()
      throw error
    }
    const written = await upload.commit()
    task.bytes = (task.bytes ?? 0) + upload.bytes
    if (options.exact) await verify(gate, task, to, written)
    return written
  } finally {
    await file.close()
  }
}

/**
 * Reads the copy again. It is the gateway that looks, not the caller, who may have no right to read there;
 * where the back end refuses that, the size alone has been compared.
 */
async function verify(gate: Gate, task: Task, to: Path, { entry, digests }: Written): Promise<void> {
  const place = gate.admit(task, to)
  let copy: OpenFile
  try {
    copy = await gate.act(
      task,
      place,
      () => place.mount.backend.open(place.inner, {}, task),
      () => {},
      { admission: 'continues', late: (file) => file.close() },
    )
  } catch (error) {
    if (error instanceof StorageError && error.code === 'denied') return
    throw error
  }
  try {
    const digest = startDigest('sha-256')
    for await (const chunk of streamOf(gate, task, place.mount, copy, { start: 0, end: entry.size }))
      digest.update(chunk)
    const expected = digests['sha-256']
    if (expected && sameDigest(digest.digest(), expected)) return
    throw new StorageError('bad-checksum', 'the copy differs from the original', { path: to })
  } finally {
    await copy.close()
  }
}

/**
 * What goes with the file goes along, as far as the caller may read it there and write it here. `isNew`: there was
 * nothing that had properties of its own, or they stay, as those of a directory into which others are copied.
 */
async function copyProperties(gate: Gate, task: Task, from: Path, to: Path, isNew: boolean): Promise<void> {
  const source = task.namespace.resolve(from).mount.backend
  const target = task.namespace.resolve(to).mount.backend
  if (!target.properties) return
  await unlessDenied(async () => {
    const properties = source.properties ? await getPropertiesOf(gate, task, from, 'continues') : none
    const others = isNew ? none : await unlessDenied(() => getPropertiesOf(gate, task, to, 'continues'))
    const gone = [...(others ?? none).keys()].filter((name) => !properties.has(name))
    const changes = new Map([...gone.map((name) => [name, undefined] as const), ...properties])
    if (changes.size > 0) await setPropertiesOf(gate, task, to, changes, 'continues')
  })
}

const none: ReadonlyMap<string, string> = new Map()

async function unlessDenied<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof StorageError && error.code === 'denied') return undefined
    throw error
  }
}
