/** Bytes of files that the kernel has in memory, without a thread that could wait for a disk. */

import { release } from 'node:os'
import koffi from 'koffi'
import { libc } from './library.ts'

const preadv2 = libc.func('long preadv2(int, void *, int, int64_t, int)')
const RWF_NOWAIT = 8
/** These say 0 where there is more that is not in memory (preadv2(2), BUGS). */
const tellsEnds = !/^5\.(9|10)\./.test(release())
/** A struct iovec: where to, and how many bytes. */
const vector = new BigUint64Array(2)

/**
 * Reads at once what needs no waiting (preadv2(2), RWF_NOWAIT), which may be less than there is; 0 at the end of the
 * file. Undefined where nothing can be had so: it is not in memory, or the file system cannot tell.
 */
export function readCached(fd: number, into: Uint8Array, offset: number): number | undefined {
  if (!tellsEnds) return undefined
  vector[0] = BigInt(koffi.address(into))
  vector[1] = BigInt(into.length)
  const count = Number(preadv2(fd, vector, 1, offset, RWF_NOWAIT))
  return count < 0 ? undefined : count
}
