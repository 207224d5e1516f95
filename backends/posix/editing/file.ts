/** A file of the POSIX back end that is open for writing in place. */

import type { Readable } from 'node:stream'
import type { Call } from '../../../gateway/core/call.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { EditableFile, Entry, OpenFile, Range } from '../../backend.ts'
import type { Caller, Desk, FileHandle } from '../desk.ts'
import { LargeFile, SmallFile } from '../files.ts'
import { labelNames } from '../kept.ts'
import { digestKey } from '../properties.ts'
import type { AllocateArgs, Labelled } from './acts.ts'

/** What is told of an opening. */
export interface Opening {
  readonly entry: Entry
  readonly handle: FileHandle
  readonly created: boolean
  /** Bytes that were taken may still be refused. */
  readonly takesLate: boolean
  /** Reading is closed to the caller. */
  readonly unreadable?: boolean
  /** Something is kept of the bytes as they are. */
  readonly labelled?: Labelled | undefined
}

/** Bytes that are allocated, and copied, with one call: others of the mount want their turn. */
const allocated = 16 * 1024 ** 3
const copied = 16 * 1024 ** 2

/** Its entry is that of the moment it was opened. */
export class WritableFile extends LargeFile implements EditableFile {
  readonly created: boolean
  readonly flush?: () => Promise<void>
  /** Who opened the file may do all this, so nobody's identity is needed. */
  readonly #nobody: Caller
  readonly #unreadable: boolean
  #labelled: Labelled | undefined
  #unlabelling: Promise<void> | undefined

  constructor(desk: Desk, { entry, handle, created, takesLate, unreadable = false, labelled }: Opening, call: Call) {
    super(desk, entry, handle, call)
    this.created = created
    this.#nobody = { ...desk.itself, signal: call.signal }
    this.#unreadable = unreadable
    this.#labelled = labelled
    if (takesLate) this.flush = () => this.#flush()
  }

  override stream(range: Range): Readable {
    this.#requireReadable()
    return super.stream(range)
  }

  override async read(into: Uint8Array, offset: number): Promise<number> {
    this.#requireReadable()
    return super.read(into, offset)
  }

  async write(from: Uint8Array, offset: number): Promise<number> {
    this.requireOpen()
    if (this.#labelled) await this.#unlabel()
    for (let done = 0; done < from.length; ) {
      // The number of the descriptor may be another file's after a close.
      this.requireOpen()
      const rest = done === 0 ? from : from.subarray(done)
      const count = await this.desk.share.write(this.handle.ref.fd, [rest], offset + done, this.signal)
      if (count === 0) throw new StorageError('no-space', 'nothing was written')
      done += count
    }
    return from.length
  }

  async truncate(size: number): Promise<void> {
    this.requireOpen()
    if (this.#labelled) await this.#unlabel()
    await this.alone((file) => this.desk.run('truncate', { file, size }, this.#nobody))
  }

  async sync(): Promise<void> {
    this.requireOpen()
    await this.desk.share.sync(this.handle.ref.fd, { dataOnly: false }, this.signal)
  }

  async #flush(): Promise<void> {
    this.requireOpen()
    await this.desk.share.flush(this.handle.ref.fd, this.signal)
  }

  async allocate({ start, end }: Range, how: AllocateArgs['how']): Promise<void> {
    this.requireOpen()
    if (end <= start || start < 0) throw new StorageError('invalid', 'the range is empty')
    if (this.#labelled) await this.#unlabel()
    for (let offset = start; offset < end; offset += allocated) {
      const length = Math.min(allocated, end - offset)
      await this.alone((file) => this.desk.run('allocate', { file, offset, length, how }, this.#nobody))
    }
  }

  async seek(offset: number, what: 'data' | 'hole'): Promise<number | undefined> {
    this.requireOpen()
    return this.alone((file) => this.desk.run('seek', { file, offset, what }, this.#nobody))
  }

  async copyFrom(source: OpenFile, { start, end }: Range, offset: number): Promise<number> {
    this.requireOpen()
    if (source instanceof SmallFile) {
      const part = source.content.subarray(start, end)
      return part.length === 0 ? 0 : this.write(part, offset)
    }
    if (!(source instanceof LargeFile) || !source.isOf(this.desk)) {
      throw new StorageError('cross-mount', 'the source is not of this back end')
    }
    const length = end - start
    if (source.entry.id === this.entry.id && Math.abs(start - offset) < length) {
      throw new StorageError('invalid', 'the ranges overlap')
    }
    if (source instanceof WritableFile) source.#requireReadable()
    if (this.#labelled) await this.#unlabel()
    return this.#copy(source, start, length, offset)
  }

  #requireReadable(): void {
    if (!this.#unreadable) return
    const reason = { rule: 'kernel', text: 'the file system gives the caller the right to write alone' }
    throw new StorageError('denied', 'permission denied', { reason })
  }

  async #copy(source: LargeFile, start: number, length: number, offset: number): Promise<number> {
    for (let done = 0; done < length; ) {
      const slice = { offset: start + done, at: offset + done, length: Math.min(copied, length - done) }
      const count = await this.together(source, (to, from) =>
        this.desk.run('copyBytes', { from, to, ...slice }, this.#nobody),
      )
      done += count
      if (count < slice.length) return done
    }
    return length
  }

  /** What is kept is of the old bytes, and within one tick of the clock the new ones have the same version. */
  #unlabel(): Promise<void> {
    this.#unlabelling ??= this.#dropLabel(this.#labelled?.overflow)
    return this.#unlabelling
  }

  async #dropLabel(overflow: string | undefined): Promise<void> {
    try {
      const names = labelNames(this.desk.setup)
      await this.alone((file) => this.desk.run('dropLabel', { file, names }, this.caller))
      await forgetLabel(this.desk, overflow)
      this.#labelled = undefined
    } finally {
      this.#unlabelling = undefined
    }
  }
}

/** Forgets what is kept of a file's bytes elsewhere. */
export async function forgetLabel({ services, name }: Desk, overflow: string | undefined): Promise<void> {
  if (overflow === undefined) return
  const kept = await services.overflow.get(name, overflow)
  if (kept.has(digestKey)) await services.overflow.set(name, overflow, new Map([[digestKey, undefined]]))
}
