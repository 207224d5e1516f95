/**
 * One door of dCache, WebDAV or REST: requests over connections that are kept, with deadlines, a stall watch and a
 * breaker. Redirects are followed to pools only, and no credential goes there.
 */

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import type { Secret } from '../../acl/secret.ts'
import type { Call } from '../../gateway/core/call.ts'
import { BodyStream, collect } from './body.ts'
import { Breaker } from './breaker.ts'
import type { Activity, Credentials } from './credentials.ts'
import { type Answered, abortOf, unavailable } from './errors.ts'
import { Flow } from './flow.ts'
import { encodePath } from './names.ts'
import type { PoolPolicy } from './pools.ts'
import { type Agents, answeredBy, isRedirect, letGo, SendFailure, send } from './sending.ts'

export type Method =
  | 'GET'
  | 'HEAD'
  | 'PUT'
  | 'POST'
  | 'PATCH'
  | 'DELETE'
  | 'OPTIONS'
  | 'PROPFIND'
  | 'PROPPATCH'
  | 'MKCOL'
  | 'MOVE'
  | 'COPY'

export interface DoorRequest {
  readonly method: Method
  /** In the door's terms, not encoded, beginning with "/": it is added to the path of the door's URL. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  /** Small ones only; uploads have their own way. */
  readonly body?: string | Uint8Array
  readonly call: Call
  /** What the request is for, to choose the credential by. */
  readonly activities: readonly Activity[]
  /** Where the credential must be good for, in dCache's terms, if not `path`: the REST path holds more than the file's. */
  readonly object?: string
  /** Value of the Authorization header, instead of the one that `activities` choose; `none`: none at all. */
  readonly authorization?: Secret | 'none'
  /** GET alone: a redirect leads to a pool, which is asked for the bytes. Other redirects are `unavailable`. */
  readonly follow?: 'pool' | 'none'
  /** May be sent a second time over a fresh connection when the first got no answer. */
  readonly idempotent: boolean
  /** Milliseconds until the head of the answer; the door's if absent. */
  readonly deadline?: number
  /** Milliseconds without a byte of the body of the answer; the door's if absent. */
  readonly stall?: number
}

export interface DoorResponse {
  readonly status: number
  /** Who answered: a pool knows nothing of callers. */
  readonly from: 'door' | 'pool'
  /** For `errorOfStatus`. */
  readonly answered: Answered
  readonly headers: IncomingHttpHeaders
  /** Fails with StorageError: `unavailable` when it breaks off or stalls, the call's own reason when that is aborted. */
  readonly body: Readable
  /** The body, of exactly `length` bytes where that is given; in the place of `body`. */
  stream(options: { readonly length?: number }): BodyStream
  /** The body, of exactly `length` bytes, for readers one after the other; in the place of `body`. */
  flow(length: number): Flow
  /** The whole body as bytes; `unavailable` when it is longer than `limit`. Within the deadline of a request. */
  bytes(limit?: number): Promise<Buffer>
  /** The whole body, parsed; `unavailable` when it is no JSON. */
  json(limit?: number): Promise<unknown>
  /** Lets go of a body that nobody reads; the connection is kept where that is cheap. */
  discard(): void
}

/** Any status is an answer; thrown is what made one impossible, mostly `unavailable`. */
export interface Door {
  /** Origin and path that request paths are added to. */
  readonly url: URL
  request(request: DoorRequest): Promise<DoorResponse>
  /** Running requests fail with `unavailable`. */
  close(): Promise<void>
}

export interface HttpDoorOptions {
  readonly url: URL
  readonly credentials: Pick<Credentials, 'authorize' | 'refused'>
  readonly pools: PoolPolicy
  /** For questions, and for bytes from the door or pools: so that slow transfers leave connections for questions. */
  readonly agents: { readonly door: Agents; readonly bytes: Agents }
  readonly deadline: number
  readonly stall: number
  readonly breaker?: Breaker
}

type Asking = Pick<DoorRequest, 'call' | 'activities' | 'object' | 'path' | 'authorization'>

const itself = (answer: IncomingMessage) => answer

/** Longest body of an answer that is read as a whole, unless the caller says otherwise. */
const longestBody = 1024 * 1024
const mostHops = 2

/** What a redirected request may take along: nothing that tells who asks. */
const travelling: ReadonlySet<string> = new Set(['range', 'want-digest', 'accept'])

/** A door over HTTP. */
export class HttpDoor implements Door {
  readonly url: URL
  readonly breaker: Breaker
  readonly options: HttpDoorOptions
  readonly #closing = new AbortController()

  constructor(options: HttpDoorOptions) {
    this.url = options.url
    this.breaker = options.breaker ?? new Breaker()
    this.options = options
  }

  async request(request: DoorRequest): Promise<DoorResponse> {
    // A pool may have died since the door chose it; the door then chooses another.
    for (let left = 1; ; left--) {
      const answer = await this.authorized(request, (authorization) => this.#ask(request, authorization), itself)
      if (request.follow !== 'pool' || !isRedirect(answer)) return this.#response(request, answer, 'door')
      letGo(answer)
      try {
        const bytes = await this.#follow(request, answer.headers.location)
        if (left === 0 || !isRefusal(bytes)) return this.#response(request, bytes, 'pool')
        letGo(bytes)
      } catch (error) {
        if (!(error instanceof SendFailure)) throw error
        if (left === 0 || error.kind !== 'network') throw error.toStorageError(this.signalOf(request.call))
      }
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(unavailable('the back end is closed'))
  }

  /** Aborts with the call and with the end of the door. */
  signalOf({ signal }: Call): AbortSignal {
    return this.#closing.signal.aborted ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal])
  }

  /** Where a path and a query are at this door. */
  urlOf(path: string, query: Readonly<Record<string, string>> = {}): URL {
    const url = new URL(this.url)
    url.pathname = `${url.pathname.replace(/\/$/, '')}${encodePath(path)}`
    url.search = new URLSearchParams(query).toString()
    return url
  }

  /**
   * Runs `ask` with the credential of the call; once more with a fresh one where the first was refused. `ask` must have
   * sent nothing that cannot be sent again when it gives such an answer.
   */
  async authorized<T>(
    { call, activities, object, path, authorization }: Asking,
    ask: (authorization: Secret | undefined) => Promise<T>,
    answerOf: (asked: T) => IncomingMessage | undefined,
  ): Promise<T> {
    const { credentials } = this.options
    if (authorization !== undefined) return ask(authorization === 'none' ? undefined : authorization)
    const first = await credentials.authorize(call, activities, object ?? path)
    const asked = await ask(first)
    const answer = answerOf(asked)
    if (answer?.statusCode !== 401 || !first || !credentials.refused(call, first)) return asked
    letGo(answer)
    return ask(await credentials.authorize(call, activities, object ?? path))
  }

  /** Sends one request to the door itself, through the breaker. Throws StorageError. */
  async guarded<T>(
    call: Call,
    work: (fresh: boolean) => Promise<T>,
    mayRepeat: (failure: SendFailure) => boolean,
  ): Promise<T> {
    const signal = this.signalOf(call)
    for (let isFresh = false; ; isFresh = true) {
      if (signal.aborted) throw abortOf(signal)
      const leave = this.breaker.enter()
      try {
        const answer = await work(isFresh)
        leave('answered')
        return answer
      } catch (error) {
        if (!(error instanceof SendFailure)) {
          leave('gave up')
          throw error
        }
        leave(error.kind === 'aborted' || error.kind === 'crowded' ? 'gave up' : 'failed')
        if (isFresh || error.kind !== 'network' || !mayRepeat(error)) throw error.toStorageError(signal)
      }
    }
  }

  #ask(request: DoorRequest, authorization: Secret | undefined): Promise<IncomingMessage> {
    const { call, idempotent } = request
    const { agents, deadline } = this.options
    const { fresh, kept } = request.follow === 'pool' ? agents.bytes : agents.door
    return this.guarded(
      call,
      (isFresh) =>
        send({
          url: this.urlOf(request.path, request.query),
          method: request.method,
          headers: { ...request.headers, ...(authorization && { Authorization: authorization.reveal() }) },
          body: request.body,
          agents: isFresh ? fresh : kept,
          signal: this.signalOf(call),
          deadline: request.deadline ?? deadline,
        }),
      ({ isUnsent }) => idempotent || isUnsent,
    )
  }

  /** Goes where the door sends us, without a credential. Throws SendFailure, or StorageError where that is not allowed. */
  async #follow(request: DoorRequest, location: string | undefined): Promise<IncomingMessage> {
    const { agents, pools, deadline } = this.options
    const headers = Object.fromEntries(
      Object.entries(request.headers ?? {}).filter(([name]) => travelling.has(name.toLowerCase())),
    )
    let url = pools.target(location, this.urlOf(request.path))
    for (let hops = 1; ; hops++) {
      const signal = this.signalOf(request.call)
      const { method } = request
      const answer = await send({
        url,
        method,
        headers,
        agents: agents.bytes.kept,
        signal,
        deadline: request.deadline ?? deadline,
      })
      if (!isRedirect(answer)) return answer
      letGo(answer)
      if (hops === mostHops) throw unavailable('the storage redirects in circles')
      url = pools.target(answer.headers.location, url)
    }
  }

  #response(request: DoorRequest, message: IncomingMessage, from: DoorResponse['from']): DoorResponse {
    const stall = request.stall ?? this.options.stall
    return responseOf(message, { signal: this.signalOf(request.call), stall, deadline: this.options.deadline, from })
  }
}

/** A pool that does not know what the door promised. */
function isRefusal({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 400 && statusCode !== 416
}

interface ResponseOptions {
  readonly signal: AbortSignal
  readonly stall: number
  readonly deadline: number
  readonly from?: DoorResponse['from']
}

/** An answer whose body is not read yet. */
export function responseOf(
  message: IncomingMessage,
  { signal, stall, deadline, from = 'door' }: ResponseOptions,
): DoorResponse {
  let stream: BodyStream | undefined
  let flow: Flow | undefined
  const body = () => (stream ??= new BodyStream(message, { signal, stall }))
  const bytes = (limit = longestBody) => collect(body(), limit, deadline)
  // Until somebody reads, an end that comes early is nobody's business.
  message.on('error', () => {})
  return {
    status: message.statusCode ?? 0,
    from,
    answered: answeredBy(message),
    headers: message.headers,
    get body() {
      return body()
    },
    stream: (options) => (stream ??= new BodyStream(message, { signal, stall, ...options })),
    flow: (length) => (flow ??= new Flow(message, { signal, stall, length })),
    bytes,
    json: async (limit) => {
      try {
        return JSON.parse((await bytes(limit)).toString('utf8')) as unknown
      } catch (cause) {
        if (cause instanceof SyntaxError) throw unavailable('the storage answered with no JSON', { cause })
        throw cause
      }
    },
    discard: () => {
      if (stream) stream.destroy()
      else if (flow) flow.destroy()
      else letGo(message)
    },
  }
}
