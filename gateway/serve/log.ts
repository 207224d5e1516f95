/** The gateway's log: JSON lines by pino, to a file that can be opened anew or to standard error. */

import { openSync } from 'node:fs'
import { pino } from 'pino'
import { StorageError } from '../core/errors.ts'

export interface LogOptions {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'
  /** Standard error if absent. */
  readonly file?: string
}

/** What the rest of the gateway may do with the log. */
export interface Logger {
  readonly level: string
  debug(data: object, message: string): void
  info(data: object, message: string): void
  warn(data: object, message: string): void
  error(data: object, message: string): void
  fatal(data: object, message: string): void
}

export interface Log extends Logger {
  /** Goes on in a new file of the same name, after a log rotation. Throws `unavailable` and stays with the old one. */
  reopen(): void
  setLevel(level: LogOptions['level']): void
  /** Writes what is left; to be called before the process ends. */
  flush(): void
}

/** Keys that may hold a credential; `Secret` hides itself, this is for what others print. */
const secretKeys = ['authorization', 'cookie', 'set-cookie', 'token', 'password', 'secret', 'access_token', 'authz']
const redacted = ['', '*.', '*.*.', 'req.headers.', 'err.headers.'].flatMap((prefix) =>
  secretKeys.map((key) => (prefix === '' ? `["${key}"]` : `${prefix.slice(0, -1)}["${key}"]`)),
)

/** Bytes kept while the disk does not take them; what comes then is lost rather than filling memory. */
const maxKept = 4 * 2 ** 20
const mode = 0o640

/** Throws `unavailable` when the file cannot be opened. */
export function openLog(options: LogOptions, base: Readonly<Record<string, string | number>> = {}): Log {
  let destination = openDestination(options.file)
  const logger = pino(
    {
      level: options.level,
      base: { pid: process.pid, ...base },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: redacted, censor: '[secret]' },
    },
    { write: (line) => void destination.write(line) },
  )
  return {
    get level() {
      return logger.level
    },
    debug: (data, message) => logger.debug(data, message),
    info: (data, message) => logger.info(data, message),
    warn: (data, message) => logger.warn(data, message),
    error: (data, message) => logger.error(data, message),
    fatal: (data, message) => logger.fatal(data, message),
    reopen: () => {
      if (options.file === undefined) return
      const old = destination
      destination = openDestination(options.file)
      old.end()
    },
    setLevel: (level) => {
      logger.level = level
    },
    flush: () => flushQuietly(destination),
  }
}

function openDestination(file: string | undefined) {
  // Opened here and now, so that a wrong name is an error at start; writing never waits for the disk.
  const dest = file === undefined ? 2 : openFile(file)
  const destination = pino.destination({ dest, sync: false, mode, maxLength: maxKept })
  // Without a listener a full disk would end the process; the log is tried again with the next line.
  destination.on('error', () => {})
  return destination
}

function openFile(file: string): number {
  try {
    return openSync(file, 'a', mode)
  } catch (cause) {
    throw new StorageError('unavailable', `the log file ${file} cannot be opened`, { cause })
  }
}

function flushQuietly(destination: ReturnType<typeof pino.destination>): void {
  try {
    destination.flushSync()
  } catch {
    // Nothing was written yet, or the file is gone; there is nowhere left to say so.
  }
}
