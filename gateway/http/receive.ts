/** The body of a request, into a Writable. */

import type { Writable } from 'node:stream'
import { StorageError } from '../core/errors.ts'
import type { Exchange } from './exchange.ts'

/**
 * Resolves when `into` has taken the whole body and is finished. Rejects with the error of `into`;
 * with `too-large` past `limit` bytes; `invalid` when the body ends early or is malformed; `timeout`
 * when the sender makes no progress; `cancelled` when it is gone. `into` is left for the caller to discard.
 */
export async function receiveBody(exchange: Exchange, into: Writable, limit: number): Promise<void> {
  const { request, connection } = exchange
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let received = 0
  const count = (chunk: Buffer) => {
    received += chunk.length
    if (received > limit) reject(new StorageError('too-large', 'the body is larger than accepted'))
  }
  const gone = () => {
    if (!request.complete) reject(new StorageError('cancelled', 'the sender went away'))
  }
  const finish = () => resolve()
  const fail = (error: unknown) => reject(error)
  const closed = () => reject(new StorageError('cancelled', 'the upload was given up'))
  if (connection.broken && !request.complete) throw new StorageError('invalid', 'the body ended early or is malformed')
  connection.cut = reject
  request.on('data', count).on('error', gone).on('close', gone)
  into.on('finish', finish).on('error', fail).on('close', closed)
  request.pipe(into)
  try {
    await promise
  } finally {
    connection.cut = undefined
    request.unpipe(into)
    request.off('data', count).off('close', gone)
    into.off('finish', finish).off('close', closed)
    // The error listeners stay: errors that come late have been told, and must not end the process.
  }
}

/** Tells a sender that holds its body back that it may come. */
export function sendContinue(exchange: Exchange): void {
  if (!exchange.awaitsContinue) return
  exchange.awaitsContinue = false
  exchange.response.writeContinue()
}
