/** The log of a mount: refusals and failures, each with what to do about it, and never more than a few a second. */

import { StorageError } from '../../gateway/core/errors.ts'
import { RemoteError } from '../client/errors.ts'
import { errnoName, errnoOf } from './errors.ts'

/** Lines in one interval of so many milliseconds. */
const most = 20
const interval = 10_000

/** Answers that programs ask for: there is nothing to tell. */
const ordinary: ReadonlySet<string> = new Set([
  'not-found',
  'exists',
  'not-empty',
  'not-directory',
  'is-directory',
  'cancelled',
  'unsupported',
  'busy',
  'cross-mount',
])

export class Teller {
  readonly #log: (line: string) => void
  readonly #now: () => number
  #since = Number.NEGATIVE_INFINITY
  #told = 0
  #kept = 0

  constructor(log: (line: string) => void, now: () => number) {
    this.#log = log
    this.#now = now
  }

  /** `path` is asked for only where a line is written. */
  tell(operation: string, error: unknown, path: () => string | undefined): void {
    if (!(error instanceof StorageError) || ordinary.has(error.code)) return
    const now = this.#now()
    if (now - this.#since > interval) {
      if (this.#kept > 0) this.#log(`${this.#kept} more failures were not told`)
      this.#since = now
      this.#told = 0
      this.#kept = 0
    }
    if (this.#told >= most) {
      this.#kept++
      return
    }
    this.#told++
    this.#log(lineOf(operation, error, path()))
  }
}

function lineOf(operation: string, error: StorageError, path: string | undefined): string {
  const where = path === undefined ? '' : ` ${JSON.stringify(path)}`
  const call = error instanceof RemoteError && error.callId !== undefined ? ` (call ${error.callId})` : ''
  const isRefusal = error.code === 'denied' || error.code === 'not-owner'
  const why = isRefusal ? '; why: getfattr --only-values -n user.portolan.explain FILE' : ''
  return `${operation}${where}: ${errnoName(errnoOf(error))}: ${error.message}${call}${why}`
}
