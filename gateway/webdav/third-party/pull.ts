/** Pull: what the other server sends goes into a draft, which nobody sees before its checksum is right. */

import type { IncomingMessage } from 'node:http'
import { pipeline } from 'node:stream/promises'
import type { Digest } from '../../../backends/backend.ts'
import { StorageError } from '../../core/errors.ts'
import type { Writing } from '../../core/storage.ts'
import { common, toldBy, unverified, wanting } from './checksums.ts'
import { failureOf, Rejection, RemoteFailure } from './failure.ts'
import type { Order } from './order.ts'
import { type Progress, watchPace } from './progress.ts'
import type { Remote } from './remote.ts'

export interface Copying {
  readonly order: Order
  readonly remote: Remote
  readonly progress: Progress
  readonly signal: AbortSignal
  /** Milliseconds in which the other server must move bytes. */
  readonly stallTimeout: number
}

/** Commits, or throws and leaves the discarding to the caller. `computed`: kinds that `writing` was told to compute. */
export async function pull(copying: Copying, writing: Writing, computed: readonly Digest[]): Promise<void> {
  const { order, remote, signal, progress } = copying
  const asking = { headers: wanting, signal, connected: progress.connected }
  const message = await remote.ask(order, { ...asking, method: 'GET' })
  let isTold: boolean
  try {
    const size = sizeOf(message)
    const expected = toldBy(message)
    isTold = Object.keys(expected).length > 0
    if (size === undefined && !isTold && message.headers['transfer-encoding'] === undefined) {
      throw new RemoteFailure('it does not tell where the file ends')
    }
    writing.announce({ ...(size !== undefined && { size }), ...(isTold && { expected }) })
    await receive(copying, message, writing)
  } finally {
    message.destroy()
  }
  if (order.verify && !isTold) await askForChecksum(copying, writing, computed)
  await writing.commit()
}

/** Undefined where the end is told otherwise. Throws for an answer that is not the whole file as it is. */
function sizeOf({ statusCode = 0, headers }: IncomingMessage): number | undefined {
  if (statusCode !== 200) throw new Rejection('GET', statusCode)
  const coding = headers['content-encoding']
  if (coding !== undefined && coding.trim().toLowerCase() !== 'identity') {
    throw new RemoteFailure('it sends the file in another coding')
  }
  const length = headers['content-length']
  if (length === undefined) return undefined
  const size = /^\d{1,16}$/.test(length) ? Number(length) : Number.NaN
  if (!Number.isSafeInteger(size)) throw new RemoteFailure('it tells no size that makes sense')
  return size
}

async function receive(copying: Copying, message: IncomingMessage, { body }: Writing): Promise<void> {
  const { progress, signal, stallTimeout } = copying
  message.on('data', (chunk: Buffer) => {
    progress.bytes += chunk.length
  })
  const isItsTurn = () => !body.writableNeedDrain && !body.writableEnded
  const pace = watchPace(progress, stallTimeout, isItsTurn, (error) => message.destroy(error))
  try {
    await pipeline(message, body, { signal })
  } catch (error) {
    if (signal.aborted) throw new StorageError('cancelled', 'the copy was cancelled', { cause: error })
    throw failureOf(error)
  } finally {
    clearInterval(pace)
  }
}

/** Servers that compute checksums for HEAD alone may read the file for it, which takes its time. */
async function askForChecksum(copying: Copying, writing: Writing, computed: readonly Digest[]): Promise<void> {
  const { order, remote, signal, progress } = copying
  const message = await remote.ask(order, { method: 'HEAD', headers: wanting, signal, connected: progress.connected })
  message.destroy()
  if (message.statusCode !== 200) throw new Rejection('HEAD', message.statusCode ?? 0)
  const told = toldBy(message)
  const expected = Object.fromEntries([common, ...computed].flatMap((kind) => (told[kind] ? [[kind, told[kind]]] : [])))
  if (Object.keys(expected).length === 0) throw unverified()
  writing.announce({ expected })
}
