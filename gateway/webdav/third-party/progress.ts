/** How far a copy is, for the markers, and whether it still moves. */

import { isIPv6, type Socket } from 'node:net'
import type { StorageError } from '../../core/errors.ts'
import { RemoteFailure } from './failure.ts'

export class Progress {
  /** Of the file, taken from the source. */
  bytes = 0
  /** The newest connection to the other server, as markers name it. */
  connection: string | undefined
  readonly connected = ({ remoteAddress, remotePort }: Socket): void => {
    if (remoteAddress === undefined) return
    this.connection = `tcp:${isIPv6(remoteAddress) ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`
  }
}

/** Bytes a second, over the time allowed: a server below it holds on to what others could use. */
const leastRate = 64

/**
 * Calls `stop` when the other server moves next to nothing for `ms`, and it is its turn. Time in which the storage or
 * we are slow does not count. Clear the interval when the transfer is over.
 */
export function watchPace(
  progress: Progress,
  ms: number,
  isItsTurn: () => boolean,
  stop: (error: StorageError) => void,
): NodeJS.Timeout {
  let before = progress.bytes
  return setInterval(() => {
    const moved = progress.bytes - before
    before = progress.bytes
    if (moved < (leastRate * ms) / 1000 && isItsTurn()) stop(new RemoteFailure('it moves no bytes'))
  }, ms)
}
