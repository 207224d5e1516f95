/** A bound on works at once, with a bound on how many wait and for how long. */

import { StorageError } from '../../../gateway/core/errors.ts'

export interface Bounds {
  readonly running: number
  readonly waiting: number
  /** Milliseconds. */
  readonly patience: number
}

export type Turns = <T>(work: () => Promise<T>) => Promise<T>

/** In order of arrival. Throws `busy` where too many wait already, and after `patience`. */
export function createTurns({ running: most, waiting, patience }: Bounds): Turns {
  let running = 0
  const queue = new Set<() => void>()
  const turn = () =>
    new Promise<void>((resolve, reject) => {
      const start = () => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(() => {
        queue.delete(start)
        reject(tooMany())
      }, patience)
      queue.add(start)
    })
  return async (work) => {
    if (running < most) running++
    else {
      if (queue.size >= waiting) throw tooMany()
      // The place of the one that ends is handed over, so `running` stays as it is.
      await turn()
    }
    try {
      return await work()
    } finally {
      const [next] = queue
      if (next === undefined) running--
      else {
        queue.delete(next)
        next()
      }
    }
  }
}

function tooMany(): StorageError {
  return new StorageError('busy', 'too many look-ups of accounts at once', { retryAfter: 1 })
}
