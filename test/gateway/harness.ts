/**
 * A whole gateway in processes of its own, on real directory trees, for tests from outside.
 *
 * Started as root it serves as an ordinary account, as in production; otherwise as whoever runs the tests.
 * Everything it needs lies below one temporary directory, which goes with the test, as do all its processes.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import type { Test } from 'tap'
import { stringify } from 'yaml'
import { createDevelopmentIssuer, type DevelopmentIssuer } from '../../acl/identity/development-issuer.ts'
import type { Ready } from '../../gateway/supervisor.ts'
import { sign } from '../s3-door/signing.ts'
import { accessKeyOf, keepAccessKeys, masterKey } from './access-keys.ts'
import { type Answer, open, type Sent, send } from './http.ts'
import { accountsFile, asRoot, domain, named, password, service, type UserName, userNames } from './people.ts'
import { eventually, familyOf, gone, memoryOf } from './processes.ts'

export interface TestMount {
  /** In the namespace. */
  readonly path: string
  /** Makes the tree; it is given a directory that may be there or not. */
  readonly make?: (top: string) => void
  /** A tree that is there already. */
  readonly root?: string
  readonly enforce?: 'gateway' | 'native'
  /** Further keys of the mount and of its back end, as in the configuration file. */
  readonly more?: Readonly<Record<string, unknown>>
  readonly backend?: Readonly<Record<string, unknown>>
}

export interface GatewayOptions {
  readonly mounts: readonly TestMount[]
  /** 1 by default. */
  readonly workers?: number
  readonly limits?: Readonly<Record<string, unknown>>
  /** Opens the metrics listener. */
  readonly metrics?: boolean
  /** Gives everybody `password`. */
  readonly passwords?: boolean
  /** Of the issuer's tokens with scopes. */
  readonly basePath?: string
  /** Files of secrets beside the configuration file: their names and what they hold. */
  readonly secrets?: Readonly<Record<string, string>>
  /** The section `s3`, to which a listener is added; everybody has an access key then. */
  readonly s3?: Readonly<Record<string, unknown>>
  /** `debug` by default, which tells every request. */
  readonly logLevel?: 'debug' | 'info'
  /** Other top-level keys of the configuration file. */
  readonly more?: Readonly<Record<string, unknown>>
  /** Variables of its environment, besides PATH. */
  readonly environment?: Readonly<Record<string, string>>
}

export interface Asked extends Sent {
  /** Sends this user's token for everything. */
  readonly user?: UserName
  /** Sends this token. */
  readonly token?: string
}

export type Claims = Readonly<Record<string, unknown>>
export type Line = Readonly<Record<string, unknown>>
export type Configuration = Record<string, unknown> & { mounts: Record<string, unknown>[]; accounts: unknown }

export const audience = 'https://gateway.example'
export const issuerUrl = 'https://issuer.lab.example'

/** Starts one; it is stopped and its directory removed with the test. */
export async function startTestGateway(t: Test, options: GatewayOptions): Promise<TestGateway> {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-gateway-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 20 }))
  chmodSync(directory, 0o755)
  const issuer = await createDevelopmentIssuer(join(directory, 'issuer'), issuerUrl)
  const gateway = new TestGateway(directory, issuer, configuration(directory, issuer, options), options.environment)
  t.teardown(() => gateway.kill9())
  for (const mount of options.mounts) mount.make?.(rootOf(directory, mount))
  for (const name of ['state', 'log']) mkdirSync(join(directory, name), { mode: 0o700 })
  writeFileSync(join(directory, 'master.key'), `${masterKey}\n`, { mode: 0o600 })
  if (options.s3) await keepAccessKeys(join(directory, 'state'))
  writeFileSync(join(directory, 'accounts.yaml'), await accountsFile(options.passwords ?? false), { mode: 0o600 })
  for (const [name, secret] of Object.entries(options.secrets ?? {})) {
    writeFileSync(join(directory, name), `${secret}\n`, { mode: 0o600 })
    if (asRoot) lchownSync(join(directory, name), service.uid, service.gid)
    gateway.credentials.add(secret)
  }
  gateway.configure(() => {})
  await gateway.start()
  return gateway
}

function rootOf(directory: string, { path, root }: TestMount): string {
  return root ?? join(directory, `tree${path.replaceAll('/', '-')}`)
}

function configuration(directory: string, issuer: DevelopmentIssuer, options: GatewayOptions): Configuration {
  return {
    domain,
    ...(asRoot && { runAs: service }),
    workers: options.workers ?? 1,
    listen: [{ address: '127.0.0.1', port: 0 }],
    ...(options.metrics && { metrics: { port: 0 } }),
    state: { directory: join(directory, 'state'), masterKeyFile: join(directory, 'master.key') },
    log: { level: options.logLevel ?? 'debug', file: join(directory, 'log/portolan.log') },
    audit: { file: join(directory, 'log/audit.jsonl') },
    limits: { shutdownTimeout: '10s', explainPerMinute: 1_000_000, ...options.limits },
    administrators: [named('admin')],
    issuers: [
      {
        issuer: issuer.issuer,
        name: 'lab-issuer',
        keys: { jwksFile: issuer.jwksFile },
        audiences: [audience],
        profile: 'wlcg',
        basePath: options.basePath ?? '/',
        account: 'alice',
      },
    ],
    mapping: userNames.map((name) => ({ issuer: 'lab-issuer', subject: name, account: name })),
    accounts: [{ file: join(directory, 'accounts.yaml') }],
    ...(options.s3 && { s3: { listen: [{ address: '127.0.0.1', port: 0 }], ...options.s3 } }),
    ...options.more,
    mounts: options.mounts.map((mount) => mountOf(directory, mount)),
  }
}

/** A mount of a configuration, its tree below `directory`. */
export function mountOf(directory: string, mount: TestMount): Record<string, unknown> {
  const { path, enforce = 'gateway', more, backend } = mount
  const acl = enforce === 'native' ? {} : { acl: ['xattr'] }
  return { path, enforce, backend: { type: 'posix', root: rootOf(directory, mount), ...acl, ...backend }, ...more }
}

export class TestGateway {
  readonly directory: string
  readonly configFile: string
  /** Every token and password that was made for it. */
  readonly credentials = new Set<string>([password])
  readonly issuer: DevelopmentIssuer
  readonly #config: Configuration
  readonly #environment: Readonly<Record<string, string>>
  readonly #tokens = new Map<UserName, string>()
  #process: ChildProcess | undefined
  #ended: Promise<number | null> = Promise.resolve(null)
  #ready: Ready | undefined
  /** What it printed on standard error. */
  stderr = ''

  constructor(
    directory: string,
    issuer: DevelopmentIssuer,
    config: Configuration,
    environment: Readonly<Record<string, string>> = {},
  ) {
    this.#environment = environment
    this.directory = directory
    this.configFile = join(directory, 'portolan.yaml')
    this.issuer = issuer
    this.#config = config
  }

  /** Starts it, also once more after `stop` or `kill9`; the port is another one then. */
  async start(): Promise<void> {
    const program = join(import.meta.dirname, 'program.ts')
    const child = spawn(process.execPath, [program, this.configFile], {
      cwd: '/',
      env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE, ...this.#environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.#process = child
    this.stderr = ''
    child.stderr.on('data', (chunk) => {
      this.stderr += String(chunk)
    })
    this.#ended = once(child, 'exit').then(([code]) => code as number | null)
    const lines = createInterface(child.stdout)
    const [first] = await Promise.race([once(lines, 'line'), this.#ended.then(() => [undefined])])
    if (typeof first !== 'string') throw new Error(`the gateway did not start: ${this.stderr}${this.logText()}`)
    this.#ready = JSON.parse(first) as Ready
  }

  get pid(): number {
    return this.#process?.pid ?? -1
  }

  get port(): number {
    return this.#ready?.addresses[0]?.port ?? -1
  }

  get url(): string {
    return this.#ready?.addresses[0]?.url ?? ''
  }

  /** Of all listeners, in the order of the configuration. */
  get addresses(): Ready['addresses'] {
    return this.#ready?.addresses ?? []
  }

  /** Of the listener for S3. */
  get s3Port(): number {
    return this.#ready?.addresses.find(({ s3 }) => s3)?.port ?? -1
  }

  get s3Url(): string {
    return this.#ready?.addresses.find(({ s3 }) => s3)?.url ?? ''
  }

  get metricsPort(): number {
    return this.#ready?.metrics?.port ?? -1
  }

  /** Where a mount's tree lies. */
  tree(mount: string): string {
    return rootOf(this.directory, { path: mount })
  }

  /** A token of that user; with `scope` one bound by it, and other claims as given. */
  async token(user: UserName, claims: Claims = {}): Promise<string> {
    const standing = { sub: user, aud: audience, 'wlcg.ver': '1.0', scope: 'openid' }
    const token = await this.issuer.sign({ ...standing, ...claims })
    this.credentials.add(token)
    return token
  }

  async request(asked: Asked): Promise<Answer> {
    return send(this.port, { ...asked, headers: await this.#headers(asked) })
  }

  /** The answer with its body still to come. */
  async open(asked: Asked): Promise<IncomingMessage> {
    return open(this.port, { ...asked, headers: await this.#headers(asked) })
  }

  get(path: string, user?: UserName, headers: Sent['headers'] = {}): Promise<Answer> {
    return this.request({ path, headers, ...(user && { user }) })
  }

  put(path: string, user: UserName, body: string | Buffer, headers: Sent['headers'] = {}): Promise<Answer> {
    return this.request({ method: 'PUT', path, user, body, headers })
  }

  /** At the listener for S3; with `user` signed with his access key. */
  s3({ user, token: _token, headers = {}, ...sent }: Asked): Promise<Answer> {
    const { method = 'GET', path, body } = sent
    const plain = { host: `127.0.0.1:${this.s3Port}`, ...(headers as Record<string, string>) }
    const bytes = body instanceof Readable ? undefined : body
    const payload = bytes === undefined && body !== undefined ? 'UNSIGNED-PAYLOAD' : undefined
    const more = payload === undefined ? {} : { payload }
    const signing = user && { method, target: path, headers: plain, body: bytes, key: accessKeyOf(user), ...more }
    return send(this.s3Port, { ...sent, headers: signing ? sign(signing).headers : plain })
  }

  /** GET below /.portolan/api/v1/, such as `explain`, with a query. */
  api(name: string, query: Readonly<Record<string, string>>, user?: UserName): Promise<Answer> {
    return this.get(`/.portolan/api/v1/${name}?${new URLSearchParams(query)}`, user)
  }

  /** A connection to write requests on byte by byte. */
  async connect(): Promise<Socket> {
    const socket = connect(this.port, '127.0.0.1')
    await once(socket, 'connect')
    return socket
  }

  /** The token that `request` sends for a user. */
  async standingToken(user: UserName): Promise<string> {
    const known = this.#tokens.get(user) ?? (await this.token(user))
    this.#tokens.set(user, known)
    return known
  }

  auditText(): string {
    return this.#read('audit.jsonl')
  }

  logText(): string {
    return this.#read('portolan.log')
  }

  /** The audit line of a call, by the X-Request-Id of its answer. */
  async auditOf({ headers }: Pick<Answer, 'headers'>): Promise<Line> {
    const id = headers['x-request-id']
    return this.#line(
      () => this.auditText(),
      0,
      (line) => line.call === id,
      `no audit line of call ${String(id)}`,
    )
  }

  /** A line of the log with this message, after the first `from` characters. */
  logged(message: string, from = 0): Promise<Line> {
    return this.#line(
      () => this.logText(),
      from,
      ({ msg }) => msg === message,
      `no "${message}" in the log`,
    )
  }

  /** Changes the configuration file; it is read at the next start or reload. */
  configure(change: (config: Configuration) => void): void {
    change(this.#config)
    this.write(stringify(this.#config, { aliasDuplicateObjects: false }))
  }

  /** Puts any text in the place of the configuration file. */
  write(text: string): void {
    writeFileSync(this.configFile, text)
    if (asRoot) this.#giveToService()
  }

  /** SIGHUP. Gives the line that says what became of it. */
  async reload(): Promise<Line> {
    const from = this.logText().length
    this.#process?.kill('SIGHUP')
    const outcomes = [
      'the configuration was taken over',
      'bad configuration; the old one stays',
      'workers did not take the configuration over; the old one stays',
      'the configuration was not taken over; the old one stays',
    ]
    return this.#line(
      () => this.logText(),
      from,
      ({ msg }) => outcomes.includes(String(msg)),
      'SIGHUP had no outcome',
    )
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal)
  }

  /** The exit status, when it has ended. */
  get ended(): Promise<number | null> {
    return this.#ended
  }

  /** SIGTERM. Throws unless it ends in time, with status 0, and leaves no process behind. */
  async stop(): Promise<void> {
    const family = this.pids()
    this.#process?.kill('SIGTERM')
    const status = await this.#ended
    await gone(family)
    this.#process = undefined
    if (status !== 0) throw new Error(`the gateway ended with ${status}: ${this.stderr}`)
  }

  /** SIGKILL to all of its processes, the one that would replace the others first. Harmless twice. */
  async kill9(): Promise<void> {
    const family = this.#process ? this.pids() : []
    this.#process = undefined
    for (const pid of family) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It has ended by itself meanwhile.
      }
    }
    await this.#ended
    await gone(family)
  }

  /** The supervisor and its workers. */
  pids(): number[] {
    return familyOf(this.pid)
  }

  /** Bytes of all its processes together. */
  memory(): number {
    return memoryOf(this.pids())
  }

  async #headers({ headers = {}, user, token }: Asked): Promise<OutgoingHttpHeaders> {
    const bearer = token ?? (user && (await this.standingToken(user)))
    return bearer === undefined ? headers : { ...headers, Authorization: `Bearer ${bearer}` }
  }

  #read(name: string): string {
    try {
      return readFileSync(join(this.directory, 'log', name), 'utf8')
    } catch {
      // Nothing was written yet.
      return ''
    }
  }

  /** Lines are written some milliseconds after what they tell. */
  async #line(read: () => string, from: number, test: (line: Line) => boolean, what: string): Promise<Line> {
    let found: Line | undefined
    const look = () => {
      const lines = read().slice(from).split('\n').slice(0, -1)
      found = lines.map((line) => JSON.parse(line) as Line).find(test)
      return found !== undefined
    }
    await eventually(look, 30_000, what)
    return found ?? {}
  }

  /** What it reads and writes as the account that it becomes. The trees have their owners already. */
  #giveToService(): void {
    const give = (path: string) => lchownSync(path, service.uid, service.gid)
    for (const name of ['state', 'log', 'issuer', 'accounts.yaml', 'master.key', 'portolan.yaml']) {
      const path = join(this.directory, name)
      give(path)
      if (!name.includes('.')) for (const inner of readdirSync(path)) give(join(path, inner))
    }
  }
}

/** Why a test of the `native` grade cannot run, or false. */
export const noNative: string | false = asRoot ? false : 'needs root to start from: the native grade switches users'
