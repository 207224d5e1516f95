/** A body, on its way into an upload: nothing is asked of the sender before the upload is there to take it. */

import { type Readable, Transform, type TransformCallback } from 'node:stream'
import { StorageError } from '../core/errors.ts'
import type { UploadState } from '../core/uploads.ts'
import type { Exchange } from '../http/exchange.ts'
import { receiveBody, sendContinue } from '../http/receive.ts'

/** Sees all bytes of one body, and says at its end what is wrong with them. */
export interface BodyCheck {
  update(bytes: Buffer): void
  finish(): StorageError | undefined
}

/**
 * Hands the body of the request to `take`, which reads it to its end or fails. No more than `limit` bytes come; 100
 * Continue is sent when the first one is wanted. Rejects as `take` or `receiveBody` does; what came is kept then.
 */
export async function takeBody(
  x: Exchange,
  limit: number,
  take: (body: Readable) => Promise<UploadState>,
  check?: BodyCheck,
): Promise<UploadState> {
  const inlet = new Inlet(check)
  const taken = take(inlet)
  const given = taken.catch((error) => inlet.give(error))
  await Promise.race([inlet.wanted, taken])
  try {
    sendContinue(x)
    if (!inlet.destroyed) await receiveBody(x, inlet, limit)
  } catch (error) {
    inlet.give(error)
    await given
    throw error
  }
  const state = await taken
  // What follows the announced bytes is no request: the sender and its Content-Length disagree.
  if (x.connection.broken) throw new StorageError('invalid', 'the body is not as long as announced')
  return state
}

class Inlet extends Transform {
  readonly wanted: Promise<void>
  readonly #want: () => void
  readonly #check: BodyCheck | undefined

  constructor(check: BodyCheck | undefined) {
    super()
    this.#check = check
    const { promise, resolve } = Promise.withResolvers<void>()
    this.wanted = promise
    this.#want = resolve
    // Whoever reads it may have stopped to listen when it ends.
    this.on('error', () => {})
  }

  give(error: unknown): void {
    this.destroy(StorageError.from(error))
  }

  override _read(size: number): void {
    this.#want()
    super._read(size)
  }

  override _transform(bytes: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#check?.update(bytes)
    done(null, bytes)
  }

  override _flush(done: TransformCallback): void {
    done(this.#check?.finish())
  }
}
