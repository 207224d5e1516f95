/**
 * Bytes on their way to dCache: PUT with `Expect: 100-continue`, so that the door decides, and says which pool takes
 * the bytes, before one is sent (dCache User Guide, "WebDAV"). A body is sent once: after its first byte nothing is
 * tried again.
 */

import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import type { Secret } from '../../acl/secret.ts'
import type { Call } from '../../gateway/core/call.ts'
import type { Activity } from './credentials.ts'
import { type DoorResponse, type HttpDoor, responseOf } from './door.ts'
import { abortOf, unavailable } from './errors.ts'
import { type Agents, begin, isRedirect, letGo, SendFailure } from './sending.ts'
import { Transfer } from './transfer.ts'

/** Milliseconds after which a server that says nothing to `Expect` gets the body all the same (RFC 9110, section 10.1.1). */
const patience = 3000
const mostHops = 2

export interface UploadRequest {
  /** In dCache's terms. */
  readonly path: string
  readonly call: Call
  readonly activities: readonly Activity[]
  /** As DoorRequest.object. */
  readonly object: string
  /** Bytes, where that is known. */
  readonly size: number | undefined
}

/** Asked and answered: the answer is no, or an empty file is there already, or somebody waits for the bytes. */
export type Opened =
  | { readonly kind: 'answered'; readonly response: DoorResponse }
  | { readonly kind: 'ready'; readonly transfer: Transfer }

/** The pool to which the door sent us is not there, or knows of no upload: nothing was written, but the name may have been made. */
export class PoolUnreached extends Error {}

/** What came of the head of a request: an answer, or somebody who waits for the body. */
type Begun =
  | { readonly kind: 'answered'; readonly message: IncomingMessage }
  | { readonly kind: 'ready'; readonly request: ClientRequest; readonly answer: Promise<IncomingMessage> }

/**
 * Asks the door, and the pool that it names, to take the bytes of a file. Throws PoolUnreached where that pool does
 * not want them, and StorageError. Ready means that the transfer is to be finished or aborted.
 */
export async function openUpload(door: HttpDoor, upload: UploadRequest): Promise<Opened> {
  const { size, call } = upload
  const headers: OutgoingHttpHeaders = {
    Expect: '100-continue',
    'Want-Digest': 'adler32',
    ...(size === undefined ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': size }),
  }
  const { agents } = door.options
  const ask = (authorization: Secret | undefined) =>
    door.guarded(
      call,
      () => {
        const own = { ...headers, ...(authorization && { Authorization: authorization.reveal() }) }
        return beginPut(door, call, door.urlOf(upload.path), own, agents.bytes.fresh)
      },
      ({ isUnsent }) => isUnsent,
    )
  const begun = await door.authorized(upload, ask, (asked) => (asked.kind === 'answered' ? asked.message : undefined))
  if (begun.kind === 'answered' && isRedirect(begun.message)) {
    letGo(begun.message)
    return follow(door, upload, headers, begun.message.headers.location)
  }
  return opened(door, call, begun, 'door')
}

async function follow(
  door: HttpDoor,
  { call, path }: UploadRequest,
  headers: OutgoingHttpHeaders,
  location: string | undefined,
): Promise<Opened> {
  const { agents, pools } = door.options
  let url = pools.target(location, door.urlOf(path))
  for (let hops = 1; ; hops++) {
    try {
      const begun = await beginPut(door, call, url, headers, agents.bytes.fresh)
      if (begun.kind === 'ready') return opened(door, call, begun, 'pool')
      const { statusCode = 0 } = begun.message
      if (statusCode < 300 || statusCode >= 500) return opened(door, call, begun, 'pool')
      letGo(begun.message)
      if (!isRedirect(begun.message)) throw new PoolUnreached(`the pool answered ${statusCode}`)
      if (hops === mostHops) throw unavailable('the storage redirects in circles')
      url = pools.target(begun.message.headers.location, url)
    } catch (error) {
      if (!(error instanceof SendFailure)) throw error
      if (error.isUnsent && error.kind === 'network') throw new PoolUnreached('no pool', { cause: error })
      throw error.toStorageError(door.signalOf(call))
    }
  }
}

function opened(door: HttpDoor, call: Call, begun: Begun, from: DoorResponse['from']): Opened {
  const { stall, deadline } = door.options
  const options = { signal: door.signalOf(call), stall, deadline, from }
  return begun.kind === 'ready'
    ? { kind: 'ready', transfer: new Transfer(begun.request, begun.answer, options) }
    : { kind: 'answered', response: responseOf(begun.message, options) }
}

/** Sends the head of a PUT and waits for what the server says to it. Rejects with SendFailure alone. */
function beginPut(
  door: HttpDoor,
  call: Call,
  url: URL,
  headers: OutgoingHttpHeaders,
  agents: Agents['kept'],
): Promise<Begun> {
  const signal = door.signalOf(call)
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new SendFailure('aborted', true, abortOf(signal)))
    const { request, isUnsent, lateness } = begin({ url, method: 'PUT', headers, agents })
    const { promise: answer, ...final } = Promise.withResolvers<IncomingMessage>()
    // Whoever waits for it hears of it.
    answer.catch(() => {})
    let isSettled = false
    const settle = () => {
      isSettled = true
      clearTimeout(timer)
      clearTimeout(unasked)
      signal.removeEventListener('abort', onAbort)
    }
    const ready = () => {
      if (isSettled) return
      settle()
      resolve({ kind: 'ready', request, answer })
    }
    const fail = (kind: SendFailure['kind'], cause: unknown) => {
      const failure = new SendFailure(kind, isUnsent(), cause)
      final.reject(failure.toStorageError(signal))
      if (isSettled) return
      settle()
      reject(failure)
      request.destroy()
    }
    const timer = setTimeout(() => fail(lateness(), undefined), door.options.deadline)
    const unasked = setTimeout(() => (isUnsent() ? undefined : ready()), patience)
    const onAbort = () => fail('aborted', signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    request.on('continue', ready)
    request.on('response', (message) => {
      final.resolve(message)
      if (isSettled) return
      settle()
      // The body that was announced never comes, so the connection is of no more use.
      message.once('close', () => request.destroy())
      resolve({ kind: 'answered', message })
    })
    request.on('error', (cause) => fail('network', cause))
    request.on('close', () => fail('network', undefined))
    request.flushHeaders()
  })
}
