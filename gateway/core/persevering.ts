/** Trying again what lost a race between look and act. */

import { setTimeout as sleep } from 'node:timers/promises'
import { StorageError } from './errors.ts'

/** How often another change may come between look and act. */
const attempts = 40
/** ms, at most, that the second attempt waits for; others wait for as many times as much. */
const pause = 4

/**
 * Calls `work`, with 1 for the first time, until it does not throw `stale`, and lets others go first before each
 * further time. `requireAlive` throws where nobody waits for the outcome any more. Throws what `work` throws.
 */
export async function persevere<T>(work: (attempt: number) => Promise<T>, requireAlive: () => void): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt)
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'stale' || attempt === attempts) throw error
    }
    // Those who come again and again at the same pace would miss each other's gaps.
    await sleep(Math.random() * pause * attempt)
    requireAlive()
  }
}
