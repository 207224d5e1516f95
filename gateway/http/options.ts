/** What the HTTP door is made of. Durations are milliseconds, sizes bytes. */

import type { FastifyInstance } from 'fastify'
import type { Identity } from '../../acl/identity/identity.ts'
import type { Action } from '../../acl/needs.ts'
import type { Principal } from '../../acl/principal.ts'
import type { AuditLog } from '../core/audit.ts'
import type { Call } from '../core/call.ts'
import type { ErrorCode, StorageError } from '../core/errors.ts'
import type { Path } from '../core/path.ts'
import type { StorageOperations } from '../core/storage.ts'
import type { Exchange } from './exchange.ts'
import type { Problem } from './problem.ts'
import type { RedirectingOptions } from './redirecting.ts'
import type { RouteDoor } from './routes.ts'

export interface ListenerOptions {
  readonly address: string
  /** 0: any free one. */
  readonly port: number
  /** PEM files, read at start and by `reloadTls`. */
  readonly tls?: {
    readonly certificate: string
    readonly key: string
    /** Callers are asked for certificates of these authorities (PEM files). One that is not good is a refusal, if nothing else speaks for the caller; `required`: no connection without a good one. */
    readonly clientCertificates?: { readonly ca: string; readonly crl?: string; readonly required?: boolean }
  }
  /** A header in which trusted proxies tell the certificate that was shown to them, and who may have issued it (PEM file). */
  readonly proxyCertificates?: { readonly header: string; readonly ca: string }
  /** Plain HTTP off loopback, and credentials over it, are wanted in spite of all. */
  readonly insecure?: boolean
  /** Every connection starts with a PROXY header (version 1 or 2) of a trusted proxy. */
  readonly proxyProtocol?: boolean
  /** All its requests are for the S3 door. */
  readonly s3?: boolean
}

export interface DoorLimits {
  /** Connections of one process; more are not accepted. */
  readonly connections: number
  /** Connections that carry requests of one principal (anonymous callers: of one address). */
  readonly connectionsPerPrincipal: number
  readonly maxUpload: number
  /** From the first byte of a request (or the connection) to the end of its headers. */
  readonly headersTimeout: number
  /** Between two requests of a connection. */
  readonly idleTimeout: number
  /** Without a byte of progress while the caller is to send or to take some. */
  readonly stallTimeout: number
}

export const defaultLimits: DoorLimits = {
  connections: 16_384,
  connectionsPerPrincipal: 256,
  maxUpload: 5 * 1024 ** 4,
  headersTimeout: 15_000,
  idleTimeout: 60_000,
  stallTimeout: 60_000,
}

/** The part of a pino logger that the door uses. Never given a credential. */
export interface DoorLog {
  readonly level: string
  debug(fields: object, text: string): void
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}

/** One HTTP method on the namespace. */
export interface Method {
  /** `true`: answers without asking who is calling. `welcome`: asks who brings a credential, and nobody else. */
  readonly open?: true | 'welcome'
  /** What is tried, as far as the method alone tells. */
  readonly action?: Action
  /** Sends the whole response, or throws a StorageError before the first byte of it. */
  run(exchange: Exchange): Promise<void>
}

/** The front end that answers for the namespace itself. */
export interface DataDoor {
  readonly methods: Readonly<Record<string, Method>>
  statusOf(method: string, code: ErrorCode): number
  /** A problem in the words of its clients; undefined: in those of RFC 9457. */
  problem?(exchange: Exchange, error: StorageError, problem: Problem): RenderedProblem | undefined
}

/** A whole body. */
export interface RenderedProblem {
  /** Content-Type. */
  readonly type: string
  readonly body: string
}

/** A front end with listeners or host names of its own. */
export interface S3Front {
  /** Requests for these host names, and for names below them, are its own on every listener. */
  readonly hosts: readonly string[]
  /** Answers the whole request, also with what went wrong, which it gives for the log. Never looks at cookies. */
  serve(exchange: Exchange, entrance: Entrance): Promise<StorageError | undefined>
  /** What is answered on its listeners to bytes that are no request that could be served. */
  refusal(call: string, why: Unreadable): Refusal
}

/** The front end of mounts, below its prefix. */
export interface MountFront {
  readonly prefix: Path
  /** Answers the whole request, or throws a StorageError before the first byte of it. `authenticate` comes before anything else. */
  serve(exchange: Exchange, authenticate: () => Promise<unknown>): Promise<void>
  /** Ends what would go on for ever, and closes what it has open. */
  close(): Promise<void>
}

/** What came is no HTTP, has too large a head, came too slowly, or is CONNECT. */
export type Unreadable = 'malformed' | 'too-large' | 'too-slow' | 'connect'

/** An answer outside of any exchange. */
export interface Refusal {
  readonly status: number
  readonly type: string
  readonly body: string
}

/** What the door sees to, whatever kind of credential a front end knows. */
export interface Entrance {
  /** Throws for a request that no front end is to see: not HTTP/1.1, for a host that is not ours. */
  check(exchange: Exchange): void
  /** Names the caller and begins the call. Throws `denied` for an address that is not the credential's, `busy` for too many connections; that is written down. */
  admit(exchange: Exchange, principal: Principal): Call
  /** Writes a refused credential down. */
  refused(exchange: Exchange, error: StorageError): void
}

/** Copies between this gateway and another server, wherever COPY names one. */
export interface ThirdPartyDoor {
  /** Answers the whole request, or throws a StorageError before the first byte of it. */
  copy(exchange: Exchange): Promise<void>
}

/** One finished request, for metrics. */
export interface Observation {
  readonly method: string
  readonly status: number
  readonly seconds: number
}

export interface DoorOptions {
  readonly listen: readonly ListenerOptions[]
  /** Our own address for every link and redirect, such as https://gw.desy.de. */
  readonly publicUrl: string
  /** Accepted Host names; publicUrl's is implied, and on loopback listeners so are the names of loopback. */
  readonly hosts?: readonly string[]
  /** Addresses and networks whose X-Forwarded-* and PROXY headers are believed. */
  readonly trustedProxies?: readonly string[]
  readonly limits?: Partial<DoorLimits>
  readonly storage: StorageOperations
  readonly identity: Identity
  readonly log: DoorLog
  /** Where refused credentials are written down; what follows an accepted one, Storage writes. */
  readonly audit?: Pick<AuditLog, 'record' | 'healthy'>
  /** Methods on the namespace. */
  readonly data: DataDoor
  /** Registers everything below /.portolan/. */
  readonly routes: (app: FastifyInstance, door: RouteDoor) => void
  /** Offer Basic beside Bearer in challenges. */
  readonly basic?: boolean
  /** Which callers are sent to the storage for bytes, where a mount offers it; none if absent. */
  readonly redirecting?: RedirectingOptions
  /** Absent where there are no such copies. */
  readonly thirdParty?: ThirdPartyDoor | undefined
  readonly s3?: S3Front | undefined
  /** Absent where nothing is mounted. */
  readonly mounts?: MountFront | undefined
  /** What tokens of forms are signed with, the same in all processes; this door's own if absent. */
  readonly formKey?: Uint8Array
  readonly observe?: (observation: Observation) => void
}
