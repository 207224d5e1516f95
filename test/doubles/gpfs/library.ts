/** Compiles the stand-in for libgpfs (libgpfs.c), where there is a compiler. */

import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

/**
 * The path of a libgpfs.so made in `directory`, or why there is none. `old`: without the calls by descriptor, as
 * older releases are.
 */
export function compileLibrary(
  directory: string,
  release: 'old' | 'new' = 'new',
): { readonly library: string } | { readonly reason: string } {
  const library = join(directory, `libgpfs-${release}.so`)
  const source = join(import.meta.dirname, 'libgpfs.c')
  const defined = release === 'old' ? ['-DOLD_RELEASE'] : []
  try {
    execFileSync('gcc', ['-shared', '-fPIC', '-O1', ...defined, '-o', library, source], { stdio: 'ignore' })
    return { library }
  } catch {
    return { reason: 'needs gcc and the headers of the C library (Debian: gcc libc6-dev)' }
  }
}
