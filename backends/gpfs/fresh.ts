/** Answers that are asked for once by all who want them, and kept for a while. */

import { StorageError } from '../../gateway/core/errors.ts'

/** ms for which nobody asks again after a failure. */
const pause = 5000

/** One answer of Storage Scale, not older than it may be, or the last one as long as there is no newer. */
export class Fresh<T> {
  readonly #fetch: (signal: AbortSignal) => Promise<T>
  readonly #ms: number
  #held: { readonly value: T; readonly at: number } | undefined
  #failed: { readonly error: unknown; readonly at: number } | undefined
  #flight: Promise<T> | undefined

  /** `fetch` bounds its own time. */
  constructor(ms: number, fetch: (signal: AbortSignal) => Promise<T>) {
    this.#ms = ms
    this.#fetch = fetch
  }

  /** Throws what `fetch` throws where there never was an answer, and `cancelled` for a caller who has gone. */
  async get(signal: AbortSignal): Promise<T> {
    const now = performance.now()
    if (this.#held && now - this.#held.at < this.#ms) return this.#held.value
    if (this.#failed && now - this.#failed.at < pause) return this.#last(this.#failed.error)
    this.#flight ??= this.#start()
    try {
      return await unlessAborted(this.#flight, signal)
    } catch (error) {
      if (signal.aborted) throw error
      return this.#last(error)
    }
  }

  #last(error: unknown): T {
    if (this.#held) return this.#held.value
    throw error
  }

  async #start(): Promise<T> {
    try {
      const value = await this.#fetch(forever)
      this.#held = { value, at: performance.now() }
      this.#failed = undefined
      return value
    } catch (error) {
      this.#failed = { error, at: performance.now() }
      throw error
    } finally {
      this.#flight = undefined
    }
  }
}

const forever = new AbortController().signal

/** The promise's outcome, or `cancelled` as soon as the caller has gone; the work goes on for others. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: gone, reject } = Promise.withResolvers<never>()
  const leave = () => reject(cancellation(signal))
  signal.addEventListener('abort', leave, { once: true })
  if (signal.aborted) leave()
  try {
    return await Promise.race([promise, gone])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}

function cancellation({ reason }: AbortSignal): StorageError {
  return reason instanceof StorageError ? reason : new StorageError('cancelled', 'the caller has gone')
}
