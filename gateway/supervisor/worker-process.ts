/** One worker as the supervisor sees it: a process that is asked things and answers, or ends. */

import cluster, { type Worker } from 'node:cluster'
import type { Config } from '../config.ts'
import { StorageError } from '../core/errors.ts'
import type { Change } from '../core/feed.ts'
import { ChangeSender } from '../core/pending-changes.ts'
import type { Address, FromWorker, Snapshot, ToWorker } from './messages.ts'

type Reply = Extract<FromWorker, { readonly kind: 'reloaded' | 'metrics' | 'watched' }>

/** What a worker says of itself. */
export interface WorkerEvents {
  watching(id: number, wanted: boolean): void
  changes(changes: readonly Change[]): void
  /** Asked when it starts: whether others watch. */
  isWatched(): boolean
}

interface Question {
  resolve(reply: Reply): void
  reject(error: StorageError): void
}

/** How a process ended. */
export interface Ending {
  readonly code: number | null
  readonly signal: string | null
}

export class WorkerProcess {
  /** Resolves when the process is gone. */
  readonly ended: Promise<Ending>
  readonly started = performance.now()
  readonly #worker: Worker
  readonly #questions = new Map<number, Question>()
  readonly #start = Promise.withResolvers<readonly Address[]>()
  readonly #sender = new ChangeSender((changes, sent) => this.#send({ kind: 'changes', changes }, sent))
  #events: WorkerEvents | undefined
  #last = 0

  constructor(config: Config, workers: number, environment: Readonly<Record<string, string>>) {
    this.#worker = cluster.fork(environment)
    this.ended = new Promise((resolve) => {
      this.#worker.once('exit', (code, signal) => {
        this.#lose()
        resolve({ code, signal })
      })
    })
    // A failure to spawn is followed by `exit`.
    this.#worker.on('error', () => this.#lose())
    this.#worker.on('message', (message: FromWorker) => {
      if (message.kind !== 'up') this.#hear(message)
      else this.#send({ kind: 'start', config, workers, watched: this.#events?.isWatched() ?? false })
    })
    // Whoever does not wait for `ready` learns of it from `ended`.
    this.#start.promise.catch(() => {})
  }

  /** To be called at once. */
  follow(events: WorkerEvents): void {
    this.#events = events
  }

  get pid(): number | undefined {
    return this.#worker.process.pid
  }

  /** Where it listens. Rejects with `unavailable` and a message for the administrator when it could not start. */
  ready(): Promise<readonly Address[]> {
    return this.#start.promise
  }

  /** Rejects with the worker's own message when it did not take the configuration over. */
  async reload(config: Config | undefined, timeout: number): Promise<void> {
    const reply = await this.#ask((id) => ({ kind: 'reload', id, ...(config && { config }) }), timeout)
    if (reply.kind === 'reloaded' && reply.error !== undefined) throw new StorageError('invalid', reply.error)
  }

  async metrics(timeout: number): Promise<Snapshot> {
    const reply = await this.#ask((id) => ({ kind: 'metrics', id }), timeout)
    return reply.kind === 'metrics' ? reply.metrics : []
  }

  /** Whether it is to tell of its changes. Resolves when it knows. */
  async tellChanges(wanted: boolean, timeout: number): Promise<void> {
    await this.#ask((id) => ({ kind: 'watched', id, wanted }), timeout)
  }

  hearChanges(changes: readonly Change[]): void {
    this.#sender.add(changes)
  }

  /** What it wished for in `watching` is done. */
  grant(id: number): void {
    this.#send({ kind: 'granted', id })
  }

  /** Asks it to finish within `deadline` ms. */
  stop(deadline: number): void {
    this.#send({ kind: 'stop', deadline })
  }

  kill(): void {
    this.#worker.process.kill('SIGKILL')
  }

  #ask(question: (id: number) => ToWorker, timeout: number): Promise<Reply> {
    const id = ++this.#last
    const { promise, resolve, reject } = Promise.withResolvers<Reply>()
    const timer = setTimeout(() => reject(new StorageError('timeout', 'a worker does not answer')), timeout)
    this.#questions.set(id, { resolve, reject })
    this.#send(question(id))
    return promise.finally(() => {
      clearTimeout(timer)
      this.#questions.delete(id)
    })
  }

  #send(message: ToWorker, sent: () => void = () => {}): void {
    // A worker that has just died shows by its exit.
    if (this.#worker.isConnected()) this.#worker.send(message, () => sent())
  }

  #hear(message: Exclude<FromWorker, { readonly kind: 'up' }>): void {
    if (message.kind === 'ready') this.#start.resolve(message.addresses)
    else if (message.kind === 'failed') this.#start.reject(new StorageError('unavailable', message.message))
    else if (message.kind === 'watching') this.#events?.watching(message.id, message.wanted)
    else if (message.kind === 'changes') this.#events?.changes(message.changes)
    else this.#questions.get(message.id)?.resolve(message)
  }

  #lose(): void {
    const error = new StorageError('unavailable', 'a worker ended unexpectedly')
    this.#start.reject(error)
    for (const question of this.#questions.values()) question.reject(error)
  }
}
