/** One HTTP exchange: from the request to the head of the answer, with what is known of it when it fails. */

import http, { type ClientRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import https from 'node:https'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Answered, abortOf, unavailable } from './errors.ts'
import { TappedAgent } from './tapping.ts'

/** Longest head of an answer, in bytes. */
const maxHeaderSize = 32 * 1024
/** Milliseconds that a connection without a request is kept: less than servers usually keep theirs. */
const idle = 8000
/** The longest that a timer can wait, in milliseconds: one that shall wait longer ends at once. */
export const longestTimer = 2 ** 31 - 1

/** Connections to one side, all with the same trust. */
export interface Agents {
  /** Kept between requests. */
  readonly kept: AgentPair
  /** Made for one request. */
  readonly fresh: AgentPair
  close(): void
}

interface AgentPair {
  readonly http: http.Agent
  readonly https: https.Agent
}

export interface AgentOptions {
  readonly ca?: string | undefined
  /** At most so many to one host. */
  readonly connections: number
}

export function makeAgents({ ca, connections }: AgentOptions) {
  const trust = { minVersion: 'TLSv1.2', ...(ca !== undefined && { ca }) } as const
  const bounds = { maxSockets: connections, maxFreeSockets: Math.min(16, connections) }
  const kept = { ...bounds, keepAlive: true, timeout: idle, scheduling: 'lifo' } as const
  const pairs = {
    kept: { http: new TappedAgent(kept), https: new https.Agent({ ...kept, ...trust }) },
    fresh: { http: new http.Agent(bounds), https: new https.Agent({ ...bounds, ...trust }) },
  }
  const all = [pairs.kept, pairs.fresh].flatMap((pair) => [pair.http, pair.https])
  return { ...pairs, close: () => all.forEach((agent) => void agent.destroy()) } satisfies Agents
}

export interface Outgoing {
  readonly url: URL
  readonly method: string
  readonly headers: OutgoingHttpHeaders
  readonly body?: string | Uint8Array | undefined
  readonly agents: AgentPair
  readonly signal: AbortSignal
  /** Milliseconds until the head of the answer. */
  readonly deadline: number
}

/** An exchange without an answer. */
export class SendFailure extends Error {
  /** `crowded`: all connections were taken by others; it says nothing of the server. */
  readonly kind: 'aborted' | 'timeout' | 'network' | 'crowded'
  /** Nothing of the request can have arrived: no connection came about. */
  readonly isUnsent: boolean

  constructor(kind: SendFailure['kind'], isUnsent: boolean, cause: unknown) {
    super('no answer', { cause })
    this.kind = kind
    this.isUnsent = isUnsent
  }

  /** As it crosses the module boundary. */
  toStorageError(signal: AbortSignal) {
    if (this.kind === 'aborted') return abortOf(signal)
    if (this.kind === 'crowded') return new StorageError('busy', 'too many transfers at once', { retryAfter: 5 })
    const text = this.kind === 'timeout' ? 'the storage did not answer in time' : 'the storage cannot be reached'
    return unavailable(text, { cause: this })
  }
}

/** A request whose connection and failures are watched. */
export interface Started {
  readonly request: ClientRequest
  readonly isUnsent: () => boolean
  /** What it means when it took too long. */
  readonly lateness: () => 'timeout' | 'crowded'
}

/** Begins a request without sending its body. The signal is not watched here. */
export function begin({ url, method, headers, agents }: Omit<Outgoing, 'signal' | 'deadline' | 'body'>): Started {
  const isTls = url.protocol === 'https:'
  const options = { method, headers, maxHeaderSize, agent: isTls ? agents.https : agents.http }
  const request = isTls ? https.request(url, options) : http.request(url, options)
  let isConnected = false
  let hasSocket = false
  request.on('socket', (socket) => {
    hasSocket = true
    // Over TLS nothing of the request leaves before the handshake is done.
    if (request.reusedSocket || !socket.connecting) isConnected = true
    else socket.once(isTls ? 'secureConnect' : 'connect', () => (isConnected = true))
  })
  return { request, isUnsent: () => !isConnected, lateness: () => (hasSocket ? 'timeout' : 'crowded') }
}

/** Sends and resolves with the head of the answer, whatever its status. Rejects with SendFailure alone. */
export function send(outgoing: Outgoing): Promise<IncomingMessage> {
  const { signal, deadline, body } = outgoing
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new SendFailure('aborted', true, signal.reason))
    const { request, isUnsent, lateness } = begin(outgoing)
    let isSettled = false
    const settle = () => {
      isSettled = true
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
    const fail = (kind: SendFailure['kind'], cause: unknown) => {
      // What happens to the body is for its reader to notice.
      if (isSettled) return
      settle()
      reject(new SendFailure(kind, isUnsent(), cause))
      request.destroy()
    }
    const timer = setTimeout(() => fail(lateness(), undefined), Math.min(deadline, longestTimer))
    const onAbort = () => fail('aborted', signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    request.on('response', (message) => {
      settle()
      resolve(message)
    })
    request.on('error', (cause) => fail('network', cause))
    // An answer that is none of HTTP's, such as a change of protocol, ends without an error.
    request.on('close', () => fail('network', undefined))
    request.end(body)
  })
}

/** What an error is made of. */
export function answeredBy(message: IncomingMessage): Answered {
  return { status: message.statusCode ?? 0, text: message.statusMessage, retryAfter: message.headers['retry-after'] }
}

/** The rest of an unwanted body up to this is read, so that its connection can be kept. */
const worthReading = 64 * 1024
/** Milliseconds that are given to it. */
const worthWaiting = 1000

/** Lets go of an answer whose body nobody reads. */
export function letGo(message: IncomingMessage): void {
  message.on('error', () => {})
  const length = Number(message.headers['content-length'] ?? Number.NaN)
  if (!(length <= worthReading)) {
    message.destroy()
    return
  }
  message.resume()
  // A body that does not come would hold its connection for ever.
  const timer = setTimeout(() => message.destroy(), worthWaiting).unref()
  message.once('close', () => clearTimeout(timer))
}

export function isRedirect(message: IncomingMessage): boolean {
  const { statusCode = 0 } = message
  return statusCode >= 300 && statusCode < 400 && statusCode !== 304
}
