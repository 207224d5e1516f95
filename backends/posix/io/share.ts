/**
 * One mount's share of the process's threads for data (libuv's pool): reads, writes and syncs of descriptors that
 * I/O threads opened. When its file system hangs, its own slots stay taken and those of other mounts do not,
 * provided that the pool (UV_THREADPOOL_SIZE) is as large as all shares together.
 */

import { close, fdatasync, fsync, read, writev } from 'node:fs'
import type { ErrorCode } from '../../../gateway/core/errors.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import { dup } from '../native/open.ts'
import type { SocketCopy } from '../native/sending.ts'
import { startWriting } from '../native/write-behind.ts'
import { fromKernel } from './errors.ts'

export interface ShareOptions {
  /** Calls in the kernel at a time (`dataThreads`). */
  readonly slots: number
  /** Calls that may wait for a slot; past it `busy`. */
  readonly queue: number
  /** ms a call may take, waiting included; past it `unavailable`. */
  readonly deadline: number
  /** ms for fsync, which has more to do. Default: `deadline`. */
  readonly syncDeadline?: number
}

export interface ShareStatus {
  readonly slots: number
  /** Slots taken, by calls that nobody waits for any more too. */
  readonly taken: number
  readonly queued: number
}

type Done = (error: Error | null, result?: number) => void

interface Work {
  readonly fd: number
  readonly signal: AbortSignal | undefined
  /** On the clock of `performance.now()`. */
  readonly expires: number
  start(done: Done): void
  resolve(result: number): void
  reject(error: StorageError): void
  /** Happens also when nobody waits for it any more. */
  readonly certain: boolean
  settled: boolean
  begun: boolean
}

interface Order {
  readonly fd: number
  readonly signal?: AbortSignal | undefined
  /** ms. */
  readonly deadline: number
  readonly certain?: boolean
  readonly start: Work['start']
  readonly resolve: Work['resolve']
  readonly reject: Work['reject']
}

const sweepEvery = 25

/** See the file's comment. */
export class DataShare {
  readonly #options: ShareOptions
  /** Everything not yet settled, or still in the kernel. */
  readonly #works = new Set<Work>()
  #queue: Work[] = []
  #taken = 0
  /** Calls in the kernel for each descriptor. */
  readonly #busy = new Map<number, number>()
  /** Closes from when they are asked for until they have come back from the kernel. */
  readonly #closing = new Map<number, Work>()
  #sweeper: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: ShareOptions) {
    this.#options = options
  }

  /**
   * Bytes read into `buffer` from `offset` on; fewer than `length` at the end of the file. After a failure `buffer`
   * must not be used again: a read that was given up may still fill it.
   */
  read(
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    return this.#run(fd, signal, this.#options.deadline, (done) => read(fd, buffer, offset, length, position, done))
  }

  /** Bytes written, perhaps fewer than there are. The buffers must not change before it settles, nor after a failure. */
  write(
    fd: number,
    buffers: readonly Uint8Array[],
    position: number,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    return this.#run(fd, signal, this.#options.deadline, (done) => writev(fd, [...buffers], position, done))
  }

  /** Bytes sent to a socket, as `SocketCopy.send` tells them. */
  send(
    fd: number,
    socket: SocketCopy,
    position: number,
    length: number,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const start: Work['start'] = (done) => socket.send(fd, position, length, (sent) => done(null, sent))
    return this.#run(fd, signal, this.#options.deadline, start)
  }

  /** Starts to write a range to disk, so that a later `sync` has less to do. Resolves to whether this file system can. */
  async writeBehind(fd: number, position: number, length: number, signal: AbortSignal | undefined): Promise<boolean> {
    const start: Work['start'] = (done) => startWriting(fd, position, length, (started) => done(null, started ? 1 : 0))
    return (await this.#run(fd, signal, this.#options.deadline, start)) === 1
  }

  /** `dataOnly`: without times and such (fdatasync). */
  async sync(fd: number, options: { readonly dataOnly: boolean }, signal: AbortSignal | undefined): Promise<void> {
    const deadline = this.#options.syncDeadline ?? this.#options.deadline
    await this.#run(fd, signal, deadline, (done) => (options.dataOnly ? fdatasync(fd, done) : fsync(fd, done)))
  }

  /** What a close of the file tells of bytes that were taken and could not be kept; the descriptor stays open. */
  async flush(fd: number, signal: AbortSignal | undefined): Promise<void> {
    const deadline = this.#options.syncDeadline ?? this.#options.deadline
    await this.#run(fd, signal, deadline, (done) => close(dup(fd), done))
  }

  /**
   * Closes a descriptor once every call on it has left the kernel, so that none can hit another file that got the
   * same number; calls on it that still wait for a slot are `cancelled`, as are all that come until it is closed.
   * Rejects with `unavailable` at the deadline, after which the close still happens when it can, with what the file
   * system says of lost writes, and with `internal` when a close is under way already.
   */
  close(fd: number): Promise<void> {
    if (this.#closing.has(fd)) return Promise.reject(error('internal', 'the file is being closed already'))
    for (const work of this.#queue) {
      if (work.fd === fd) settle(work, error('cancelled', 'the file was closed'))
    }
    return new Promise((resolve, reject) => {
      const work = this.#work({
        fd,
        deadline: this.#options.deadline,
        start: (done) => close(fd, done),
        resolve: () => resolve(),
        reject,
        certain: true,
      })
      this.#closing.set(fd, work)
      if (!this.#busy.has(fd)) this.#enqueue(work)
    })
  }

  /**
   * To be told of every descriptor that was opened for use here: the kernel may give out a number again before we
   * hear that its close is done.
   */
  opened(fd: number): void {
    if (this.#closing.get(fd)?.begun) this.#closing.delete(fd)
  }

  status(): ShareStatus {
    return { slots: this.#options.slots, taken: this.#taken, queued: this.#queue.length }
  }

  /** Fails everything under way with `unavailable`, and all that comes but closes. Calls in the kernel stay there. */
  stop(): void {
    this.#closed = true
    for (const work of this.#works) settle(work, error('unavailable', 'the mount is being closed'))
  }

  #run(fd: number, signal: AbortSignal | undefined, deadline: number, start: Work['start']): Promise<number> {
    const refusal = this.#refusal(fd, signal)
    if (refusal) return Promise.reject(refusal)
    return new Promise((resolve, reject) => {
      this.#enqueue(this.#work({ fd, signal, deadline, start, resolve, reject }))
    })
  }

  #refusal(fd: number, signal: AbortSignal | undefined): StorageError | undefined {
    if (this.#closed) return error('unavailable', 'the mount is closed')
    if (signal?.aborted) return cancellation(signal)
    if (this.#closing.has(fd)) return error('cancelled', 'the file is being closed')
    if (this.#queue.length < this.#options.queue) return undefined
    return error('busy', 'too many reads and writes wait for this mount', 1)
  }

  #work(order: Order): Work {
    const { deadline, signal, certain = false, ...rest } = order
    const work: Work = {
      ...rest,
      signal,
      certain,
      expires: performance.now() + deadline,
      settled: false,
      begun: false,
    }
    this.#works.add(work)
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepEvery)
    return work
  }

  #enqueue(work: Work): void {
    if (this.#taken < this.#options.slots) this.#begin(work)
    else this.#queue.push(work)
  }

  #begin(work: Work): void {
    this.#taken++
    work.begun = true
    // A close comes after all other calls, and another file may have the number before we hear that it is done.
    if (!work.certain) this.#busy.set(work.fd, (this.#busy.get(work.fd) ?? 0) + 1)
    try {
      work.start((failure, result) => this.#end(work, failure, result))
    } catch (failure) {
      this.#end(work, failure)
    }
  }

  #end(work: Work, failure: unknown, result = 0): void {
    this.#taken--
    this.#works.delete(work)
    if (this.#closing.get(work.fd) === work) this.#closing.delete(work.fd)
    if (!work.certain) this.#left(work.fd)
    if (!work.settled) {
      work.settled = true
      if (failure) work.reject(fromKernel(failure))
      else work.resolve(result)
    }
    this.#next()
  }

  /** A call has left the kernel. */
  #left(fd: number): void {
    const others = (this.#busy.get(fd) ?? 1) - 1
    if (others > 0) {
      this.#busy.set(fd, others)
      return
    }
    this.#busy.delete(fd)
    const close = this.#closing.get(fd)
    if (close) this.#enqueue(close)
  }

  #next(): void {
    while (this.#taken < this.#options.slots) {
      const work = this.#queue.shift()
      if (!work) return
      if (isWanted(work)) this.#begin(work)
    }
  }

  #sweep(): void {
    const now = performance.now()
    for (const work of this.#works) {
      if (work.signal?.aborted) settle(work, cancellation(work.signal))
      else if (now >= work.expires) settle(work, tooLate())
      if (!work.begun && !isWanted(work)) this.#works.delete(work)
    }
    this.#queue = this.#queue.filter(isWanted)
    for (const work of this.#works) if (!work.settled) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }
}

function isWanted(work: Work): boolean {
  return work.certain || !work.settled
}

function settle(work: Work, failure: StorageError): void {
  if (work.settled) return
  work.settled = true
  work.reject(failure)
}

function tooLate(): StorageError {
  return error('unavailable', 'the file system did not answer in time', 10)
}

function cancellation(signal: AbortSignal): StorageError {
  return signal.reason instanceof StorageError ? signal.reason : error('cancelled', 'the caller went away')
}

function error(code: ErrorCode, message: string, retryAfter?: number): StorageError {
  return new StorageError(code, message, retryAfter === undefined ? {} : { retryAfter })
}
