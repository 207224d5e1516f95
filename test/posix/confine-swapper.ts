/** A thread of confine.test.ts: exchanges two names in a directory until told to stop. */

import { parentPort, workerData } from 'node:worker_threads'
import * as sys from '../../backends/posix/native/sys.ts'

const { directory, names, board } = workerData as {
  readonly directory: string
  readonly names: readonly [string, string]
  readonly board: SharedArrayBuffer
}
const stop = new Int32Array(board)
const dir = sys.openat(sys.AT_FDCWD, directory, sys.O_PATH | sys.O_DIRECTORY, 0)
let swaps = 0
for (; Atomics.load(stop, 0) === 0; swaps++) sys.renameat2(dir, names[0], dir, names[1], sys.RENAME_EXCHANGE)
sys.close(dir)
parentPort?.postMessage(swaps)
