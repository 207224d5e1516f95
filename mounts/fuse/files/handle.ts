/** One open handle: reading and writing together, and what is told of writes that failed. */

import { StorageError } from '../../../gateway/core/errors.ts'
import type { RemoteFile } from '../../client/fs/remote.ts'
import type { FileData, HandleOptions } from './data.ts'
import type { File, Opener } from './file.ts'
import { Reading } from './reading.ts'

/** Longest row of zeros that is sent for a hole in a file that is written in order. */
const longestHole = 2 ** 30
const zeros = Buffer.alloc(2 ** 20)

export class Handle implements FileData, Opener {
  readonly remote: RemoteFile
  readonly #file: File
  readonly #reading: Reading
  readonly #options: HandleOptions
  readonly #left: () => void
  /** Not told yet. */
  #error: unknown
  /** Of a draft that cannot be completed any more, for good. */
  #broken = false
  /** Of a draft: it has become the file. */
  #committed = false
  /** Of a draft: there are bytes in it. */
  #begun = false
  /** Of a draft: its name is gone, and so it is nothing to be completed. */
  #discarded = false
  #released: Promise<void> | undefined

  /** `left` is called when it is closed. */
  constructor(file: File, remote: RemoteFile, options: HandleOptions, left: () => void) {
    this.#file = file
    this.remote = remote
    this.#options = options
    this.#left = left
    this.#reading = new Reading(file, remote)
  }

  get size(): number {
    return this.#file.size
  }

  get isDraft(): boolean {
    return this.remote.kind === 'draft' && !this.#committed && !this.#discarded
  }

  /** A draft is nothing before it is complete. */
  get telling(): HandleOptions['telling'] {
    return this.remote.kind === 'edit' ? this.#options.telling : undefined
  }

  read(offset: number, size: number, signal?: AbortSignal): Promise<readonly Uint8Array[]> {
    return this.#reading.read(offset, size, signal)
  }

  async write(data: Uint8Array, offset: number, signal?: AbortSignal, done?: () => void): Promise<void> {
    this.#tell()
    if (data.length === 0) return
    if (this.remote.kind === 'draft') await this.#inOrder(offset, signal)
    await this.#put(data, offset, signal, done)
    this.#begun = true
  }

  async flush(last: boolean, signal?: AbortSignal): Promise<void> {
    if (this.remote.kind === 'read') return
    await this.#file.extents.settleTelling(signal)
    this.#tell()
    if (last && this.#begun) await this.#commit(signal)
  }

  async sync(signal?: AbortSignal): Promise<void> {
    await this.#file.extents.settle(signal)
    this.#tell()
    if (this.remote.kind === 'draft') await this.#commit(signal)
    else if (this.remote.kind === 'edit') await this.remote.sync(signal)
  }

  async truncate(size: number, signal?: AbortSignal): Promise<void> {
    this.#tell()
    if (this.remote.kind === 'draft') return this.#cutDraft(size, signal)
    const { extents } = this.#file
    await extents.settle(signal)
    await this.#altering(0, Number.POSITIVE_INFINITY, this.remote.truncate(size, signal))
    this.#file.resized(size)
  }

  async allocate(
    start: number,
    end: number,
    how: 'extend' | 'keep' | 'punch' | 'zero',
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#file.extents.settle(signal)
    await this.#altering(start, end, this.remote.allocate(start, end, how, signal))
    if (how === 'extend') this.#file.grew(end)
  }

  async seek(offset: number, what: 'data' | 'hole', signal?: AbortSignal): Promise<number | undefined> {
    // It is written from its beginning to its end.
    if (this.isDraft) return offset >= this.size ? undefined : what === 'data' ? offset : this.size
    await this.#file.extents.settle(signal)
    return this.remote.seek(offset, what, signal)
  }

  async copyFrom(
    source: FileData,
    start: number,
    length: number,
    offset: number,
    signal?: AbortSignal,
  ): Promise<number> {
    if (source instanceof Handle) await source.#file.extents.settle(signal)
    await this.#file.extents.settle(signal)
    const copying = this.remote.copyFrom(source.remote, start, length, offset, signal)
    const copied = await this.#altering(offset, offset + length, copying)
    if (copied > 0) this.#file.grew(offset + copied)
    return copied
  }

  release(): Promise<void> {
    this.#released ??= this.#end(() => this.#commit(undefined))
    return this.#released
  }

  discard(): void {
    this.#discarded = true
  }

  /** The same where nobody has closed it: what is not complete does not take the place of what is there. */
  abandon(): Promise<void> {
    const unfinished = async () => {
      if (this.#begun && this.isDraft) {
        throw new StorageError('unavailable', 'the mount ended before the file was closed: it is as it was before')
      }
    }
    this.#released ??= this.#end(unfinished)
    return this.#released
  }

  /** A write behind failed: it is told to whoever asks next, and what the kernel has is wrong. */
  failed(error: unknown): void {
    this.#error ??= error
    if (this.remote.kind === 'read') return
    if (this.remote.kind === 'draft') this.#broken = true
    this.#options.lost?.(error)
  }

  /** Throws what was not told yet, once; of a broken draft whenever asked. */
  #tell(): void {
    const error = this.#error
    if (error === undefined) return
    if (!this.#broken) this.#error = undefined
    throw StorageError.from(error)
  }

  async #put(data: Uint8Array, offset: number, signal: AbortSignal | undefined, done?: () => void): Promise<void> {
    const { extents } = this.#file
    // Some of it may have been taken before the rest was not.
    await this.#altering(offset, offset + data.length, extents.add(this, data, offset, signal, done))
    this.#file.grew(offset + data.length)
  }

  /** What was read of the range holds no longer, also where the outcome is an error. */
  async #altering<T>(start: number, end: number, work: Promise<T>): Promise<T> {
    try {
      return await work
    } finally {
      this.#file.segments.drop(start, end)
    }
  }

  /** Throws for what a draft cannot take at this place; what lies before it is made zeros. */
  async #inOrder(offset: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#committed) {
      throw new StorageError('unsupported', 'the file is complete: this storage cannot change it any more')
    }
    await this.#fill(offset, signal)
    const { size, extents } = this.#file
    if (offset !== size && !(offset < size && extents.mayReplace(this, offset))) {
      throw new StorageError('unsupported', 'this storage takes a file only in order, from its beginning to its end')
    }
  }

  /** Zeros up to `offset`, where that is beyond the end of a draft. */
  async #fill(offset: number, signal: AbortSignal | undefined): Promise<void> {
    if (offset - this.#file.size > longestHole) {
      throw new StorageError('unsupported', 'this storage keeps no holes, and the file has a very long one')
    }
    while (this.#file.size < offset) {
      const { size } = this.#file
      await this.#put(zeros.subarray(0, Math.min(zeros.length, offset - size)), size, signal)
    }
  }

  async #cutDraft(size: number, signal: AbortSignal | undefined): Promise<void> {
    await this.#fill(size, signal)
    if (this.#file.size === size) return
    if (this.#committed || !this.#file.extents.cut(size)) {
      throw new StorageError('unsupported', 'this storage does not take back what it was given of a file')
    }
    this.#file.resized(size)
  }

  async #commit(signal: AbortSignal | undefined): Promise<void> {
    if (this.#committed || this.#discarded) return
    try {
      await this.remote.commit(signal)
      this.#committed = this.remote.kind === 'draft'
    } catch (error) {
      if (this.remote.kind === 'draft' && signal?.aborted !== true) {
        this.#broken = true
        this.#error = error
      }
      throw error
    }
    if (this.#committed) await this.#options.completed?.(signal)
  }

  async #end(complete: () => Promise<void>): Promise<void> {
    const { extents } = this.#file
    try {
      if (this.remote.kind !== 'read') await extents.settle()
      if (this.remote.kind === 'draft' && !this.#broken) await complete()
      if (this.remote.kind === 'edit' && this.#error !== undefined) this.#options.untold?.(this.#error)
    } catch (error) {
      this.#options.lost?.(error)
      this.#options.untold?.(error)
    } finally {
      this.#reading.close()
      this.#left()
      await this.remote.close()
    }
  }
}
