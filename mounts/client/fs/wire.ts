/**
 * One connection, one request at a time: a small HTTP/1.1 client (RFC 9112) that puts the body of an answer where the
 * caller wants it, without a copy. It takes answers with Content-Length only; after anything else the connection is over.
 */

import type { Socket } from 'node:net'
import { StorageError } from '../../../gateway/core/errors.ts'
import { connectionError } from '../errors.ts'
import type { Dialer } from './dial.ts'
import { type Head, maxHead, readHead, rubbish } from './head.ts'
import { unacknowledged } from './unacknowledged.ts'

export interface WireRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** Path and query, percent-encoded. */
  readonly target: string
  /** Lines with their ends, without Host and Content-Length. */
  readonly headers: string
  readonly body?: Uint8Array | undefined
}

export interface WireTerms {
  /** Takes the body of a success; one that is longer is refused. */
  readonly into?: Uint8Array | undefined
  /** Bytes of any other body. */
  readonly largest: number
  /** Milliseconds without progress: of the request's body, then until the head is there, then of the answer's body. */
  readonly quiet: number
  readonly signal?: AbortSignal | undefined
}

export interface WireAnswer extends Pick<Head, 'status' | 'headers' | 'cookies'> {
  /** The body; where `into` took it, that part of it. */
  readonly body: Uint8Array
}

/** The connection failed. Whether the request was acted upon is not known, unless nothing was sent. */
export class Broken extends StorageError {
  /** It had carried a request before: the other side may have given it up while it was idle. */
  readonly wasUsed: boolean
  /** When a body got on last, by performance.now(). */
  readonly progressAt: number | undefined

  constructor(error: StorageError, wasUsed: boolean, progressAt?: number) {
    super(error.code, error.message, { cause: error.cause ?? error })
    this.name = 'Broken'
    this.wasUsed = wasUsed
    this.progressAt = progressAt
  }
}

/** Holds the head, and what of the body comes along with it. */
const ownBytes = 32 * 1024
/** Bytes of a body that are progress: with fewer at a time a server could hold anybody up for days. */
const progress = 16 * 1024
/** Bytes of a request's body that are written at once: what is seen of its progress, where the kernel takes no more. */
const pieceBytes = 128 * 1024
/** Milliseconds between two looks at what has become of it; less where that is much of the limit. */
const lookEvery = 5000
const looksPerLimit = 8
/** Bytes that all connections of a mount may have under way: so many may go before those of one, whatever lies between. */
const mostAhead = 64 * 1024 * 1024
const nothing = new Uint8Array(0)

interface Work {
  readonly terms: WireTerms
  /** The body of the request; how much of it the socket was given, and how much had arrived at the last look. */
  readonly outgoing: Uint8Array
  given: number
  arrived: number
  lookedAt: number
  /** When a body got on last, by performance.now(); and from when the limit counts. */
  progressAt: number | undefined
  since: number
  /** What all connections had carried then; and when others got on last, so that this one was waited for. */
  ahead: number
  carried: number
  readonly resolve: (answer: WireAnswer) => void
  readonly reject: (error: StorageError) => void
  readonly abort: () => void
  head: Head | undefined
  /** How much there was of the body when its progress was last looked at. */
  seen: number
  /** Where the body goes, and how much of it is there. */
  body: Uint8Array
  filled: number
}

export class Wire {
  /** Which worker process of the gateway has answered last. */
  worker: string | undefined
  /** When it was last seen to work, by performance.now(). */
  usedAt = performance.now()
  readonly #own = Buffer.allocUnsafeSlow(ownBytes)
  readonly #dialer: Dialer
  readonly #origin: string
  #socket: Socket | undefined
  #head = ''
  #work: Work | undefined
  #timer: NodeJS.Timeout | undefined
  #requests = 0

  private constructor(dialer: Dialer) {
    this.#dialer = dialer
    this.#origin = dialer.origin.origin
  }

  /** Throws as `Dialer.dial`. `closed` is called once, when it is over. */
  static async open(
    dialer: Dialer,
    terms: {
      readonly limit: number
      readonly signal?: AbortSignal | undefined
      readonly closed?: (wire: Wire) => void
    },
  ): Promise<Wire> {
    const wire = new Wire(dialer)
    const onread = { buffer: () => wire.#next(), callback: (count: number, at: Uint8Array) => wire.#take(count, at) }
    const socket = await dialer.dial({ limit: terms.limit, signal: terms.signal, onread })
    wire.#socket = socket
    if (socket.destroyed) throw connectionError({ code: 'ECONNRESET' }, dialer.origin.origin)
    socket.on('end', () => wire.#fail('the connection broke; the outcome is unknown'))
    socket.on('close', () => {
      wire.#fail('the connection broke; the outcome is unknown')
      terms.closed?.(wire)
    })
    return wire
  }

  get isOpen(): boolean {
    return this.#socket !== undefined && !this.#socket.destroyed
  }

  get isBusy(): boolean {
    return this.#work !== undefined
  }

  /** Answers of any status are returned. Throws `Broken`, after which the connection is over; `cancelled` likewise. */
  exchange(request: WireRequest, terms: WireTerms): Promise<WireAnswer> {
    const socket = this.#socket
    const { promise, resolve, reject } = Promise.withResolvers<WireAnswer>()
    if (terms.signal?.aborted) return Promise.reject(new StorageError('cancelled', 'interrupted'))
    if (socket === undefined || socket.destroyed || this.#work) {
      return Promise.reject(new Broken(new StorageError('unavailable', `${this.#origin}: not connected`), true))
    }
    const abort = () => this.#end(new StorageError('cancelled', 'interrupted'))
    const { method, target, headers, body: outgoing = nothing } = request
    const now = performance.now()
    const work: Work = {
      ...{ terms, resolve, reject, abort, outgoing, given: 0, arrived: 0, lookedAt: now },
      ...{ since: now, progressAt: undefined, ahead: this.#dialer.carried, carried: this.#dialer.carried },
      ...{ head: undefined, seen: 0, body: this.#own, filled: 0 },
    }
    this.#work = work
    this.#head = ''
    terms.signal?.addEventListener('abort', abort, { once: true })
    this.#watch(work)
    const length = method === 'GET' && outgoing.length === 0 ? '' : `Content-Length: ${outgoing.length}\r\n`
    socket.cork()
    socket.write(`${method} ${target} HTTP/1.1\r\nHost: ${this.#dialer.host}\r\n${length}${headers}\r\n`, 'latin1')
    this.#pour(work, socket)
    socket.uncork()
    return promise
  }

  close(): void {
    this.#end(new StorageError('unavailable', `${this.#origin}: the connection was closed`))
  }

  /** Gives the socket what it takes at once, and the rest as the kernel takes that. */
  #pour(work: Work, socket: Socket): void {
    const { outgoing } = work
    while (work.given < outgoing.length) {
      let isWaiting = false
      const piece = outgoing.subarray(work.given, work.given + pieceBytes)
      work.given += piece.length
      socket.write(piece, (error) => {
        if (isWaiting && !error && this.#work === work) this.#pour(work, socket)
      })
      isWaiting = socket.writableLength > 0
      if (isWaiting) return
    }
  }

  /** Where the next bytes go: of a body that is known by now, to their place. */
  #next(): Uint8Array {
    const work = this.#work
    if (work === undefined || work.head === undefined || isWhole(work)) return this.#own
    return work.body.subarray(work.filled)
  }

  #take(count: number, at: Uint8Array): boolean {
    const work = this.#work
    if (work === undefined) {
      this.#end(rubbish('bytes that nobody asked for'))
      return false
    }
    try {
      if (isWhole(work)) throw rubbish('more than it announced')
      if (work.head === undefined) {
        this.#begin(work, at.subarray(0, count))
        if (isWhole(work)) this.#finish(work)
        return true
      }
      work.filled += count
      if (work.filled - work.seen >= progress) {
        this.#moved(work, work.filled - work.seen, performance.now())
        work.seen = work.filled
      }
      // What else has come is read at once now. It must be seen before the next request is sent: it would be its answer.
      if (isWhole(work)) setImmediate(() => this.#work === work && this.#finish(work))
    } catch (error) {
      this.#end(StorageError.from(error))
    }
    return true
  }

  /** Looks for the end of the head; what is behind it is body. */
  #begin(work: Work, bytes: Uint8Array): void {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
    const before = this.#head.length
    this.#head += text
    const end = this.#head.indexOf('\r\n\r\n', Math.max(0, before - 3))
    if (end > maxHead || (end < 0 && this.#head.length > maxHead)) throw rubbish('endless headers')
    if (end < 0) return
    const head = readHead(this.#head.slice(0, end))
    this.#head = ''
    work.since = performance.now()
    const { into, largest } = work.terms
    const isWanted = into !== undefined && isSuccess(head.status)
    // Of a part, or of no content, the bytes would be missing, and whoever asked would not know.
    if (isWanted && head.status !== 200) throw rubbish('another success than 200')
    if (head.length > (isWanted ? into.length : largest)) throw rubbish('more than was asked for')
    work.head = head
    work.body = isWanted ? into.subarray(0, head.length) : Buffer.allocUnsafeSlow(head.length)
    const rest = bytes.subarray(end + 4 - before)
    if (rest.length > head.length) throw rubbish('more than it announced')
    work.body.set(rest)
    work.filled = rest.length
  }

  #finish(work: Work): void {
    if (work.head === undefined) return
    const { status, headers, cookies, stays } = work.head
    this.#release(work)
    this.#requests++
    this.#dialer.carried += work.outgoing.length - work.arrived + work.filled - work.seen
    this.usedAt = performance.now()
    this.worker = headers['portolan-worker'] ?? this.worker
    // Of a request that was refused before its end the rest is still on the way.
    const isSent = work.given === work.outgoing.length && this.#socket?.writableLength === 0
    if (!stays || !isSent) this.#socket?.destroy()
    if (!isSent && isSuccess(status)) {
      work.reject(new Broken(rubbish('a success before it was asked for'), true))
      return
    }
    work.resolve({ status, headers, cookies, body: work.body })
  }

  #release(work: Work): void {
    this.#work = undefined
    clearTimeout(this.#timer)
    work.terms.signal?.removeEventListener('abort', work.abort)
  }

  #watch(work: Work): void {
    const { quiet } = work.terms
    const left = Math.max(1, work.since + quiet - performance.now())
    const soon = isOnItsWay(work) ? Math.min(lookEvery, quiet / looksPerLimit) : left
    this.#timer = setTimeout(() => void this.#look(work), Math.min(left, soon))
  }

  async #look(work: Work): Promise<void> {
    if (isOnItsWay(work)) {
      const now = performance.now()
      const arrived = await this.#arrivedOf(work)
      const isProgress = arrived - work.arrived >= progress
      // It may have arrived just after the last look; whoever is told of it at once must not be given twice the time.
      if (isProgress) this.#moved(work, arrived - work.arrived, work.lookedAt)
      if (isProgress || arrived === work.outgoing.length) work.arrived = arrived
      work.lookedAt = now
    }
    if (this.#work !== work) return
    if (performance.now() - work.since < work.terms.quiet || this.#isBehind(work)) this.#watch(work)
    else this.#end(new StorageError('timeout', `${this.#origin}: no answer in time`))
  }

  /** Bytes of the request's body that the other side has, as far as that can be seen; rather fewer. */
  async #arrivedOf({ given }: Work): Promise<number> {
    const socket = this.#socket
    if (socket === undefined) return 0
    // Before the kernel is asked: what it takes meanwhile is counted as missing twice, not as arrived.
    const taken = given - socket.writableLength
    return taken - ((await unacknowledged(socket)) ?? 0)
  }

  #moved(work: Work, bytes: number, at: number): void {
    this.#dialer.carried += bytes
    work.ahead = work.carried = this.#dialer.carried
    work.progressAt = at
    work.since = Math.max(work.since, at)
    this.usedAt = performance.now()
  }

  /** A link that is slow and not fair: others get on, and what they had under way may be before ours. */
  #isBehind(work: Work): boolean {
    const { carried } = this.#dialer
    const others = carried - work.carried
    if (others < progress || carried - work.ahead > mostAhead) return false
    work.carried = carried
    work.since = performance.now()
    return true
  }

  #fail(text: string): void {
    const work = this.#work
    if (work && isWhole(work)) this.#finish(work)
    this.#end(new StorageError('unavailable', `${this.#origin}: ${text}`))
  }

  #end(error: StorageError): void {
    this.#socket?.destroy()
    const work = this.#work
    if (work === undefined) return
    this.#release(work)
    work.reject(error.code === 'cancelled' ? error : new Broken(error, this.#requests > 0, work.progressAt))
  }
}

/** All of the answer is there. */
function isWhole({ head, body, filled }: Work): boolean {
  return head !== undefined && filled === body.length
}

/** The other side may still be without some of the request's body; what is less than progress is not looked after. */
function isOnItsWay({ head, arrived, outgoing }: Work): boolean {
  return head === undefined && outgoing.length - arrived >= progress
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300
}
