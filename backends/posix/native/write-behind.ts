/** Writing to disk before anybody waits for it. */

import { libc } from './library.ts'

const call = libc.func('int sync_file_range(int, int64_t, int64_t, unsigned int)')
const SYNC_FILE_RANGE_WRITE = 2

/**
 * Starts to write a range of a file to disk, on a thread of libuv's pool. A later fsync has less to do, and reports
 * what goes wrong: `done` is only told whether it was started, which not every file system can.
 */
export function startWriting(fd: number, position: number, length: number, done: (started: boolean) => void): void {
  call.async(fd, position, length, SYNC_FILE_RANGE_WRITE, (error: unknown, result: number) =>
    done(!error && result === 0),
  )
}
