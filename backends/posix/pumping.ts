/** Bytes from one open file to another, by the kernel where it can. */

import type { Caller, Desk } from './desk.ts'
import type { HandleRef } from './handles.ts'

/** Bytes copied in one go, so that other calls of the mount get their turn. */
const slice = 16 * 1024 * 1024

/** Copies all of one file to the beginning of the other. Returns how many bytes. */
export async function pump(desk: Desk, from: HandleRef, to: HandleRef, caller: Caller): Promise<number> {
  for (let offset = 0; ; ) {
    const count = await desk.run('copyBytes', { from, to, offset, length: slice }, caller)
    offset += count
    if (count < slice) return offset
  }
}
