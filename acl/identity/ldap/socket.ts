/**
 * A connection to a directory, up to the point where LDAP may be spoken on it: with TLS where the server is not on
 * loopback, its certificate and name verified. StartTLS is done here and not by the library: what a stranger sends in the
 * clear behind the answer must not be taken for something that came over TLS.
 */

import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { isIP, connect as netConnect, type Socket } from 'node:net'
import { type TLSSocket, connect as tlsConnect } from 'node:tls'
import { BerReader } from 'ldapts'
import { LdapFailure } from './failure.ts'

export interface ServerAddress {
  /** As configured, for people. */
  readonly url: string
  readonly host: string
  readonly port: number
  readonly tls: 'at-once' | 'start' | 'none'
}

export interface SocketOptions {
  /** File of PEM certificates trusted instead of the system's. */
  readonly ca?: string
  /** Milliseconds for all of it. */
  readonly deadline: number
}

/** Undefined for what is no address of a directory. `ldap://` and `ldaps://` with host and port, nothing behind. */
export function parseServer(url: string, startTls: boolean): ServerAddress | undefined {
  const [, scheme, host = '', port] = /^(ldaps?):\/\/([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?\/?$/i.exec(url) ?? []
  if (scheme === undefined) return undefined
  const isSecure = scheme.toLowerCase() === 'ldaps'
  const number = Number(port ?? (isSecure ? 636 : 389))
  if (number < 1 || number > 65_535) return undefined
  const plain = startTls ? 'start' : 'none'
  return { url, host: host.replace(/^\[|\]$/g, ''), port: number, tls: isSecure ? 'at-once' : plain }
}

/** Whether only this machine can listen in. */
export function isLocal({ host }: ServerAddress): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** Throws LdapFailure and leaves nothing open. */
export async function openSocket(address: ServerAddress, { ca, deadline }: SocketOptions): Promise<Socket> {
  const signal = AbortSignal.timeout(deadline)
  const trusted = address.tls === 'none' || ca === undefined ? undefined : await certificates(ca)
  const raw = netConnect({ host: address.host, port: address.port, noDelay: true, keepAlive: true })
  // Whoever waits for something hears of failures by himself; in between nobody does.
  raw.on('error', () => {})
  try {
    await once(raw, 'connect', { signal })
    if (address.tls === 'none') return raw
    if (address.tls === 'start') await startTls(raw, signal)
    return await secured(raw, { host: address.host, ca: trusted, signal })
  } catch (error) {
    raw.destroy()
    if (error instanceof LdapFailure) throw error
    if (signal.aborted) throw new LdapFailure('deadline', `no connection within ${deadline} ms`, error)
    throw new LdapFailure('connection', `no connection (${codeOf(error)})`, error)
  }
}

async function certificates(file: string): Promise<string> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw new LdapFailure('tls', `the certificates in ${file} cannot be read (${codeOf(error)})`, error)
  }
  // An empty text would mean the system's authorities.
  if (!/-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/.test(text)) throw new LdapFailure('tls', `${file} holds no certificates`)
  return text
}

interface TlsTerms {
  readonly host: string
  readonly ca: string | undefined
  readonly signal: AbortSignal
}

async function secured(raw: Socket, { host, ca, signal }: TlsTerms): Promise<TLSSocket> {
  const name = isIP(host) === 0 ? { servername: host } : {}
  // Said aloud, since the environment can turn the default off.
  const checks = { rejectUnauthorized: true, minVersion: 'TLSv1.2', ...(ca !== undefined && { ca }) } as const
  const socket = tlsConnect({ socket: raw, host, ...name, ...checks })
  socket.on('error', () => {})
  try {
    await once(socket, 'secureConnect', { signal })
  } catch (error) {
    socket.destroy()
    if (signal.aborted) throw error
    throw new LdapFailure('tls', `its certificate or its TLS is not accepted (${codeOf(error)})`, error)
  }
  socket.once('close', () => raw.destroy())
  return socket
}

/** ExtendedRequest 1.3.6.1.4.1.1466.20037 with message id 1 (RFC 4511, section 4.14). */
const startTlsRequest = Buffer.concat([
  Buffer.from('301d02010177188016', 'hex'),
  Buffer.from('1.3.6.1.4.1.1466.20037', 'latin1'),
])
const extendedResponse = 0x78
const maxAnswer = 4096

/** Nothing but one answer may have come when this returns: the next byte belongs to TLS. */
async function startTls(socket: Socket, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let received = Buffer.alloc(0)
  const take = (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    try {
      if (isWholeAnswer(received)) resolve()
    } catch (error) {
      reject(error)
    }
  }
  const fail = (error?: unknown) =>
    reject(new LdapFailure('connection', `it went away before TLS (${codeOf(error)})`, error))
  const abort = () => reject(signal.reason)
  socket.on('data', take).once('error', fail).once('close', fail)
  signal.addEventListener('abort', abort, { once: true })
  try {
    socket.write(startTlsRequest)
    await promise
  } finally {
    socket.off('data', take).off('error', fail).off('close', fail)
    signal.removeEventListener('abort', abort)
  }
}

/** False while more is to come. Throws LdapFailure for an answer that is not a plain yes. */
function isWholeAnswer(received: Buffer): boolean {
  if (received.length > maxAnswer) throw new LdapFailure('tls', 'the answer to StartTLS is too long')
  try {
    const reader = new BerReader(received)
    const tag = reader.readSequence()
    if (tag === null || reader.length > reader.remain) {
      if (received.length > 0 && received[0] !== 0x30) throw new LdapFailure('tls', 'it does not speak LDAP')
      return false
    }
    // A stranger on the way can put bytes here, and nowhere else.
    if (reader.remain > reader.length) throw new LdapFailure('tls', 'more than one answer came to StartTLS')
    if (reader.readInt() !== 1 || reader.readSequence() !== extendedResponse) {
      throw new LdapFailure('tls', 'the answer to StartTLS is another one')
    }
    const result = reader.readEnumeration()
    if (result !== 0) throw new LdapFailure('tls', `it refuses StartTLS (result ${String(result)})`)
    return true
  } catch (error) {
    if (error instanceof LdapFailure) throw error
    throw new LdapFailure('tls', 'it does not speak LDAP', error)
  }
}

function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as { readonly code?: unknown }
  return typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code) ? code : 'unknown'
}
