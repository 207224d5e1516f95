/**
 * Uploads and copies that go on past the end of their caller's token: what was begun with it may be finished, so shortly
 * before its end a macaroon is asked for with it (dCache User Guide, "Macaroons"), for this one file and nothing else.
 */

import { setTimeout as pause } from 'node:timers/promises'
import type { Secret } from '../../acl/secret.ts'
import type { Call } from '../../gateway/core/call.ts'
import { type ErrorCode, StorageError } from '../../gateway/core/errors.ts'
import { whileWanted } from './lent.ts'
import { type Granted, narrowed } from './macaroons.ts'
import { longestTimer } from './sending.ts'

/** What is left to be done when the bytes are there: a look, taking over attributes, the name, and clearing away. */
export const finishing = ['DELETE', 'MANAGE', 'READ_METADATA', 'UPDATE_METADATA'] as const

/** A call whose credential is made to last until its work is finished. */
export interface Lasting {
  /** In the place of the call that it was made from. What it may do after the token's end only those do who hold it. */
  readonly call: Call
  /** The work is over: nothing is asked for any more, and what was given is forgotten. */
  forget(): void
}

/** Milliseconds before the token's end when the macaroon is asked for. */
const ahead = 60_000
/** Milliseconds before the token's end from which the macaroon is used: clocks differ, and requests take their time. */
const early = 5000
/** Milliseconds for asking. */
const deadline = 15_000
/** Milliseconds before it is asked for again, doubled each time, where nobody said no. */
const firstPause = 1000
/** What may be otherwise a moment later; the last is a question that took too long. */
const passing: ReadonlySet<ErrorCode> = new Set(['unavailable', 'busy', 'timeout', 'cancelled'])

/** One macaroon, asked for until there is an answer. */
export class Provision {
  readonly #end: number
  readonly #ask: (signal: AbortSignal) => Promise<Granted>
  readonly #over = new AbortController()
  #asking: Promise<Granted | StorageError> | undefined
  #timer: NodeJS.Timeout | undefined

  /** `end`: of the token, in milliseconds since 1970. `ask` runs while it is good, and not for work that ends before. */
  constructor(end: number, ask: (signal: AbortSignal) => Promise<Granted>) {
    this.#end = end
    this.#ask = ask
    this.#wait()
  }

  /**
   * Undefined while the token itself does. Throws `unauthenticated` (rule `token-expired`) when it has ended and there
   * is nothing in its place.
   */
  async take(signal: AbortSignal): Promise<Secret | undefined> {
    if (this.#end - Date.now() > early) return undefined
    const given = this.#asking && (await whileWanted(this.#asking, signal))
    const isGiven = given !== undefined && !(given instanceof StorageError)
    if (isGiven && given.until > Date.now()) return narrowed(given)
    if (this.#end > Date.now()) return undefined
    throw lapsed(isGiven ? undefined : given)
  }

  forget(): void {
    clearTimeout(this.#timer)
    this.#asking = undefined
    this.#over.abort(new StorageError('cancelled', 'the work is over'))
  }

  #wait(): void {
    const left = this.#end - Date.now() - ahead
    if (left > 0) {
      this.#timer = setTimeout(() => this.#wait(), Math.min(left, longestTimer)).unref()
    } else {
      // Whether it matters that there is none shows later.
      this.#asking = this.#answer()
    }
  }

  async #answer(): Promise<Granted | StorageError> {
    const { signal } = this.#over
    for (let wait = firstPause; ; wait *= 2) {
      try {
        return await this.#ask(AbortSignal.any([signal, AbortSignal.timeout(deadline)]))
      } catch (thrown) {
        const error = StorageError.from(thrown)
        if (signal.aborted || !passing.has(error.code) || this.#end - Date.now() <= wait) return error
      }
      await pause(wait, undefined, { signal, ref: false }).catch(() => {})
    }
  }
}

/** The same caller, told apart from himself, so that what one piece of work is given serves no other. */
export function apart({ id, principal, protocol, from, signal }: Call): Call {
  return { id, principal: { ...principal }, protocol, from, signal }
}

function lapsed(cause: StorageError | undefined): StorageError {
  const why = cause && (StorageError.reasonOf(cause)?.text ?? cause.message)
  const text = `the token ended before the transfer did, and there is no macaroon to finish it with${why === undefined ? '' : `: ${why}`}`
  return new StorageError('unauthenticated', 'the credential has expired', {
    reason: { rule: 'token-expired', text },
    cause,
  })
}
