/**
 * Mutual exclusion over all gateway processes of one state store. Within a process callers of one
 * key stand in line in memory, so that each process contends in the store with one caller at most.
 *
 * As with every lease, a process that is stopped for longer than a holder lives loses what it held
 * without noticing; so what is done under a lease should be short.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import type { Leases } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import { type Holder, isDead } from './holder.ts'
import type { Tables } from './tables.ts'

/** Milliseconds between two tries while another process holds the lease; doubled up to the last. */
const firstPause = 4
const longestPause = 100

interface Turn {
  /** Called with true when it is this caller's turn. */
  readonly start: () => void
}

export class SharedLeases implements Leases {
  readonly #db: Kysely<Tables>
  readonly #holder: Holder
  /** Keys in use in this process, each with those who wait for it. */
  readonly #lines = new Map<string, Turn[]>()

  constructor(db: Kysely<Tables>, holder: Holder) {
    this.#db = db
    this.#holder = holder
  }

  async withLease<T>(key: string, wait: number, work: () => Promise<T>): Promise<T> {
    const until = performance.now() + wait
    await this.#enter(key, wait)
    try {
      await this.#acquire(key, until)
      try {
        return await work()
      } finally {
        await this.#holder.release(key)
      }
    } finally {
      this.#leave(key)
    }
  }

  #enter(key: string, wait: number): Promise<void> {
    const line = this.#lines.get(key)
    if (!line) {
      this.#lines.set(key, [])
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const turn: Turn = {
        start: () => {
          clearTimeout(timer)
          resolve()
        },
      }
      const timer = setTimeout(() => {
        line.splice(line.indexOf(turn), 1)
        reject(tooLong())
      }, wait)
      line.push(turn)
    })
  }

  #leave(key: string): void {
    const next = this.#lines.get(key)?.shift()
    if (next) next.start()
    else this.#lines.delete(key)
  }

  async #acquire(key: string, until: number): Promise<void> {
    // Before it is held again: a renewal meanwhile must not let go of it for a release that failed earlier.
    this.#holder.keep(key)
    for (let pause = firstPause; ; pause = Math.min(pause * 2, longestPause)) {
      if (await this.#try(key)) return
      const left = until - performance.now()
      if (left <= 0) throw tooLong()
      // Jitter, so that processes that met once do not meet again.
      await sleep(Math.min(left, pause * (0.5 + Math.random())))
    }
  }

  async #try(key: string): Promise<boolean> {
    const now = this.#holder.now()
    const result = await this.#db
      .insertInto('leases')
      .values({ name: key, holder: this.#holder.id })
      .onConflict((conflict) =>
        conflict
          .column('name')
          .doUpdateSet({ holder: this.#holder.id })
          .where((expression) =>
            expression.or([expression('leases.holder', '=', this.#holder.id), isDead('leases.holder', now)]),
          ),
      )
      .executeTakeFirst()
    return (result.numInsertedOrUpdatedRows ?? 0n) > 0n
  }
}

function tooLong(): StorageError {
  return new StorageError('busy', 'another caller holds the lock', { retryAfter: 1 })
}
