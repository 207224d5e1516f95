/**
 * A worker process: serves until the supervisor says otherwise. It ends by itself when the supervisor
 * is gone, and when it meets an error that nobody caught, since then nothing in it can be trusted.
 */

import { exitNow } from '../backends/posix/native/process.ts'
import type { Config } from './config.ts'
import { StorageError } from './core/errors.ts'
import { type Log, openLog } from './serve/log.ts'
import { type Gateway, startGateway } from './serve.ts'
import { SupervisorLine } from './supervisor/change-line.ts'
import type { FromWorker, ToWorker } from './supervisor/messages.ts'

let gateway: Gateway | undefined
let log: Log | undefined
let isStopping = false
const started = Promise.withResolvers<void>()
/** One after the other. The first when we serve: a configuration that came until then is newer than that of the start. */
let reloading = started.promise

const changes = new SupervisorLine(tell)

function tell(message: FromWorker, told: () => void = () => {}): void {
  // Without a supervisor there is nobody to tell; `disconnect` ends the process.
  if (process.connected) process.send?.(message, undefined, undefined, () => told())
}

async function start(config: Config, workers: number): Promise<void> {
  try {
    log = openLog(config.log, { role: 'worker' })
    gateway = await startGateway(config, { log, workers, changes })
    if (isStopping) return
    started.resolve()
    tell({ kind: 'ready', addresses: gateway.addresses })
  } catch (error) {
    log?.fatal({ err: error }, 'the worker cannot start')
    fail(reasonOf(error))
  }
}

async function reload(id: number, config: Config | undefined): Promise<void> {
  try {
    log?.reopen()
    if (config) log?.setLevel(config.log.level)
    await gateway?.reload(config)
    tell({ kind: 'reloaded', id })
  } catch (error) {
    log?.error({ err: error }, 'the configuration was not taken over')
    tell({ kind: 'reloaded', id, error: reasonOf(error) })
  }
}

async function metrics(id: number): Promise<void> {
  tell({ kind: 'metrics', id, metrics: (await gateway?.metrics()) ?? [] })
}

async function stop(deadline: number): Promise<void> {
  if (isStopping) return
  isStopping = true
  try {
    await gateway?.close(deadline)
    end(0)
  } catch (error) {
    log?.error({ err: error }, 'the worker did not end cleanly')
    end(1)
  }
}

/** The message of ours, and of what it was made from: it goes to the administrator. */
function reasonOf(error: unknown): string {
  const { message, cause } = StorageError.from(error)
  return cause instanceof Error ? `${message}: ${cause.message}` : message
}

function fail(message: string): void {
  // The channel is emptied before the process ends, so that the message arrives.
  process.send?.({ kind: 'failed', message } satisfies FromWorker, undefined, undefined, () => end(1))
}

/** Without waiting for threads: a hung file system may hold one for ever. */
function end(status: number): void {
  log?.flush()
  exitNow(status)
}

process.on('message', (message: ToWorker) => {
  if (message.kind === 'start') {
    changes.wanted = message.watched
    void start(message.config, message.workers)
  } else if (message.kind === 'reload') reloading = reloading.then(() => reload(message.id, message.config))
  else if (message.kind === 'metrics') void metrics(message.id)
  else if (message.kind === 'changes') changes.hear(message.changes)
  else if (message.kind === 'granted') changes.granted(message.id)
  else if (message.kind === 'watched') {
    changes.wanted = message.wanted
    tell({ kind: 'watched', id: message.id })
  } else void stop(message.deadline)
})
// A terminal sends these to the whole group; what they mean is for the supervisor to say.
for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM'] as const) process.on(signal, () => {})
process.on('disconnect', () => end(0))
process.on('uncaughtException', (error) => {
  log?.fatal({ err: error }, 'an error that nobody caught')
  end(70)
})

tell({ kind: 'up' })
