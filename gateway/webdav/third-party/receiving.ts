/** Bytes of an answer into a draft, with few stops and starts of the connection. */

import type { IncomingMessage } from 'node:http'
import type { Writable } from 'node:stream'
import { StorageError } from '../../core/errors.ts'
import { failureOf, RemoteFailure } from './failure.ts'
import { type Progress, watchPace } from './progress.ts'

/** So much may wait for the storage. A stop for each chunk, as `pipe` does it, would cost more than the copying. */
const waiting = 1024 * 1024

export interface Receiving {
  readonly progress: Progress
  readonly signal: AbortSignal
  /** Milliseconds in which the other server must move bytes. */
  readonly stallTimeout: number
}

/**
 * Resolves when `body` has been handed everything; it is not ended. Rejects with the error of `body`, RemoteFailure
 * for an answer that ends early or stops, or `cancelled`.
 */
export async function receive(message: IncomingMessage, body: Writable, receiving: Receiving): Promise<void> {
  const { progress, signal, stallTimeout } = receiving
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const take = (chunk: Buffer) => {
    progress.bytes += chunk.length
    body.write(chunk)
    if (body.writableLength >= waiting) message.pause()
  }
  const listeners = [
    [message, 'data', take],
    [message, 'end', () => resolve()],
    [message, 'error', (error: unknown) => reject(failureOf(error))],
    // After the end this says nothing new.
    [message, 'close', () => reject(new RemoteFailure('it broke the connection off'))],
    [body, 'drain', () => void message.resume()],
    [body, 'error', (error: unknown) => reject(error)],
    [body, 'close', () => reject(cancelled())],
  ] as const
  const abort = () => reject(cancelled())
  const pace = watchPace(progress, stallTimeout, () => !message.isPaused(), reject)
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  for (const [emitter, event, listener] of listeners) emitter.on(event, listener)
  try {
    await promise
  } finally {
    clearInterval(pace)
    signal.removeEventListener('abort', abort)
    for (const [emitter, event, listener] of listeners) emitter.off(event, listener)
  }
}

function cancelled(): StorageError {
  return new StorageError('cancelled', 'the copy was cancelled')
}
