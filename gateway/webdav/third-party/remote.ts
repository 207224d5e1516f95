/**
 * Requests to the other server: to addresses that were checked, over connections of their own, by TLS that is verified,
 * through few redirects, of which each is checked like the first address and none is sent the first one's credential.
 */

import type { LookupAddress } from 'node:dns'
import http, { type ClientRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import https from 'node:https'
import type { LookupFunction, Socket } from 'node:net'
import { StorageError } from '../../core/errors.ts'
import { failureOf, RemoteFailure } from './failure.ts'
import type { Order } from './order.ts'
import { hostOf, portOf, type Targets } from './targets.ts'

export interface RemoteOptions {
  readonly targets: Targets
  /** PEM certificates trusted instead of the usual ones. */
  readonly ca?: string | undefined
  /** Milliseconds for an answer to begin: the other server may compute a checksum or wait for a tape meanwhile. */
  readonly answerTimeout: number
}

export interface Asking {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'DELETE'
  readonly headers: OutgoingHttpHeaders
  readonly signal: AbortSignal
  /** Writes the body of a PUT; `signal` aborts when nobody wants it any more. It does not end the request. */
  readonly body?: (request: ClientRequest, signal: AbortSignal) => Promise<void>
  /** Told of each connection. */
  readonly connected?: (socket: Socket) => void
}

const none: Order['headers'] = new Map()
const maxRedirects = 5
/** Interim answers (RFC 9110, section 15.2): a server that computes for hours may say every few seconds that it does. */
const maxInterim = 10_000
const maxHeaderSize = 32 * 1024
/** Milliseconds for a connection, TLS included. */
const connectTime = 20_000
/** Milliseconds that a server may take to say 100 Continue; many never do (RFC 9110, section 10.1.1). */
const continueTime = 3000

export class Remote {
  readonly #options: RemoteOptions

  constructor(options: RemoteOptions) {
    this.#options = options
  }

  /** Throws `denied` where the URL itself is refused. Asks nobody. */
  check({ remote }: Order): void {
    this.#options.targets.check(remote)
  }

  /**
   * The answer that is no redirect, whatever its status, with its body to come; destroy it or read it. A PUT has sent
   * its body, or was answered before the end of it. Rejects with StorageError: `cancelled`, `denied` for an address
   * that is not allowed, RemoteFailure.
   */
  async ask(order: Order, asking: Asking): Promise<IncomingMessage> {
    let url = order.remote
    let isTrusted = true
    for (let hop = 0; hop <= maxRedirects; hop++) {
      const headers = headersFor(url, asking, isTrusted ? order.headers : none)
      const message = await this.#askOne(url, { ...asking, headers })
      const location = redirectOf(message, asking.method)
      if (location === undefined) return message
      message.destroy()
      url = targetOf(location, url)
      // Also where others lead back: what they choose there is not what the caller chose.
      isTrusted &&= url.origin === order.remote.origin
    }
    throw new RemoteFailure('it redirects too often')
  }

  async #askOne(url: URL, asking: Asking): Promise<IncomingMessage> {
    const { targets, ca, answerTimeout } = this.#options
    const addresses = await targets.resolve(url, asking.signal)
    const headers = { ...asking.headers, ...(asking.body && { Expect: '100-continue' }) }
    return new Asked(open(url, { ...asking, headers }, addresses, ca), asking, answerTimeout).answer
  }
}

function headersFor(url: URL, asking: Asking, given: Order['headers']): OutgoingHttpHeaders {
  const all: OutgoingHttpHeaders = { 'User-Agent': 'Portolan' }
  for (const [name, value] of given) all[name] = value.reveal()
  // XRootD 5.5 closes a connection that is not to be kept before it has sent everything. `agent: false` keeps none.
  const fixed = { 'Accept-Encoding': 'identity', Connection: 'keep-alive' }
  return { ...all, ...fixed, ...asking.headers, Host: url.host }
}

function redirectOf({ statusCode = 0, headers: { location } }: IncomingMessage, method: string): string | undefined {
  const follows = [301, 302, 307, 308].includes(statusCode) || (statusCode === 303 && method !== 'PUT')
  return follows ? location : undefined
}

function targetOf(location: string, from: URL): URL {
  const url = URL.parse(location, from)
  const isHttp = url?.protocol === 'https:' || url?.protocol === 'http:'
  if (!url || !isHttp || url.username !== '' || url.password !== '') {
    throw new RemoteFailure('it redirects to no address that can be used')
  }
  url.hash = ''
  return url
}

function open(url: URL, asking: Asking, addresses: readonly LookupAddress[], ca: string | undefined): ClientRequest {
  const options = {
    method: asking.method,
    headers: asking.headers,
    host: hostOf(url),
    port: portOf(url),
    path: `${url.pathname}${url.search}`,
    lookup: pinned(addresses),
    agent: false,
    maxHeaderSize,
    // XRootD 5.5 writes "Connection: close" into its 100 Continue and goes on all the same, which a strict parser does
    // not accept. Nothing can be smuggled: no second request goes over the connection, and no body is used.
    insecureHTTPParser: asking.method === 'PUT',
  } as const
  if (url.protocol === 'http:') return http.request(options)
  // Said in so many words, since the environment can change the default.
  const trust = { rejectUnauthorized: true, minVersion: 'TLSv1.2', ...(ca !== undefined && { ca }) } as const
  return https.request({ ...options, ...trust })
}

/** Nothing but what was checked is connected to, whatever the name means by now. */
function pinned(addresses: readonly LookupAddress[]): LookupFunction {
  return (_host, { all }, done) => {
    const [first] = addresses
    if (all) done(null, [...addresses])
    else if (first) done(null, first.address, first.family)
  }
}

/** One request from its connection to the head of the final answer. */
class Asked {
  readonly answer: Promise<IncomingMessage>
  readonly #request: ClientRequest
  readonly #asking: Asking
  readonly #answerTimeout: number
  readonly #done = Promise.withResolvers<IncomingMessage>()
  readonly #unwanted = new AbortController()
  readonly #onAbort = () => this.#fail(new StorageError('cancelled', 'the copy was cancelled'))
  #timer: NodeJS.Timeout | undefined
  #isSending = false
  #interim = 0

  constructor(request: ClientRequest, asking: Asking, answerTimeout: number) {
    this.#request = request
    this.#asking = asking
    this.#answerTimeout = answerTimeout
    this.answer = this.#done.promise.finally(() => this.#settled())
    this.#wait(connectTime)
    request.on('socket', (socket) => {
      const event = 'encrypted' in socket ? 'secureConnect' : 'connect'
      socket.once(event, () => this.#connected(socket))
    })
    request.on('response', (message) => this.#answered(message))
    request.on('error', (cause) => this.#fail(failureOf(cause)))
    // Also where the answer is none of HTTP's, such as a change of protocol.
    request.on('close', () => this.#fail(new RemoteFailure('it broke the connection off')))
    request.on('continue', () => void this.#send())
    request.on('information', () => {
      if (++this.#interim > maxInterim) this.#fail(new RemoteFailure('it answers without an end'))
    })
    if (asking.signal.aborted) this.#onAbort()
    else asking.signal.addEventListener('abort', this.#onAbort, { once: true })
    if (asking.body) request.flushHeaders()
    else request.end()
  }

  #connected(socket: Socket): void {
    this.#asking.connected?.(socket)
    if (!this.#asking.body) this.#wait(this.#answerTimeout)
    else this.#wait(continueTime, () => void this.#send())
  }

  async #send(): Promise<void> {
    if (this.#isSending || !this.#asking.body) return
    this.#isSending = true
    clearTimeout(this.#timer)
    try {
      await this.#asking.body(this.#request, this.#unwanted.signal)
      if (this.#unwanted.signal.aborted) return
      this.#request.end()
      this.#wait(this.#answerTimeout)
    } catch (error) {
      this.#fail(failureOf(error))
    }
  }

  #wait(ms: number, then = () => this.#fail(new RemoteFailure('it did not answer in time'))): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(then, ms)
  }

  #answered(message: IncomingMessage): void {
    // What happens to its body is for its reader to notice.
    message.on('error', () => {})
    this.#done.resolve(message)
    this.#settled()
  }

  #fail(error: StorageError): void {
    this.#done.reject(error)
    this.#settled()
    this.#request.destroy()
  }

  #settled(): void {
    clearTimeout(this.#timer)
    this.#unwanted.abort()
    this.#asking.signal.removeEventListener('abort', this.#onAbort)
  }
}
