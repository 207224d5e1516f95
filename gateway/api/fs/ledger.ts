/** What all sessions of a process have open and remember together, so that nobody takes it all. */

import { StorageError } from '../../core/errors.ts'
import type { MountLimits } from './limits.ts'

/** Bytes that sessions remember of directories. */
const mostRemembered = 256 * 1024 * 1024

export class Ledger {
  readonly #limits: Pick<MountLimits, 'files'>
  readonly #owners = new Map<string, number>()
  readonly #memories = new Map<string, number>()
  #files = 0
  #remembered = 0

  constructor(limits: Pick<MountLimits, 'files'>) {
    this.#limits = limits
  }

  /** Files and listings that are open. */
  get files(): number {
    return this.#files
  }

  /** Throws `busy` where there is no room for another file. One owner has at most half of it all. */
  requireRoom(owner: string): void {
    const held = this.#owners.get(owner) ?? 0
    if (this.#files < this.#limits.files && held < Math.max(1, this.#limits.files / 2)) return
    throw new StorageError('busy', 'too many open files', { retryAfter: 1 })
  }

  open(owner: string): void {
    this.#files++
    this.#owners.set(owner, (this.#owners.get(owner) ?? 0) + 1)
  }

  close(owner: string): void {
    this.#files--
    const left = (this.#owners.get(owner) ?? 1) - 1
    if (left > 0) this.#owners.set(owner, left)
    else this.#owners.delete(owner)
  }

  /** False, and nothing is counted, where that is too much. One owner has at most half of it all. */
  remember(owner: string, bytes: number): boolean {
    const held = (this.#memories.get(owner) ?? 0) + bytes
    if (this.#remembered + bytes > mostRemembered || held > mostRemembered / 2) return false
    this.#remembered += bytes
    this.#memories.set(owner, held)
    return true
  }

  forget(owner: string, bytes: number): void {
    this.#remembered -= bytes
    const left = (this.#memories.get(owner) ?? 0) - bytes
    if (left > 0) this.#memories.set(owner, left)
    else this.#memories.delete(owner)
  }
}
