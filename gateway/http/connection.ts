/** What the door remembers of one connection. Requests on it are answered one after the other. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Principal } from '../../acl/principal.ts'
import type { StorageError } from '../core/errors.ts'
import type { ToldCertificates } from './client-certificate.ts'
import type { Exchange } from './exchange.ts'

export interface ListenerTraits {
  readonly tls: boolean
  readonly loopback: boolean
  readonly insecure: boolean
  /** All its requests are for the S3 door. */
  readonly s3: boolean
  /** Callers are asked for certificates in TLS. */
  readonly clientCertificates?: boolean
  /** Where trusted proxies tell certificates. */
  readonly told?: ToldCertificates
}

export interface WaitingRequest {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly awaitsContinue: boolean
}

/** A principal as established for one Authorization header, good until `until` (ms since 1970). */
export interface Authenticated {
  readonly header: string | undefined
  readonly principal: Principal
  readonly until: number
}

export class Connection {
  readonly socket: Socket
  readonly listener: ListenerTraits
  /** The address at the other end, as told by a PROXY header where one was expected. */
  readonly peer: string
  /** `peer` is a trusted proxy, so its X-Forwarded-* count. */
  readonly proxied: boolean
  /** Whether the caller reached the proxy over TLS, where a PROXY header says so. */
  readonly proxyTls: boolean | undefined
  exchange: Exchange | undefined
  /** Pipelined requests that wait for the one being answered. */
  readonly waiting: WaitingRequest[] = []
  /** Characters in their headers. */
  waitingText = 0
  /** Bytes arrived that are no HTTP: nothing more can be read from here. */
  broken = false
  /** It began with what is known no more of whose certificates are good: no further request is taken from it. */
  outdated = false
  /** Set while a body is being received: ends that with an error of ours. */
  cut: ((error: StorageError) => void) | undefined
  authenticated: Authenticated | undefined
  /** Whose connection this counts as. */
  owner: string | undefined
  readonly #closed = new AbortController()

  constructor(
    socket: Socket,
    listener: ListenerTraits,
    facts: { readonly peer: string; readonly proxied: boolean; readonly proxyTls: boolean | undefined },
  ) {
    this.socket = socket
    this.listener = listener
    this.peer = facts.peer
    this.proxied = facts.proxied
    this.proxyTls = facts.proxyTls
  }

  /** Aborts when the caller goes away: one signal for all calls, which come one after the other. */
  get signal(): AbortSignal {
    return this.#closed.signal
  }

  wait(next: WaitingRequest): void {
    this.waiting.push(next)
    this.waitingText += textOf(next)
  }

  nextWaiting(): WaitingRequest | undefined {
    const next = this.waiting.shift()
    if (next) this.waitingText -= textOf(next)
    return next
  }

  /** The socket has closed. */
  close(): void {
    this.#closed.abort()
    this.waiting.length = 0
  }

  /**
   * Whether nobody on the way can read what the caller sends: only then a credential is accepted. `insecure` says that
   * nobody can between a proxy and us, and nothing of the way to the proxy.
   */
  isPrivate(forwardedProto: string | undefined): boolean {
    if (this.proxied && forwardedProto !== undefined) return isHttps(forwardedProto)
    return this.proxyTls ?? (this.listener.tls || this.listener.loopback || this.listener.insecure)
  }

  /** Whether the caller speaks TLS, to us or to the proxy in front. */
  isEncrypted(forwardedProto: string | undefined): boolean {
    if (this.proxied && forwardedProto !== undefined) return isHttps(forwardedProto)
    return this.proxyTls ?? this.listener.tls
  }
}

function isHttps(forwardedProto: string): boolean {
  return forwardedProto.split(',').every((each) => each.trim().toLowerCase() === 'https')
}

function textOf({ request: { url = '', rawHeaders } }: WaitingRequest): number {
  return rawHeaders.reduce((sum, each) => sum + each.length, url.length)
}
