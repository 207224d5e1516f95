/**
 * The I/O threads of one mount: a bounded number, a bounded queue and a deadline, so that a file system which
 * hangs costs its own mount's callers an error and nobody else anything.
 */

import type { ErrorCode } from '../../../gateway/core/errors.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { RunAs, ThreadSetup } from './protocol.ts'
import { Thread } from './thread.ts'

export interface PoolOptions extends ThreadSetup {
  /** For messages: "posix:/gpfs/dust". */
  readonly name: string
  /** At most so many; they are started as calls find the others busy, since each costs memory. */
  readonly threads: number
  /** Calls that may wait for a thread; past it `busy`. */
  readonly queue: number
  /** ms a call may take, waiting included; past it `unavailable`. */
  readonly deadline: number
  /** ms without progress after which a thread counts as stuck and gets no more work. Default 100. */
  readonly stuckAfter?: number
  /** Told of what nobody else hears of: threads that ended, late answers. Holds no caller's data. */
  readonly log?: (message: string, cause?: unknown) => void
}

export interface PoolStatus {
  readonly threads: number
  /** Threads in a call that has made no progress for `stuckAfter`. */
  readonly stuck: number
  /** Handed to a thread, of which it has begun one. */
  readonly running: number
  readonly queued: number
}

/** A call of `run` on its way. */
export interface Task {
  readonly operation: string
  readonly args: unknown
  readonly ids: RunAs
  readonly signal: AbortSignal
  /** On the clock of `performance.now()`. */
  readonly expires: number
  resolve(result: unknown): void
  reject(error: StorageError): void
  /** Nobody waits any more: a late result is disposed of. */
  settled: boolean
}

/** How often deadlines, aborted callers and stuck threads are looked for, in ms. */
const sweepEvery = 25
/** Operations quicker than this, in ms, go to a thread several at a time: waking another one costs more. */
const quick = 0.2
const packed = 6
/** Weight of the latest answers in the pace. */
const smoothing = 0.1
/** A thread that ends again and again is started at most this often, in ms. */
const restartDelay = 1000

/** See the file's comment. */
export class IoPool {
  readonly #options: PoolOptions
  readonly #threads = new Set<Thread>()
  readonly #restarts = new Set<NodeJS.Timeout>()
  #queue: Task[] = []
  #sweeper: NodeJS.Timeout | undefined
  #dispatching = false
  /** ms of work an operation takes of late. */
  #pace = 0
  #closed = false
  /** Why threads could not start; undefined once one did. */
  #unfit: StorageError | undefined
  #started = Promise.withResolvers<void>()

  /** Starts the first thread at once; `ready` tells when it works. */
  constructor(options: PoolOptions) {
    this.#options = options
    // Whoever does not ask `ready` hears of it from `run`.
    this.#started.promise.catch(() => {})
    this.#spawn()
  }

  /** Resolves when a thread has passed its self-test and loaded the operations; rejects when one failed to. */
  ready(): Promise<void> {
    return this.#started.promise
  }

  /**
   * Runs an operation on a thread, under the identity `ids`. Fails with what the operation threw; `busy` when too
   * many wait; `unavailable` at the deadline, when the operation may still happen unless it had not begun;
   * `cancelled` when `signal` aborts: what has not begun by then never does.
   */
  run<T>(operation: string, args: unknown, ids: RunAs, signal: AbortSignal): Promise<T> {
    const refusal = this.#refusal(signal)
    if (refusal) return Promise.reject(refusal)
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({
        operation,
        args,
        ids,
        signal,
        expires: performance.now() + this.#options.deadline,
        // The caller names the operation and with it the type of its result.
        resolve: resolve as (result: unknown) => void,
        reject,
        settled: false,
      })
      this.#sweeper ??= setInterval(() => this.#sweep(), sweepEvery)
      this.#dispatchSoon()
    })
  }

  status(): PoolStatus {
    let running = 0
    let stuck = 0
    for (const thread of this.#threads) {
      running += thread.tasks().length
      if (thread.stuck) stuck++
    }
    return { threads: this.#threads.size, stuck, running, queued: this.#queue.length }
  }

  /**
   * Fails what is under way with `unavailable` and lets go of the threads. One stuck in the kernel cannot be
   * ended and is left behind; it keeps neither this promise nor the event loop, only `process.exit` (see exitNow).
   */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#sweeper)
    for (const timer of this.#restarts) clearTimeout(timer)
    const closing = error('unavailable', 'the mount is being closed')
    this.#started.reject(closing)
    for (const task of this.#queue) settle(task, closing)
    this.#queue = []
    const threads = [...this.#threads]
    for (const thread of threads) for (const task of thread.tasks()) settle(task, closing)
    await Promise.all(threads.map((thread) => thread.stop()))
  }

  #refusal(signal: AbortSignal): StorageError | undefined {
    if (this.#closed) return error('unavailable', 'the mount is closed')
    if (signal.aborted) return cancellation(signal)
    if (this.#unfit && !this.#works()) return this.#unfit
    if (this.#queue.length < this.#options.queue) return undefined
    return error('busy', 'too many calls wait for this mount', 1)
  }

  #works(): boolean {
    for (const thread of this.#threads) if (thread.ready) return true
    return false
  }

  #spawn(): void {
    const thread = new Thread(this.#options, {
      ready: () => {
        this.#unfit = undefined
        this.#started.resolve()
        this.#dispatch()
      },
      answered: (count, spent) => {
        if (count > 0) this.#pace += (spent / count - this.#pace) * smoothing
        if (this.#queue.length > 0) this.#dispatch()
      },
      unfit: (failure) => {
        this.#unfit = new StorageError('unavailable', 'the I/O threads of the mount cannot work', {
          cause: failure,
          retryAfter: 10,
        })
        this.#started.reject(this.#unfit)
        this.#options.log?.(`${this.#options.name}: an I/O thread cannot work`, failure)
      },
      ended: (tasks) => this.#ended(thread, tasks),
    })
    this.#threads.add(thread)
  }

  #ended(thread: Thread, tasks: { readonly waiting: readonly Task[]; readonly begun: readonly Task[] }): void {
    this.#threads.delete(thread)
    if (this.#closed) return
    this.#options.log?.(`${this.#options.name}: an I/O thread ended`, thread.fault)
    for (const task of tasks.begun) settle(task, error('unavailable', 'the call was interrupted', 1))
    this.#requeue(tasks.waiting)
    const timer = setTimeout(
      () => {
        this.#restarts.delete(timer)
        this.#spawn()
      },
      thread.age > restartDelay ? 0 : restartDelay,
    )
    this.#restarts.add(timer)
  }

  /** Puts tasks that have not begun back to the front. */
  #requeue(tasks: readonly Task[]): void {
    const waiting = tasks.filter((task) => !task.settled)
    if (waiting.length === 0) return
    this.#queue = [...waiting, ...this.#queue]
    this.#dispatchSoon()
  }

  /** Calls of one turn of the event loop go out together. */
  #dispatchSoon(): void {
    if (this.#dispatching) return
    this.#dispatching = true
    setImmediate(() => {
      this.#dispatching = false
      this.#dispatch()
    })
  }

  #dispatch(): void {
    const queue = this.#queue
    let next = 0
    for (; next < queue.length; next++) {
      const task = queue[next]
      if (!task || task.settled) continue
      const thread = this.#choose()
      if (!thread) break
      thread.add(task)
    }
    this.#queue = next === queue.length ? [] : queue.slice(next)
    if (this.#queue.length > 0) this.#grow()
    for (const thread of this.#threads) thread.post()
  }

  /** The least busy thread; the first that is not yet well filled while operations are quick. */
  #choose(): Thread | undefined {
    const fill = this.#pace < quick ? packed : 1
    let best: Thread | undefined
    for (const thread of this.#threads) {
      if (!thread.accepts) continue
      if (thread.load < fill) return thread
      if (!best || thread.load < best.load) best = thread
    }
    this.#grow()
    return best
  }

  /** One more thread, where all are busy and none is on its way. */
  #grow(): void {
    if (this.#threads.size + this.#restarts.size >= this.#options.threads) return
    for (const thread of this.#threads) if (!thread.ready) return
    this.#spawn()
  }

  #sweep(): void {
    const now = performance.now()
    let left = false
    for (const task of this.#queue) left = expire(task, now) || left
    const waiting = this.#queue.filter((task) => !task.settled)
    if (waiting.length < this.#queue.length) this.#queue = waiting
    for (const thread of this.#threads) {
      for (const task of thread.tasks()) left = expire(task, now) || left
      thread.look(now)
      // An aborted call need not begin, and a stuck thread's other calls may begin elsewhere.
      if (thread.stuck || thread.hasSettled()) this.#requeue(thread.takeBack())
      left ||= thread.load > 0
    }
    if (left) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }
}

/** Fails a task whose time or caller has gone; returns whether it still waits. */
function expire(task: Task, now: number): boolean {
  if (task.settled) return false
  if (task.signal.aborted) settle(task, cancellation(task.signal))
  else if (now >= task.expires) settle(task, error('unavailable', 'the file system did not answer in time', 10))
  return !task.settled
}

function settle(task: Task, failure: StorageError): void {
  if (task.settled) return
  task.settled = true
  task.reject(failure)
}

function cancellation(signal: AbortSignal): StorageError {
  return signal.reason instanceof StorageError ? signal.reason : error('cancelled', 'the caller went away')
}

function error(code: ErrorCode, message: string, retryAfter?: number): StorageError {
  return new StorageError(code, message, retryAfter === undefined ? {} : { retryAfter })
}
