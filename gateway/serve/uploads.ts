/** Where uploads that outlive their connections are kept, and the hand that takes the abandoned ones away. */

import { join } from 'node:path'
import { claim } from '../../backends/posix/leaving.ts'
import type { Config } from '../config.ts'
import type { UploadKeeping } from '../core/resumable.ts'
import type { Storage } from '../core/storage.ts'
import type { State } from '../state/state.ts'
import type { Logger } from './log.ts'

/** ms. Each process tries; one at a time does it. */
const sweepEvery = 5 * 60_000

export function uploadKeeping({ uploads, limits, state: { directory } }: Config, state: State): UploadKeeping {
  return {
    state,
    spoolDirectory: uploads.spool.directory ?? join(directory, 'uploads'),
    claim,
    lifetime: Math.floor(uploads.expire / 1000),
    bounds: { uploads: uploads.perPrincipal, bytes: limits.stagedBytesPerPrincipal, spool: uploads.spool.size },
  }
}

/** Begins at once. `close` waits for what is under way. */
export function startSweeping(storage: Storage, log: Logger): { close(): Promise<void> } {
  let sweeping: Promise<void> | undefined
  const sweep = () => {
    sweeping ??= storage
      .sweepUploads()
      .then(
        (count) => {
          if (count > 0) log.info({ count }, 'abandoned uploads were taken away')
        },
        (error: unknown) => log.warn({ err: error }, 'abandoned uploads could not be taken away'),
      )
      .finally(() => {
        sweeping = undefined
      })
  }
  const timer = setInterval(sweep, sweepEvery).unref()
  sweep()
  return {
    close: async () => {
      clearInterval(timer)
      await sweeping
    },
  }
}
