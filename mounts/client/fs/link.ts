/**
 * Requests of one session with a gateway: to the process that knows the session, again after a broken connection where
 * that is safe, and in a new session when the old one is over.
 *
 * All connections end up at some process of the gateway; one that does not know the session answers 421 (RFC 9110,
 * section 15.5.20), and another connection is tried. Those that have shown to be right are kept.
 */

import { randomUUID } from 'node:crypto'
import { StorageError } from '../../../gateway/core/errors.ts'
import { RemoteError } from '../errors.ts'
import { isStranger, refusal, requireGatewaysOwn, textOf, withReason } from './answers.ts'
import { Dialer, type DialOptions } from './dial.ts'
import { Again, Elsewhere, SessionOver, Uncertain, Unsent } from './failures.ts'
import { rubbish } from './head.ts'
import { patience, raced, sleep, within } from './patience.ts'
import { Pool, type PoolSizes, usualSizes, type WireUse } from './pool.ts'
import { parseJson, readSession, type Session, version } from './session.ts'
import { type Signed, Signing, type SigningOptions } from './signing.ts'
import { Turnstile } from './turnstile.ts'
import { Broken, type Wire, type WireAnswer, type WireRequest } from './wire.ts'

export const prefix = '/.portolan/fs/v1'

export interface LinkOptions extends DialOptions, SigningOptions {
  /** Milliseconds that anything may take, 60,000 by default. */
  readonly timeout?: number | undefined
  readonly sizes?: Partial<PoolSizes> | undefined
  /** Told when the session is another one, with the new one. */
  readonly renewed?: ((session: Session) => void) | undefined
  /** One line for the log, when something has changed for the worse or the better. */
  readonly log?: ((line: string) => void) | undefined
}

export interface Asking {
  readonly use: WireUse
  readonly method: WireRequest['method']
  /** Below the prefix, with the query. */
  readonly target: string
  readonly body?: Uint8Array | undefined
  readonly into?: Uint8Array | undefined
  /** It must not be done twice: the gateway is told a name for it, under which it remembers its answer. */
  readonly once?: boolean | undefined
  /** It changes something. Where the answer is late it is not sent again: the first might be done after later ones. */
  readonly alters?: boolean | undefined
  /**
   * Milliseconds without an answer on a connection that works, for what takes its time at the gateway; they may be more than
   * the time limit. By default a while, after which another connection is tried; for what alters all there are.
   */
  readonly quiet?: number | undefined
  /** Milliseconds that all of it may take, those of the link if absent. */
  readonly limit?: number | undefined
  readonly signal?: AbortSignal | undefined
}

const usualTimeout = 60_000
const usualQuiet = 20_000
/**
 * Milliseconds after which it is not certain that a connection still leads anywhere; and those to find out, so many times as
 * it was tried: on a link that is full a question takes its time.
 */
const doubtful = 10_000
const doubtQuiet = 5000
const sessionLimit = 10_000
/** Milliseconds after which a process that no connection leads to any more is taken for gone. */
const longestSilence = 10_000
const elsewherePause = 50
/** After so many tries in a row there is a pause before each. */
const manyAttempts = 100
/** Largest answer that is no data: a page of a listing with long names. */
const largestAnswer = 16 * 1024 * 1024
const json = 'Content-Type: application/json\r\n'
const octets = 'Content-Type: application/octet-stream\r\n'
/** No storage is asked for it: no file that is open is called so. */
const smallTalk = Buffer.from('{"handle":"-"}')
const farewell = 2000
const question = '/.portolan/api/v1/explain?path=%2F&action=list'

export class Link {
  readonly timeout: number
  readonly dialer: Dialer
  readonly signing: Signing
  /** For requests of the use `waiting`. */
  readonly waitingRoom: Turnstile
  readonly #pool: Pool
  readonly #options: LinkOptions
  #session: Session | undefined
  /** The one before: its locks go over to the next one. */
  #previous: string | undefined
  #misses = 0
  /** When the process of the session was last heard of, on the clock of `performance`. */
  #met = 0
  #beginning: Promise<Session> | undefined
  #isClosed = false
  #isDown = false

  constructor(options: LinkOptions) {
    this.#options = options
    this.timeout = options.timeout ?? usualTimeout
    this.dialer = new Dialer(options)
    this.signing = new Signing(options)
    const sizes = { ...usualSizes, ...options.sizes }
    this.waitingRoom = new Turnstile(sizes.waiting)
    this.#pool = new Pool(this.dialer, sizes)
  }

  /** Undefined where there is none at the moment. */
  get current(): Session | undefined {
    return this.#session
  }

  /** The present session; begins one where there is none. One try. */
  async session(signal?: AbortSignal): Promise<Session> {
    if (this.#isClosed) throw new StorageError('unavailable', 'the mount is closed')
    if (this.#session) return this.#session
    this.#beginning ??= this.#begin().finally(() => {
      this.#beginning = undefined
    })
    return raced(this.#beginning, signal)
  }

  /** The gateway does not know it any more. Of one that is not the present one nothing is to be done. */
  drop(session: Session): void {
    if (this.#session !== session) return
    this.#session = undefined
    this.#previous = session.id
    this.#log('the session with the gateway is over; beginning a new one')
  }

  /** The process of the session has answered, or goes on telling. */
  met(): void {
    this.#misses = 0
    this.#met = performance.now()
  }

  /**
   * A connection came out at another process; whether to try the next one at once. A process that is busy takes no
   * connections for a moment. One that is gone the others say so of (410), but for those on another machine.
   */
  missed(session: Session): boolean {
    this.#misses++
    if (this.#misses > 4 * session.workers + 4 && performance.now() - this.#met > longestSilence) this.drop(session)
    return this.#misses <= 2 * session.workers || this.#session !== session
  }

  /**
   * A success, with the session that it was asked in. Throws the gateway's refusals; `SessionOver` when `bound` is not the
   * present session, `Uncertain` when something that must not be done twice may have been done; otherwise the last failure,
   * after the time limit.
   */
  async ask(asking: Asking, bound?: Session): Promise<{ readonly answer: WireAnswer; readonly session: Session }> {
    const { signal, once, limit = this.timeout } = asking
    const waiting = patience(limit)
    const request = once ? randomUUID() : undefined
    let open: { readonly session: Session; readonly cause: unknown } | undefined
    for (let attempt = 1; ; attempt++) {
      let session: Session | undefined
      try {
        session = await this.session(signal)
        if (open && open.session !== session) throw new Uncertain(open.cause)
        if (bound && bound !== session) throw new SessionOver()
        const answer = await this.#send(asking, session, { request, attempt, left: waiting.left() })
        this.#isUp()
        return { answer, session }
      } catch (thrown) {
        const error = StorageError.from(thrown)
        if (error instanceof Broken && error.progressAt !== undefined) waiting.progressed(error.progressAt)
        const next = this.#verdict(error, asking)
        if (next === 'throw') throw error
        if (request !== undefined && error instanceof Broken && !(error instanceof Unsent) && session) {
          open = { session, cause: error }
        }
        if (next === 'pause' || attempt > manyAttempts) await waiting.pause(this.#toldDown(error), signal)
        else if (waiting.left() === 0) throw error
        else if (error instanceof Elsewhere) await sleep(elsewherePause * (0.5 + Math.random()), signal)
      }
    }
  }

  /** The same in JSON, below `op/`. */
  async op(
    name: string,
    content: unknown,
    terms: Omit<Asking, 'use' | 'method' | 'target' | 'body' | 'into'> & {
      readonly use?: WireUse
      readonly bound?: Session
    } = {},
  ): Promise<{ readonly value: unknown; readonly session: Session; readonly headers: WireAnswer['headers'] }> {
    const { use = 'metadata', bound, ...rest } = terms
    const body = Buffer.from(JSON.stringify(content))
    const { answer, session } = await this.ask({ ...rest, use, method: 'POST', target: `op/${name}`, body }, bound)
    return { value: answer.body.length === 0 ? {} : parseJson(answer.body), session, headers: answer.headers }
  }

  /** Headers of a request by other means, such as the stream of events. */
  async headers(session: Session, signal?: AbortSignal): Promise<Readonly<Record<string, string>>> {
    return { ...(await this.#sign(sessionLimit, signal)).headers, 'portolan-session': session.id }
  }

  /** Ends the session at the gateway, if that is still there, and closes all connections. */
  async close(): Promise<void> {
    const session = this.#session
    this.#isClosed = true
    this.#session = undefined
    try {
      if (session)
        await this.#send({ use: 'metadata', method: 'DELETE', target: 'session' }, session, { left: farewell })
    } catch {
      // It ends by itself.
    }
    this.#pool.close()
    await this.signing.close()
  }

  async #begin(): Promise<Session> {
    const previous = this.#previous
    const content = { versions: [version], client: 'portolan-mount/0.1', ...(previous !== undefined && { previous }) }
    const body = Buffer.from(JSON.stringify(content))
    const request = { method: 'POST', target: `${prefix}/session`, body } as const
    // The first is one try for whoever mounts. Later the connection may have ended unseen.
    const limit = previous === undefined ? this.timeout : sessionLimit
    for (let attempt = 0; ; attempt++) {
      const signed = await this.#sign(limit)
      const headers = `${signed.lines}${json}`
      const answer = await this.#exchange('metadata', { ...request, headers }, limit)
      await this.signing.check(signed, answer)
      if (answer.status === 401 && attempt === 0 && (await this.#refused({ signed, limit }))) continue
      if (isStranger(answer)) {
        throw new StorageError('unavailable', `${this.dialer.origin.origin}: no Portolan gateway answers there`)
      }
      requireGatewaysOwn(answer, this.dialer.origin)
      if (answer.status === 401 && signed.token) throw await this.#explained(refusal(answer), signed.lines)
      if (answer.status !== 201) throw refusal(answer)
      const session = readSession(parseJson(answer.body))
      this.#session = session
      this.#previous = undefined
      this.met()
      this.#isUp()
      this.#options.renewed?.(session)
      return session
    }
  }

  async #explained(refused: StorageError, headers: string): Promise<StorageError> {
    const asking = this.#exchange('metadata', { method: 'GET', target: question, headers }, doubtQuiet)
    return asking.then((answer) => withReason(refused, answer)).catch(() => refused)
  }

  async #sign(limit: number, signal?: AbortSignal): Promise<Signed> {
    const signing = this.signing.sign((headers) =>
      this.#exchange('metadata', { method: 'GET', target: '/.portolan/api/v1/whoami', headers }, limit),
    )
    // Its file may be on a file system that hangs, its issuer may not answer.
    return within(signing, { limit, signal, what: 'credential' })
  }

  /** After 401: whether there is another credential. */
  #refused({ signed, limit, signal }: Refused): Promise<boolean> {
    return within(this.signing.refused(signed), { limit, signal, what: 'credential' })
  }

  async #exchange(use: WireUse, request: WireRequest, limit: number): Promise<WireAnswer> {
    const wire = await this.#pool.take(use, { worker: undefined, limit })
    try {
      return await wire.exchange(request, { largest: largestAnswer, quiet: limit })
    } finally {
      this.#pool.give(use, wire)
    }
  }

  async #send(asking: Asking, session: Session, { left, request, attempt = 1 }: Try): Promise<WireAnswer> {
    const { use, method, target, body, into, signal } = asking
    const signed = await this.#sign(left, signal)
    const wire = await this.#pool.take(use, { worker: session.worker, limit: Math.min(left, usualQuiet), signal })
    const alters = asking.alters === true || asking.once === true
    const quiet = Math.max(1, asking.quiet ?? (alters ? left : Math.min(left, usualQuiet)))
    const standing = `${signed.lines}Portolan-Session: ${session.id}\r\n`
    try {
      const isDoubtful = alters && performance.now() - wire.usedAt > doubtful
      // It may lead to another process, or to one that ended before it took it.
      const isNew = wire.worker !== session.worker
      // A ticket of its own is good for one request.
      if ((isDoubtful || isNew) && !signed.ticket?.check)
        await this.#probe(wire, session, standing, { quiet: Math.min(left, doubtQuiet * attempt), signal })
      const named = request === undefined ? '' : `Portolan-Request: ${request}\r\n`
      const type = body === undefined ? '' : method === 'PUT' ? octets : json
      const headers = `${standing}${named}${type}`
      const terms = { into, largest: largestAnswer, quiet, signal }
      const answer = await wire.exchange({ method, target: `${prefix}/${target}`, headers, body }, terms)
      await this.signing.check(signed, answer)
      if (answer.status >= 200 && answer.status < 300) {
        // Of a page that somebody shows to all who pass nobody takes it that bytes were written.
        if (answer.headers['portolan-worker'] !== session.worker) {
          wire.close()
          throw new Broken(rubbish('a success of another worker'), false)
        }
        this.met()
        return answer
      }
      throw await this.#refusalOf(answer, wire, session, { signed, limit: left, signal })
    } finally {
      this.#pool.give(use, wire)
    }
  }

  /** A question whose answer is of no interest, before one that is. */
  async #probe(
    wire: Wire,
    session: Session,
    standing: string,
    terms: { readonly quiet: number; readonly signal: AbortSignal | undefined },
  ): Promise<void> {
    const request = {
      method: 'POST',
      target: `${prefix}/op/release`,
      headers: `${standing}${json}`,
      body: smallTalk,
    } as const
    const answer = await wire.exchange(request, { largest: largestAnswer, ...terms }).catch((error: unknown) => {
      throw error instanceof Broken ? new Unsent(error) : error
    })
    if (answer.status === 421) throw this.#misdirected(wire, session)
  }

  async #refusalOf(answer: WireAnswer, wire: Wire, session: Session, asked: Refused): Promise<StorageError> {
    if (answer.status === 421) return this.#misdirected(wire, session)
    requireGatewaysOwn(answer, this.dialer.origin)
    this.met()
    if (answer.status === 410 && textOf(answer).includes('session-over')) {
      this.drop(session)
      return new Again('the session is over')
    }
    if (answer.status === 401 && (await this.#refused(asked))) return new Again('another credential is there')
    return refusal(answer)
  }

  #misdirected(wire: Wire, session: Session): StorageError {
    wire.close()
    return this.missed(session) ? new Again('another process') : new Elsewhere()
  }

  #verdict(error: StorageError, { once = false }: Asking): 'throw' | 'again' | 'pause' {
    const { code } = error
    if (error instanceof Uncertain || error instanceof SessionOver || this.#isClosed) return 'throw'
    if (error instanceof Again || error instanceof Elsewhere) return 'again'
    if (error instanceof Broken)
      return error.wasUsed && (code !== 'timeout' || error instanceof Unsent) ? 'again' : 'pause'
    if (error instanceof RemoteError) {
      // What was not begun may be asked for again; of the rest only what does no harm.
      if (code === 'busy') return error.status === 429 || error.status === 503 ? 'pause' : 'throw'
      return !once && (code === 'unavailable' || code === 'timeout') ? 'pause' : 'throw'
    }
    return code === 'unavailable' || code === 'timeout' ? 'pause' : 'throw'
  }

  #toldDown(error: StorageError): StorageError {
    if (!this.#isDown && error.code !== 'busy')
      this.#log(`the gateway cannot be reached: ${error.message}; trying again`)
    if (error.code !== 'busy') this.#isDown = true
    return error
  }

  #isUp(): void {
    if (this.#isDown) this.#log('the gateway answers again')
    this.#isDown = false
  }

  #log(line: string): void {
    this.#options.log?.(line)
  }
}

interface Try {
  /** Milliseconds. */
  readonly left: number
  /** Its name, where it must not be done twice. */
  readonly request?: string | undefined
  readonly attempt?: number
}

interface Refused {
  readonly signed: Signed
  /** Milliseconds. */
  readonly limit: number
  readonly signal?: AbortSignal | undefined
}
