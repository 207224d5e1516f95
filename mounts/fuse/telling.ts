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

interface Told {
  since: number
  lines: number
  kept: number
  /** That it has no credential was said. */
  isStranger: boolean
}

/** Users whose lines are counted apart. */
const mostUsers = 1024

export class Teller {
  readonly #log: (line: string) => void
  readonly #now: () => number
  readonly #isShared: boolean
  readonly #told = new Map<number, Told>()

  /** `isShared`: of each line is said whose it is, and nobody's lines take the place of another's. */
  constructor(log: (line: string) => void, now: () => number, isShared = false) {
    this.#log = log
    this.#now = now
    this.#isShared = isShared
  }

  /** `path` is asked for only where a line is written. */
  tell(operation: string, error: unknown, path: () => string | undefined, who = { uid: 0, pid: 0 }): void {
    if (!(error instanceof StorageError) || ordinary.has(error.code)) return
    const told = this.#of(this.#isShared ? who.uid : 0)
    // One reason for all of them: it is not said of each.
    const isStranger = error.code === 'unauthenticated'
    if (told.lines >= most || (isStranger && told.isStranger)) {
      told.kept++
      return
    }
    told.lines++
    told.isStranger ||= isStranger
    const whose = this.#isShared ? ` of uid ${who.uid}, process ${who.pid}` : ''
    this.#log(lineOf(`${operation}${whose}`, error, path()))
  }

  #of(uid: number): Told {
    const now = this.#now()
    const known = this.#told.get(uid)
    if (known && now - known.since <= interval) return known
    if (known && known.kept > 0) this.#log(`${known.kept} more failures were not told`)
    if (this.#told.size >= mostUsers) this.#told.clear()
    const told = { since: now, lines: 0, kept: 0, isStranger: false }
    this.#told.set(uid, told)
    return told
  }
}

function lineOf(operation: string, error: StorageError, path: string | undefined): string {
  const where = path === undefined ? '' : ` ${JSON.stringify(path)}`
  const call = error instanceof RemoteError && error.callId !== undefined ? ` (call ${error.callId})` : ''
  const isRefusal = error.code === 'denied' || error.code === 'not-owner'
  const why = isRefusal ? '; why: getfattr --only-values -n user.portolan.explain FILE' : ''
  return `${operation}${where}: ${errnoName(errnoOf(error))}: ${error.message}${call}${why}`
}
