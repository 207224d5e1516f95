/** Bodies of requests, read whole. */

import { StorageError } from '../../core/errors.ts'
import { BodyBudget } from '../../http/body-budget.ts'
import { HttpError } from '../../http/errors.ts'
import type { Exchange } from '../../http/exchange.ts'
import { sendContinue, watchPace } from '../../http/receive.ts'
import { largest } from './limits.ts'

/** Bytes of bodies that everybody may send at the same time; longer ones have to find room. */
const smallBody = 64 * 1024
const budget = new BodyBudget(256 * largest.write, 64 * largest.write)

/** Announced bytes of the body. Throws 411 where none are, and `too-large` past `limit`. */
export function lengthOfBody({ request }: Exchange, limit: number): number {
  const text = request.headers['content-length']
  if (text === undefined) throw new HttpError(411, 'invalid', 'the length of the body is missing')
  const length = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (Number.isNaN(length)) throw new StorageError('invalid', 'the length of the body is not a number')
  if (length > limit) throw new StorageError('too-large', `the body is larger than ${limit} bytes`)
  return length
}

/**
 * Hands the chunks of the body to `take`, which must not keep them. Rejects with `cancelled` for a sender that goes away,
 * `timeout` for one that is too slow, `invalid` for a body that ends early or is malformed.
 */
export function takeChunks(x: Exchange, take: (chunk: Buffer) => void): Promise<void> {
  const { request, connection } = x
  sendContinue(x)
  if (connection.broken && !request.complete) throw new StorageError('invalid', 'the body ended early or is malformed')
  return new Promise((resolve, reject) => {
    let received = 0
    const over = (error?: StorageError) => {
      clearInterval(pace)
      connection.cut = undefined
      request.off('data', onData).off('end', onEnd).off('close', onClose)
      // The error listener stays: one that comes late must not end the process.
      if (error) reject(error)
      else resolve()
    }
    const onData = (chunk: Buffer) => {
      received += chunk.length
      take(chunk)
    }
    const onEnd = () => over()
    const onClose = () => over(new StorageError('cancelled', 'the sender went away'))
    const pace = watchPace(x, () => received, over)
    connection.cut = over
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose)
  })
}

/**
 * What `work` makes of the whole body, in one piece: a chunk as it came where it came in one. Throws `busy` where there are
 * many long ones at once: each counts until the work is over, also when its sender went away.
 */
export async function withBody<T>(
  x: Exchange,
  limit: number,
  room: (length: number) => Buffer,
  work: (body: Buffer) => Promise<T>,
): Promise<T> {
  const length = lengthOfBody(x, limit)
  const over = length > smallBody ? budget.hold(x, limit) : undefined
  try {
    return await work(await takeWhole(x, length, room))
  } finally {
    over?.()
  }
}

async function takeWhole(x: Exchange, length: number, room: (length: number) => Buffer): Promise<Buffer> {
  let whole: Buffer | undefined
  let filled = 0
  if (length === 0) return Buffer.alloc(0)
  await takeChunks(x, (chunk) => {
    if (filled === 0 && chunk.length === length) {
      whole = chunk
    } else {
      whole ??= room(length)
      chunk.copy(whole, filled)
    }
    filled += chunk.length
  })
  if (!whole || filled !== length) throw new StorageError('invalid', 'the body is not as long as announced')
  return whole
}
