/** The sessions of one process. */

import { randomBytes } from 'node:crypto'
import type { Principal } from '../../../acl/principal.ts'
import { StorageError } from '../../core/errors.ts'
import { ownerOf } from '../../http/admission.ts'
import { HttpError } from '../../http/errors.ts'
import type { Exchange } from '../../http/exchange.ts'
import { Ledger } from './ledger.ts'
import type { MountLimits } from './limits.ts'
import { boundsOf, Session } from './session.ts'

/** Milliseconds between two looks at leases and revocations. */
const pause = 1000
const grammar = /^([A-Za-z0-9_-]{12})\.[A-Za-z0-9_-]{32}$/

/** What processes of this gateway are called. */
export interface ProcessNames {
  /** Twelve characters of base64url; another one each time a process starts. */
  readonly own: string
  /** Whether a process of this gateway on this machine had the name and has ended. False for all that is not known. */
  isGone(name: string): boolean
}

export interface SessionsOptions {
  readonly limits: MountLimits
  /** Without them nothing is known of other processes. */
  readonly names?: ProcessNames | undefined
  /** Whether a credential was banned or taken back since it was accepted. */
  readonly isRevoked: (principal: Principal) => boolean
  /** Gives back the locks that are kept under this name. */
  readonly unlock: (lockName: string) => Promise<void>
  /** Has it called when others may have those locks. */
  readonly onLockLoss: (lost: () => void) => void
}

export class Sessions {
  /** Names this process; another one each time it starts. */
  readonly worker: string
  readonly #options: SessionsOptions
  readonly #sessions = new Map<string, Session>()
  readonly #owners = new Map<string, number>()
  readonly #ledger: Ledger
  readonly #watch: NodeJS.Timeout
  /** Names of sessions that are over, and have locks still. */
  readonly #locked = new Set<string>()
  #isUnlocking = false
  /** Of callers without a credential. */
  #strangers = 0
  #draining = false
  #isToldOfLoss = false

  constructor(options: SessionsOptions) {
    this.#options = options
    this.worker = options.names?.own ?? randomBytes(9).toString('base64url')
    this.#ledger = new Ledger(options.limits)
    this.#watch = setInterval(() => this.#look(), pause)
    this.#watch.unref()
  }

  get size(): number {
    return this.#sessions.size
  }

  get lease(): number {
    return this.#options.limits.lease
  }

  /** Throws `busy` where there are too many, and while the process is about to end. */
  create(x: Exchange): Session {
    const { sessions, sessionsPerPrincipal } = this.#options.limits
    if (this.#draining) throw new StorageError('busy', 'this process is about to end', { retryAfter: 1 })
    const owner = ownerOf(x.principal, x.from)
    const held = this.#owners.get(owner) ?? 0
    // Addresses are easily had, so those without a credential leave room for the others.
    const isCrowded = x.principal.user === undefined && this.#strangers >= sessions / 4
    if (isCrowded || held >= sessionsPerPrincipal || this.#sessions.size >= sessions) {
      throw new StorageError('busy', 'too many mounts at once', { retryAfter: 5 })
    }
    this.#hearOfLoss()
    const id = `${this.worker}.${randomBytes(24).toString('base64url')}`
    const session = new Session(id, x, this.#options.limits, this.#ledger)
    this.#sessions.set(id, session)
    this.#owners.set(owner, held + 1)
    if (session.isStranger) this.#strangers++
    return session
  }

  /**
   * The session that the caller names. Throws 421 for one of another process, 410 for one that is over; of somebody
   * else's no more is told.
   */
  find(x: Exchange): Session {
    const id = x.request.headers['portolan-session']
    const worker = typeof id === 'string' ? grammar.exec(id)?.[1] : undefined
    if (typeof id !== 'string' || worker === undefined) {
      throw new StorageError('invalid', 'the header Portolan-Session is missing or malformed')
    }
    const session = this.#sessions.get(id)
    if (!session && worker !== this.worker && this.#options.names?.isGone(worker) !== true) {
      const members = { code: 'other-worker' }
      throw new HttpError(421, 'invalid', 'another process has this session', { members })
    }
    if (!session || session.owner !== boundsOf(x)) throw sessionOver()
    return session
  }

  /** Ends one. */
  async end(session: Session): Promise<void> {
    if (this.#sessions.delete(session.id)) {
      const left = (this.#owners.get(session.counted) ?? 1) - 1
      if (left > 0) this.#owners.set(session.counted, left)
      else this.#owners.delete(session.counted)
      if (session.isStranger) this.#strangers--
    }
    await session.end()
    if (!session.hasLocked) return
    this.#locked.add(session.lockName)
    await this.#unlock(session.lockName)
  }

  /** Ends all, and begins none any more: clients go to another process. */
  async close(): Promise<void> {
    this.#draining = true
    clearInterval(this.#watch)
    await Promise.all([...this.#sessions.values()].map((session) => this.end(session)))
  }

  /** Clients go on in new sessions, with the locks that can still be had, and are told of those that cannot. */
  #hearOfLoss(): void {
    if (this.#isToldOfLoss) return
    this.#isToldOfLoss = true
    this.#options.onLockLoss(() => {
      for (const session of this.#sessions.values()) if (session.hasLocked) void this.end(session)
    })
  }

  /** Where the state cannot be reached it is tried again: nobody else gives them back as long as this process lives. */
  async #unlock(lockName: string): Promise<void> {
    try {
      await this.#options.unlock(lockName)
      this.#locked.delete(lockName)
    } catch {
      // At the next look.
    }
  }

  async #unlockLate(): Promise<void> {
    if (this.#isUnlocking) return
    this.#isUnlocking = true
    for (const lockName of this.#locked) await this.#unlock(lockName)
    this.#isUnlocking = false
  }

  #look(): void {
    void this.#unlockLate()
    for (const session of this.#sessions.values()) {
      if (session.isExpired || this.#options.isRevoked(session.principal)) void this.end(session)
      else session.sweep()
    }
  }
}

/** RFC 9110, section 15.5.11. */
export function sessionOver(): StorageError {
  return new HttpError(410, 'stale', 'the session is over', { members: { code: 'session-over' } })
}
