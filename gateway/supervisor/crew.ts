/** The worker processes: started together, replaced when they die, ended together. */

import type { Config } from '../config.ts'
import { StorageError } from '../core/errors.ts'
import type { Logger } from '../serve/log.ts'
import type { Address, Snapshot } from './messages.ts'
import { Watching } from './watching.ts'
import { WorkerProcess } from './worker-process.ts'

export interface CrewOptions {
  readonly workers: number
  readonly environment: Readonly<Record<string, string>>
  readonly log: Logger
}

/** Milliseconds before a dead worker is replaced: the first, doubled for each that died young, and the longest. */
const firstPause = 100
const longestPause = 10_000
/** A worker that lived this long in ms has not died of its start. */
const young = 10_000
/** With no worker left, so many failed starts in a row end the gateway. */
const maxFailures = 5
/** Milliseconds between the end of a worker's deadline and its SIGKILL, and from there to going without it. */
const grace = 1000

const reloadTimeout = 60_000
/** Below the ten seconds that Prometheus waits by default. */
const metricsTimeout = 8000

export class Crew {
  readonly #options: CrewOptions
  readonly #live = new Set<WorkerProcess>()
  readonly #watching = new Watching<WorkerProcess>(this.#live)
  readonly #pauses = new Set<NodeJS.Timeout>()
  readonly #lost = Promise.withResolvers<never>()
  #config: Config
  #addresses: readonly Address[] = []
  #failures = 0
  #pinned = false
  #stopping = false

  constructor(config: Config, options: CrewOptions) {
    this.#config = config
    this.#options = options
    this.#lost.promise.catch(() => {})
  }

  /** Starts all workers. When one cannot start, all are ended and its message is thrown. */
  async start(): Promise<readonly Address[]> {
    const first = Array.from({ length: this.#options.workers }, () => this.#fork())
    try {
      const [addresses = []] = await Promise.all(first.map((worker) => worker.ready()))
      this.#addresses = addresses
    } catch (error) {
      this.#stopping = true
      await this.kill()
      throw error
    }
    for (const worker of first) this.#replaceWhenDead(worker)
    return this.#addresses
  }

  /** Rejects when no worker is left and none can be started; otherwise never settles. */
  get lost(): Promise<never> {
    return this.#lost.promise
  }

  /**
   * Has every worker open its logs anew and, if given, take over a configuration. Workers started later
   * get it too. Gives the messages of those that did not take it over.
   */
  async reload(config: Config | undefined): Promise<readonly string[]> {
    if (config) this.#config = config
    const results = await Promise.allSettled([...this.#live].map((worker) => worker.reload(config, reloadTimeout)))
    return results.flatMap((result) => (result.status === 'rejected' ? [StorageError.from(result.reason).message] : []))
  }

  /** What the workers have counted; one that does not answer in time is left out. */
  async metrics(): Promise<readonly Snapshot[]> {
    const results = await Promise.allSettled([...this.#live].map((worker) => worker.metrics(metricsTimeout)))
    return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  }

  /** What the workers were started with. */
  get environment(): Readonly<Record<string, string>> {
    return this.#options.environment
  }

  /** Workers alive now. */
  get size(): number {
    return this.#live.size
  }

  /** Lets workers finish for `deadline` ms, then ends them. Resolves soon after that at the latest. */
  async stop(deadline: number): Promise<void> {
    this.#stopping = true
    this.#stopReplacing()
    const workers = [...this.#live]
    for (const worker of workers) worker.stop(deadline)
    const late = setTimeout(() => {
      if (this.#live.size > 0) this.#options.log.warn({ workers: this.#live.size }, 'workers did not end in time')
      void this.kill()
    }, deadline + grace)
    // A process stuck in a hung file system survives even SIGKILL for a while; we do not wait for it.
    const given = Promise.withResolvers<void>()
    const gone = setTimeout(() => given.resolve(), deadline + 2 * grace)
    await Promise.race([Promise.all(workers.map((worker) => worker.ended)), given.promise])
    clearTimeout(late)
    clearTimeout(gone)
  }

  /** Ends every worker at once. */
  async kill(): Promise<void> {
    this.#stopping = true
    this.#stopReplacing()
    const workers = [...this.#live]
    for (const worker of workers) worker.kill()
    const given = Promise.withResolvers<void>()
    const gone = setTimeout(() => given.resolve(), grace)
    await Promise.race([Promise.all(workers.map((worker) => worker.ended)), given.promise])
    clearTimeout(gone)
  }

  #fork(): WorkerProcess {
    const worker = new WorkerProcess(this.#configOfNext(), this.#options.workers, this.#options.environment)
    this.#live.add(worker)
    worker.follow({
      watching: (id, wanted) => void this.#watching.wish(worker, id, wanted),
      changes: (changes) => this.#watching.pass(worker, changes),
      isWatched: () => this.#watching.isWanted(worker),
    })
    void worker.ended.then(() => {
      this.#live.delete(worker)
      this.#watching.forget(worker)
    })
    return worker
  }

  /**
   * Port 0 means one port that all workers share; it is lost with the last of them. So that the gateway
   * stays where it was, who starts after that gets the number.
   */
  #configOfNext(): Config {
    if (this.#live.size === 0 && this.#addresses.length > 0) this.#pinned = true
    if (!this.#pinned) return this.#config
    const { listen, s3 } = this.#config
    const pinned = <Listener>(listeners: readonly Listener[], from: number) =>
      listeners.map((listener, index) => {
        const found = this.#addresses.find((address) => address.listener === from + index)
        return found ? { ...listener, port: found.port } : listener
      })
    return {
      ...this.#config,
      listen: pinned(listen, 0),
      ...(s3 && { s3: { ...s3, listen: pinned(s3.listen, listen.length) } }),
    }
  }

  #replaceWhenDead(worker: WorkerProcess): void {
    void worker.ended.then((ending) => {
      if (this.#stopping) return
      this.#options.log.error({ worker: worker.pid, ...ending }, 'a worker died and is replaced')
      if (performance.now() - worker.started > young) this.#failures = 0
      this.#replaceLater()
    })
  }

  #replaceLater(): void {
    const pause = Math.min(firstPause * 2 ** this.#failures, longestPause)
    const timer = setTimeout(() => {
      this.#pauses.delete(timer)
      void this.#replace()
    }, pause)
    this.#pauses.add(timer)
  }

  async #replace(): Promise<void> {
    const worker = this.#fork()
    try {
      await worker.ready()
      this.#options.log.info({ worker: worker.pid }, 'a worker was replaced')
      this.#failures += 1
      this.#replaceWhenDead(worker)
    } catch (error) {
      worker.kill()
      await worker.ended
      if (this.#stopping) return
      this.#failures += 1
      this.#options.log.error({ err: error }, 'a worker could not be started')
      if (this.#live.size === 0 && this.#failures >= maxFailures) this.#lost.reject(error)
      else this.#replaceLater()
    }
  }

  #stopReplacing(): void {
    for (const timer of this.#pauses) clearTimeout(timer)
    this.#pauses.clear()
  }
}
