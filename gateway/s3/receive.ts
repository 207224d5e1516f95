/** The payload of a request, verified on its way into a Writable. */

import { Duplex, type Writable } from 'node:stream'
import { StorageError } from '../core/errors.ts'
import { watchPace } from '../http/receive.ts'
import { S3Error } from './error.ts'
import type { S3Request } from './s3-request.ts'

/**
 * Tells the sender to go on, and resolves with the number of bytes when `into` has taken the whole payload and is
 * finished. Rejects with what is wrong with the payload or with `into`; EntityTooLarge past `limit` bytes; `timeout` when
 * the sender makes no progress; `cancelled` when it is gone. `into` is left for the caller to discard.
 */
export async function receivePayload(
  { x, body }: Pick<S3Request, 'x' | 'body'>,
  into: Writable,
  limit: number,
): Promise<number> {
  const { request, connection } = x
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  if (connection.broken && !request.complete) throw endedEarly()
  const source = body.stream()
  // A part of a form may have failed while there was no reader yet: it would neither end nor fail once more.
  if (source.destroyed && !source.readableEnded) throw source.errored ?? endedEarly()
  let received = 0
  const count = (chunk: Uint8Array) => {
    received += chunk.length
    if (received > limit) reject(tooLarge(received, limit))
  }
  const gone = () => {
    if (request.complete) return
    if (connection.broken) reject(endedEarly())
    else reject(new StorageError('cancelled', 'the sender went away'))
  }
  const unended = () => {
    if (!source.readableEnded) gone()
  }
  const fail = (error: unknown) => reject(error)
  const given = () => reject(new StorageError('cancelled', 'the upload was given up'))
  const pace = watchPace(x, () => received, reject)
  // A payload may be a part of another one, as in forms.
  const before = connection.cut
  connection.cut = (error) => {
    before?.(error)
    reject(connection.broken ? endedEarly() : error)
  }
  // A part of a form fails in the words of its parser.
  const spoiled = (error: unknown) => reject(error instanceof StorageError || !request.complete ? error : endedEarly())
  source.on('data', count).on('error', spoiled).on('close', unended)
  request.on('error', gone).on('close', gone)
  into.on('finish', resolve).on('error', fail).on('close', given)
  source.pipe(into)
  try {
    await promise
    return received
  } catch (error) {
    source.unpipe(into)
    // What stands between would keep back what is to be dropped.
    if (source instanceof Duplex) source.destroy()
    throw error
  } finally {
    clearInterval(pace)
    connection.cut = before
    source.off('data', count).off('close', unended)
    request.off('close', gone)
    into.off('finish', resolve).off('close', given)
    // The error listeners stay: errors that come late have been told, and must not end the process.
  }
}

function endedEarly(): S3Error {
  return new S3Error('IncompleteBody', 'The body ended early or is malformed.')
}

/** An EntityTooLarge error. */
export function tooLarge(size: number, limit: number): S3Error {
  return new S3Error('EntityTooLarge', 'Your proposed upload exceeds the maximum allowed object size', {
    elements: { ProposedSize: String(size), MaxSizeAllowed: String(limit) },
  })
}
