/** One request and its response, with everything a handler needs to answer. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Macaroons, Sessions, SignIn } from '../../acl/identity/identity.ts'
import type { Action } from '../../acl/needs.ts'
import { anonymous, type Principal } from '../../acl/principal.ts'
import type { AuditLog } from '../core/audit.ts'
import type { Call, Protocol } from '../core/call.ts'
import { type ErrorCode, StorageError } from '../core/errors.ts'
import { type Path, root } from '../core/path.ts'
import type { StorageOperations } from '../core/storage.ts'
import { newCallId } from './call-id.ts'
import type { Connection } from './connection.ts'
import { httpStatus } from './errors.ts'
import type { DoorLog, RenderedProblem, ThirdPartyDoor } from './options.ts'
import type { Problem } from './problem.ts'
import type { Redirecting } from './redirecting.ts'

/** What all exchanges of a door share. */
export interface Door {
  readonly storage: StorageOperations
  /** Without a final slash. */
  readonly publicUrl: string
  /** Host names that we answer to, without ports. */
  readonly names: ReadonlySet<string>
  readonly maxUpload: number
  /** ms within which a body must come on. */
  readonly stallTimeout: number
  readonly basic: boolean
  /** Tickets are accepted. */
  readonly negotiate: boolean
  readonly redirecting: Redirecting
  readonly thirdParty: ThirdPartyDoor | undefined
  readonly macaroons: Macaroons | undefined
  /** Absent where people cannot sign in. */
  readonly signIn: SignIn | undefined
  readonly sessions: Sessions | undefined
  readonly audit: Pick<AuditLog, 'record' | 'healthy'> | undefined
  readonly log: DoorLog
  /** What tokens of forms are signed with: the same in all processes. */
  readonly formKey: Uint8Array
}

/** How sockets and streams say that the other side has gone. */
const endings: ReadonlySet<string> = new Set([
  'ABORT_ERR',
  'ECONNRESET',
  'EPIPE',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_WRITE_AFTER_END',
])

export class Exchange {
  readonly door: Door
  readonly connection: Connection
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly id = newCallId()
  /** The caller's address as far as trusted proxies tell it. */
  readonly from: string
  readonly started = performance.now()
  /** The caller holds its body back until it sees 100 Continue. */
  awaitsContinue: boolean
  path: Path = root
  /** A macaroon came in the URL. */
  linked = false
  /** The path of the request ended in a slash. */
  slash = false
  query = ''
  /** What is being tried, for the link to `explain`. */
  action: Action | undefined
  /** Who is calling; `anonymous` until authenticated. */
  principal: Principal = anonymous
  /** Why we ended it ourselves while it was being answered. */
  ended: StorageError | undefined
  /** What was answered with a problem, for the log. */
  failed: StorageError | undefined
  statusOf: (code: ErrorCode) => number = (code) => httpStatus[code]
  /** A problem in other words than ours, where the door has some. */
  rendered: ((error: StorageError, problem: Problem) => RenderedProblem | undefined) | undefined
  #call: Call | undefined

  constructor(
    door: Door,
    connection: Connection,
    parts: {
      readonly request: IncomingMessage
      readonly response: ServerResponse
      readonly awaitsContinue: boolean
      readonly from: string
    },
  ) {
    this.door = door
    this.connection = connection
    this.request = parts.request
    this.response = parts.response
    this.awaitsContinue = parts.awaitsContinue
    this.from = parts.from
  }

  /** Names the caller for everything that follows. */
  begin(principal: Principal, protocol: Protocol): Call {
    this.principal = principal
    const { signal } = this.connection
    this.#call = { id: this.id, principal, protocol, from: this.from, signal }
    return this.#call
  }

  /** The caller is known. */
  get begun(): boolean {
    return this.#call !== undefined
  }

  /** The call that `begin` made; before it an anonymous one. */
  get call(): Call {
    return this.#call ?? this.begin(this.principal, 'http')
  }

  /** Tokens of locks that the request submits: to be called before anything is changed. */
  submit(lockTokens: readonly string[]): void {
    this.#call = { ...this.call, lockTokens }
  }

  /** What a failure is to be called: of a caller that went away while it was being answered, that. */
  failureOf(thrown: unknown): StorageError {
    if (this.ended) return this.ended
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : ''
    const gone = this.connection.signal.aborted || this.request.socket.destroyed
    if (!gone || thrown instanceof StorageError || !endings.has(code)) return StorageError.from(thrown)
    return new StorageError('cancelled', 'the caller went away', { cause: thrown })
  }

  /** Whether a credential may be sent here: nobody on the way can read it. */
  get isPrivate(): boolean {
    const proto = this.request.headers['x-forwarded-proto']
    return this.connection.isPrivate(typeof proto === 'string' ? proto : proto?.join(','))
  }

  /** The request has content, according to its headers (RFC 9112, section 6.3). */
  get hasBody(): boolean {
    const { headers } = this.request
    const length = headers['content-length']
    return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')
  }
}
