/** Operations that tests run on I/O threads. */

import { getCapabilities } from '../../backends/posix/native/capabilities.ts'
import { IdentityFault } from '../../backends/posix/native/identity.ts'
import * as sys from '../../backends/posix/native/sys.ts'

export function createOperations(): Record<string, (args: never) => unknown> {
  return {
    add: ({ a, b }: { a: number; b: number }) => a + b,
    /** Keeps the thread for `ms`, like a slow disk. */
    block: ({ ms, result }: { ms: number; result?: unknown }) => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
      return result
    },
    /** Tells in `board` that it has begun, then waits there to be let go. */
    hold: ({ board, path }: { board: SharedArrayBuffer; path?: string }) => {
      const words = new Int32Array(board)
      Atomics.add(words, 0, 1)
      Atomics.notify(words, 0)
      Atomics.wait(words, 1, 0)
      return path === undefined ? undefined : sys.openat(sys.AT_FDCWD, path, sys.O_RDONLY, 0)
    },
    open: ({ path }: { path: string }) => sys.openat(sys.AT_FDCWD, path, sys.O_RDONLY, 0),
    stat: ({ path }: { path: string }) => sys.fstatat(sys.AT_FDCWD, path, 0),
    read: ({ path }: { path: string }) => {
      const fd = sys.openat(sys.AT_FDCWD, path, sys.O_RDONLY, 0)
      const into = new Uint8Array(100)
      const bytes = into.slice(0, sys.pread(fd, into, 0))
      sys.close(fd)
      return bytes
    },
    create: ({ path, mode }: { path: string; mode: number }) => {
      const fd = sys.openat(sys.AT_FDCWD, path, sys.O_WRONLY | sys.O_CREAT | sys.O_EXCL, mode)
      const { uid, gid } = sys.fstat(fd)
      sys.close(fd)
      return { uid, gid }
    },
    capabilities: () => getCapabilities(),
    remove: ({ path }: { path: string }) => sys.unlinkat(sys.AT_FDCWD, path, 0),
    die: () => process.exit(7),
    lose: () => {
      throw new IdentityFault('for a test')
    },
    bug: () => {
      throw new TypeError('a bug')
    },
    dispose: (result: unknown) => {
      if (typeof result === 'number') sys.close(result)
    },
  }
}
