/** One process of this user at a time: a lock on a file that the kernel gives back whenever the process ends (flock(2)). */

import { constants, type FileHandle, open } from 'node:fs/promises'
import { StorageError } from '../../../gateway/core/errors.ts'

/** LOCK_EX | LOCK_NB of <sys/file.h>. */
const exclusiveNow = 2 | 4
const pause = 50

/** Runs `work` while nobody else holds `file`, which is made. Throws `timeout` after so many milliseconds of waiting. */
export async function withFileLock<T>(file: string, limit: number, work: () => Promise<T>): Promise<T> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW
  const handle = await open(file, flags, 0o600)
  try {
    await take(handle, file, limit)
    return await work()
  } finally {
    // Closing gives it back.
    await handle.close()
  }
}

/** Few programs lock anything, and the library takes time to load. */
async function loadFlock(): Promise<(fd: number, operation: number) => number> {
  const { default: koffi } = await import('koffi')
  return koffi.load('libc.so.6').func('int flock(int fd, int operation)')
}

async function take(handle: FileHandle, file: string, limit: number): Promise<void> {
  const flock = await loadFlock()
  const end = performance.now() + limit
  while (flock(handle.fd, exclusiveNow) !== 0) {
    if (performance.now() > end) throw new StorageError('timeout', `another process holds ${file}`)
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
}

/** Whether the open file is this process's alone now, until it is closed. */
export async function lockNow(handle: FileHandle): Promise<boolean> {
  const flock = await loadFlock()
  return flock(handle.fd, exclusiveNow) === 0
}
