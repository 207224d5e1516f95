/** edit: writing in place, where others see every byte at once (NFS, FUSE). */

import type { Readable } from 'node:stream'
import type { EditableFile, Entry, Range, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { touching } from './acting.ts'
import type { Call } from './call.ts'
import { denied, type Gate, missing, requirePlain } from './deciding.ts'
import { StorageError } from './errors.ts'
import type { Touched } from './locks.ts'
import type { Path } from './path.ts'
import { requireOnline, streamOf } from './reading.ts'
import { Task } from './task.ts'

/** StorageOperations.edit. The audit line is written when the file is closed. */
export async function edit(
  gate: Gate,
  call: Call,
  path: Path,
  options: { readonly truncate?: boolean },
): Promise<EditableFile> {
  const task = gate.begin(call, 'edit', path)
  try {
    const place = gate.place(task, 'edit', path)
    if (task.principal.maxUpload !== undefined) {
      throw denied(path, { rule: 'max-upload', text: 'what is bounded in size cannot be written in place', path })
    }
    gate.requireWritable(place)
    const { backend } = place.mount
    const { editing } = backend
    let seen: Trail | undefined
    if (!editing) throw new StorageError('unsupported', 'files of this mount cannot be changed in place', { path })
    const file = await gate.act(
      task,
      place,
      () => editing.edit(place.inner, options, task),
      ({ trail }) => {
        gate.allow(task, 'edit', place, trail)
        seen = trail
        const { entry } = trail
        if (!entry && !backend.enforces(task.principal)) throw missing(path)
        if (entry?.type === 'directory') throw new StorageError('is-directory', 'this is a directory', { path })
        if (entry) requirePlain(entry, path)
        if (entry && !options.truncate) requireOnline(place, entry)
      },
      { late: (late) => late.close(), touching: touching(place, 'content') },
    )
    return new Edited(gate, task, { place, trail: seen, touch: 'content' }, file)
  } catch (thrown) {
    throw gate.fail(task, thrown)
  }
}

/**
 * Each access within the mount's deadline; counted, and never refused for a limit. None reaches the back end after
 * `close`: its descriptor may be another file's by then.
 */
class Edited implements EditableFile {
  readonly #gate: Gate
  readonly #task: Task
  readonly #place: Place
  readonly #touched: readonly Touched[]
  readonly #file: EditableFile
  #closed = false

  constructor(gate: Gate, task: Task, touched: Touched, file: EditableFile) {
    this.#gate = gate
    this.#task = task
    this.#place = touched.place
    this.#touched = [touched]
    this.#file = file
    task.bytes = 0
  }

  get entry(): Entry {
    return this.#file.entry
  }

  stream(range: Range): Readable {
    this.#requireOpen()
    return streamOf(this.#gate, this.#access(), this.#place.mount, this.#file, range)
  }

  async read(into: Uint8Array, offset: number): Promise<number> {
    this.#requireOpen()
    return this.#run(() => this.#file.read(into, offset))
  }

  async write(from: Uint8Array, offset: number): Promise<number> {
    this.#requireOpen()
    const { maxUpload } = this.#gate.limits.options
    if (offset + from.length > maxUpload) throw new StorageError('too-large', 'the file would be larger than allowed')
    const written = await this.#change(() => this.#file.write(from, offset))
    this.#task.bytes = (this.#task.bytes ?? 0) + written
    this.#gate.metrics?.moved(this.#task.protocol, 'in', written)
    return written
  }

  async truncate(size: number): Promise<void> {
    this.#requireOpen()
    return this.#change(() => this.#file.truncate(size))
  }

  async sync(): Promise<void> {
    this.#requireOpen()
    return this.#run(() => this.#file.sync())
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    try {
      await this.#run(() => this.#file.close())
      this.#gate.succeed(this.#task)
    } catch (thrown) {
      throw this.#gate.fail(this.#task, thrown)
    }
  }

  #requireOpen(): void {
    if (this.#closed) throw new StorageError('invalid', 'the file is closed')
  }

  /** A lock may have been granted since the file was opened. */
  #change<T>(work: () => Promise<T>): Promise<T> {
    const { locks } = this.#gate
    if (!locks) return this.#run(work)
    return this.#run(async () => {
      await locks.fresh(this.#place.mount.backend)
      const passage = locks.pass(this.#task, this.#touched)
      try {
        return await work()
      } finally {
        passage.end()
      }
    })
  }

  #run<T>(work: () => Promise<T>): Promise<T> {
    return this.#gate.run(this.#access(), this.#place, work, { admission: 'continues' })
  }

  /** A task of its own: the file lives on after an access that came too late. */
  #access(): Task {
    const { path, namespace } = this.#task
    return new Task(this.#task, 'edit', path, namespace)
  }
}
