/** Debian's XRootD with its HTTP plugin, a real grid server, for tests. */

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Transform } from 'node:stream'
import type { InsideOptions, IssuerOptions } from './xrootd-inside.ts'

/** Ports in the server's own network, where nobody else is. */
const ports = { xroot: 1094, http: 8080, issuer: 8443, outward: 9090 } as const

/** What a port outside is called in the server's own network. */
export const xrootdOutward = `http://localhost:${ports.outward}`

/** The issuer that the server trusts, as tokens must name it. */
export const xrootdIssuer = `https://localhost:${ports.issuer}`
export const xrootdAudience = 'https://wlcg.cern.ch/jwt/v1/any'

/** Why there can be none here, or false. For `skip`. */
export function noXrootd(): string | false {
  if (process.getuid?.() !== 0) return 'needs root for namespaces and for the user xrootd'
  const missing = ['xrootd', 'unshare', 'ip', 'openssl'].find((name) => spawnSync('which', [name]).status !== 0)
  if (missing !== undefined)
    return `needs the program ${missing} (Debian: xrootd-server, util-linux, iproute2, openssl)`
  if (!library('XrdHttp')) return 'needs the HTTP plugin of XRootD (Debian: xrootd-server-plugins)'
  if (spawnSync('unshare', ['--net', '--mount', '--pid', '--fork', 'true']).status !== 0) return 'needs namespaces'
  return false
}

/** As `noXrootd`, for the mode that checks tokens. */
export function noXrootdTokens(): string | false {
  if (noXrootd()) return noXrootd()
  return library('XrdAccSciTokens') ? false : 'needs xrootd-scitokens-plugins'
}

export interface Xrootd {
  /** Its HTTP door. */
  readonly url: URL
  /** The directory it serves; everything in it is the user xrootd's. */
  readonly data: string
  /** To be trusted, in the mode with https. */
  readonly ca: string | undefined
  /** Also a second time. */
  stop(): Promise<void>
}

export interface XrootdOptions {
  /**
   * XRootD 5.5 writes "Connection: Close" into its "100 Continue" and then goes on on that connection. Node's parser
   * takes it at its word and refuses what follows (HPE_CLOSED_CONNECTION). `mended`: that line is taken out on the way.
   */
  readonly interim?: 'as-is' | 'mended'
  /** Tokens are asked for, by https, and verified with these keys; without them everybody may do everything by http. */
  readonly tokens?: { readonly jwks: unknown; readonly authdb: string }
  /** It copies from and to others, and reaches this port of ours as `xrootdOutward`. */
  readonly thirdParty?: { readonly port: number }
}

/** Starts one; `stop` must be called. */
export async function startXrootd(options: XrootdOptions = {}): Promise<Xrootd> {
  const home = mkdtempSync(join(tmpdir(), 'portolan-xrootd-'))
  const socket = join(home, 'http.sock')
  chmodSync(home, 0o755)
  for (const name of ['data', 'admin', 'run', 'cache']) own(home, name)
  // XRootD 5.5 loads no plugin for COPY where TLS is not set up.
  const tls = options.tokens || options.thirdParty ? makeTls(home) : undefined
  const config = join(home, 'xrootd.cfg')
  writeFileSync(
    config,
    [
      ...common(home),
      ...(options.thirdParty ? [`http.exthandler xrdtpc ${library('XrdHttpTPC')}`] : []),
      ...(tls ? encrypted(home, tls) : []),
      ...(options.tokens ? secured(home, options.tokens.authdb) : open()),
    ].join('\n'),
  )
  const inside: InsideOptions = {
    config,
    log: join(home, 'log'),
    port: ports.http,
    socket,
    ...(options.tokens && tls ? { issuer: issuerOf(options.tokens.jwks, tls) } : {}),
    ...(options.thirdParty ? { outward: { port: ports.outward, socket: join(home, 'outward.sock') } } : {}),
  }
  mkdirSync(join(home, 'peer'))
  chown(join(home, 'peer'))
  const { thirdParty } = options
  const way = thirdParty && inside.outward
  const outward = way
    ? await startRelay(() => createConnection(thirdParty.port, '127.0.0.1'), { listen: way.socket })
    : undefined
  const script = join(import.meta.dirname, 'xrootd-inside.ts')
  const args = ['--net', '--mount', '--pid', '--fork', '--kill-child', process.execPath, script]
  const env = { ...process.env, XDG_CACHE_HOME: join(home, 'cache'), X509_CERT_DIR: join(home, 'tls', 'certificates') }
  const child = spawn('unshare', args, { stdio: ['pipe', 'pipe', 'inherit'], env, cwd: home })
  const exited = once(child, 'exit')
  child.stdin.write(`${JSON.stringify(inside)}\n`)
  const lines = createInterface({ input: child.stdout })
  const [said] = (await Promise.race([once(lines, 'line'), exited])) as [unknown]
  if (said !== 'ready') {
    const log = [join(home, 'peer', 'log'), join(home, 'log')].find(existsSync)
    const tail = log === undefined ? '' : readFileSync(log, 'utf8').split('\n').slice(-20).join('\n')
    rmSync(home, { recursive: true, force: true })
    throw new Error(`XRootD did not start:\n${tail}`)
  }
  const relay = await startRelay(() => createConnection(socket), { mends: options.interim === 'mended' })
  let stopped: Promise<void> | undefined
  const stop = async () => {
    await relay.close()
    await outward?.close()
    child.stdin.end()
    await exited
    rmSync(home, { recursive: true, force: true })
  }
  return {
    url: new URL(`${options.tokens ? 'https' : 'http'}://localhost:${relay.port}/`),
    data: join(home, 'data'),
    ca: tls?.ca,
    stop() {
      stopped ??= stop()
      return stopped
    },
  }
}

interface RelayOptions {
  /** A Unix socket; a free TCP port of loopback if absent. */
  readonly listen?: string
  readonly mends?: boolean
}

/** A port or socket that leads on. `port` is 0 for a socket. */
async function startRelay(
  lead: () => Socket,
  { listen, mends }: RelayOptions,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const inner = lead()
    for (const [from, to] of [
      [client, inner],
      [inner, client],
    ] as const) {
      sockets.add(from)
      if (mends && from === inner) from.pipe(mending()).pipe(to)
      else from.pipe(to)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  })
  if (listen === undefined) server.listen(0, '127.0.0.1')
  else server.listen({ path: listen, writableAll: true })
  await once(server, 'listening')
  return {
    port: listen === undefined ? (server.address() as AddressInfo).port : 0,
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

const interim = Buffer.from('HTTP/1.1 100 Continue\r\n')
const closing = 'Connection: Close\r\n'

/** The interim answer comes in a packet of its own. */
function mending(): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const isWrong = chunk.subarray(0, interim.length).equals(interim)
      done(null, isWrong ? Buffer.from(chunk.toString('latin1').replace(closing, ''), 'latin1') : chunk)
    },
  })
}

function common(home: string): string[] {
  return [
    'all.export /',
    `all.adminpath ${join(home, 'admin')}`,
    `all.pidpath ${join(home, 'run')}`,
    'all.sitename portolan',
    `oss.localroot ${join(home, 'data')}`,
    `xrd.port ${ports.xroot}`,
    'xrd.network nodnr norpipa',
    'xrd.maxfd 4096',
    'xrootd.async off',
    'xrootd.chksum max 2 adler32 md5 crc32c',
    `xrd.protocol http:${ports.http} ${library('XrdHttp')}`,
    'http.listingdeny no',
  ]
}

function open(): string[] {
  return ['http.desthttps no', '']
}

interface TlsFiles {
  readonly key: string
  readonly cert: string
  readonly bundle: string
  /** PEM. */
  readonly ca: string
}

function encrypted(home: string, tls: TlsFiles): string[] {
  return [`xrd.tls ${tls.cert} ${tls.key}`, `xrd.tlsca certdir ${join(home, 'tls', 'certificates')}`]
}

function secured(home: string, authdb: string): string[] {
  const scitokens = join(home, 'scitokens.cfg')
  const rights = join(home, 'authdb')
  writeFileSync(rights, authdb)
  writeFileSync(
    scitokens,
    `[Global]\nonmissing = passthrough\naudience = ${xrootdAudience}\n` +
      `[Issuer portolan]\nissuer = ${xrootdIssuer}\nbase_path = /\nmap_subject = true\ndefault_user = xrootd\n`,
  )
  return [
    'http.desthttps yes',
    'http.header2cgi Authorization authz',
    'ofs.authorize 1',
    `ofs.authlib ++ ${library('XrdAccSciTokens')} config=${scitokens}`,
    `acc.authdb ${rights}`,
    'scitokens.trace all',
    '',
  ]
}

function issuerOf(jwks: unknown, { key, cert, bundle }: TlsFiles): IssuerOptions {
  const about = { issuer: xrootdIssuer, jwks_uri: `${xrootdIssuer}/jwks` }
  const documents = {
    '/.well-known/openid-configuration': about,
    '/.well-known/oauth-authorization-server': about,
    '/jwks': jwks,
  }
  return { port: ports.issuer, key, cert, documents, bundle }
}

/** A certificate for "localhost" and the authority behind it, which is good for a day. */
function makeTls(home: string): TlsFiles {
  const directory = join(home, 'tls')
  const file = (name: string) => join(directory, name)
  mkdirSync(file('certificates'), { recursive: true })
  const openssl = (...args: string[]) => {
    const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(stderr)
  }
  const ca = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign']
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl(
    'req',
    '-x509',
    ...curve,
    '-days',
    '1',
    '-subj',
    '/CN=throwaway',
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca.pem'),
    ...ca,
  )
  openssl(
    'req',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-subj',
    '/CN=localhost',
    '-keyout',
    file('key.pem'),
    '-out',
    file('req.pem'),
  )
  writeFileSync(file('ext'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n')
  const signing = [
    '-CA',
    file('ca.pem'),
    '-CAkey',
    file('ca.key'),
    '-CAcreateserial',
    '-days',
    '1',
    '-extfile',
    file('ext'),
  ]
  openssl('x509', '-req', '-in', file('req.pem'), ...signing, '-out', file('cert.pem'))
  const pem = readFileSync(file('ca.pem'), 'utf8')
  writeFileSync(join(file('certificates'), 'ca.pem'), pem)
  openssl('rehash', file('certificates'))
  const system = '/etc/ssl/certs/ca-certificates.crt'
  writeFileSync(file('bundle.crt'), (existsSync(system) ? readFileSync(system, 'utf8') : '') + pem)
  for (const name of ['key.pem', 'cert.pem']) chown(file(name))
  chmodSync(file('key.pem'), 0o600)
  return { key: file('key.pem'), cert: file('cert.pem'), bundle: file('bundle.crt'), ca: pem }
}

/** A plugin of XRootD, where Debian puts it. */
function library(name: string): string | undefined {
  const triplet = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'
  const path = `/usr/lib/${triplet}/lib${name}-5.so`
  return existsSync(path) ? path : undefined
}

function own(home: string, name: string): void {
  mkdirSync(join(home, name))
  chown(join(home, name))
}

/** To the user xrootd, as whom the server runs. */
function chown(path: string): void {
  const [, , uid, gid] = (/^xrootd:.*$/m.exec(readFileSync('/etc/passwd', 'utf8'))?.[0] ?? '').split(':')
  if (uid === undefined || gid === undefined) throw new Error('there is no user xrootd')
  chownSync(path, Number(uid), Number(gid))
}
