/** copy of one file: within a back end where it can, else the bytes pass through the gateway. */

import { pipeline } from 'node:stream/promises'
import type { Entry, Kept, OpenFile, Trail } from '../../backends/backend.ts'
import { startDigest } from '../../backends/digesting.ts'
import type { Place } from '../../mounts/namespace.ts'
import { touchOf } from './acting.ts'
import { LatePassage } from './committing.ts'
import { commitCondition, needsLook, requireConditions } from './conditions.ts'
import type { Copied } from './copying.ts'
import { type Gate, missing, requirePlain } from './deciding.ts'
import { sameDigest } from './digests.ts'
import { StorageError } from './errors.ts'
import { requireRecord } from './kept.ts'
import type { Path } from './path.ts'
import { getPropertiesOf, setPropertiesOf } from './properties.ts'
import { openKept, requireOnline, streamOf } from './reading.ts'
import type { Conditions, MoveOptions, Written } from './storage.ts'
import { Target, withParents } from './target.ts'
import type { Task } from './task.ts'
import { startUpload } from './writing.ts'

/** What a copy of one file may be bound to, and have. */
export interface FileOptions {
  /** The content version that the source must be of, else `precondition`. */
  readonly version?: string
  /** What may be at the copy's place. */
  readonly conditions?: Conditions
  /** Make missing parents, each under the caller's rights; the mount may do so anyway. */
  readonly createParents?: boolean
  /** The record of the copy, given what is kept with the source. Without it the source's goes along with the bytes. */
  record?(source: Kept): string | undefined
}

/** For moves over mounts: the copy keeps the modification time, and is read again and compared. */
export interface TransferOptions extends MoveOptions, FileOptions {
  readonly exact?: boolean
}

/** Bytes that a copy inside a back end adds a millisecond to the deadline for. */
const copyBytesPerMs = 32 * 1024

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
    ? await withParents(gate, task, target, options, 'continues', () =>
        copyInside(gate, task, place, source, target, options),
      )
    : await transfer(gate, task, place, to, options)
  if (!copying?.takesProperties?.(task.principal)) await copyProperties(gate, task, from, to, copied.created)
  task.items = (task.items ?? 0) + 1
  return copied
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
  const { version, conditions = {}, record } = options
  const onlyNew = options.overwrite === false
  // What only a look tells is found out by `decide`.
  const wanted = needsLook(conditions) ? 'any' : commitCondition(conditions, undefined)
  const condition = target.bound(onlyNew ? 'absent' : wanted)
  let goal: Trail | undefined
  const decide = (trail: Trail) => {
    target.decide(gate, task, trail)
    if (onlyNew && trail.entry) throw new StorageError('exists', 'the target exists', { path: target.place.path })
    if (trail.entry || !backend.enforces(task.principal)) requireConditions(conditions, trail.entry)
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
        const how = {
          condition,
          decide: decideLast,
          ...(version !== undefined && { version }),
          ...(record && { record: (kept: Kept) => bounded(record(kept), target.place.path) }),
        }
        const pending = await copying.copy(place.inner, target.place.inner, how, task)
        goal = pending.target
        return passage.over(pending)
      },
      ({ trail }) => {
        gate.allow(task, 'read', place, trail)
        if (!trail.entry && !backend.enforces(task.principal)) throw missing(place.path)
        if (trail.entry) requirePlain(trail.entry, place.path)
        if (trail.entry) requireOnline(place, trail.entry)
        requireVersion(trail.entry, version, place.path)
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

function requireVersion(entry: Entry | undefined, version: string | undefined, path: Path): void {
  if (!entry || version === undefined || entry.version === version) return
  throw new StorageError('precondition', 'the file is not the one that was meant', { path })
}

function bounded(record: string | undefined, path: Path): string | undefined {
  requireRecord(record, path)
  return record
}

/** Through the gateway. The size is announced, so a source that shrinks or grows meanwhile commits nothing. */
async function transfer(gate: Gate, task: Task, place: Place, to: Path, options: TransferOptions): Promise<Written> {
  const { file, kept } = await openKept(gate, task, place)
  try {
    const { size, modified } = file.entry
    requireVersion(file.entry, options.version, place.path)
    const record = options.record ? options.record(kept) : kept.record
    const { conditions, createParents } = options
    const upload = await startUpload(
      gate,
      task,
      to,
      {
        size,
        onlyNew: options.overwrite === false,
        known: kept.digests,
        ...(conditions && { conditions }),
        ...(createParents && { createParents }),
        ...(record !== undefined && { record }),
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
      if (record !== undefined || Object.keys(kept.digests).length > 0) await requireSame(gate, task, place, file.entry)
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

/** What is kept goes along with the very bytes alone. Throws `stale` where others may have been among those that were read. */
async function requireSame(gate: Gate, task: Task, place: Place, { version }: Entry): Promise<void> {
  const walk = () => place.mount.backend.walk(place.inner, task)
  const { entry } = await gate.run(task, place, walk, { admission: 'continues' })
  if (!entry || entry.version === version) return
  throw new StorageError('stale', 'the file changed while it was copied', { path: place.path })
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
export async function copyProperties(gate: Gate, task: Task, from: Path, to: Path, isNew: boolean): Promise<void> {
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
