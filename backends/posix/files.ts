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

/**
 * A file that is read through its descriptor. After `close` everything is `stale` and its streams end: the number of
 * the descriptor may name another file by then.
 */
export class LargeFile implements OpenFile {
  readonly entry: Entry
  protected readonly desk: Desk
  protected readonly handle: Handle
  protected readonly signal: AbortSignal
  readonly #streams = new Set<Readable>()
  #closed = false

  constructor(desk: Desk, entry: Entry, handle: Handle, { signal }: Call) {
    this.entry = entry
    this.desk = desk
    this.handle = handle
    this.signal = signal
  }

  stream(range: Range): Readable {
    this.requireOpen()
    const stream = streamRange(range, { share: this.desk.share, fd: this.handle.ref.fd, signal: this.signal })
    this.#streams.add(stream)
    // Whoever reads gets the error as well; a close under a stream that nobody reads must not end the process.
    stream.on('error', () => {})
    return stream.once('close', () => this.#streams.delete(stream))
  }

  async read(into: Uint8Array, offset: number): Promise<number> {
    this.requireOpen()
    if (into.length === 0) return 0
    return this.desk.share.read(this.handle.ref.fd, into, 0, into.length, offset, this.signal)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const stream of this.#streams) stream.destroy(closed())
    await this.settled()
    this.handle.release()
  }

  protected requireOpen(): void {
    if (this.#closed) throw closed()
  }

  /** Resolves when no I/O thread uses the descriptor. */
  protected async settled(): Promise<void> {}
}

/** A file open for writing in place. Its entry is that of the moment it was opened. */
export class WritableFile extends LargeFile implements EditableFile {
  readonly #truncating = new Set<Promise<unknown>>()

  async write(from: Uint8Array, offset: number): Promise<number> {
    this.requireOpen()
    if (from.length === 0) return 0
    return this.desk.share.write(this.handle.ref.fd, [from], offset, this.signal)
  }

  async truncate(size: number): Promise<void> {
    this.requireOpen()
    // The mode of opening is checked by the kernel when the file was opened, so nobody's identity is needed.
    const caller = { ...this.desk.itself, signal: this.signal }
    const truncating = this.desk.run('truncate', { file: this.handle.ref, size }, caller)
    this.#truncating.add(truncating)
    try {
      await truncating
    } finally {
      this.#truncating.delete(truncating)
    }
  }

  async sync(): Promise<void> {
    this.requireOpen()
    await this.desk.share.sync(this.handle.ref.fd, { dataOnly: false }, this.signal)
  }

  /** A thread closes what was released while it worked, and knows nothing of reads and writes under way. */
  protected override async settled(): Promise<void> {
    await Promise.allSettled(this.#truncating)
  }
}

function closed(): StorageError {
  return new StorageError('stale', 'the file is closed')
}
