/** How long a failing request is tried again, and with what pauses. */

import { StorageError } from '../../../gateway/core/errors.ts'

const firstPause = 40
const longestPause = 1500
/** All of it takes at most so many times the limit. */
const mostTimes = 10

export interface Patience {
  /** Milliseconds that are left; 0 when it is over. */
  left(): number
  /** There was progress at that time, by performance.now(): the limit counts from then on. */
  progressed(at: number): void
  /**
   * Waits before the next try, longer each time and never in step with others; at least `retryAfter` seconds. Throws
   * `error` where that would be too late, `cancelled` when the signal aborts.
   */
  pause(error: StorageError, signal: AbortSignal | undefined): Promise<void>
}

/** `limit`: milliseconds from now on. */
export function patience(limit: number): Patience {
  const began = performance.now()
  let end = began + limit
  const left = () => Math.max(0, end - performance.now())
  let next = firstPause
  return {
    left,
    progressed(at) {
      end = Math.max(end, Math.min(at, began + limit * (mostTimes - 1)) + limit)
    },
    async pause(error, signal) {
      const wait = Math.max(next * (0.5 + Math.random() / 2), (error.retryAfter ?? 0) * 1000)
      next = Math.min(next * 2, longestPause)
      if (left() === 0 || wait > left()) throw error
      await sleep(wait, signal)
    },
  }
}

/** Throws `cancelled` when the signal aborts before. */
export async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  try {
    await raced(new Promise<void>((resolve) => (timer = setTimeout(resolve, ms))), signal)
  } finally {
    // It would keep the process from its end.
    clearTimeout(timer)
  }
}

/** As `raced`; `timeout` after so many milliseconds, saying that there was no `what`. */
export async function within<T>(
  work: Promise<T>,
  { limit, signal, what }: { readonly limit: number; readonly signal?: AbortSignal | undefined; readonly what: string },
): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new StorageError('timeout', `there was no ${what} in time`)), limit)
  try {
    return await raced(Promise.race([work, promise]), signal)
  } finally {
    clearTimeout(timer)
  }
}

/** What `work` becomes, or `cancelled` once the signal aborts; the work goes on then. */
export async function raced<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = () => reject(new StorageError('cancelled', 'interrupted'))
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  // Whoever has given up does not look at what became of it.
  work.catch(() => {})
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
