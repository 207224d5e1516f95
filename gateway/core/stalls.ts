/**
 * Streams whose far end is a back end. A caller may be slow; a back end that keeps a read or a write
 * waiting for longer than its mount's deadline hangs, and the stream fails with `unavailable`.
 *
 * The stream's own _read, push and _write are wrapped in place: another stream in the pipeline would cost
 * a copy of the bookkeeping for every chunk.
 */

import type { Writable } from 'node:stream'
import type { FileStream } from '../../backends/backend.ts'
import type { Mount } from '../../mounts/namespace.ts'
import type { Alarm } from './deadlines.ts'
import type { StorageError } from './errors.ts'
import type { Limits } from './limits.ts'

/** Gives the stream back. Must be called before anyone reads from it. `hang` may end what the stream waits for. */
export function watchReadable(
  limits: Limits,
  mount: Mount,
  stream: FileStream,
  hang: (error: StorageError) => void,
): FileStream {
  const read = stream._read
  const push = stream.push
  let alarm: Alarm | undefined
  const answered = () => {
    if (alarm) limits.stop(mount, alarm)
    alarm = undefined
  }
  stream._read = function (size) {
    alarm ??= limits.watch(mount, (error) => {
      alarm = undefined
      stream.destroy(error)
      hang(error)
    })
    read.call(this, size)
  }
  stream.push = function (chunk, encoding) {
    answered()
    return push.call(this, chunk, encoding)
  }
  stream.once('close', answered)
  // Whoever reads gets the error as well; a stream that nobody reads must not end the process.
  stream.on('error', answered)
  return stream
}

/**
 * `before` sees the bytes of each write before the stream does, and may refuse them. `hang` is told
 * before the stream is destroyed for not answering.
 */
export function watchWritable(
  limits: Limits,
  mount: Mount,
  stream: Writable,
  hooks: { before(bytes: Buffer): StorageError | undefined; hang(error: StorageError): void },
): void {
  const write = stream._write
  const writev = stream._writev
  // Whoever writes gets the error as well; a stream that nobody writes to must not end the process.
  stream.on('error', () => {})
  const timed = (callback: (error?: Error | null) => void) => {
    const alarm = limits.watch(mount, (error) => {
      hooks.hang(error)
      stream.destroy(error)
    })
    return (error?: Error | null) => {
      limits.stop(mount, alarm)
      callback(error)
    }
  }
  stream._write = function (chunk: Buffer | string, encoding, callback) {
    const bytes = bufferOf(chunk, encoding)
    const refusal = hooks.before(bytes)
    if (refusal) callback(refusal)
    else write.call(this, bytes, 'buffer' as BufferEncoding, timed(callback))
  }
  if (!writev) return
  stream._writev = function (chunks, callback) {
    for (const one of chunks) {
      one.chunk = bufferOf(one.chunk, one.encoding)
      const refusal = hooks.before(one.chunk)
      if (refusal) return callback(refusal)
    }
    writev.call(this, chunks, timed(callback))
  }
}

function bufferOf(chunk: Buffer | string, encoding: BufferEncoding): Buffer {
  return typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk
}
