/**
 * From a file to a plain connection without passing through this process's memory, where the stream
 * of the back end offers it. The response's head must have been written already, with a Content-Length.
 */

import type { Socket } from 'node:net'
import type { FileStream, Range } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import type { Exchange } from './exchange.ts'

/** Files shorter than this are not worth the trouble. */
const leastBytes = 512 * 1024
/** Sent at a time, so that what was sent is known to about this when a transfer is cut. */
const pieceBytes = 64 * 1024 * 1024

/** Whether so many bytes on this connection are worth it, and not to be encrypted. */
export function mayBeDirect({ connection }: Exchange, bytes: number): boolean {
  return bytes >= leastBytes && !connection.listener.tls
}

/**
 * Sends `range` piece by piece; `sent` hears of the bytes of each. Resolves with where somebody else has
 * to go on: the end, or the start when the streams do not offer it. Throws `cancelled` when the caller is gone.
 */
export async function sendDirectly(
  { request, response }: Exchange,
  range: Range,
  source: { stream(range: Range): FileStream; sent(bytes: number): void },
): Promise<number> {
  const { socket } = request
  // A response that still waits behind another one must not overtake it.
  if (response.socket !== socket) return range.start
  await written(socket, '')
  let { start } = range
  while (start < range.end) {
    const end = Math.min(range.end, start + pieceBytes)
    const stream = source.stream({ start, end })
    // Looked up again for each piece and not kept over an await: a closed connection's number is soon another's.
    const fd = descriptorOf(socket)
    if (fd === undefined || !stream.sendTo) {
      stream.destroy()
      return start
    }
    await stream.sendTo({ fd, write: (chunk) => written(socket, chunk) })
    source.sent(end - start)
    start = end
  }
  return start
}

/** Undefined where it has none to tell. Throws `cancelled` for one that is closed. */
export function descriptorOf(socket: Socket): number | undefined {
  if (socket.destroyed) throw new StorageError('cancelled', 'the caller went away')
  const handle: unknown = Reflect.get(socket, '_handle')
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return undefined
  return typeof handle.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined
}

/** Undefined where the kernel has all of it already: then the chunk may be filled again at once. */
function written(socket: Socket, chunk: Uint8Array | string): Promise<void> | undefined {
  let settle: ((error?: Error | null) => void) | undefined
  socket.write(chunk, (error) => settle?.(error))
  if (socket.writableLength === 0 && !socket.errored && !socket.destroyed) return undefined
  return new Promise((resolve, reject) => {
    settle = (error) => (error ? reject(error) : resolve())
  })
}
