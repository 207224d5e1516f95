/** A bound on costly work (password hashing, account look-ups): so many at once, so many waiting, then `busy`. */

import { StorageError } from '../../gateway/core/errors.ts'

export type Gate = <T>(work: () => Promise<T>) => Promise<T>

/** Runs at most `running` works at a time in order of arrival; past `waiting` more it throws `busy`. */
export function createGate(limits: { readonly running: number; readonly waiting: number }): Gate {
  let running = 0
  const queue: Array<() => void> = []
  return async (work) => {
    if (running < limits.running) running++
    else {
      if (queue.length >= limits.waiting) throw new StorageError('busy', 'too many sign-ins at once', { retryAfter: 1 })
      // The place of the one that ends is handed over, so `running` stays as it is.
      await new Promise<void>((resolve) => queue.push(resolve))
    }
    try {
      return await work()
    } finally {
      const next = queue.shift()
      if (next === undefined) running--
      else next()
    }
  }
}
