/** The HTTP door: listeners, limits of time and size, one request after the other, an orderly end. */

import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type FastifyInstance, fastify } from 'fastify'
import { StorageError } from '../core/errors.ts'
import { Admission } from './admission.ts'
import { newCallId } from './call-id.ts'
import type { Connection, WaitingRequest } from './connection.ts'
import { HttpError } from './errors.ts'
import { type Door, Exchange } from './exchange.ts'
import { callerBehind, parseProxies } from './forwarded.ts'
import { Domains, Hosts } from './hosts.ts'
import { createListener, type Listener, type ListenerAddress } from './listener.ts'
import { logRequest } from './log.ts'
import { type DoorLimits, type DoorOptions, defaultLimits, type Refusal, type Unreadable } from './options.ts'
import { Redirecting } from './redirecting.ts'
import { prepareRoutes } from './routes.ts'
import { type Service, serve } from './serve.ts'

/** Kerberos tickets with group lists, and tokens of 16 KiB, do not fit into Node's default. */
const maxHeaderSize = 64 * 1024
/** Pipelined requests kept waiting, and characters in their headers; more end the connection. */
const maxWaiting = 256
const maxWaitingText = 256 * 1024
/** Milliseconds between two looks at whose credentials were revoked while they are being answered. */
const revocationPause = 500

export interface HttpDoor {
  /** Opens all listeners; throws `unavailable` when one cannot be. */
  listen(): Promise<readonly ListenerAddress[]>
  /** Of the listeners that are open. */
  readonly addresses: readonly ListenerAddress[]
  /** Takes over changed certificates for new connections. Throws `invalid` and keeps all old ones when one is bad. */
  reloadTls(): Promise<void>
  /** Accepts nothing new, lets what runs finish for `deadline` ms, then cuts it. */
  close(options: { readonly deadline: number }): Promise<void>
}

/** Throws `invalid` for options that make no safe door. Nothing listens yet. */
export async function createHttpDoor(options: DoorOptions): Promise<HttpDoor> {
  const door = new Doorkeeper(options)
  await door.prepare()
  return door
}

class Doorkeeper implements HttpDoor {
  readonly #options: DoorOptions
  readonly #limits: DoorLimits
  readonly #door: Door
  readonly #proxies: ReturnType<typeof parseProxies>
  readonly #admission: Admission
  readonly #service: Service
  readonly #server: Server
  readonly #app: FastifyInstance
  readonly #exchanges = new WeakMap<IncomingMessage, Exchange>()
  readonly #connections = new Map<Duplex, Connection>()
  #listeners: readonly Listener[] = []
  #addresses: readonly ListenerAddress[] = []
  #closing: (() => void) | undefined
  #watch: NodeJS.Timeout | undefined

  constructor(options: DoorOptions) {
    const { storage, log, publicUrl } = options
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    const hosts = new Hosts(publicUrl, options.hosts ?? [])
    this.#door = {
      storage,
      log,
      publicUrl: publicUrl.replace(/\/+$/, ''),
      names: hosts.names,
      maxUpload: this.#limits.maxUpload,
      stallTimeout: this.#limits.stallTimeout,
      basic: options.basic ?? false,
      negotiate: options.identity.kerberos !== undefined,
      redirecting: new Redirecting(options.redirecting),
      macaroons: options.identity.macaroons,
      signIn: options.identity.signIn,
      sessions: options.identity.sessions,
      audit: options.audit,
      thirdParty: options.thirdParty,
      formKey: options.formKey ?? randomBytes(32),
    }
    this.#proxies = parseProxies(options.trustedProxies ?? [])
    this.#admission = new Admission(this.#limits.connectionsPerPrincipal)
    this.#app = fastify({
      logger: false,
      exposeHeadRoutes: true,
      routerOptions: { caseSensitive: true, ignoreTrailingSlash: false, ignoreDuplicateSlashes: false },
      ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false } },
    })
    this.#service = {
      identity: options.identity,
      hosts,
      admission: this.#admission,
      data: options.data,
      audit: options.audit,
      s3: options.s3,
      s3Domains: new Domains(options.s3?.hosts ?? []),
      mounts: options.mounts,
      routing: (request, response) => this.#app.routing(request, response),
    }
    this.#server = this.#createServer()
  }

  get addresses(): readonly ListenerAddress[] {
    return this.#addresses
  }

  async prepare(): Promise<void> {
    const context = {
      proxies: this.#proxies,
      handshakeTimeout: this.#limits.headersTimeout,
      maxConnections: this.#limits.connections,
      accept: (connection: Connection) => this.#accept(connection),
    }
    this.#listeners = await Promise.all(this.#options.listen.map((each) => createListener(each, context)))
    this.#options.routes(this.#app, prepareRoutes(this.#app, this.#service, this.#exchanges))
    await this.#app.ready()
  }

  async listen(): Promise<readonly ListenerAddress[]> {
    try {
      // Its listeners stand in front of it; this starts the watch over slow headers.
      this.#server.emit('listening')
      this.#addresses = await Promise.all(this.#listeners.map((listener) => listener.listen()))
      this.#watch = setInterval(() => this.#cutRevoked(), revocationPause)
      return this.#addresses
    } catch (error) {
      for (const listener of this.#listeners) listener.stop()
      this.#server.close()
      throw error
    }
  }

  async reloadTls(): Promise<void> {
    const swaps = await Promise.all(this.#listeners.map((listener) => listener.readTls()))
    for (const swap of swaps) swap()
    for (const connection of this.#connections.values()) {
      if (!connection.listener.clientCertificates) continue
      // What was revoked meanwhile is seen to when a connection begins.
      connection.outdated = true
      this.#retire(connection)
    }
  }

  async close({ deadline }: { readonly deadline: number }): Promise<void> {
    for (const listener of this.#listeners) listener.stop()
    const mounts = this.#options.mounts?.close()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#closing = resolve
    for (const connection of this.#connections.values()) this.#retire(connection)
    const timer = setTimeout(resolve, deadline)
    if (this.#connections.size > 0) await promise
    clearTimeout(timer)
    // Not before: what is let finish is cut by a ban like everything else.
    clearInterval(this.#watch)
    for (const connection of this.#connections.values()) connection.socket.destroy()
    // Not before: it waits for whoever still works with its files.
    await mounts
    this.#server.close()
    await this.#app.close()
  }

  #createServer(): Server {
    const { headersTimeout, idleTimeout, stallTimeout } = this.#limits
    const server = createServer({
      maxHeaderSize,
      headersTimeout,
      requestTimeout: 0,
      keepAliveTimeout: idleTimeout,
      connectionsCheckingInterval: Math.max(50, Math.min(1000, headersTimeout / 4)),
      // Two Authorization or Host headers become one that no grammar accepts, where Node would take the first.
      joinDuplicateHeaders: true,
      insecureHTTPParser: false,
      // Checked by us, with the others that are not ours.
      requireHostHeader: false,
    })
    server.timeout = stallTimeout
    // A sender that is done sending still reads: without this, node:http ends the connection before it is answered.
    Object.assign(server, { httpAllowHalfOpen: true })
    // Headers past a count would be dropped silently, conditions among them: counted by requireSound instead.
    server.maxHeadersCount = 0
    server.on('request', (request, response) => this.#arrive({ request, response, awaitsContinue: false }))
    server.on('checkContinue', (request, response) => this.#arrive({ request, response, awaitsContinue: true }))
    server.on('checkExpectation', (request, response) => this.#arrive({ request, response, awaitsContinue: true }))
    server.on('clientError', (error, socket) => this.#onClientError(error, socket))
    server.on('timeout', (socket) => this.#onTimeout(socket))
    server.on('connect', (_request, socket: Duplex) => this.#refuse(socket, 'connect'))
    return server
  }

  #accept(connection: Connection): void {
    const { socket } = connection
    if (this.#closing) return void socket.destroy()
    this.#connections.set(socket, connection)
    socket.once('close', () => {
      this.#connections.delete(socket)
      this.#admission.release(connection)
      connection.close()
      if (this.#connections.size === 0) this.#closing?.()
    })
    this.#server.emit('connection', socket)
  }

  #arrive(waiting: WaitingRequest): void {
    const connection = this.#connections.get(waiting.request.socket)
    if (!connection) return void waiting.request.socket.destroy()
    if (!connection.exchange) return void this.#answer(connection, waiting)
    connection.wait(waiting)
    if (connection.waiting.length > maxWaiting || connection.waitingText > maxWaitingText) connection.socket.destroy()
  }

  /** Answers a request and then those that were pipelined behind it. */
  async #answer(connection: Connection, first: WaitingRequest): Promise<void> {
    for (let next: WaitingRequest | undefined = first; next; next = connection.nextWaiting()) {
      const exchange = this.#begin(connection, next)
      connection.exchange = exchange
      // After an offer to upgrade, node:http drops what else came in the same packet.
      if (this.#closing || next.request.headers.upgrade !== undefined) next.response.shouldKeepAlive = false
      await this.#complete(exchange)
      // Answers that nobody reads would pile up here.
      if (connection.waiting.length > 0) await flushed(connection, next.response)
      connection.exchange = undefined
      logRequest(exchange, this.#options.observe)
    }
    if (this.#closing || connection.broken || connection.outdated) this.#retire(connection)
  }

  async #complete(exchange: Exchange): Promise<void> {
    try {
      await serve(this.#service, exchange)
    } catch (error) {
      // Not even the problem could be sent.
      exchange.failed = StorageError.from(error)
      exchange.connection.socket.destroy()
    }
  }

  #begin(connection: Connection, { request, response, awaitsContinue }: WaitingRequest): Exchange {
    const forwarded = connection.proxied ? request.headers['x-forwarded-for'] : undefined
    const header = typeof forwarded === 'string' ? forwarded : forwarded?.join(',')
    const from = header === undefined ? connection.peer : callerBehind(this.#proxies, connection.peer, header)
    const exchange = new Exchange(this.#door, connection, { request, response, awaitsContinue, from })
    this.#exchanges.set(request, exchange)
    return exchange
  }

  /** What was begun before a ban does not go on for long. */
  #cutRevoked(): void {
    const { identity } = this.#options
    for (const { exchange, socket, cut } of this.#connections.values()) {
      if (!exchange?.begun || !identity.isRevoked?.(exchange.principal)) continue
      exchange.ended = new StorageError('denied', 'the credential was revoked', {
        reason: { rule: 'revoked', text: 'this user, subject or token was banned while the call was being answered' },
      })
      cut?.(exchange.ended)
      socket.destroy()
    }
  }

  /** Ends a connection that has nothing left to say; one that is answering ends by itself afterwards. */
  #retire(connection: Connection): void {
    if (connection.exchange) {
      if (!connection.exchange.response.headersSent) connection.exchange.response.shouldKeepAlive = false
    } else {
      connection.socket.destroySoon()
    }
  }

  /** What arrived is no HTTP, is too large, or did not come in time. */
  #onClientError(error: Error & { readonly code?: string }, socket: Duplex): void {
    const connection = this.#connections.get(socket)
    if (connection?.exchange) {
      connection.broken = true
      connection.cut?.(new StorageError('invalid', 'the body ended early or is malformed', { cause: error }))
      return
    }
    if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy()
    else this.#refuse(socket, unreadable.get(error.code) ?? 'malformed')
  }

  /** Answers outside of any exchange and closes. */
  #refuse(socket: Duplex, why: Unreadable): void {
    const front = this.#connections.get(socket)?.listener.s3 ? this.#options.s3 : undefined
    const call = newCallId()
    const { status, type, body } = front ? front.refusal(call, why) : problemRefusal(call, why)
    const head = [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      `Content-Type: ${type}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Cache-Control: no-store',
      'Connection: close',
    ]
    socket.on('error', () => {})
    socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
  }

  /** No byte has moved for a while. Whose turn it was decides. */
  #onTimeout(socket: Socket): void {
    const connection = this.#connections.get(socket)
    const exchange = connection?.exchange
    if (!connection || !exchange || socket.writableLength > 0 || exchange.response.writableLength > 0) {
      socket.destroy()
    } else if (connection.cut && !exchange.request.complete && !exchange.request.isPaused()) {
      connection.cut(new HttpError(408, 'timeout', 'the body made no progress'))
    } else {
      // It is we, or the storage, who are slow.
      socket.setTimeout(this.#limits.stallTimeout)
    }
  }
}

/** Resolves once the kernel has all of the response, or the connection is closed. */
async function flushed({ signal }: Connection, response: ServerResponse): Promise<void> {
  if (response.writableFinished || signal.aborted) return
  await new Promise<void>((resolve) => {
    const over = () => {
      signal.removeEventListener('abort', over)
      resolve()
    }
    signal.addEventListener('abort', over)
    response.once('finish', over)
  })
}

const unreadable: ReadonlyMap<string | undefined, Unreadable> = new Map([
  ['ERR_HTTP_REQUEST_TIMEOUT', 'too-slow'],
  ['HPE_HEADER_OVERFLOW', 'too-large'],
])
const refusalStatus: Readonly<Record<Unreadable, number>> = {
  malformed: 400,
  'too-large': 431,
  'too-slow': 408,
  connect: 405,
}

function problemRefusal(call: string, why: Unreadable): Refusal {
  const status = refusalStatus[why]
  const problem = { type: 'about:blank', title: STATUS_CODES[status], status, code: 'invalid', call }
  return { status, type: 'application/problem+json', body: `${JSON.stringify(problem)}\n` }
}
