/**
 * The process that owns XRootD's namespaces: `node xrootd-inside.ts`, with InsideOptions as JSON on standard input.
 *
 * XRootD binds to every address, so it lives in a network of its own, of which nothing but a Unix socket is seen
 * outside. This is the first process in its PID namespace: when it ends, the kernel ends XRootD too.
 */

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createTlsServer } from 'node:https'
import { createConnection, createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

export interface InsideOptions {
  /** XRootD's configuration. */
  readonly config: string
  readonly log: string
  /** Where it speaks HTTP, in here. */
  readonly port: number
  /** The Unix socket that leads to it. */
  readonly socket: string
  /** A token issuer served in here over https: its documents by path. */
  readonly issuer?: IssuerOptions
  /** A port in here that leads to a Unix socket, behind which is a server out there. */
  readonly outward?: { readonly port: number; readonly socket: string }
}

export interface IssuerOptions {
  readonly port: number
  readonly key: string
  readonly cert: string
  readonly documents: Readonly<Record<string, unknown>>
  /** Shown to XRootD instead of the machine's bundle of certificate authorities. */
  readonly bundle: string
}

const lines = createInterface({ input: process.stdin })
const closed = once(lines, 'close')
const [line] = (await once(lines, 'line')) as [string]
const options = JSON.parse(line) as InsideOptions

run('ip', ['link', 'set', 'lo', 'up'])
if (options.issuer) {
  const { key, cert, documents, port, bundle } = options.issuer
  run('mount', ['--make-rprivate', '/'])
  run('mount', ['--bind', bundle, '/etc/ssl/certs/ca-certificates.crt'])
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
    const document = documents[request.url ?? '']
    response.writeHead(document ? 200 : 404, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify(document ?? {}))
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
}

if (options.outward) {
  const { port, socket } = options.outward
  const server = createServer((inside) => join(inside, createConnection(socket)))
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
}

const xrootd = spawn('xrootd', ['-R', 'xrootd', '-c', options.config, '-l', options.log, '-n', 'peer', '-I', 'v4'], {
  stdio: ['ignore', 'ignore', 'ignore'],
})
const ended = once(xrootd, 'exit')
if (!(await Promise.race([answers(options.port), ended.then(() => false)]))) process.exit(1)

const relay = createServer((outside) => join(outside, createConnection(options.port, '127.0.0.1')))
relay.listen(options.socket)
await once(relay, 'listening')
process.stdout.write('ready\n')
await Promise.race([closed, ended])
process.exit(0)

function run(command: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`)
}

/** True as soon as something listens; false after 20 s. */
async function answers(port: number): Promise<boolean> {
  for (let tries = 0; tries < 400; tries++) {
    const socket = createConnection(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return true
    } catch {
      // XRootD tells nobody when it is ready, so it is asked again.
      await sleep(50)
    } finally {
      socket.destroy()
    }
  }
  return false
}

function join(a: Socket, b: Socket): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.pipe(to)
    from.on('error', () => to.destroy())
    from.on('close', () => to.destroy())
  }
}
