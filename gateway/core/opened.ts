/** Files that stay open for reads at any place (NFS, FUSE). */

import type { Entry, FileStream, OpenFile, Range } from '../../backends/backend.ts'
import type { Mount, Place } from '../../mounts/namespace.ts'
import type { Call } from './call.ts'
import { type Gate, missing, requirePlain } from './deciding.ts'
import { StorageError } from './errors.ts'
import { isWithin, type Path, rebase } from './path.ts'
import { requireOnline, streamOf } from './reading.ts'
import { type Operation, Task } from './task.ts'

export interface OpenOptions {
  /** The object that it must be, as `Entry.id` says; `stale` where another is there. */
  readonly id?: string
}

/** StorageOperations.open. The audit line is written when the file is closed. It never recalls: what is opened may be looked at only. */
export async function openForReads(gate: Gate, call: Call, path: Path, options: OpenOptions): Promise<OpenFile> {
  const task = gate.begin(call, 'read', path)
  try {
    const place = gate.place(task, 'read', path)
    const { backend } = place.mount
    const decide = (entry: Entry) => {
      if (entry.type === 'directory') throw new StorageError('is-directory', 'this is a directory', { path })
      requirePlain(entry, path)
      requireSame(entry, options, path)
      requireOnline(place, entry)
    }
    const file = await gate.act(
      task,
      place,
      // No bytes come along: what others write later is to be seen.
      () => backend.open(place.inner, {}, task),
      ({ trail }) => {
        gate.allow(task, 'read', place, trail)
        if (trail.entry) decide(trail.entry)
        else if (!backend.enforces(task.principal)) throw missing(path)
      },
      { late: (late) => late.close() },
    )
    try {
      // A back end that enforces may have shown nothing before it opened.
      decide(file.entry)
      return new ReadFile(gate, task, place, file)
    } catch (error) {
      await file.close()
      throw error
    }
  } catch (thrown) {
    throw gate.fail(task, thrown)
  }
}

/** Throws `stale` where it is another object than the one that is meant. */
export function requireSame({ id }: Entry, options: OpenOptions, path: Path): void {
  if (options.id === undefined || options.id === id) return
  throw new StorageError('stale', 'another object is there now', { path })
}

/** What a disk takes at the least in a millisecond. */
const bytesPerMs = 32 * 1024

/** Of each open file of ours the one that its back end has opened. */
const inner = new WeakMap<object, { readonly file: OpenFile; readonly mount: Mount }>()

/** What the back end knows an open file of ours by; undefined where it is another one's, or closed. */
export function innerOf(file: OpenFile, { backend }: Mount): OpenFile | undefined {
  const known = inner.get(file)
  return known?.mount.backend === backend ? known.file : undefined
}

/**
 * Each access within the mount's deadline; counted, and never refused for a limit. None reaches the back end after
 * `close`: its descriptor may be another file's by then.
 */
export class Opened<F extends OpenFile> implements OpenFile {
  protected readonly gate: Gate
  protected readonly task: Task
  protected place: Place
  protected readonly file: F
  readonly content?: Uint8Array
  #streams: Set<FileStream> | undefined
  #closed = false

  constructor(gate: Gate, task: Task, place: Place, file: F) {
    this.gate = gate
    this.task = task
    this.place = place
    this.file = file
    if (file.content) this.content = file.content
    task.bytes = 0
    inner.set(this, { file, mount: place.mount })
    gate.openFiles.add(this)
  }

  get entry(): Entry {
    return this.file.entry
  }

  stream(range: Range, until?: number): FileStream {
    this.requireOpen()
    const stream = streamOf(this.gate, this.access(), this.place.mount, this.file, range, until)
    this.#streams ??= new Set()
    const streams = this.#streams.add(stream)
    stream.once('close', () => {
      streams.delete(stream)
      // Of one that was broken off nobody knows how much went out.
      if (!stream.errored) this.count('out', range.end - range.start)
    })
    return stream
  }

  async read(into: Uint8Array, offset: number): Promise<number> {
    this.requireOpen()
    const count = await this.run(() => this.file.read(into, offset))
    this.count('out', count)
    return count
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    inner.delete(this)
    this.gate.openFiles.delete(this)
    if (this.#streams) for (const stream of this.#streams) stream.destroy(closed())
    try {
      await this.run(() => this.file.close())
      this.gate.succeed(this.task)
    } catch (thrown) {
      throw this.gate.fail(this.task, thrown)
    }
  }

  /** Whether it was renamed with that, alone or in a directory: locks and watchers go by the path. */
  moved(from: Place, to: Place): boolean {
    const { mount, inner } = this.place
    if (mount.backend !== from.mount.backend || !isWithin(inner, from.inner)) return false
    const at = rebase(inner, from.inner, to.inner)
    const own = isWithin(at, mount.base) ? mount : to.mount
    this.place = { mount: own, inner: at, path: rebase(at, own.base, own.at) }
    return true
  }

  protected count(direction: 'in' | 'out', bytes: number): void {
    this.task.bytes = (this.task.bytes ?? 0) + bytes
    this.gate.metrics?.moved(this.task.protocol, direction, bytes)
  }

  protected requireOpen(): void {
    if (this.#closed) throw closed()
  }

  /** `bytes`: as many as it may wait for a disk to take. */
  protected run<T>(work: () => Promise<T>, bytes = 0): Promise<T> {
    const deadline = this.place.mount.deadline + bytes / bytesPerMs
    return this.gate.run(this.access(), this.place, work, { admission: 'continues', ...(bytes > 0 && { deadline }) })
  }

  /** A task of its own: the file lives on after an access that came too late. */
  protected access(operation: Operation = this.task.operation): Task {
    const { path, namespace } = this.task
    return new Task(this.task, operation, path, namespace)
  }
}

class ReadFile extends Opened<OpenFile> {
  readonly stat?: () => Promise<Entry>

  constructor(gate: Gate, task: Task, place: Place, file: OpenFile) {
    super(gate, task, place, file)
    const { stat } = file
    if (!stat) return
    this.stat = async () => {
      this.requireOpen()
      return this.run(() => stat.call(file))
    }
  }
}

function closed(): StorageError {
  return new StorageError('invalid', 'the file is closed')
}
