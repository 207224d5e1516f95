/** The body of a request, into a Writable. */

import { Writable } from 'node:stream'
import { StorageError } from '../core/errors.ts'
import { HttpError } from './errors.ts'
import type { Exchange } from './exchange.ts'

/** Bytes a second, over the stall timeout: a sender below it holds on to what others could use. */
const leastRate = 64

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
  const pace = watchPace(exchange, () => received, reject)
  connection.cut = reject
  request.on('data', count).on('error', gone).on('close', gone)
  into.on('finish', finish).on('error', fail).on('close', closed)
  request.pipe(into)
  try {
    await promise
  } finally {
    clearInterval(pace)
    connection.cut = undefined
    request.unpipe(into)
    request.off('data', count).off('close', gone)
    into.off('finish', finish).off('close', closed)
    // The error listeners stay: errors that come late have been told, and must not end the process.
  }
}

/**
 * Looks, until the interval that it gives is cleared, whether a body comes on. Time in which it is we who do not read does
 * not count.
 */
export function watchPace({ request, door }: Exchange, received: () => number, cut: (error: StorageError) => void) {
  let before = 0
  const look = () => {
    const now = received()
    const slow = now - before < (leastRate * door.stallTimeout) / 1000
    before = now
    if (slow && !request.complete && !request.isPaused())
      cut(new HttpError(408, 'timeout', 'the body comes too slowly'))
  }
  return setInterval(look, door.stallTimeout)
}

/** The whole body, where at most `limit` bytes are expected. Rejects like `receiveBody`, before reading a byte if it is announced too long. */
export async function receiveWhole(exchange: Exchange, limit: number): Promise<Buffer> {
  if (Number(exchange.request.headers['content-length'] ?? 0) > limit) {
    throw new StorageError('too-large', 'the body is larger than accepted')
  }
  sendContinue(exchange)
  const chunks: Buffer[] = []
  const into = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      done()
    },
  })
  await receiveBody(exchange, into, limit)
  return Buffer.concat(chunks)
}

/** Tells a sender that holds its body back that it may come. */
export function sendContinue(exchange: Exchange): void {
  if (!exchange.awaitsContinue) return
  exchange.awaitsContinue = false
  exchange.response.writeContinue()
}
