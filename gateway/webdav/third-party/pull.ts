/** Pull: what the other server sends goes into a draft, which nobody sees before its checksum is right. */

import type { IncomingMessage } from 'node:http'
import type { Writing } from '../../core/storage.ts'
import { common, toldBy, unverified, wanting } from './checksums.ts'
import { Rejection, RemoteFailure } from './failure.ts'
import type { Order } from './order.ts'
import { type Receiving, receive } from './receiving.ts'
import type { Remote } from './remote.ts'

export interface Copying extends Receiving {
  readonly order: Order
  readonly remote: Remote
}

/** Commits, or throws and leaves the discarding to the caller. */
export async function pull(copying: Copying, writing: Writing): Promise<void> {
  const { order, remote, signal, progress } = copying
  const headers = order.verify ? wanting : {}
  const message = await remote.ask(order, { method: 'GET', headers, signal, connected: progress.connected })
  let isTold: boolean
  try {
    const size = sizeOf(message)
    const expected = toldBy(message)
    isTold = Object.keys(expected).length > 0
    if (size === undefined && !isTold && !isChunked(message)) {
      throw new RemoteFailure('it does not tell where the file ends')
    }
    // What nobody asks for is not computed: it would take longer than the rest of the copy.
    const digests = order.verify && !isTold ? [common] : []
    writing.announce({ ...(size !== undefined && { size }), digests, expected })
    await receive(message, writing.body, copying)
  } finally {
    message.destroy()
  }
  if (order.verify && !isTold) await askForChecksum(copying, writing)
  await writing.commit()
}

/** Undefined where the end is told otherwise. Throws for an answer that is not the whole file as it is. */
function sizeOf(message: IncomingMessage): number | undefined {
  const { statusCode = 0, headers } = message
  if (statusCode !== 200) throw new Rejection('GET', statusCode)
  const coding = headers['content-encoding']
  const isAsItIs = coding === undefined || coding.trim().toLowerCase() === 'identity'
  // Of the codings of a transfer only chunked is undone for us.
  if (!isAsItIs || (headers['transfer-encoding'] !== undefined && !isChunked(message))) {
    throw new RemoteFailure('it sends the file in another coding')
  }
  const length = headers['content-length']
  if (length === undefined) return undefined
  const size = /^\d{1,16}$/.test(length) ? Number(length) : Number.NaN
  if (!Number.isSafeInteger(size)) throw new RemoteFailure('it tells no size that makes sense')
  return size
}

function isChunked({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding']?.trim().toLowerCase() === 'chunked'
}

/** Servers that compute checksums for HEAD alone may read the file for it, which takes its time. */
async function askForChecksum(copying: Copying, writing: Writing): Promise<void> {
  const { order, remote, signal, progress } = copying
  const message = await remote.ask(order, { method: 'HEAD', headers: wanting, signal, connected: progress.connected })
  message.destroy()
  if (message.statusCode !== 200) throw new Rejection('HEAD', message.statusCode ?? 0)
  const told = toldBy(message)[common]
  if (!told) throw unverified()
  writing.announce({ expected: { [common]: told } })
}
