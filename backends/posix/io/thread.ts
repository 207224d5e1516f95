/** The main thread's side of one I/O thread: its slots, its messages, its end. */

import { Worker } from 'node:worker_threads'
import type { StorageError } from '../../../gateway/core/errors.ts'
import { fromFailure } from './failure.ts'
import type { PoolOptions, Task } from './pool.ts'
import type { FromThread, Reply, Request, ThreadData, ToThread } from './protocol.ts'
import { board, slotState } from './protocol.ts'

/** Requests a thread may hold at a time: enough to keep it from waiting for us. */
const depth = 16
/** ms that an idle thread has to end. */
const stopTime = 1000

/** What the pool wants to know. */
export interface ThreadEvents {
  ready(): void
  /** So many requests took so many ms of work: there is room. */
  answered(count: number, spent: number): void
  /** It cannot work, and ends. */
  unfit(failure: StorageError): void
  ended(tasks: { readonly waiting: readonly Task[]; readonly begun: readonly Task[] }): void
}

/** See the file's comment. */
export class Thread {
  /** What it ended of, if it told. */
  fault: unknown
  readonly #worker: Worker
  readonly #events: ThreadEvents
  readonly #stuckAfter: number
  readonly #words: Int32Array
  readonly #slots: (Task | undefined)[] = new Array<undefined>(depth).fill(undefined)
  readonly #free: number[] = Array.from({ length: depth }, (_, index) => index)
  #batch: Request[] = []
  #ready = false
  #ended = false
  #stuck = false
  #stopping = false
  #begun = 0
  #progress = 0
  readonly #born = performance.now()
  readonly #exit = Promise.withResolvers<void>()

  constructor(options: PoolOptions, events: ThreadEvents) {
    this.#events = events
    this.#stuckAfter = options.stuckAfter ?? 100
    const shared = new SharedArrayBuffer((board.slots + depth) * Int32Array.BYTES_PER_ELEMENT)
    this.#words = new Int32Array(shared)
    const workerData: ThreadData = {
      posix: options.posix,
      board: shared,
      ...(options.identity ? { identity: options.identity } : {}),
      ...(options.operationsModule ? { operationsModule: options.operationsModule } : {}),
    }
    const source = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js'
    // Descriptors outlive the thread that opened them: others stream from them.
    this.#worker = new Worker(new URL(source, import.meta.url), {
      workerData,
      trackUnmanagedFds: false,
      // What it makes is on its way out at once; more room would only be memory that the process grows by.
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    })
    this.#worker.on('message', (message: FromThread) => this.#receive(message))
    this.#worker.on('error', (error) => {
      this.fault = error
    })
    this.#worker.on('exit', () => this.#end())
  }

  /** Requests that it holds. */
  get load(): number {
    return depth - this.#free.length
  }

  /** ms since its start. */
  get age(): number {
    return performance.now() - this.#born
  }

  /** In a call without progress for `stuckAfter`. */
  get stuck(): boolean {
    return this.#stuck
  }

  /** It has passed its self-test. */
  get ready(): boolean {
    return this.#ready && !this.#ended
  }

  get accepts(): boolean {
    return this.#ready && !this.#stuck && !this.#ended && this.#free.length > 0
  }

  /** Only when it `accepts`; goes out with the next `post`. */
  add(task: Task): void {
    const slot = this.#free.pop()
    if (slot === undefined) throw new Error('no free slot')
    if (this.load === 1) this.#progress = performance.now()
    this.#slots[slot] = task
    Atomics.store(this.#words, board.slots + slot, slotState.waiting)
    this.#batch.push({ slot, operation: task.operation, args: task.args, ids: task.ids })
  }

  post(): void {
    if (this.#batch.length === 0) return
    this.#send({ type: 'run', requests: this.#batch })
    this.#batch = []
  }

  /** The tasks it holds, settled ones too. */
  tasks(): Task[] {
    return this.#slots.filter((task) => task !== undefined)
  }

  hasSettled(): boolean {
    return this.#slots.some((task) => task?.settled)
  }

  /** Judges whether it is stuck. */
  look(now: number): void {
    const begun = Atomics.load(this.#words, board.begun)
    if (begun !== this.#begun || this.load === 0) {
      this.#begun = begun
      this.#progress = now
    }
    this.#stuck = this.#ready && this.load > 0 && now - this.#progress > this.#stuckAfter
  }

  /** Takes back what has not begun: all of it when stuck, else what is settled. Returns what was taken. */
  takeBack(): Task[] {
    const taken: Task[] = []
    for (const [slot, task] of this.#slots.entries()) {
      if (!task || !(this.#stuck || task.settled)) continue
      const word = board.slots + slot
      const was = Atomics.compareExchange(this.#words, word, slotState.waiting, slotState.revoked)
      if (was !== slotState.waiting) continue
      // The slot itself comes back when the thread has passed the request over.
      this.#slots[slot] = undefined
      taken.push(task)
    }
    return taken
  }

  /**
   * To be called when all its tasks are settled. What has not begun never does; the call under way is answered first,
   * so that what it has opened is closed. Resolves when the thread has ended, or is known to be stuck and was let go of.
   */
  async stop(): Promise<void> {
    if (this.#ended) return
    this.#worker.unref()
    this.takeBack()
    this.#stopping = true
    this.#stopIfIdle()
    const patience = Promise.withResolvers<void>()
    const timer = setTimeout(patience.resolve, stopTime)
    await Promise.race([this.#exit.promise, patience.promise])
    clearTimeout(timer)
  }

  #receive(message: FromThread): void {
    if (message.type === 'replies') {
      for (const slot of message.revoked) this.#release(slot)
      for (const reply of message.replies) this.#reply(reply)
      this.#stuck = false
      this.#progress = performance.now()
      this.#stopIfIdle()
      this.#events.answered(message.replies.length, message.spent)
    } else if (message.type === 'ready') {
      this.#ready = true
      this.#progress = performance.now()
      this.#events.ready()
    } else {
      this.fault = fromFailure(message.failure)
      this.#events.unfit(fromFailure(message.failure))
    }
  }

  #stopIfIdle(): void {
    if (this.#stopping && this.load === 0) this.#send({ type: 'stop' })
  }

  #reply(reply: Reply): void {
    const task = this.#slots[reply.slot]
    this.#release(reply.slot)
    if (!task || task.settled) {
      if (reply.result !== undefined) this.#send({ type: 'dispose', result: reply.result })
      return
    }
    task.settled = true
    if (reply.failure) task.reject(fromFailure(reply.failure))
    else task.resolve(reply.result)
  }

  #release(slot: number): void {
    this.#slots[slot] = undefined
    this.#words[board.slots + slot] = slotState.free
    this.#free.push(slot)
  }

  #end(): void {
    this.#ended = true
    const waiting: Task[] = []
    const begun: Task[] = []
    for (const [slot, task] of this.#slots.entries()) {
      if (!task) continue
      const state = Atomics.load(this.#words, board.slots + slot)
      if (state === slotState.waiting) waiting.push(task)
      else begun.push(task)
    }
    this.#exit.resolve()
    this.#events.ended({ waiting, begun })
  }

  #send(message: ToThread): void {
    this.#worker.postMessage(message)
  }
}
