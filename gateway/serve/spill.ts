/** Directories below the state directory in which listings are sorted, one for each process. */

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { StorageError } from '../core/errors.ts'

const prefix = 'spill-'

/** Makes a directory for this process, mode 0700, and removes those of processes that are gone. */
export async function openSpill(
  stateDirectory: string,
): Promise<{ readonly directory: string; close(): Promise<void> }> {
  try {
    for (const name of await readdir(stateDirectory)) {
      if (isLeftBehind(name)) await rm(join(stateDirectory, name), { recursive: true, force: true })
    }
    const directory = await mkdtemp(join(stateDirectory, `${prefix}${process.pid}-`))
    return { directory, close: () => rm(directory, { recursive: true, force: true }) }
  } catch (cause) {
    throw new StorageError('unavailable', 'no directory for sorting can be made in the state directory', { cause })
  }
}

function isLeftBehind(name: string): boolean {
  const pid = Number(/^spill-(\d+)-/.exec(name)?.[1])
  if (!Number.isSafeInteger(pid) || pid === process.pid) return false
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    // EPERM: it lives, under another account.
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
