/**
 * Failure domains and fair shares, all of one process: each mount has a limit in flight and a deadline,
 * each principal a limit of calls and staged bytes, the process one of calls.
 *
 * Nobody waits in a queue here: what does not fit is `busy` at once, and the caller tries again.
 */

import type { Mount } from '../../mounts/namespace.ts'
import { type Alarm, Deadlines } from './deadlines.ts'
import { StorageError } from './errors.ts'
import type { Task } from './task.ts'

export interface LimitOptions {
  /** Calls that wait for a back end, the whole process. */
  readonly inFlight: number
  readonly inFlightPerPrincipal: number
  /** Bytes of uploads that are not committed yet. */
  readonly stagedBytesPerPrincipal: number
  /** Bytes of one upload. */
  readonly maxUpload: number
}

export const defaultLimits: LimitOptions = {
  inFlight: 1024,
  inFlightPerPrincipal: 128,
  stagedBytesPerPrincipal: 2 ** 40,
  maxUpload: 5 * 2 ** 40,
}

/** `new` calls may be refused; what `continues` (a commit, the next page) is counted but always let in. */
export type Admission = 'new' | 'continues'

/** Seconds after which a caller may try again. */
const retryWhenBusy = 1
const retryWhenHung = 5

interface Account {
  calls: number
  staged: number
}

interface Lane {
  readonly width: number
  inFlight: number
  /** When a call last ran into the deadline, in ms of `performance`. */
  lastExpired: number
  expired: number
  refused: number
  readonly deadlines: Deadlines
}

/** Counters of one mount since the process started. */
export interface LaneView {
  readonly inFlight: number
  readonly expired: number
  readonly refused: number
}

export class Limits {
  readonly options: LimitOptions
  readonly #accounts = new Map<string, Account>()
  readonly #lanes = new WeakMap<Mount, Lane>()
  #inFlight = 0
  #active = 0

  constructor(options: Partial<LimitOptions> = {}) {
    this.options = { ...defaultLimits, ...options }
  }

  /** Calls that wait for a back end now. */
  get inFlight(): number {
    return this.#inFlight
  }

  laneOf(mount: Mount): LaneView {
    return this.#lane(mount)
  }

  /** Whether calls have run into this mount's deadline in the last seconds. */
  isSick(mount: Mount): boolean {
    return performance.now() - this.#lane(mount).lastExpired < retryWhenHung * 1000
  }

  /**
   * Runs one or more back-end calls within the mount's limit and deadline, or within `deadline` ms. Throws `busy`
   * without starting anything, or `unavailable` when the deadline passes; then the task's signal has
   * aborted, and a value that still comes goes to `late`, which must let go of it. What hangs stays
   * counted for its mount until it ends, but no longer for its principal and the process: so a hung mount
   * fills its own lane only.
   */
  run<T>(
    task: Task,
    mount: Mount,
    work: () => Promise<T>,
    options: { readonly admission?: Admission; readonly deadline?: number; readonly late?: (value: T) => unknown } = {},
  ): Promise<T> {
    const lane = this.#lane(mount)
    if (options.admission !== 'continues') this.#admit(task, lane)
    this.#enter(task, lane)
    const deadlines = options.deadline === undefined ? lane.deadlines : new Deadlines(options.deadline)
    return new Promise<T>((resolve, reject) => {
      let over = false
      const alarm = deadlines.start(() => {
        over = true
        lane.lastExpired = performance.now()
        lane.expired++
        const error = hung()
        this.#leave(task)
        task.expire(error)
        reject(error)
      })
      const leave = () => {
        deadlines.stop(alarm)
        if (deadlines !== lane.deadlines) deadlines.clear()
        lane.inFlight--
        if (!over) this.#leave(task)
      }
      started(work).then(
        (value) => {
          leave()
          if (over) void letGo(options.late, value)
          else resolve(value)
        },
        (error: unknown) => {
          leave()
          reject(error)
        },
      )
    })
  }

  /** For bytes of a file already open: `hang` is called if `stop` is not called within the mount's deadline. */
  watch(mount: Mount, hang: (error: StorageError) => void): Alarm {
    const lane = this.#lane(mount)
    return lane.deadlines.start(() => {
      lane.lastExpired = performance.now()
      lane.expired++
      hang(hung())
    })
  }

  stop(mount: Mount, alarm: Alarm): void {
    this.#lane(mount).deadlines.stop(alarm)
  }

  /** Counts staged bytes. Throws `busy` when there would be too many; then nothing is counted. */
  stage(task: Task, bytes: number): void {
    const account = this.#account(ownerOf(task))
    if (account.staged + bytes > this.options.stagedBytesPerPrincipal) {
      this.#forget(ownerOf(task), account)
      throw busy('too many bytes in unfinished uploads')
    }
    account.staged += bytes
  }

  unstage(task: Task, bytes: number): void {
    const account = this.#account(ownerOf(task))
    account.staged -= bytes
    this.#forget(ownerOf(task), account)
  }

  /**
   * One principal alone may use three quarters of the process. Above that each may hold an equal share of
   * all, so whoever holds less still gets in while others are refused.
   */
  #admit(task: Task, lane: Lane): void {
    const { inFlight, inFlightPerPrincipal } = this.options
    const mine = this.#accounts.get(ownerOf(task))?.calls ?? 0
    const share = Math.ceil(inFlight / (this.#active + 1))
    const overloaded = this.#inFlight >= inFlight * 0.75 && mine >= share
    if (mine >= inFlightPerPrincipal || overloaded || this.#inFlight >= inFlight || lane.inFlight >= lane.width) {
      lane.refused++
      throw busy('too many calls at once')
    }
  }

  #enter(task: Task, lane: Lane): void {
    const account = this.#account(ownerOf(task))
    if (account.calls++ === 0) this.#active++
    this.#inFlight++
    lane.inFlight++
  }

  #leave(task: Task): void {
    const account = this.#account(ownerOf(task))
    if (--account.calls === 0) this.#active--
    this.#inFlight--
    this.#forget(ownerOf(task), account)
  }

  #account(id: string): Account {
    let account = this.#accounts.get(id)
    if (!account) {
      account = { calls: 0, staged: 0 }
      this.#accounts.set(id, account)
    }
    return account
  }

  #forget(id: string, account: Account): void {
    if (account.calls === 0 && account.staged <= 0) this.#accounts.delete(id)
  }

  #lane(mount: Mount): Lane {
    let lane = this.#lanes.get(mount)
    if (!lane) {
      const deadlines = new Deadlines(mount.deadline)
      lane = { width: mount.maxInFlight, inFlight: 0, lastExpired: -Infinity, expired: 0, refused: 0, deadlines }
      this.#lanes.set(mount, lane)
    }
    return lane
  }
}

/** Callers without a credential have nothing in common but their address. */
function ownerOf({ principal, from }: Task): string {
  return principal.user === undefined ? `anonymous ${from}` : (principal.counted ?? principal.id)
}

/** What `work` throws at once is a rejection like any other. */
function started<T>(work: () => Promise<T>): Promise<T> {
  try {
    return work()
  } catch (error) {
    return Promise.reject(error)
  }
}

/** Nobody waits for it any more; a storage that hung may well fail again, which is nobody's news. */
async function letGo<T>(late: ((value: T) => unknown) | undefined, value: T): Promise<void> {
  try {
    await late?.(value)
  } catch {
    // A sweep of the back end finds what stayed.
  }
}

function busy(message: string): StorageError {
  return new StorageError('busy', message, { retryAfter: retryWhenBusy })
}

function hung(): StorageError {
  return new StorageError('unavailable', 'the storage does not answer; the outcome is unknown', {
    retryAfter: retryWhenHung,
  })
}
