/** Open files of the POSIX back end. */

import { Readable } from 'node:stream'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Entry, OpenFile, Range } from '../backend.ts'
import type { Caller, Desk } from './desk.ts'
import type { Handle, HandleRef } from './handles.ts'
import { streamRange } from './io/streams.ts'
import { readCached } from './native/cached-reading.ts'

/** Bytes that are copied from the kernel's memory without going through a thread, which takes longer for so few. */
const mostAtOnce = 64 * 1024

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
  protected readonly caller: Caller
  readonly #streams = new Set<Readable>()
  #closed = false
  /** Settles when no I/O thread uses the descriptor: one at a time may. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(desk: Desk, entry: Entry, handle: Handle, call: Call) {
    this.entry = entry
    this.desk = desk
    this.handle = handle
    this.signal = call.signal
    this.caller = desk.caller(call)
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
    for (let done = 0; done < into.length; ) {
      // The number of the descriptor may be another file's after a close.
      this.requireOpen()
      this.desk.requireAlive(this.signal)
      const { fd } = this.handle.ref
      const left = into.length - done
      const cached = left <= mostAtOnce ? readCached(fd, into.subarray(done), offset + done) : undefined
      const count = cached ?? (await this.desk.share.read(fd, into, done, left, offset + done, this.signal))
      // Fewer bytes than asked for are the end, or what is in memory, or what comes before an error.
      if (count === 0) return done
      done += count
      if (cached === undefined && offset + done === this.entry.size) return done
    }
    return into.length
  }

  /** Whether it is a file of this mount. */
  isOf(desk: Desk): boolean {
    return this.desk === desk
  }

  async stat(): Promise<Entry> {
    this.requireOpen()
    const { name, acl } = this.entry
    const now = await this.alone((file) => this.desk.run('restat', { file, name }, this.caller))
    return this.desk.entry(now.entry, now, acl)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const stream of this.#streams) stream.destroy(closed())
    // A thread closes what was released while it worked, and knows nothing of reads and writes under way.
    await this.#turn
    this.handle.release()
  }

  protected requireOpen(): void {
    if (this.#closed) throw closed()
  }

  /** Has an I/O thread work with the descriptor. */
  protected alone<T>(work: (file: HandleRef) => Promise<T>): Promise<T> {
    const done = this.#turn.then(() => work(this.handle.ref))
    this.#turn = settled(done)
    return done
  }

  /** The same with that of another file too, or of this one again. */
  protected together<T>(other: LargeFile, work: (own: HandleRef, others: HandleRef) => Promise<T>): Promise<T> {
    other.requireOpen()
    if (other === this) return this.alone((file) => work(file, file))
    // Both turns are taken at once, so that nobody waits in a circle.
    const done = Promise.all([this.#turn, other.#turn]).then(() => work(this.handle.ref, other.handle.ref))
    this.#turn = other.#turn = settled(done)
    return done
  }
}

async function settled(work: Promise<unknown>): Promise<void> {
  await work.catch(() => {})
}

function closed(): StorageError {
  return new StorageError('stale', 'the file is closed')
}
