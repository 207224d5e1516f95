/** What the operations of one I/O thread share. */

import type { ThreadAclSource } from './acl-reading.ts'
import { EntryMaker } from './entries.ts'
import { type HandleRef, withHandle } from './handles.ts'
import * as sys from './native/sys.ts'
import type { PosixSetup } from './options.ts'
import { Walker } from './walk.ts'

/** Points of a change at which a process may die; for tests. */
export type Step = 'staged' | 'prepared' | 'linked' | 'renaming' | 'published' | 'overwriting'

export interface Workshop {
  readonly setup: PosixSetup
  readonly walker: Walker
  readonly maker: EntryMaker
  /** Works with a kept descriptor, which stays open as long. */
  using<T>(handle: HandleRef, work: (fd: number) => T): T
  /** Called at each point that is named. */
  step(step: Step): void
}

/** `table` must differ between all threads of the process. */
export function makeWorkshop(
  setup: PosixSetup,
  table: number,
  step: (step: Step) => void,
  library?: ThreadAclSource,
): Workshop {
  const walker = new Walker(setup)
  const maker = new EntryMaker(setup, walker, table, library)
  const words = new Int32Array(setup.claims)
  return { setup, walker, maker, using: (handle, work) => withHandle(words, handle, sys.close, work), step }
}

/** Runs `work` with a descriptor that is closed afterwards. */
export function closing<T>(fd: number, work: (fd: number) => T): T {
  try {
    return work(fd)
  } finally {
    sys.close(fd)
  }
}

/**
 * Puts the entries of a directory on disk. False: the caller may not open it for that, as where one may write but not
 * read, or this file system syncs no directories.
 */
export function syncDirectory(directory: number): boolean {
  let fd: number
  try {
    fd = sys.openat(directory, '.', sys.O_RDONLY | sys.O_DIRECTORY, 0)
  } catch (error) {
    if (sys.isErrno(error, 'EACCES')) return false
    throw error
  }
  try {
    closing(fd, sys.fsync)
    return true
  } catch (error) {
    if (sys.isErrno(error, 'EINVAL')) return false
    throw error
  }
}

/** The type bits of a mode. */
export function kindOf(stat: sys.Stat): number {
  return stat.mode & sys.S_IFMT
}
