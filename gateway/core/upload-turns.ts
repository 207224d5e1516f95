/**
 * Who works on an upload: one at a time, over all processes, and the one who came last; or several who share it, until
 * somebody comes to work on it alone. A process that was stopped for so long that others may have gone on looks before
 * it writes again.
 */

import type { State, StoredUpload } from '../state/state.ts'
import { StorageError } from './errors.ts'

export type TurnState = Pick<State, 'uploads' | 'leases'>

/** ms that a new one waits for the one before to end. */
const patience = 15_000
/** The same of one who wants to share it. */
const sharePatience = 1000
/** So many may come while one waits for its turn to look. */
const intruders = 3
/** ms between two looks at whether others wait. */
const lookEvery = 250

/** Someone's turn, from its call on. */
class Running {
  readonly id: string
  readonly number: number
  readonly #stop = new AbortController()

  constructor(id: string, number: number) {
    this.id = id
    this.number = number
  }

  get signal(): AbortSignal {
    return this.#stop.signal
  }

  stop(error: StorageError): void {
    this.#stop.abort(error)
  }
}

export interface Turn {
  readonly number: number
  /** The upload when the turn was taken. */
  readonly row: StoredUpload
  /** Aborts when somebody else wants it, or it is gone. */
  readonly signal: AbortSignal
  /** To be awaited before each write: nobody else can have taken the upload. Throws what the signal would say. */
  requireOwn(): Promise<void>
}

/** A turn that others have too. */
export interface SharedTurn extends Turn {
  /** Whether `requireOwn` has nothing to look at and nothing to throw. */
  readonly fresh: boolean
  /** Must be called once, in every case. */
  end(): void
}

export class Turns {
  readonly #state: TurnState
  readonly #running = new Set<Running>()
  #timer: NodeJS.Timeout | undefined
  /** When the store was looked at, on the clock of `performance`. */
  #looked = 0
  #looking: Promise<void> | undefined

  constructor(state: TurnState) {
    this.#state = state
  }

  /** Whether this process works on it now. */
  isRunning(id: string): boolean {
    for (const running of this.#running) if (running.id === id) return true
    return false
  }

  /** Stops whoever works on the upload, waits for that, and works on it alone. Throws `busy`, or `not-found`. */
  async hold<T>(id: string, work: (turn: Turn) => Promise<T>): Promise<T> {
    const running = await this.#call(id)
    try {
      return await this.#state.leases.withLease(leaseOf(id), patience, () => this.#take(running, work))
    } finally {
      this.#leave(running)
    }
  }

  /** The upload at a moment when nobody works on it: those too are stopped who come while this one waits. */
  async settle(id: string): Promise<StoredUpload> {
    for (let left = intruders; ; left--) {
      try {
        return await this.hold(id, async ({ row }) => row)
      } catch (error) {
        // Of two requests of one sender the older may come to another process, and call later.
        if (!(error instanceof Superseded) || left === 0) throw error
      }
    }
  }

  /** As `hold`, but who works on it alone is waited for, so that of two who want the same the second finds it done. */
  holdNext<T>(id: string, work: (turn: Turn) => Promise<T>): Promise<T> {
    return this.#state.leases.withLease(leaseOf(id), patience, async () => {
      const running = await this.#call(id)
      try {
        return await this.#take(running, work)
      } finally {
        this.#leave(running)
      }
    })
  }

  /** The upload at a turn that others may share: `busy` while somebody works on it alone. `row`: as it is now. */
  async shareable(row: StoredUpload): Promise<StoredUpload> {
    if (!isTaken(row)) return row
    const { uploads, leases } = this.#state
    const get = async () => {
      const now = await uploads.get(row.id)
      if (!now || now.result !== undefined) throw gone()
      return now
    }
    return leases.withLease(leaseOf(row.id), sharePatience, async () => {
      // Whoever had it is through, or dead.
      if (isTaken(await get())) await uploads.call(row.id)
      return get()
    })
  }

  /** Works on the upload together with others. `row`: as `shareable` tells it. */
  share(row: StoredUpload): SharedTurn {
    const running = new Running(row.id, row.called)
    this.#enter(running, performance.now())
    const isFresh = () => !running.signal.aborted && performance.now() - this.#looked <= this.#state.uploads.life / 2
    return {
      number: row.called,
      row,
      signal: running.signal,
      requireOwn: () => this.#requireOwn(running),
      get fresh() {
        return isFresh()
      },
      end: () => this.#leave(running),
    }
  }

  async #call(id: string): Promise<Running> {
    const asked = performance.now()
    const number = await this.#state.uploads.call(id)
    if (number === undefined) throw gone()
    const running = new Running(id, number)
    for (const other of this.#running) if (other.id === id && other.number < number) other.stop(superseded())
    this.#enter(running, asked)
    return running
  }

  async #take<T>(running: Running, work: (turn: Turn) => Promise<T>): Promise<T> {
    const { uploads } = this.#state
    const { id, number, signal } = running
    const row = await uploads.take(id, number)
    if (!row) throw (await uploads.get(id)) ? superseded() : gone()
    return work({ number, row, signal, requireOwn: () => this.#requireOwn(running) })
  }

  #enter(running: Running, asked: number): void {
    // What others have called since is seen by the next look.
    if (this.#running.size === 0) this.#looked = asked
    this.#running.add(running)
    this.#timer ??= setInterval(() => void this.#look(), lookEvery).unref()
  }

  #leave(running: Running): void {
    this.#running.delete(running)
    if (this.#running.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #requireOwn({ signal }: Running): Promise<void> {
    if (performance.now() - this.#looked > this.#state.uploads.life / 2) await this.#look()
    if (signal.aborted) throw signal.reason
    if (performance.now() - this.#looked > this.#state.uploads.life) {
      throw new StorageError('unavailable', 'the state store does not answer', { retryAfter: 5 })
    }
  }

  /** One at a time. What cannot be seen now is seen the next time. */
  #look(): Promise<void> {
    this.#looking ??= this.#lookNow()
      .catch(() => {})
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  async #lookNow(): Promise<void> {
    const began = performance.now()
    const known = [...this.#running]
    const called = await this.#state.uploads.called([...new Set(known.map(({ id }) => id))])
    for (const running of known) {
      const last = called.get(running.id)
      if (last === undefined) running.stop(gone())
      else if (last > running.number) running.stop(superseded())
    }
    this.#looked = began
  }
}

/** Somebody has worked on it alone since anybody last shared it. */
function isTaken({ turn, called }: StoredUpload): boolean {
  return turn > 0 && turn === called
}

/** The lease of an upload. */
function leaseOf(id: string): string {
  return `upload:${id}`
}

export function gone(): StorageError {
  return new StorageError('not-found', 'no such upload')
}

/** To its owner alone, as long as anything is known of it. */
export function expired(): StorageError {
  return new StorageError('not-found', 'no such upload', {
    reason: { rule: 'expired', text: 'the upload was not finished in time' },
  })
}

class Superseded extends StorageError {
  constructor() {
    super('busy', 'a newer request goes on with this upload', { retryAfter: 1 })
  }
}

export function superseded(): StorageError {
  return new Superseded()
}
