/** HTTP to one gateway: kept connections, a credential that never leaves its host, redirects, 100 Continue. */

import { once } from 'node:events'
import type { ClientRequest } from 'node:http'
import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { type Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { connectionError } from './errors.ts'
import { type TicketLibrary, Tickets, type TicketUse } from './tickets.ts'
import { authorities, isOpenWay, requireGateway } from './trust.ts'

export interface TransportOptions {
  /** Scheme, host and port of the gateway. */
  readonly origin: URL
  readonly token?: Secret | undefined
  /** Without a token: signing in with the user's Kerberos ticket. */
  readonly tickets?: TicketUse | undefined
  /** What gets tickets, the package `kerberos` if absent. */
  readonly ticketLibrary?: (() => Promise<TicketLibrary | undefined>) | undefined
  /** PEM of the authorities to trust instead of the usual ones. */
  readonly ca?: string | undefined
  /** Sends the token or ticket also over plain HTTP to another machine. */
  readonly insecure?: boolean | undefined
  /** Milliseconds without any progress, 60,000 by default. */
  readonly stallTimeout?: number | undefined
}

export interface Ask {
  readonly method: string
  /** Path and query, percent-encoded. */
  readonly target: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array | Readable
  readonly signal?: AbortSignal | undefined
}

/** `body` must be read to its end or destroyed. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: IncomingMessage
}

const maxRedirects = 5
const maxAttempts = 3
/** A server that syncs a big file to disk is silent for a while. */
const commitFactor = 10
/** RFC 9110, section 10.1.1: a server need not answer an Expect, so the wait has an end. */
const continueWait = 2000
/** After a broken upload: how long the reason for the break may take to arrive. */
const lastWords = 1000
/** A small question that everybody may ask; its answer tells who we are. */
const entrance = '/.portolan/api/v1/whoami'

export class Transport {
  readonly origin: URL
  readonly #options: TransportOptions
  readonly #tickets: Tickets | undefined
  readonly #http = new HttpAgent({ keepAlive: true, maxSockets: 16 })
  #https: HttpsAgent | undefined

  /** Throws `invalid` when a credential would go over plain HTTP to another machine, and for a password in the URL. */
  constructor(options: TransportOptions) {
    const { origin, token, tickets, ticketLibrary, insecure } = options
    requireGateway(origin)
    const isOpen = isOpenWay(origin) && !insecure
    if (isOpen && (token || tickets === 'required')) {
      const what = token ? 'token' : 'ticket'
      throw new StorageError('invalid', `${origin.origin}: a ${what} is not sent over plain HTTP; use https://`)
    }
    if (tickets && !token && !isOpen) this.#tickets = new Tickets(origin, tickets, ticketLibrary)
    this.origin = origin
    this.#options = options
  }

  /** Sends one request and follows redirects. Answers of any status are returned; only failures to get one throw. */
  async ask(ask: Ask): Promise<Answer> {
    let url = new URL(ask.target, this.origin)
    if (url.origin !== this.origin.origin) throw new StorageError('invalid', 'the target lies on another host')
    let isHome = true
    for (let hop = 0; ; hop++) {
      // Once it has been sent elsewhere, nobody's redirect brings a ticket out again.
      isHome &&= url.origin === this.origin.origin
      const answer = isHome ? await this.#sendSigned(url, ask) : await this.#send(url, ask)
      const next = redirectOf(answer, url, ask)
      if (!next) return answer
      answer.body.destroy()
      if (hop === maxRedirects) throw new StorageError('unavailable', `${url.origin}: too many redirects`)
      url = next
    }
  }

  /** Closes idle connections. */
  close(): void {
    this.#http.destroy()
    this.#https?.destroy()
  }

  /** With the user's ticket, where one is used. */
  async #sendSigned(url: URL, ask: Ask): Promise<Answer> {
    const tickets = this.#tickets
    if (!tickets) return this.#send(url, ask)
    for (let attempt = 1; ; attempt++) {
      const sent = await tickets.headersFor((headers) => this.#enter(headers))
      const answer = await this.#send(url, ask, sent.headers)
      try {
        await sent.check?.(answer)
      } catch (error) {
        answer.body.destroy()
        throw error
      }
      const isOver = answer.status === 401 && tickets.forget(sent)
      if (!isOver || attempt === maxAttempts || isStream(ask.body)) return answer
      answer.body.destroy()
    }
  }

  async #enter(headers: Readonly<Record<string, string>>): Promise<Answer> {
    const answer = await this.#send(new URL(entrance, this.origin), { method: 'GET', target: entrance }, headers)
    answer.body.on('error', () => {}).resume()
    return answer
  }

  async #send(url: URL, ask: Ask, more: Readonly<Record<string, string>> = {}, attempt = 1): Promise<Answer> {
    const { token, stallTimeout = 60_000 } = this.#options
    const headers: Record<string, string> = { 'user-agent': 'portolan', ...ask.headers, ...more }
    if (token && url.origin === this.origin.origin) headers.authorization = `Bearer ${token.reveal()}`
    const isUpload = isStream(ask.body)
    const timeout = isUpload ? stallTimeout * commitFactor : stallTimeout
    const options = { method: ask.method, headers, signal: ask.signal, timeout }
    const request =
      url.protocol === 'https:'
        ? httpsRequest(url, { ...options, agent: this.#tlsAgent() })
        : httpRequest(url, { ...options, agent: this.#http })
    request.on('timeout', () => request.destroy(new StorageError('timeout', `${url.origin}: no answer in time`)))
    try {
      return await exchange(request, ask.body, headers.expect !== undefined)
    } catch (error) {
      // The server may close a kept connection at the very moment it is used again.
      const isLate = request.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET'
      // A ticket is good for one request: the second would be taken for a replay.
      const isOnce = more.authorization !== undefined
      if (isLate && !isUpload && !isOnce && attempt < maxAttempts) return this.#send(url, ask, more, attempt + 1)
      throw connectionError(error, url.origin)
    }
  }

  #tlsAgent(): HttpsAgent {
    const { ca } = this.#options
    // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
    const trust = { ca: authorities(ca), rejectUnauthorized: true }
    this.#https ??= new HttpsAgent({ keepAlive: true, maxSockets: 16, ...trust })
    return this.#https
  }
}

/** Where to go on; undefined when the answer is the end of it. Throws `unavailable` for a redirect from TLS to plain. */
function redirectOf({ status, headers }: Answer, from: URL, ask: Ask): URL | undefined {
  const { location } = headers
  if (location === undefined || ![301, 302, 303, 307, 308].includes(status)) return undefined
  const isRead = ask.method === 'GET' || ask.method === 'HEAD'
  // Only what can be sent a second time is sent elsewhere.
  const isAgain = (status === 307 || status === 308) && !isStream(ask.body)
  if (!isRead && !isAgain) return undefined
  const next = URL.canParse(location, from) ? new URL(location, from) : undefined
  if (!next || (from.protocol === 'https:' && next.protocol !== 'https:') || !/^https?:$/.test(next.protocol)) {
    throw new StorageError('unavailable', `${from.origin}: a redirect to where no one should go`)
  }
  next.username = ''
  next.password = ''
  return next
}

function isStream(body: Ask['body']): body is Readable {
  return typeof body === 'object' && 'pipe' in body
}

async function exchange(request: ClientRequest, body: Ask['body'], expects: boolean): Promise<Answer> {
  // Both outcomes get a listener at once: an error may come while the body is still being sent.
  const answered = once(request, 'response').then(([message]: IncomingMessage[]) => message)
  answered.catch(() => {})
  // After the answer has begun, its body tells of errors.
  request.on('error', () => {})
  if (!isStream(body)) request.end(body)
  else await sendBody(request, body, answered, expects)
  const message = await answered
  if (!message) throw new StorageError('unavailable', 'no answer came')
  return { status: message.statusCode ?? 0, headers: message.headers, body: message }
}

async function sendBody(
  request: ClientRequest,
  body: Readable,
  answered: Promise<IncomingMessage | undefined>,
  expects: boolean,
): Promise<void> {
  if (expects && (await goesAhead(request, answered)) === 'answered') {
    body.destroy()
    return
  }
  const done = new AbortController()
  // An answer before the end of the body is a refusal; the rest would be for nothing.
  const early = answered.then(
    () => done.abort(),
    () => done.abort(),
  )
  try {
    await pipeline(body, exactly(request.getHeader('content-length')), request, { signal: done.signal })
  } catch (error) {
    const last = await Promise.race([answered.catch(() => undefined), delay(lastWords)])
    if (!last) throw error
  }
  void early
}

/** Fewer or more bytes than announced would be taken for the next request. */
function exactly(announced: unknown): Transform {
  let left = announced === undefined ? Number.NaN : Number(announced)
  const wrong = () => new StorageError('stale', 'the source changed its length while it was sent')
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      left -= chunk.length
      if (left < 0) done(wrong())
      else done(null, chunk)
    },
    flush: (done) => done(left > 0 ? wrong() : null),
  })
}

/** Whether the server wants the body: it says 100 Continue, or nothing for a while. */
async function goesAhead(request: ClientRequest, answered: Promise<unknown>): Promise<'answered' | 'go'> {
  const go = new Promise<'go'>((resolve) => request.once('continue', () => resolve('go')))
  request.flushHeaders()
  const patience = delay(continueWait).then(() => 'go' as const)
  return Promise.race([answered.then(() => 'answered' as const), go, patience])
}

function delay(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), ms).unref())
}
