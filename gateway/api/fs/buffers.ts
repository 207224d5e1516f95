/** Buffers for bytes on their way, used again: new ones cost more than what is done with them. */

import { largest } from './limits.ts'

/** Bytes of a piece: all that is read at once without a stream. */
export const pieceBytes = 64 * 1024

interface Shelf {
  readonly size: number
  readonly most: number
  readonly buffers: Buffer[]
}

const pieces: Shelf = { size: pieceBytes, most: 256, buffers: [] }
const blocks: Shelf = { size: largest.write, most: 16, buffers: [] }

/** Of this length, at most that of the largest write; what is in it is left over from others. */
export function takeBuffer(length: number): Buffer {
  // Node's own pool serves small ones.
  if (length <= 4096) return Buffer.allocUnsafe(length)
  const { buffers, size } = length <= pieces.size ? pieces : blocks
  const whole = buffers.pop() ?? Buffer.allocUnsafeSlow(size)
  return length === size ? whole : whole.subarray(0, length)
}

/** Gives back what `takeBuffer` gave, when nobody looks at it any more: after a success, and never while that is not sure. */
export function returnBuffer({ buffer, byteLength }: Buffer): void {
  if (byteLength <= 4096) return
  const shelf = byteLength <= pieces.size ? pieces : blocks
  if (buffer.byteLength === shelf.size && shelf.buffers.length < shelf.most) shelf.buffers.push(Buffer.from(buffer))
}
