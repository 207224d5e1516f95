/** edit: writing in place, where others see every byte at once (NFS, FUSE). */

import { type Decision, permitsPath } from '../../acl/authorizer.ts'
import type { EditableFile, EditOptions, Entry, FileStream, OpenFile, Range, Trail } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import type { Touching } from './acting.ts'
import type { Call } from './call.ts'
import { denied, type Gate, missing, requireParent, requirePlain } from './deciding.ts'
import { StorageError } from './errors.ts'
import type { Touched } from './locks.ts'
import { innerOf, Opened, type OpenOptions, requireSame } from './opened.ts'
import type { Path } from './path.ts'
import { requireOnline } from './reading.ts'
import type { Task } from './task.ts'

export interface EditRequest extends EditOptions, OpenOptions {}

/** StorageOperations.edit. The audit line is written when the file is closed. */
export async function edit(gate: Gate, call: Call, path: Path, options: EditRequest): Promise<EditableFile> {
  const task = gate.begin(call, 'edit', path)
  try {
    return await new Editing(gate, task, path, options).open()
  } catch (thrown) {
    throw gate.fail(task, thrown)
  }
}

/** One opening, of a file that is there or that may be made. */
class Editing {
  readonly #gate: Gate
  readonly #task: Task
  readonly #place: Place
  readonly #options: EditRequest
  readonly #edit: Decision
  readonly #create: Decision
  #seen: Trail | undefined
  #unreadable: StorageError | undefined

  constructor(gate: Gate, task: Task, path: Path, options: EditRequest) {
    const { principal } = task
    this.#edit = permitsPath(principal, 'edit', path)
    this.#create = permitsPath(principal, 'create', path)
    if (!this.#edit.allowed && !(options.create && this.#create.allowed)) throw denied(path, this.#edit.reason)
    const place = gate.admit(task, path)
    if (principal.maxUpload !== undefined) {
      throw denied(path, { rule: 'max-upload', text: 'what is bounded in size cannot be written in place', path })
    }
    gate.requireWritable(place)
    if (task.namespace.leadsToMount(path)) throw new StorageError('is-directory', 'this is a directory', { path })
    this.#gate = gate
    this.#task = task
    this.#place = place
    const { create, ...others } = options
    // An object that is meant is there already.
    this.#options = options.id === undefined || !create ? options : others
  }

  async open(): Promise<EditableFile> {
    const { path, mount, inner } = this.#place
    const { editing } = mount.backend
    if (!editing) throw new StorageError('unsupported', 'files of this mount cannot be changed in place', { path })
    const file = await this.#gate
      .act(
        this.#task,
        this.#place,
        () => editing.edit(inner, this.#bounded(), this.#task),
        ({ trail }) => this.#decide(trail),
        { late: (late) => late.close(), touching: this.#touching() },
      )
      .catch((error) => {
        throw this.#translate(error)
      })
    try {
      requireSame(file.entry, this.#options, path)
    } catch (error) {
      await file.close()
      throw error
    }
    if (file.created) this.#task.operation = 'create'
    // What one has just made one may read, as a file system has it.
    const unreadable = file.created ? undefined : this.#unreadable
    const seen = this.#seen && { ...this.#seen, entry: file.entry }
    return new Edited(this.#gate, this.#task, this.#place, file, { seen, unreadable })
  }

  /** A credential that may only create opens nothing that is there, and one that may not makes nothing. */
  #bounded(): EditOptions {
    const { create, truncate, read } = this.#options
    const standing = { ...(truncate && { truncate }), ...(read && { read }) }
    if (!create || !this.#create.allowed) return standing
    const exclusive = create.exclusive || !this.#edit.allowed
    return { ...standing, create: { ...create, exclusive } }
  }

  #decide(trail: Trail): void {
    const { mount, path } = this.#place
    const { create, truncate, read } = this.#options
    const { entry } = trail
    this.#seen = trail
    this.#unreadable = this.#refusalOfReads(trail)
    const enforces = mount.backend.enforces(this.#task.principal)
    if (!entry && !create) {
      this.#gate.allow(this.#task, 'edit', this.#place, trail)
      if (enforces) return
      throw missing(path)
    }
    if (!entry) {
      // What a back end that enforces has not shown may be there or not: the options keep the bounds.
      if (!enforces && !this.#create.allowed) throw denied(path, this.#create.reason)
      if (create && this.#create.allowed) this.#gate.allow(this.#task, 'create', this.#place, trail)
      if (!enforces) requireParent(trail, path)
      return
    }
    if (!this.#edit.allowed) throw denied(path, this.#edit.reason)
    this.#gate.allow(this.#task, 'edit', this.#place, trail)
    if (read && this.#unreadable) throw this.#unreadable
    if (create?.exclusive) throw new StorageError('exists', 'something of that name exists', { path })
    if (entry.type === 'directory') throw new StorageError('is-directory', 'this is a directory', { path })
    requirePlain(entry, path)
    requireSame(entry, this.#options, path)
    if (!truncate) requireOnline(this.#place, entry)
  }

  /** Why the bytes that are there are not for the caller: writing takes no right to read them. */
  #refusalOfReads(trail: Trail): StorageError | undefined {
    const { path } = this.#place
    const decision = permitsPath(this.#task.principal, 'read', path)
    if (!decision.allowed) return denied(path, decision.reason)
    try {
      this.#gate.allow(this.#task, 'read', this.#place, trail)
      return undefined
    } catch (error) {
      if (error instanceof StorageError && error.code === 'denied') return error
      throw error
    }
  }

  #touching(): Touching<EditableFile> {
    const place = this.#place
    const { create, truncate } = this.#options
    return {
      touched: ({ trail }) => {
        if (!trail.entry && create) return [{ place, trail, touch: 'name' }]
        return [{ place, trail, touch: 'content', ...(!truncate && { told: 'nothing' }) }]
      },
      made: ({ entry, created }) => (created ? entry : undefined),
    }
  }

  /** `exists` that came from the credential's bounds is a refusal. */
  #translate(error: unknown): unknown {
    const { create } = this.#options
    if (!(error instanceof StorageError) || error.code !== 'exists' || this.#edit.allowed) return error
    return create?.exclusive ? error : denied(this.#place.path, this.#edit.reason)
  }
}

/** ms between two times that watchers are told of a file that is being written. */
const tellingPause = 500

/** What is known of an opening. */
interface Opening {
  readonly seen: Trail | undefined
  /** Why its bytes are not for the caller. */
  readonly unreadable: StorageError | undefined
}

class Edited extends Opened<EditableFile> implements EditableFile {
  readonly created: boolean
  readonly flush?: NonNullable<EditableFile['flush']>
  readonly allocate?: NonNullable<EditableFile['allocate']>
  readonly seek?: NonNullable<EditableFile['seek']>
  readonly copyFrom?: NonNullable<EditableFile['copyFrom']>
  readonly #unreadable: StorageError | undefined
  #seen: Trail | undefined
  #telling: NodeJS.Timeout | undefined
  /** Bytes that a sync may have to wait for. */
  #unsynced = 0

  constructor(gate: Gate, task: Task, place: Place, file: EditableFile, { seen, unreadable }: Opening) {
    super(gate, task, place, file)
    this.#seen = seen
    this.#unreadable = unreadable
    this.created = file.created ?? false
    const { flush, allocate, seek, copyFrom } = file
    if (flush) {
      this.flush = async () => {
        this.requireOpen()
        return this.run(() => flush.call(file), this.#unsynced)
      }
    }
    if (allocate) {
      this.allocate = (range, how) => {
        this.#requireRoom(range.end)
        return this.#change(() => allocate.call(file, range, how))
      }
    }
    if (seek) {
      this.seek = async (offset, what) => {
        this.requireOpen()
        return this.run(() => seek.call(file, offset, what))
      }
    }
    if (copyFrom) this.copyFrom = (source, range, offset) => this.#copy(copyFrom.bind(file), source, range, offset)
  }

  override async read(into: Uint8Array, offset: number): Promise<number> {
    this.#requireReadable()
    return super.read(into, offset)
  }

  override stream(range: Range, until?: number): FileStream {
    this.#requireReadable()
    return super.stream(range, until)
  }

  async write(from: Uint8Array, offset: number): Promise<number> {
    this.#requireRoom(offset + from.length)
    const written = await this.#change(() => this.file.write(from, offset))
    this.#took(written)
    return written
  }

  async truncate(size: number): Promise<void> {
    this.#requireRoom(size)
    return this.#change(() => this.file.truncate(size))
  }

  async sync(): Promise<void> {
    this.requireOpen()
    const bytes = this.#unsynced
    await this.run(() => this.file.sync(), bytes)
    this.#unsynced = Math.max(0, this.#unsynced - bytes)
  }

  async stat(): Promise<Entry> {
    this.requireOpen()
    return this.run(() => this.file.stat())
  }

  override moved(from: Place, to: Place): boolean {
    if (!super.moved(from, to)) return false
    // Of the way nothing is known any more.
    this.#seen = { ancestors: [], parentExists: false, entry: this.entry }
    return true
  }

  override async close(): Promise<void> {
    try {
      await super.close()
    } finally {
      if (this.#telling) this.#tell()
    }
  }

  async #copy(
    copyFrom: NonNullable<EditableFile['copyFrom']>,
    source: OpenFile,
    range: Range,
    offset: number,
  ): Promise<number> {
    this.#requireRoom(offset + range.end - range.start)
    const from = innerOf(source, this.place.mount)
    if (!from) throw new StorageError('cross-mount', 'the files are of different storages', { path: this.place.path })
    if (source instanceof Edited) source.#requireReadable()
    const copied = await this.#change(() => copyFrom(from, range, offset), range.end - range.start)
    this.#took(copied)
    return copied
  }

  #took(bytes: number): void {
    this.#unsynced += bytes
    this.count('in', bytes)
  }

  #requireReadable(): void {
    if (this.#unreadable) throw this.#unreadable
  }

  #requireRoom(end: number): void {
    this.requireOpen()
    const { maxUpload } = this.gate.limits.options
    if (end > maxUpload) throw new StorageError('too-large', 'the file would be larger than allowed')
  }

  /** A lock may have been granted since the file was opened, and the mount be another. */
  #change<T>(work: () => Promise<T>, bytes = 0): Promise<T> {
    this.requireOpen()
    const { namespace } = this.gate
    if (namespace !== this.task.namespace) this.gate.requireWritable(namespace.resolve(this.place.path))
    return this.run(async () => {
      const { locks } = this.gate
      await locks?.fresh(this.place.mount.backend)
      const passage = locks?.pass(this.task, this.#touched())
      try {
        return await work()
      } finally {
        passage?.end()
        this.#tellLater()
      }
    }, bytes)
  }

  #touched(): readonly Touched[] {
    return [{ place: this.place, trail: this.#seen, touch: 'content' }]
  }

  #tellLater(): void {
    if (this.#telling || !this.gate.feed.isWatched) return
    this.#telling = setTimeout(() => this.#tell(), tellingPause)
    this.#telling.unref()
  }

  #tell(): void {
    clearTimeout(this.#telling)
    this.#telling = undefined
    this.gate.feed.publish(this.task.namespace, this.#touched())
  }
}
