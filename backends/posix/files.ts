/** Open files of the POSIX back end. */

import { Readable } from 'node:stream'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { EditableFile, Entry, OpenFile, Range } from '../backend.ts'
import type { Desk } from './desk.ts'
import type { Handle } from './handles.ts'
import { streamRange } from './io/streams.ts'

/** A small file whose bytes came along with the open: nothing is open any more. */
export class SmallFile implements OpenFile {
  readonly entry: Entry
  readonly content: Uint8Array
  readonly #desk: Desk
  readonly #signal: AbortSignal

  constructor(desk: Desk, entry: Entry, content: Uint8Array, { signal }: Call) {
    this.entry = entry
    this.content = content
    this.#desk = desk
    this.#signal = signal
  }

  stream({ start, end }: Range): Readable {
    this.#desk.requireAlive(this.#signal)
    if (end > this.content.length) throw new StorageError('stale', 'the file became shorter while it was read')
    return Readable.from(start < end ? [this.content.subarray(start, end)] : [], { objectMode: false })
  }

  async read(into: Uint8Array, offset: number): Promise<number> {
    this.#desk.requireAlive(this.#signal)
    const part = this.content.subarray(offset, offset + into.length)
    into.set(part)
    return part.length
  }

  async close(): Promise<void> {}
}

/** A file that is read through its descriptor. */
export class LargeFile implements OpenFile {
  readonly entry: Entry
  protected readonly desk: Desk
  protected readonly handle: Handle
  protected readonly signal: AbortSignal

  constructor(desk: Desk, entry: Entry, handle: Handle, { signal }: Call) {
    this.entry = entry
    this.desk = desk
    this.handle = handle
    this.signal = signal
  }

  stream(range: Range): Readable {
    return streamRange(range, { share: this.desk.share, fd: this.handle.ref.fd, signal: this.signal })
  }

  async read(into: Uint8Array, offset: number): Promise<number> {
    if (into.length === 0) return 0
    return this.desk.share.read(this.handle.ref.fd, into, 0, into.length, offset, this.signal)
  }

  async close(): Promise<void> {
    this.handle.release()
  }
}

/** A file open for writing in place. Its entry is that of the moment it was opened. */
export class WritableFile extends LargeFile implements EditableFile {
  async write(from: Uint8Array, offset: number): Promise<number> {
    if (from.length === 0) return 0
    return this.desk.share.write(this.handle.ref.fd, [from], offset, this.signal)
  }

  async truncate(size: number): Promise<void> {
    // The mode of opening is checked by the kernel when the file was opened, so nobody's identity is needed.
    await this.desk.run('truncate', { file: this.handle.ref, size }, { ...this.desk.itself, signal: this.signal })
  }

  async sync(): Promise<void> {
    await this.desk.share.sync(this.handle.ref.fd, { dataOnly: false }, this.signal)
  }
}
