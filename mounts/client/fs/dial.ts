/** Connections to one gateway: TCP, and TLS where the address says so. */

import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net'
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls'
import { StorageError } from '../../../gateway/core/errors.ts'
import { connectionError } from '../errors.ts'
import { authorities, requireGateway } from '../trust.ts'

/** Milliseconds of silence after which the other side is asked whether it is still there. */
const silence = 15_000

export interface DialOptions {
  /** Scheme, host and port of the gateway. */
  readonly origin: URL
  /** PEM of the authorities to trust instead of the usual ones. */
  readonly ca?: string | undefined
}

export interface DialTerms {
  /** Milliseconds until the connection must be usable. */
  readonly limit: number
  readonly signal?: AbortSignal | undefined
  /** Where what arrives is put; events of the socket tell it if absent. */
  readonly onread?: OnReadOpts
}

export class Dialer {
  readonly origin: URL
  /** For the header Host. */
  readonly host: string
  /** Bytes of bodies that all connections together have carried: what one of them may have had to wait for. */
  carried = 0
  readonly #ca: string | undefined
  readonly #address: { readonly host: string; readonly port: number }
  #context: SecureContext | undefined
  /** Of the last connection: the next handshake is shorter by it. */
  #ticket: Buffer | undefined

  /** Throws `invalid` for what is no address of a gateway. */
  constructor({ origin, ca }: DialOptions) {
    requireGateway(origin)
    this.origin = origin
    this.host = origin.host
    this.#ca = ca
    const usual = origin.protocol === 'https:' ? 443 : 80
    const host = origin.hostname.replace(/^\[|\]$/g, '')
    this.#address = { host, port: origin.port === '' ? usual : Number(origin.port) }
  }

  /** The name is looked up each time. Throws `unavailable`, `timeout` or `cancelled`. */
  async dial({ limit, signal, onread }: DialTerms): Promise<Socket> {
    if (signal?.aborted) throw new StorageError('cancelled', 'interrupted')
    const socket = this.#open(onread)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const abort = () => reject(new StorageError('cancelled', 'interrupted'))
    const late = () => reject(new StorageError('timeout', `${this.origin.origin}: no connection in time`))
    const timer = setTimeout(late, limit)
    signal?.addEventListener('abort', abort, { once: true })
    socket.once(this.origin.protocol === 'https:' ? 'secureConnect' : 'connect', resolve)
    // It stays: after the connection stands, `close` tells what there is to tell.
    socket.on('error', (error) => reject(connectionError(error, this.origin.origin)))
    socket.once('close', () => reject(connectionError({ code: 'ECONNRESET' }, this.origin.origin)))
    try {
      await promise
      return socket
    } catch (error) {
      socket.destroy()
      throw error
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
  }

  #open(onread: OnReadOpts | undefined): Socket {
    const standing = {
      ...this.#address,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: silence,
      ...(onread && { onread }),
    }
    if (this.origin.protocol === 'http:') return connectTcp(standing)
    this.#context ??= createSecureContext({ ca: authorities(this.#ca) })
    const { host } = this.#address
    const socket = connectTls({
      ...standing,
      secureContext: this.#context,
      ALPNProtocols: ['http/1.1'],
      // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
      rejectUnauthorized: true,
      ...(isIP(host) === 0 && { servername: host }),
      ...(this.#ticket && { session: this.#ticket }),
    })
    socket.on('session', (ticket: Buffer) => {
      this.#ticket = ticket
    })
    return socket
  }
}
