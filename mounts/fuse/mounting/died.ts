/** Whether anybody still serves a mount. */

import { opendir } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'

/** Milliseconds. Of a mount that does not answer in time nobody knows. */
const patience = 1000

/** Attributes would not tell: the kernel may know them still. */
export async function hasDied(directory: string): Promise<boolean> {
  const look = opendir(directory).then(
    (listing) =>
      listing.close().then(
        () => false,
        () => false,
      ),
    ({ code }: NodeJS.ErrnoException) => code === 'ENOTCONN',
  )
  return Promise.race([look, pause(patience, false, { ref: false })])
}
