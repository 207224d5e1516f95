/** One HTTP server of the stand-in: counts, lets faults strike, answers. */

import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Counters } from './counters.ts'
import type { Faults, Place, Struck } from './faults.ts'

export interface Tls {
  readonly key: string
  readonly cert: string
}

/** A request as handlers see it. */
export interface Ask {
  readonly method: string
  readonly url: URL
  /** Percent-decoded. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly address: string
  /** The client waits for "100 Continue" before it sends the body. */
  readonly expects: boolean
  /** Sends "100 Continue" if it is waited for, and gives the body. */
  body(): AsyncIterable<Buffer>
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal
}

export interface Answer {
  readonly status: number
  readonly reason?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer | Readable
  /** Bytes of a stream; it is sent in chunks without. */
  readonly length?: number
}

export interface Service {
  readonly place: Place
  readonly host: string
  readonly tls: Tls | undefined
  readonly counters: Counters
  readonly faults: Faults
  /** What kind of request it is, for counters and faults. */
  kindOf(method: string, path: string): string
  handle(ask: Ask): Promise<Answer>
}

export class Serving {
  readonly #service: Service
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #port = 0

  constructor(service: Service) {
    this.#service = service
    this.#server = service.tls ? createTlsServer(service.tls) : createServer()
    this.#server.on('request', (request, response) => void this.#serve(request, response, false))
    this.#server.on('checkContinue', (request, response) => void this.#serve(request, response, true))
    this.#server.on(service.tls ? 'secureConnection' : 'connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    this.#server.keepAliveTimeout = 60_000
  }

  /** Ends in "/". */
  get url(): URL {
    return new URL(`${this.#service.tls ? 'https' : 'http'}://${this.#service.host}:${this.#port}/`)
  }

  /** Also after `stop`, then at the same port as before. */
  async start(port = this.#port): Promise<void> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /** Connections end in a reset, new ones are refused. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) destroy(socket)
    await closed
  }

  async #serve(request: IncomingMessage, response: ServerResponse, expects: boolean): Promise<void> {
    const { place, counters, faults } = this.#service
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    request.on('error', () => gone.abort())
    response.on('error', () => gone.abort())
    try {
      const url = new URL(request.url ?? '/', this.url)
      const path = decodeURIComponent(url.pathname)
      const kind = this.#service.kindOf(request.method ?? '', path)
      const authz = url.searchParams.get('authz')
      counters.count(place, kind, request.headers.authorization ?? (authz === null ? undefined : `Bearer ${authz}`))
      const struck = faults.strike(place, kind, path)
      if (struck && !(await passes(struck, request, response))) return
      const ask: Ask = {
        method: request.method ?? '',
        url,
        path,
        headers: request.headers,
        address: (request.socket.remoteAddress ?? '').replace(/^::ffff:/, ''),
        expects,
        body: () => {
          if (expects) response.writeContinue()
          return struck?.fault.type === 'reset-upload' ? cut(request, struck.fault.after) : request
        },
        signal: gone.signal,
      }
      const answer = await this.#service.handle(ask)
      // A client that waits for leave to send and gets none must not reuse the connection (RFC 9110, section 10.1.1).
      if (expects && !request.readableDidRead) response.setHeader('Connection', 'close')
      await send(response, struck ? distorted(answer, struck) : answer, struck, request.method === 'HEAD')
    } catch (error) {
      if (error instanceof URIError) response.writeHead(400).end()
      else if (!gone.signal.aborted) response.destroy(error instanceof Error ? error : undefined)
    } finally {
      // What is left of a body nobody wanted; else the connection would hang.
      if (!request.destroyed) request.resume()
    }
  }
}

/** Faults that strike before anything is handled; false: it was answered already. */
async function passes({ fault, gone }: Struck, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
  switch (fault.type) {
    case 'slow-headers':
      await Promise.race([gone, once(response, 'close'), ...(fault.ms === undefined ? [] : [sleep(fault.ms)])])
      return !response.destroyed
    case 'reset':
      if (fault.after !== undefined) return true
      destroy(request.socket)
      return false
    case 'html':
      response.writeHead(fault.status ?? 200, { 'Content-Type': 'text/html' })
      response.end('<html><body><h1>Please log in to the network</h1></body></html>')
      return false
    case 'status':
      response.writeHead(fault.status, fault.retryAfter === undefined ? {} : { 'Retry-After': `${fault.retryAfter}` })
      response.end()
      return false
    default:
      return true
  }
}

/** Faults that change what is answered. */
function distorted(answer: Answer, { fault }: Struck): Answer {
  const headers = { ...answer.headers }
  if (fault.type === 'redirect' && headers.Location) headers.Location = fault.to.href
  if (fault.type === 'dead-pool' && headers.Location) {
    // Port 1 (tcpmux, RFC 1078) is served nowhere.
    headers.Location = headers.Location.replace(/:\d+\//, ':1/')
  }
  if (fault.type !== 'wrong-checksum') return { ...answer, headers }
  const wrong = (text: string) => text.replace(/(adler32=|"value":\s?")[0-9a-f]{8}/gi, '$1deadbeef')
  if (headers.Digest) headers.Digest = wrong(headers.Digest).replace(/(md5|sha[-\d]*)=./gi, '$1=/')
  return { ...answer, headers, ...(typeof answer.body === 'string' ? { body: wrong(answer.body) } : {}) }
}

async function send(
  response: ServerResponse,
  answer: Answer,
  struck: Struck | undefined,
  isHead: boolean,
): Promise<void> {
  const { body = '' } = answer
  const headers: Record<string, string> = { ...answer.headers }
  const length = body instanceof Readable ? answer.length : Buffer.byteLength(body)
  if (length !== undefined && answer.status !== 204) {
    const by = struck?.fault.type === 'wrong-length' ? struck.fault.by : 0
    headers['Content-Length'] ??= `${Math.max(0, length + by)}`
  }
  response.strictContentLength = false
  response.writeHead(answer.status, answer.reason, headers)
  if (isHead) {
    if (body instanceof Readable) body.destroy()
    response.end()
    return
  }
  const source = body instanceof Readable ? body : Readable.from(length ? [Buffer.from(body)] : [])
  response.once('close', () => source.destroy())
  if (length === undefined) response.flushHeaders()
  try {
    await pour(source, response, struck)
  } finally {
    source.destroy()
  }
}

async function pour(source: Readable, response: ServerResponse, struck: Struck | undefined): Promise<void> {
  const fault = struck?.fault
  let left = fault && 'after' in fault && fault.type !== 'reset-upload' ? (fault.after ?? 0) : Number.POSITIVE_INFINITY
  let first = true
  for await (const piece of source) {
    let chunk = piece as Buffer
    if (first && fault?.type === 'corrupt') chunk = Buffer.concat([Buffer.of((chunk[0] ?? 0) ^ 1), chunk.subarray(1)])
    first = false
    if (chunk.length > left) {
      response.write(chunk.subarray(0, left))
      chunk = chunk.subarray(left)
      left = Number.POSITIVE_INFINITY
      if (struck && !(await interrupt(struck, response))) return
    } else left -= chunk.length
    if (response.destroyed) return
    if (!response.write(chunk)) await drained(response)
  }
  response.end()
}

/** When more can be written, or the client is gone. */
async function drained(response: ServerResponse): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  response.once('drain', resolve).once('close', resolve)
  await promise
  response.off('drain', resolve).off('close', resolve)
}

/** In the middle of a body; false: it does not go on. */
async function interrupt({ fault, gone }: Struck, response: ServerResponse): Promise<boolean> {
  if (fault.type === 'slow-body') {
    await Promise.race([gone, once(response, 'close'), ...(fault.ms === undefined ? [] : [sleep(fault.ms)])])
    return !response.destroyed
  }
  const { socket } = response
  if (!socket) return false
  // What was written is to arrive first.
  await new Promise((done) => response.write('', done))
  if (fault.type === 'truncate') socket.end()
  else destroy(socket)
  return false
}

async function* cut(request: IncomingMessage, after: number): AsyncGenerator<Buffer> {
  let left = after
  for await (const chunk of request) {
    yield chunk as Buffer
    left -= (chunk as Buffer).length
    if (left <= 0) {
      destroy(request.socket)
      throw new Error('reset by a fault')
    }
  }
}

/** A reset, not an orderly end. */
function destroy(socket: Socket): void {
  if ('resetAndDestroy' in socket && !('encrypted' in socket)) socket.resetAndDestroy()
  else socket.destroy()
}
