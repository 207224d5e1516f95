/** Operations of an I/O thread that serve writing by path: holding an object, and the files of a trial. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { Path } from '../../gateway/core/path.ts'
import type { HandleRef } from './handles.ts'
import * as sys from './native/sys.ts'
import { closing, type Workshop } from './workshop.ts'

/** Another descriptor (O_PATH) of the very object, a file or a directory. */
export function hold(shop: Workshop, { object }: { readonly object: HandleRef }): { readonly fd: number } {
  return shop.using(object, (open) => ({ fd: again(open) }))
}

function again(open: number): number {
  return sys.openat(sys.AT_FDCWD, sys.procPath(open), sys.O_PATH, 0)
}

export interface TrialArgs {
  readonly path: Path
  /** Three hidden names. */
  readonly names: readonly string[]
}

/** `fd`: of a file that was opened by the first name, now another file's, and that has the second one. */
export interface Trial {
  readonly fd: number
  readonly parentFd: number
}

/** Makes the files of a trial in a directory. Leaves nothing where it fails. */
export function makeTrial({ walker }: Workshop, { path, names }: TrialArgs): Trial {
  return walker.at(path, { follow: false, visit: () => undefined }, ({ parent, name, stat }) => {
    if (!stat) throw new StorageError('not-found', 'no such directory')
    const flags = sys.O_PATH | sys.O_DIRECTORY
    const parentFd = parent ? walker.open(parent.fd, name, flags) : sys.dup(walker.rootFd)
    let fd: number | undefined
    try {
      const [first = '', second = '', other = ''] = names
      const make = (of: string) => walker.open(parentFd, of, sys.O_CREAT | sys.O_EXCL | sys.O_RDWR, 0o600)
      fd = closing(make(first), again)
      sys.linkat(parentFd, first, parentFd, second, 0)
      closing(make(other), () => {})
      sys.renameat2(parentFd, other, parentFd, first, 0)
      return { fd, parentFd }
    } catch (error) {
      for (const of of names) unlinkIfThere(parentFd, of)
      if (fd !== undefined) sys.close(fd)
      sys.close(parentFd)
      throw error
    }
  })
}

function unlinkIfThere(directory: number, name: string): void {
  try {
    sys.unlinkat(directory, name, 0)
  } catch (error) {
    // Whatever kept it from being made may also keep it from being removed; the first error is the one to tell.
    if (!(error instanceof sys.Errno)) throw error
  }
}
