/** Push: a file of ours goes to the other server, which then says what it has got. */

import { once } from 'node:events'
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Digest, Digests } from '../../../backends/backend.ts'
import { DigestSet } from '../../core/digests.ts'
import { StorageError } from '../../core/errors.ts'
import type { BytesReading } from '../../http/send.ts'
import { common, compare, telling, toldBy, unverified, wanting } from './checksums.ts'
import { Rejection, RemoteFailure } from './failure.ts'
import { watchPace } from './progress.ts'
import type { Copying } from './pull.ts'

/** Milliseconds for removing what came out wrong. */
const cleaningTime = 15_000

/** `kept`: checksums of this very version that are known. Throws where the other server has not got the file. */
export async function push(copying: Copying, reading: BytesReading, kept: Digests): Promise<void> {
  const { order } = copying
  if (!order.overwrite) await requireAbsent(copying)
  // What is kept need not be computed again, and what nobody asks for not at all.
  const kinds = kept[common] || !order.verify ? [] : [common]
  const source: Source = { reading, kinds, digests: new DigestSet(kinds) }
  const message = await put(copying, source, kept)
  message.destroy()
  const { statusCode = 0 } = message
  if (![200, 201, 204].includes(statusCode)) throw new Rejection('PUT', statusCode)
  if (copying.progress.bytes !== reading.entry.size) throw new RemoteFailure('it did not wait for the whole file')
  const own = { ...kept, ...source.digests.finish() }
  try {
    if (compare(own, toldAfterPut(message)) || !order.verify) return
    await verify(copying, reading.entry.size, own)
  } catch (error) {
    if (error instanceof StorageError && error.code === 'bad-checksum') await removeCopy(copying, message)
    throw error
  }
}

/** What is said of the content of the answer, such as a page, is not said of the file. */
function toldAfterPut({ headers }: IncomingMessage): Digests {
  const { digest, 'repr-digest': modern } = headers
  return toldBy({
    headers: { ...(digest !== undefined && { digest }), ...(modern !== undefined && { 'repr-digest': modern }) },
  })
}

/** Not all servers heed If-None-Match. */
async function requireAbsent({ order, remote, signal, progress }: Copying): Promise<void> {
  const message = await remote.ask(order, { method: 'HEAD', headers: {}, signal, connected: progress.connected })
  message.destroy()
  if (message.statusCode === 200) throw new StorageError('precondition', 'the target exists')
}

function put(copying: Copying, source: Source, kept: Digests): Promise<IncomingMessage> {
  const { order, remote, signal, progress } = copying
  const { size } = source.reading.entry
  return remote.ask(order, {
    method: 'PUT',
    headers: {
      ...(order.verify && wanting),
      ...telling(kept),
      ...(!order.overwrite && { 'If-None-Match': '*' }),
      'Content-Length': size,
    },
    signal,
    connected: progress.connected,
    // RFC 9110, section 10.1.1: nothing is expected without content.
    ...(size > 0 && { body: (request, unwanted) => send(copying, request, unwanted, source) }),
  })
}

interface Source {
  readonly reading: BytesReading
  /** To be computed while it is read. */
  readonly kinds: readonly Digest[]
  digests: DigestSet
}

/** No faster than the other server takes it, so memory stays at a few chunks. */
async function send(copying: Copying, request: ClientRequest, unwanted: AbortSignal, source: Source): Promise<void> {
  const { progress, stallTimeout } = copying
  const { reading, kinds } = source
  // A server may send us on in the middle of the body.
  progress.bytes = 0
  const digests = new DigestSet(kinds)
  source.digests = digests
  const pace = watchPace(
    progress,
    stallTimeout,
    () => request.writableNeedDrain,
    (error) => request.destroy(error),
  )
  const stream = reading.stream({ start: 0, end: reading.entry.size })
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      if (unwanted.aborted) return
      digests.update(chunk)
      const room = request.write(chunk, () => stream.recycle?.(chunk))
      if (!room) await once(request, 'drain', { signal: unwanted })
      progress.bytes += chunk.length
    }
  } finally {
    clearInterval(pace)
    stream.destroy()
  }
  // Fewer bytes than announced would leave the other server waiting for the rest.
  if (progress.bytes !== reading.entry.size) throw new StorageError('stale', 'the file changed while it was read')
}

async function verify({ order, remote, signal, progress }: Copying, size: number, own: Digests): Promise<void> {
  const asking = { method: 'HEAD', headers: wanting, signal, connected: progress.connected } as const
  const message = await remote.ask(order, asking)
  message.destroy()
  const { statusCode = 0, headers } = message
  if (statusCode !== 200) throw new Rejection('HEAD', statusCode)
  const length = headers['content-length']
  if (length !== undefined && Number(length) !== size) {
    throw new StorageError('bad-checksum', 'the sizes of the two sides differ')
  }
  if (!compare(own, toldBy(message))) throw unverified()
}

/** Best effort, and only the very copy that was made, where the server names its version. */
async function removeCopy({ order, remote }: Copying, { headers: { etag } }: IncomingMessage): Promise<void> {
  const headers = etag !== undefined && !etag.startsWith('W/') ? { 'If-Match': etag } : {}
  try {
    // Not with the caller's signal: what is wrong must go, also when nobody waits for it any more.
    const message = await remote.ask(order, { method: 'DELETE', headers, signal: AbortSignal.timeout(cleaningTime) })
    message.destroy()
  } catch {
    // The failure that is told is that of the copy; whoever ordered it knows what to look after.
  }
}
