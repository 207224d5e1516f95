/** stat and read: one back-end call each; a small file needs no stream. */

import { permitsPath } from '../../acl/authorizer.ts'
import type { Action } from '../../acl/needs.ts'
import type { Backend, Entry, FileStream, Kept, OpenFile, Pending, PendingFile, Range } from '../../backends/backend.ts'
import type { Mount, Place } from '../../mounts/namespace.ts'
import type { Call } from './call.ts'
import { isUnmodified } from './conditions.ts'
import { denied, type Gate, missing, named, requirePlain, shownDirectory } from './deciding.ts'
import { StorageError } from './errors.ts'
import { keptOf } from './kept.ts'
import type { Path } from './path.ts'
import { watchReadable } from './stalls.ts'
import type { Reading, ReadOptions } from './storage.ts'
import type { Task } from './task.ts'
import { requireReadable } from './unopened.ts'
import { openVersion } from './versions.ts'

/** Files up to this size come along with the open. */
const inline = { inlineUpTo: 65_536 } as const
const noInline = {} as const
const inlineAndKept = { ...inline, kept: true } as const
const keptAlone = { kept: true } as const

function waysToOpen({ headOnly, kept }: ReadOptions) {
  if (headOnly) return kept ? keptAlone : noInline
  return kept ? inlineAndKept : inline
}

/** StorageOperations.stat */
export async function stat(gate: Gate, call: Call, path: Path): Promise<Entry> {
  const task = gate.begin(call, 'stat', path)
  try {
    const entry = await look(gate, task, 'stat', path)
    gate.succeed(task)
    return entry
  } catch (thrown) {
    throw gate.fail(task, thrown)
  }
}

/** Both halves for `action`, and the entry. A directory that leads to a mount is there even if no back end has it. */
export async function look(gate: Gate, task: Task, action: Action, path: Path): Promise<Entry> {
  const place = gate.place(task, action, path)
  const trail = await gate.run(task, place, () => place.mount.backend.walk(place.inner, task))
  gate.allow(task, action, place, trail)
  if (trail.entry) return named(place, trail.entry)
  if (!task.namespace.leadsToMount(path)) throw missing(path)
  return syntheticEntry(task, path)
}

/** A directory between mounts, as the mount table knows it. */
export async function syntheticEntry(task: Task, path: Path): Promise<Entry> {
  const { entry } = await task.namespace.between.backend.walk(path, task)
  if (!entry) throw missing(path)
  return entry
}

/** Starts bringing a file from tape and gives the error to answer its reader with. */
export type Recall = (call: Call, path: Path) => Promise<StorageError>

/** StorageOperations.read. `recall`: for mounts that recall on reading; without it they do not. */
export async function read(
  gate: Gate,
  call: Call,
  path: Path,
  options: ReadOptions,
  recall?: Recall,
): Promise<Reading> {
  const task = gate.begin(call, 'read', path)
  try {
    const decision = permitsPath(task.principal, 'read', path)
    if (!decision.allowed) {
      const refusal = denied(path, decision.reason)
      if (options.version !== undefined) throw refusal
      return await readAncestor(gate, task, path, refusal)
    }
    const place = gate.admit(task, path)
    const elsewhere = redirectable(options) ? await redirect(gate, task, place, options) : undefined
    if (elsewhere) return settled(gate, task, elsewhere)
    const found = await gate.limits.run(task, place.mount, () => open(gate, task, place, options), { late: closeLate })
    if (found.kind === 'file') return bytesOf(gate, task, place, found, options)
    if (found.kind === 'attributes') return new BytesReading(gate, task, place.mount, found, undefined)
    return settled(gate, task, found)
  } catch (thrown) {
    // A directory that leads to mounts is held by no back end, or by one that does not have it.
    const leads = options.version === undefined && task.namespace.leadsToMount(path)
    if (thrown instanceof StorageError && thrown.code === 'not-found' && leads) {
      return settled(gate, task, { kind: 'directory', entry: await syntheticEntry(task, path) })
    }
    if (recall && thrown instanceof OnTape && thrown.recalls) throw gate.fail(task, await recall(call, path))
    throw gate.fail(task, thrown)
  }
}

/** Opens a file for an operation made of several. Directories are `is-directory`. Close what it gives. */
export async function openFile(gate: Gate, task: Task, place: Place): Promise<OpenFile> {
  return (await openPart(gate, task, place, {})).file
}

/** As `openFile`, with what is kept with the file. */
export async function openKept(
  gate: Gate,
  task: Task,
  place: Place,
): Promise<{ readonly file: OpenFile; readonly kept: Kept }> {
  const { file, kept = { digests: {} } } = await openPart(gate, task, place, { kept: true })
  return { file, kept }
}

async function openPart(gate: Gate, task: Task, place: Place, options: ReadOptions): Promise<FoundFile> {
  const found = await gate.run(task, place, () => open(gate, task, place, options), {
    admission: 'continues',
    late: closeLate,
  })
  if (found.kind !== 'file') throw new StorageError('is-directory', 'this is a directory', { path: place.path })
  try {
    // A back end that enforces may have shown nothing before it opened.
    requireOnline(place, found.file.entry)
    return found
  } catch (error) {
    closeLate(found)
    throw error
  }
}

/** Bytes of an open file of this mount; a back end that stops delivering for longer than the mount's deadline ends it. */
export function streamOf(
  gate: Gate,
  task: Task,
  mount: Mount,
  file: OpenFile,
  range: Range,
  until = range.end,
): FileStream {
  return watchReadable(gate.limits, mount, file.stream(range, until), (error) => task.expire(error))
}

type Settled = Exclude<Reading, { kind: 'bytes' }>
interface Opened {
  readonly entry: Entry
  /** None for attributes alone. */
  readonly file?: OpenFile
  readonly kept?: Kept
}
type Found =
  | (Opened & { readonly kind: 'file'; readonly file: OpenFile })
  | (Opened & { readonly kind: 'attributes' })
  | Settled

/** Looks, decides, opens. By hand, since this is the path that most calls take. */
async function open(gate: Gate, task: Task, place: Place, options: ReadOptions): Promise<Found> {
  const { backend } = place.mount
  for (let left = 3; ; left--) {
    try {
      const pending =
        options.version === undefined
          ? await backend.open(place.inner, waysToOpen(options), task)
          : await openVersion(gate, task, place, options.version)
      try {
        task.requireAlive()
        const early = decideOpen(gate, task, place, pending, options)
        if (early && early.kind !== 'directory') await requireReadable(task, place)
        if (early?.kind === 'attributes') return await withKept(gate, task, place, pending, options, early)
        if (early) return early
        const file = await pending.proceed()
        return await withKept(gate, task, place, pending, options, { kind: 'file', file, entry: file.entry })
      } finally {
        await pending.release()
      }
    } catch (error) {
      if (!(error instanceof StorageError) || task.expired) throw error
      if (options.version !== undefined && error.code !== 'stale') throw error
      if (error.code === 'is-directory') return { kind: 'directory', entry: await directoryEntry(gate, task, place) }
      if (error.code !== 'stale' || left === 0) throw error
    }
  }
}

/** With what is kept of it, where that is asked for. */
async function withKept<F extends Found & Opened>(
  gate: Gate,
  task: Task,
  place: Place,
  { kept }: PendingFile,
  options: ReadOptions,
  found: F,
): Promise<F> {
  if (!options.kept) return found
  // Earlier states are told without: what is kept is of the file as it is.
  if (options.version !== undefined) return { ...found, kept: { digests: {} } }
  try {
    return { ...found, kept: await keptOf(gate, task, place, found.entry, kept) }
  } catch (error) {
    await found.file?.close()
    throw error
  }
}

/** Whatever is answered without opening. `undefined`: go on. */
function decideOpen(
  gate: Gate,
  task: Task,
  place: Place,
  pending: Pending<OpenFile>,
  options: ReadOptions,
): Exclude<Found, { kind: 'file' }> | undefined {
  const { trail } = pending
  gate.allow(task, 'read', place, trail)
  const { entry } = trail
  if (entry === undefined) {
    // A back end that enforces may have looked at nothing so far.
    if (place.mount.backend.enforces(task.principal)) return undefined
    throw missing(place.path)
  }
  if (entry.type === 'directory' && options.version !== undefined) {
    throw new StorageError('is-directory', 'versions of directories cannot be read', { path: place.path })
  }
  if (entry.type === 'directory') return { kind: 'directory', entry: shownDirectory(task, place, entry) }
  requirePlain(entry, place.path)
  if (options.conditions && isUnmodified(options.conditions, entry)) return { kind: 'unmodified', entry }
  if (options.headOnly) return { kind: 'attributes', entry }
  requireOnline(place, entry, options)
  return undefined
}

/** Bytes that a reader of a part may ask for without being taken for one that reads the file: headers, thumbnails. */
const mostProbed = 1024 * 1024

/** The bytes are on tape only. */
export class OnTape extends StorageError {
  /** The mount recalls what is read, and this was a read. */
  readonly recalls: boolean

  constructor(path: Path, recalls: boolean) {
    super('nearline', 'the file is on tape', { path })
    this.recalls = recalls
  }
}

/**
 * Reading from tape takes hours: the caller stages first, unless the mount recalls by itself. `reading`: somebody
 * asks for the bytes; what only looks at them never makes a tape move.
 */
export function requireOnline({ mount, path }: Place, entry: Entry, reading?: ReadOptions): void {
  if (entry.locality === 'lost') throw new StorageError('unavailable', 'the bytes of the file are lost', { path })
  if (entry.locality !== 'tape') return
  throw new OnTape(path, mount.recall === 'on-read' && reading !== undefined && !isProbe(reading, entry))
}

/** A small part of a bigger file. */
function isProbe({ ranges }: ReadOptions, entry: Entry): boolean {
  const asked = ranges?.(entry)?.reduce((sum, { start, end }) => sum + end - start, 0)
  return asked !== undefined && asked < entry.size && asked <= mostProbed
}

async function directoryEntry(gate: Gate, task: Task, place: Place): Promise<Entry> {
  const trail = await place.mount.backend.walk(place.inner, task)
  return shownDirectory(task, place, gate.existing(task, 'list', place, trail))
}

type FoundFile = Found & { readonly kind: 'file' }

function bytesOf(gate: Gate, task: Task, place: Place, found: FoundFile, options: ReadOptions): Reading {
  const { entry } = found
  try {
    // A back end that enforces may have shown nothing before it opened.
    if (place.mount.backend.enforces(task.principal)) {
      requirePlain(entry, place.path)
      if (options.conditions && isUnmodified(options.conditions, entry)) {
        closeLate(found)
        return settled(gate, task, { kind: 'unmodified', entry })
      }
      if (!options.headOnly) requireOnline(place, entry, options)
    }
    return new BytesReading(gate, task, place.mount, found, options.headOnly ? undefined : options.ranges?.(entry))
  } catch (error) {
    closeLate(found)
    throw error
  }
}

function settled(gate: Gate, task: Task, reading: Settled): Settled {
  gate.succeed(task)
  return reading
}

/** Nobody waits for this file any more; a close that fails loses nothing, since nothing was written. */
function closeLate(found: Found): void {
  if (found.kind === 'file') found.file.close().catch(() => {})
}

/** The front end cannot know that a path is a directory: a credential that may only list it is told so. */
async function readAncestor(gate: Gate, task: Task, path: Path, refusal: StorageError): Promise<Reading> {
  if (!permitsPath(task.principal, 'list', path).allowed) throw refusal
  const entry = await look(gate, task, 'list', path)
  if (entry.type !== 'directory') throw refusal
  return settled(gate, task, { kind: 'directory', entry: shownDirectory(task, task.namespace.resolve(path), entry) })
}

/** Whoever follows sends its conditions along, and a version of ours means nothing there. */
function redirectable({ mayRedirect, headOnly, conditions, version }: ReadOptions): boolean {
  return mayRedirect === true && headOnly !== true && version === undefined && conditions?.ifMatch === undefined
}

/** Undefined where the bytes go through the gateway after all. Nothing here makes a tape move. */
async function redirect(gate: Gate, task: Task, place: Place, options: ReadOptions): Promise<Settled | undefined> {
  const { backend } = place.mount
  const { redirects } = backend
  if (!redirects) return undefined
  return gate.run(task, place, async (): Promise<Settled | undefined> => {
    const trail = await backend.walk(place.inner, task)
    const entry = gate.existing(task, 'read', place, trail)
    if (entry.type === 'directory') return { kind: 'directory', entry: shownDirectory(task, place, entry) }
    requirePlain(entry, place.path)
    if (options.conditions && isUnmodified(options.conditions, entry)) return { kind: 'unmodified', entry }
    if (!isOnline(backend, entry)) return undefined
    // A range that cannot be is refused here; several are put together here.
    const ranges = options.ranges?.(entry)
    if (ranges && ranges.length !== 1) return undefined
    task.requireAlive()
    const url = await redirects.readUrl(place.inner, entry, task)
    return url && { kind: 'elsewhere', entry, url }
  })
}

/** Whether the bytes are known to be where reading does not make a tape move. */
function isOnline({ tape }: Backend, { locality }: Entry): boolean {
  if (locality === undefined) return tape === undefined
  return locality === 'disk' || locality === 'disk-and-tape' || locality === 'none'
}

class BytesReading {
  readonly kind = 'bytes'
  readonly entry: Entry
  readonly ranges: readonly Range[] | undefined
  readonly content: Uint8Array | undefined
  readonly kept: Kept | undefined
  readonly #gate: Gate
  readonly #task: Task
  readonly #mount: Mount
  /** None for attributes alone. */
  readonly #file: OpenFile | undefined
  /** Those not yet destroyed, made with the first: most readings need none. */
  #streams: Set<FileStream> | undefined
  #closed = false

  constructor(
    gate: Gate,
    task: Task,
    mount: Mount,
    { entry, file, kept }: Opened,
    ranges: readonly Range[] | undefined,
  ) {
    this.entry = entry
    this.ranges = ranges
    this.content = file?.content
    this.kept = kept
    this.#gate = gate
    this.#task = task
    this.#mount = mount
    this.#file = file
  }

  stream(range: Range, until?: number): FileStream {
    if (!this.#file) throw new StorageError('invalid', 'only the attributes were asked for')
    // The file's descriptor may be another's by then.
    if (this.#closed) throw finished()
    const stream = streamOf(this.#gate, this.#task, this.#mount, this.#file, range, until)
    this.#streams ??= new Set()
    const streams = this.#streams.add(stream)
    stream.once('close', () => streams.delete(stream))
    return stream
  }

  async close(outcome?: { readonly bytes: number; readonly error?: unknown }): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    if (this.#streams) for (const stream of this.#streams) stream.destroy(finished())
    const bytes = outcome?.bytes ?? 0
    this.#task.bytes = bytes
    this.#gate.metrics?.moved(this.#task.protocol, 'out', bytes)
    try {
      if (this.#file) await this.#file.close()
    } finally {
      if (outcome?.error === undefined) this.#gate.succeed(this.#task)
      else this.#gate.fail(this.#task, outcome.error)
    }
  }
}

function finished(): StorageError {
  return new StorageError('invalid', 'the reading is closed')
}
