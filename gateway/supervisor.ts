/**
 * The first process of a gateway. It reads the configuration, starts the workers that serve, replaces
 * those that die, and passes signals on. It never touches a mount, so nothing that hangs can hang it.
 *
 * SIGHUP opens the logs anew and takes over what can be taken over of the configuration file; SIGTERM
 * and SIGINT let transfers finish within `limits.shutdownTimeout`, a second one ends everything at once.
 */

import cluster from 'node:cluster'
import { availableParallelism } from 'node:os'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { forRunning } from './config/restart.ts'
import { type Config, ConfigError, loadConfig } from './config.ts'
import { StorageError } from './core/errors.ts'
import { rootsFor } from './privileges.ts'
import { takePrivileges } from './serve/account.ts'
import { withPublicUrl } from './serve/addresses.ts'
import { dataThreadsOf } from './serve/backend-files.ts'
import { checkFiles } from './serve/files.ts'
import { kerberosEnvironment } from './serve/kerberos.ts'
import { type Log, openLog } from './serve/log.ts'
import { Crew } from './supervisor/crew.ts'
import type { Address } from './supervisor/messages.ts'
import { type MetricsDoor, openMetricsDoor } from './supervisor/metrics-door.ts'
import { notifyService } from './supervisor/notify.ts'

export interface RunOptions {
  /** Read at start and on SIGHUP. */
  readonly configFile?: string
  /** Instead of a file; then SIGHUP only opens the logs anew. */
  readonly config?: Config
  /** Called once, when all workers serve. */
  readonly onReady?: (ready: Ready) => void
  /** Ends the gateway as SIGTERM does. */
  readonly signal?: AbortSignal
  /** Another program than our own worker, for tests of the supervisor. */
  readonly workerFile?: string
}

export interface Ready {
  readonly addresses: readonly Address[]
  readonly metrics: { readonly address: string; readonly port: number } | undefined
  readonly workers: number
}

const maxAutoWorkers = 8
/** Threads of libuv's pool beside those for data of mounts: DNS, logs, cryptography. */
const spareThreads = 8
/** libuv's own limit. */
const maxThreads = 1024

/**
 * Runs a gateway until it is told to end, and gives the exit status: 0 after a clean end, 1 when it was
 * forced. Throws ConfigError or StorageError with a message for the administrator when it cannot start,
 * or when all workers have died and none can be replaced. One gateway a process.
 */
export async function runGateway(options: RunOptions): Promise<number> {
  const written = await configOf(options)
  // Started as root this does not return: the program starts again as the account of the gateway.
  const roots = takePrivileges(written, options.configFile)
  await checkFiles(written)
  const log = openLog(written.log, { role: 'supervisor' })
  if (process.geteuid?.() === 0) log.warn({}, 'serving as root; `runAs` names an account for it')
  const supervisor = new Supervisor({ written, running: await withPublicUrl(written), roots }, options, log)
  try {
    return await supervisor.run()
  } finally {
    log.flush()
  }
}

async function configOf({ config, configFile }: RunOptions): Promise<Config> {
  if (config) return config
  if (configFile === undefined) throw new StorageError('invalid', 'there is no configuration')
  return loadConfig(configFile)
}

interface StartConfig {
  /** As it is in the file. */
  readonly written: Config
  readonly running: Config
  /** Tops of native mounts that root opened, for the workers. */
  readonly roots: ReadonlyMap<string, number>
}

class Supervisor {
  readonly #options: RunOptions
  readonly #log: Log
  readonly #crew: Crew
  readonly #end = Promise.withResolvers<'asked'>()
  readonly #force = Promise.withResolvers<'forced'>()
  /** As it is in the file. */
  #written: Config
  /** As the workers have it. */
  #running: Config
  #metrics: MetricsDoor | undefined
  #reloading: Promise<void> = Promise.resolve()
  #asked = false

  constructor(config: StartConfig, options: RunOptions, log: Log) {
    this.#written = config.written
    this.#running = config.running
    this.#options = options
    this.#log = log
    const standard = [0, 1, 2, 'ipc'] as const
    const { descriptors, environment: where } = rootsFor(config.roots, standard.length)
    const stdio = [...standard, ...descriptors]
    cluster.setupPrimary({ exec: options.workerFile ?? ownWorker(), args: [], execArgv: [], stdio })
    const own = { UV_THREADPOOL_SIZE: String(threadsFor(config.running)), NOTIFY_SOCKET: '' }
    const environment = { ...own, ...kerberosEnvironment(config.running), ...where }
    this.#crew = new Crew(config.running, { workers: workersFor(config.running), environment, log })
  }

  async run(): Promise<number> {
    const forget = this.#listen()
    try {
      const started = await this.#unlessAsked(this.#start())
      if (started !== 'asked') {
        await Promise.race([this.#end.promise, this.#crew.lost])
      }
      return await this.#stop()
    } catch (error) {
      this.#log.fatal({ err: error }, 'the gateway ends')
      await this.#crew.kill()
      throw error
    } finally {
      await this.#metrics?.close()
      forget()
    }
  }

  async #start(): Promise<void> {
    const addresses = await this.#crew.start()
    const { metrics } = this.#running
    if (this.#asked) return
    if (metrics) this.#metrics = await openMetricsDoor(metrics, this.#crew)
    const workers = this.#crew.size
    this.#log.info({ addresses: addresses.map(({ url }) => url), workers }, 'serving')
    await notifyService('READY=1')
    const door = this.#metrics && { address: this.#metrics.address, port: this.#metrics.port }
    this.#options.onReady?.({ addresses, metrics: door, workers })
  }

  /** A signal during the start ends it; the start's own failure then no longer matters. */
  async #unlessAsked(start: Promise<void>): Promise<undefined | 'asked'> {
    start.catch(() => {})
    return Promise.race([start.then(() => undefined), this.#end.promise])
  }

  async #stop(): Promise<number> {
    const deadline = this.#running.limits.shutdownTimeout
    this.#log.info({ deadline }, 'ending; transfers may finish')
    const told = notifyService('STOPPING=1')
    const outcome = await Promise.race([this.#crew.stop(deadline).then(() => 'stopped' as const), this.#force.promise])
    if (outcome === 'forced') await this.#crew.kill()
    else await told
    this.#log.info({ outcome }, 'ended')
    return outcome === 'stopped' ? 0 : 1
  }

  #listen(): () => void {
    const ask = () => {
      if (this.#asked) this.#force.resolve('forced')
      this.#asked = true
      this.#end.resolve('asked')
    }
    const reload = () => {
      // One after the other: a second signal may come with yet another file.
      this.#reloading = this.#reloading.then(() => this.#reload())
    }
    const { signal } = this.#options
    if (signal?.aborted) ask()
    signal?.addEventListener('abort', ask)
    process.on('SIGTERM', ask).on('SIGINT', ask).on('SIGHUP', reload)
    return () => {
      signal?.removeEventListener('abort', ask)
      process.off('SIGTERM', ask).off('SIGINT', ask).off('SIGHUP', reload)
    }
  }

  /** Never rejects: whatever goes wrong is logged, and the gateway goes on as it was. */
  async #reload(): Promise<void> {
    if (this.#asked) return
    await notifyService('RELOADING=1')
    try {
      this.#log.reopen()
    } catch (error) {
      this.#log.error({ err: error }, 'the log goes on in the old file')
    }
    try {
      await this.#takeOver(await this.#nextConfig())
    } catch (error) {
      this.#log.error({ err: error }, 'the configuration was not taken over; the old one stays')
    }
    await notifyService('READY=1')
  }

  /** The file as it is now; undefined, the mistake logged, when it cannot be used. */
  async #nextConfig(): Promise<Config | undefined> {
    const { configFile, config } = this.#options
    if (config || configFile === undefined) return undefined
    try {
      const next = await loadConfig(configFile)
      await checkFiles(next)
      return next
    } catch (error) {
      const { message } = StorageError.from(error)
      const problems = error instanceof ConfigError ? error.problems : undefined
      this.#log.error({ file: configFile, problems, mistake: message }, 'bad configuration; the old one stays')
      return undefined
    }
  }

  async #takeOver(next: Config | undefined): Promise<void> {
    const reloaded = next && forRunning(this.#written, next)
    const config = reloaded && this.#asRunning(reloaded.config)
    const failures = await this.#crew.reload(config)
    if (failures.length > 0) {
      this.#log.error({ failures }, 'workers did not take the configuration over; the old one stays')
      // Those that did take it over go back, so that all workers answer alike.
      await this.#crew.reload(this.#running)
    } else if (config) {
      this.#written = reloaded.config
      this.#running = config
      this.#log.info({ waiting: reloaded.waiting }, 'the configuration was taken over')
      this.#warnOfThreads()
    }
  }

  /** What was chosen at the start stays: our own address, and the port of a first listener that takes any. */
  #asRunning(config: Config): Config {
    const listen = config.listen.map((listener, index) => {
      const port = this.#running.listen[index]?.port
      return port === undefined ? listener : { ...listener, port }
    })
    return { ...config, ...(this.#running.publicUrl && { publicUrl: this.#running.publicUrl }), listen }
  }

  #warnOfThreads(): void {
    const needed = threadsFor(this.#running)
    const had = Number(this.#crew.environment.UV_THREADPOOL_SIZE)
    if (needed > had)
      this.#log.warn({ needed, had }, 'the mounts share fewer threads for data than they name, until a restart')
  }
}

function ownWorker(): string {
  // The same extension as this file: `.ts` in the source tree, `.js` where it was built.
  return fileURLToPath(new URL(`./worker${extname(import.meta.url)}`, import.meta.url))
}

function workersFor({ workers }: Config): number {
  return workers === 'auto' ? Math.min(availableParallelism(), maxAutoWorkers) : workers
}

/** Each mount's share of data threads fits into the pool, so that a hung one cannot use up another's. */
function threadsFor({ mounts }: Config): number {
  const data = mounts.reduce((sum, { backend }) => sum + dataThreadsOf(backend), 0)
  return Math.min(data + spareThreads, maxThreads)
}
