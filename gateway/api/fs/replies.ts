/**
 * What was answered to requests that must not be done twice: a client that lost the answer sends the request again, under
 * the id it gave it, and is told the same.
 */

import { createHash } from 'node:crypto'
import { type ErrorCode, StorageError } from '../../core/errors.ts'

const most = 64
/** Milliseconds that an answer is known for, once it was given. */
const known = 120_000
const grammar = /^[A-Za-z0-9-]{8,64}$/

/** After these it is worth while, or only honest, to try again. */
const passing: ReadonlySet<ErrorCode> = new Set(['busy', 'unavailable', 'timeout', 'cancelled', 'internal'])

interface Reply<T> {
  readonly request: string
  readonly answer: Promise<T>
  /** On the clock of `performance`; for ever while it is under way. */
  until: number
}

export class Replies<T> {
  readonly #replies = new Map<string, Reply<T>>()

  /**
   * Does the work, or gives what came of it when this id was asked for before; while that is still under way, it is
   * waited for. Throws `invalid` where the id was given to another request.
   */
  async once(id: string, name: string, body: Uint8Array, work: () => Promise<T>): Promise<T> {
    if (!grammar.test(id)) throw new StorageError('invalid', 'Portolan-Request is 8 to 64 letters, digits and hyphens')
    const request = createHash('sha256').update(`${name} `).update(body).digest('base64')
    const before = this.#replies.get(id)
    if (before) {
      if (before.request !== request) throw new StorageError('invalid', 'this id was given to another request')
      return before.answer
    }
    this.sweep()
    for (const [oldest, { until }] of this.#replies) {
      if (this.#replies.size < most) break
      if (until !== Number.POSITIVE_INFINITY) this.#replies.delete(oldest)
    }
    const answer = work()
    const reply: Reply<T> = { request, answer, until: Number.POSITIVE_INFINITY }
    this.#replies.set(id, reply)
    const done = () => {
      reply.until = performance.now() + known
    }
    answer.then(done, (error: unknown) => {
      done()
      if (passing.has(StorageError.from(error).code)) this.#replies.delete(id)
    })
    return answer
  }

  /** Forgets what is old. */
  sweep(): void {
    const now = performance.now()
    for (const [id, { until }] of this.#replies) {
      if (until <= now) this.#replies.delete(id)
    }
  }
}
