/** Sockets of one listener: plain or TLS, with or without a PROXY header in front. */

import { constants } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, type BlockList, createServer, isIP, type Server, type Socket } from 'node:net'
import { createSecureContext, createServer as createTlsServer, type Server as TlsServer } from 'node:tls'
import { StorageError } from '../core/errors.ts'
import { readAuthorities, ToldCertificates } from './client-certificate.ts'
import { Connection, type ListenerTraits } from './connection.ts'
import { isTrusted, parseProxies, plainAddress } from './forwarded.ts'
import type { ListenerOptions } from './options.ts'
import { type ProxiedPeer, receiveProxyHeader } from './proxy-protocol.ts'

export interface ListenerContext {
  readonly proxies: BlockList
  /** For the PROXY header and the TLS handshake, ms. */
  readonly handshakeTimeout: number
  readonly maxConnections: number
  /** A connection that is ready to speak HTTP. */
  accept(connection: Connection): void
}

export interface ListenerAddress {
  readonly address: string
  readonly port: number
  readonly tls: boolean
  /** As seen from here; wildcard addresses as loopback. */
  readonly url: string
}

export interface Listener {
  listen(): Promise<ListenerAddress>
  /** Reads certificate and key; call what it gives to use them from now on. Throws `invalid` and keeps the old ones. */
  readTls(): Promise<() => void>
  /** Accepts nothing more; connections stay. */
  stop(): void
}

/** Throws `invalid` for plain HTTP off loopback without `insecure`. */
export async function createListener(options: ListenerOptions, context: ListenerContext): Promise<Listener> {
  const told = options.proxyCertificates && new ToldCertificates(options.proxyCertificates)
  const useTold = await told?.read()
  useTold?.()
  const traits = traitsOf(options, told)
  if (!traits.tls && !traits.loopback && !traits.insecure) {
    const text = `plain HTTP on ${options.address} needs insecure: true, or TLS`
    throw new StorageError('invalid', text)
  }
  const secure = options.tls ? createTls(options.tls, await readPair(options.tls), context, traits) : undefined
  const raw = !secure || options.proxyProtocol ? createPlain(options, context, traits, secure) : undefined
  const front = raw ?? secure?.server
  if (!front) throw new StorageError('internal', 'a listener without a server')
  front.maxConnections = context.maxConnections
  return {
    listen: () => listen(front, options),
    readTls: async () => {
      const pair = options.tls && (await readPair(options.tls))
      const swapTold = await told?.read()
      return () => {
        if (pair) secure?.use(pair)
        swapTold?.()
      }
    },
    stop: () => {
      front.close()
      if (raw && secure) secure.server.close()
    },
  }
}

function traitsOf({ address, tls, insecure, s3 }: ListenerOptions, told: ToldCertificates | undefined): ListenerTraits {
  return {
    ...{ tls: tls !== undefined, loopback: isLoopback(address), insecure: insecure === true, s3: s3 === true },
    clientCertificates: tls?.clientCertificates !== undefined,
    ...(told && { told }),
  }
}

const loopback = parseProxies(['127.0.0.0/8', '::1'])

/** Whether only this machine can connect to `address`. */
export function isLoopback(address: string): boolean {
  return address === 'localhost' || isTrusted(loopback, plainAddress(address))
}

/** As node:http sets them: a sender that has finished sending still gets its answer. */
const socketOptions = { noDelay: true, allowHalfOpen: true } as const

type TlsFiles = NonNullable<ListenerOptions['tls']>

interface KeyPair {
  readonly cert: Buffer
  readonly key: Buffer
  /** Whose certificates callers may show, and which of these are revoked. */
  readonly ca?: Buffer
  readonly crl?: Buffer
  readonly secureOptions?: number
}

/** Reads and tries the pair, so that a wrong one is found before it is used. */
async function readPair({ certificate, key: keyFile, clientCertificates }: TlsFiles): Promise<KeyPair> {
  const asked = clientCertificates && (await readAsked(clientCertificates))
  try {
    const [cert, key] = await Promise.all([readFile(certificate), readFile(keyFile)])
    createSecureContext({ cert, key })
    return { cert, key, ...asked }
  } catch (cause) {
    throw new StorageError('invalid', `the TLS certificate or key cannot be used: ${certificate}`, { cause })
  }
}

async function readAsked({ ca: file, crl: list }: NonNullable<TlsFiles['clientCertificates']>) {
  await readAuthorities(file)
  try {
    const [ca, crl] = await Promise.all([readFile(file), list === undefined ? undefined : readFile(list)])
    createSecureContext({ ca, crl })
    // A session that is taken up again is not checked again, neither against time nor the list of revoked ones; nor is
    // a certificate that is shown later on a connection of TLS 1.2.
    const secureOptions = constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION
    return { ca, ...(crl && { crl }), secureOptions }
  } catch (cause) {
    throw new StorageError('invalid', `the authorities of callers cannot be used: ${file}`, { cause })
  }
}

interface Secure {
  readonly server: TlsServer
  /** For connections from now on; where callers show certificates, also for those whose handshake is under way. */
  use(pair: KeyPair): void
  /** What a PROXY header said of the raw connection below. */
  expect(socket: Socket, peer: ProxiedPeer): void
}

function createTls(
  { clientCertificates }: TlsFiles,
  pair: KeyPair,
  context: ListenerContext,
  traits: ListenerTraits,
): Secure {
  const told = new Map<string, ProxiedPeer>()
  const options = {
    ...pair,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: context.handshakeTimeout,
    requestCert: clientCertificates !== undefined,
    // A bad one is a refusal that says so, to whoever has nothing better to show.
    rejectUnauthorized: clientCertificates?.required === true,
    ...socketOptions,
  } as const
  /** How often the files were changed when a connection began, which is checked by what they said then. */
  const begun = new Map<string, number>()
  let changes = 0
  const server = createTlsServer(options, (socket) => {
    const end = endOf(socket)
    const isOutdated = clientCertificates !== undefined && begun.get(end) !== changes
    begun.delete(end)
    if (isOutdated) return void socket.destroy()
    handOver(socket, told.get(end), context, traits)
  })
  server.on('connection', (socket: Socket) => {
    if (!clientCertificates) return
    const end = endOf(socket)
    begun.set(end, changes)
    socket.once('close', () => begun.delete(end))
  })
  // A client that gives up, speaks something else, or nothing in time: Node.js leaves the last one's socket open.
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  return {
    server,
    use: (next) => {
      changes++
      server.setSecureContext(next)
    },
    expect: (socket, peer) => {
      const end = endOf(socket)
      told.set(end, peer)
      socket.once('close', () => told.delete(end))
    },
  }
}

/** The two ends of a TLS socket are those of the socket below it, and no two open ones are equal. */
function endOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`
}

function createPlain(
  options: ListenerOptions,
  context: ListenerContext,
  traits: ListenerTraits,
  secure: Secure | undefined,
): Server {
  return createServer(socketOptions, (socket) => {
    if (!options.proxyProtocol) return handOver(socket, undefined, context, traits)
    // From here until someone else takes over, a reset must not be an uncaught error.
    socket.on('error', () => {})
    if (!isTrusted(context.proxies, plainAddress(socket.remoteAddress ?? ''))) return void socket.destroy()
    void receiveProxyHeader(socket, context.handshakeTimeout).then((peer) => {
      if (!peer) return
      if (!secure) return handOver(socket, peer, context, traits)
      secure.expect(socket, peer)
      secure.server.emit('connection', socket)
    })
  })
}

function handOver(
  socket: Socket,
  told: ProxiedPeer | undefined,
  context: ListenerContext,
  traits: ListenerTraits,
): void {
  if (socket.destroyed) return
  const peer = plainAddress(told?.address ?? socket.remoteAddress ?? '')
  const facts = { peer, proxied: isTrusted(context.proxies, peer), proxyTls: told?.tls }
  context.accept(new Connection(socket, traits, facts))
}

async function listen(server: Server, options: ListenerOptions): Promise<ListenerAddress> {
  try {
    server.listen({ host: options.address, port: options.port })
    await once(server, 'listening')
  } catch (cause) {
    throw new StorageError('unavailable', `${options.address} port ${options.port} cannot be listened on`, { cause })
  }
  const { address, port } = server.address() as AddressInfo
  const tls = options.tls !== undefined
  const reachable = address === '::' ? '::1' : address === '0.0.0.0' ? '127.0.0.1' : address
  const host = isIP(reachable) === 6 ? `[${reachable}]` : reachable
  return { address, port, tls, url: `${tls ? 'https' : 'http'}://${host}:${port}` }
}
