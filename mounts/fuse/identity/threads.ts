/**
 * Threads for what may hang: the memory of a process that waits for this mount, a token file on a file system that does not
 * answer. One that hangs is given up until it comes back, and its user waits for it alone.
 */

import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { type ErrorCode, StorageError } from '../../../gateway/core/errors.ts'
import type { Done, Job } from './jobs.ts'

/** Besides those that hang. */
const mostThreads = 8
/** With those that hang; each user can hold up two. */
const mostOfAll = 64
const mostOfUser = 2
const longestQueue = 4096
/** Of one user. */
const longestWait = 256
/** Milliseconds. */
const usualPatience = 5000

interface Answer {
  readonly done?: Done
  readonly code?: ErrorCode
  readonly message?: string
}

interface Waiting {
  readonly job: Job
  readonly uid: number
  readonly resolve: (done: Done) => void
  readonly reject: (error: StorageError) => void
  /** Milliseconds of `performance`, from which on nobody waits any more. */
  readonly until: number
}

/** One thread, and what it does at the moment. */
interface Thread {
  readonly worker: Pick<Worker, 'postMessage'>
  over: ((answer: Answer) => void) | undefined
}

/** Of one user: jobs that wait, that are worked on, and that did not come back in time. */
interface User {
  waiting: number
  running: number
  hung: number
}

export interface ThreadsOptions {
  /** Milliseconds until a job is given up. */
  readonly patience?: number
  /** Makes a thread; those of thread.ts by default. */
  readonly make?: () => Worker
}

export class Threads {
  readonly #idle: Thread[] = []
  readonly #all = new Map<Thread, Worker>()
  #queue: Waiting[] = []
  readonly #users = new Map<number, User>()
  readonly #patience: number
  readonly #make: () => Worker
  /** Threads that did not come back. */
  #hung = 0
  #isClosed = false

  constructor({ patience = usualPatience, make = thread }: ThreadsOptions = {}) {
    this.#patience = patience
    this.#make = make
  }

  /** Throws `timeout`, `busy` where too much hangs already, and what the job throws. */
  run(job: Job, uid: number): Promise<Done> {
    if (this.#isClosed) return Promise.reject(new StorageError('cancelled', 'the mount is over'))
    const user = this.#users.get(uid) ?? { waiting: 0, running: 0, hung: 0 }
    if (this.#queue.length >= longestQueue || user.waiting >= longestWait || user.hung > 0) {
      return Promise.reject(new StorageError('busy', 'looking at processes takes too long'))
    }
    this.#users.set(uid, user)
    user.waiting++
    return new Promise((resolve, reject) => {
      this.#queue.push({ job, uid, resolve, reject, until: performance.now() + this.#patience })
      this.#go()
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const { reject } of this.#queue.splice(0)) reject(new StorageError('cancelled', 'the mount is over'))
    await Promise.all([...this.#all.values()].map((worker) => worker.terminate()))
  }

  #go(): void {
    while (this.#queue.length > 0 && !this.#isClosed) {
      const index = this.#queue.findIndex(({ uid }) => (this.#users.get(uid)?.running ?? 0) < mostOfUser)
      const next = index < 0 ? undefined : this.#queue[index]
      const free = next && (this.#idle.pop() ?? this.#another())
      if (!next || !free) return
      this.#queue.splice(index, 1)
      this.#count(next.uid, { waiting: -1, running: 1 })
      this.#give(free, next)
    }
  }

  #give(free: Thread, { job, uid, resolve, reject, until }: Waiting): void {
    let isLate = false
    const timer = setTimeout(
      () => {
        isLate = true
        this.#hung++
        this.#count(uid, { hung: 1 })
        reject(new StorageError('timeout', 'a token file or a process did not answer'))
        this.#refuseWaiting(uid)
        this.#go()
      },
      Math.max(1, until - performance.now()),
    )
    free.over = (answer) => {
      free.over = undefined
      clearTimeout(timer)
      if (isLate) this.#hung--
      this.#count(uid, { running: -1, hung: isLate ? -1 : 0 })
      if (answer.done) resolve(answer.done)
      else reject(new StorageError(answer.code ?? 'internal', answer.message ?? 'a thread failed'))
    }
    free.worker.postMessage(job)
  }

  /** They would wait for what hangs. */
  #refuseWaiting(uid: number): void {
    const theirs = this.#queue.filter((each) => each.uid === uid)
    this.#queue = this.#queue.filter((each) => each.uid !== uid)
    for (const { reject } of theirs) {
      this.#count(uid, { waiting: -1 })
      reject(new StorageError('busy', 'looking at processes takes too long'))
    }
  }

  #count(uid: number, { waiting = 0, running = 0, hung = 0 }: Partial<User>): void {
    const user = this.#users.get(uid)
    if (!user) return
    user.waiting += waiting
    user.running += running
    user.hung += hung
    if (user.waiting + user.running + user.hung === 0) this.#users.delete(uid)
  }

  #another(): Thread | undefined {
    if (this.#all.size - this.#hung >= mostThreads || this.#all.size >= mostOfAll) return undefined
    const worker = this.#make()
    const made: Thread = { worker, over: undefined }
    worker.unref()
    worker.on('message', (answer: Answer) => {
      made.over?.(answer)
      this.#idle.push(made)
      this.#go()
    })
    worker.on('error', () => this.#lost(made))
    worker.on('exit', () => this.#lost(made))
    this.#all.set(made, worker)
    return made
  }

  #lost(gone: Thread): void {
    if (!this.#all.delete(gone)) return
    const at = this.#idle.indexOf(gone)
    if (at >= 0) this.#idle.splice(at, 1)
    gone.over?.({})
    this.#go()
  }
}

function thread(): Worker {
  // The same extension as this file: `.ts` in the source tree, `.js` where it was built.
  const file = new URL(`./thread${extname(import.meta.url)}`, import.meta.url)
  return new Worker(file, { name: 'identity', execArgv: [] })
}
