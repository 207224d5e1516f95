/**
 * A real KDC for tests: MIT Kerberos (Debian's krb5-kdc, krb5-admin-server and krb5-user), one process for one or more
 * realms. Loopback only, ports by the kernel, everything in a directory of its own, ended by pid.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { answering, freePort } from './ports.ts'

const run = promisify(execFile)

const libraries = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`
/** For LD_PRELOAD, with FAKETIME: a process that takes another time for the present one. */
export const fakeClock = `${libraries}/faketime/libfaketime.so.1`

/** What must be installed, each with a file that shows it. */
const needed = {
  'krb5-kdc': '/usr/sbin/krb5kdc',
  'krb5-admin-server': '/usr/sbin/kadmin.local',
  'krb5-user': '/usr/bin/kinit',
  faketime: fakeClock,
} as const

/** Why no KDC can be started here; false where one can. For `skip`. */
export function noKdc(): string | false {
  const missing = Object.entries(needed).filter(([, file]) => !existsSync(file))
  return missing.length > 0 && `missing Debian packages: ${missing.map(([name]) => name).join(', ')}`
}

export type Environment = Readonly<Record<string, string>>

export interface KdcOptions {
  /** The first one is the default of clients. */
  readonly realms: readonly string[]
  /** Principals with passwords. A realm is part of the name: alice@LAB.EXAMPLE. */
  readonly users?: Readonly<Record<string, string>>
  /** Further lines of `[libdefaults]`, for clients and servers. */
  readonly defaults?: readonly string[]
}

export class Kdc {
  readonly directory: string
  readonly realm: string
  readonly #options: KdcOptions
  readonly #port: number
  #process: ChildProcess | undefined

  private constructor(directory: string, options: KdcOptions, port: number) {
    this.directory = directory
    this.#options = options
    this.#port = port
    this.realm = options.realms[0] ?? ''
  }

  /** Starts one. Whoever starts it stops it. */
  static async start(options: KdcOptions): Promise<Kdc> {
    const directory = mkdtempSync(join(tmpdir(), 'portolan-kdc-'))
    const kdc = new Kdc(directory, options, await freePort())
    try {
      writeFileSync(join(directory, 'krb5.conf'), kdc.#clientConfig())
      writeFileSync(join(directory, 'kdc.conf'), kdc.#config())
      for (const realm of options.realms) {
        const master = randomBytes(16).toString('hex')
        await run('/usr/sbin/kdb5_util', ['-r', realm, 'create', '-s', '-P', master], { env: kdc.#admin })
      }
      for (const [name, password] of Object.entries(options.users ?? {})) await kdc.addUser(name, password)
      await kdc.resume()
      return kdc
    } catch (cause) {
      const told = existsSync(kdc.#log) ? readFileSync(kdc.#log, 'utf8').slice(-2000) : ''
      await kdc.stop()
      throw new Error(`the KDC did not start: ${told}`, { cause })
    }
  }

  /** What clients and servers of its realms need in their environment. */
  get environment(): Environment {
    return { KRB5_CONFIG: join(this.directory, 'krb5.conf') }
  }

  /** Commands of kadmin.local in the realm that is named, or the first. */
  async kadmin(realm: string, ...commands: readonly string[]): Promise<string> {
    const done = run('/usr/sbin/kadmin.local', ['-r', realm], { env: this.#admin })
    done.child.stdin?.end(`${commands.join('\n')}\n`)
    const { stdout, stderr } = await done
    // It ends with 0 whatever has become of a command, and tells what failed on standard error.
    const wrong = stderr.split('\n').filter((line) => /^\w+: /.test(line) && !/No policy specified/.test(line))
    if (wrong.length > 0) throw new Error(wrong.join('\n'))
    return stdout
  }

  /** `more` are options of addprinc, such as `-expire yesterday`. */
  async addUser(name: string, password: string, ...more: readonly string[]): Promise<void> {
    await this.kadmin(realmOf(name), ['addprinc', ...more, '-pw', password, name].join(' '))
  }

  /** A service with a key of chance, which is added to the keytab; also a further key of one that is there. */
  async addKey(service: string, keytab: string): Promise<void> {
    const realm = realmOf(service)
    const known = (await this.kadmin(realm, 'listprincs')).split('\n').includes(service)
    const steps = known ? [] : [`addprinc -randkey ${service}`]
    await this.kadmin(realm, ...steps, `ktadd -k ${keytab} ${service}`)
  }

  /** Clients of `from` may get tickets for services of `to`. */
  async trust(from: string, to: string): Promise<void> {
    const password = randomBytes(16).toString('hex')
    for (const realm of [from, to]) await this.kadmin(realm, `addprinc -pw ${password} krbtgt/${to}@${from}`)
  }

  /**
   * A credential cache with a ticket of that user. `options` go to kinit; `clock`, as faketime takes it, is what the client
   * takes for the time.
   */
  async login(user: string, password: string, options: readonly string[] = [], clock?: string): Promise<string> {
    const cache = join(this.directory, `cc-${randomBytes(6).toString('hex')}`)
    await this.as(cache, ['kinit', ...options, user], { input: `${password}\n`, ...(clock !== undefined && { clock }) })
    return cache
  }

  /** Runs a program as the owner of a cache; gives its standard output. */
  async as(
    cache: string,
    [program = '', ...words]: readonly string[],
    {
      input = '',
      clock,
      env = {},
    }: { readonly input?: string; readonly clock?: string; readonly env?: Environment } = {},
  ): Promise<string> {
    const environment = { PATH: '/usr/bin:/bin', ...this.environment, KRB5CCNAME: `FILE:${cache}`, ...env }
    const line = clock === undefined ? [program, ...words] : ['faketime', '-f', clock, program, ...words]
    const [first = '', ...rest] = line
    const done = run(first, rest, { env: environment, maxBuffer: 64 * 2 ** 20 })
    done.child.stdin?.on('error', () => {})
    done.child.stdin?.end(input)
    return (await done).stdout
  }

  /** Stops answering; `resume` begins again. */
  async pause(): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  /** `clock`, as faketime takes it, is what it takes for the time. */
  async resume(clock?: string): Promise<void> {
    await this.pause()
    const log = openSync(this.#log, 'a')
    const realms = this.#options.realms.flatMap((realm) => ['-r', realm])
    const words = ['--pdeathsig', 'KILL', '/usr/sbin/krb5kdc', '-n', ...realms]
    // The program faketime would stay between us and the KDC; its library alone does not.
    const env = { ...this.#admin, ...(clock !== undefined && { LD_PRELOAD: fakeClock, FAKETIME: clock }) }
    const child = spawn('/usr/bin/setpriv', words, { stdio: ['ignore', log, log], env })
    closeSync(log)
    child.on('error', () => {})
    this.#process = child
    await answering(this.#port)
  }

  async stop(): Promise<void> {
    await this.pause()
    rmSync(this.directory, { recursive: true, force: true })
  }

  get #log(): string {
    return join(this.directory, 'kdc.out')
  }

  get #admin(): Record<string, string> {
    return {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      ...this.environment,
      KRB5_KDC_PROFILE: join(this.directory, 'kdc.conf'),
    }
  }

  #clientConfig(): string {
    const { realms, defaults = [] } = this.#options
    const sections = realms.map((realm) => `  ${realm} = {\n    kdc = 127.0.0.1:${this.#port}\n  }`)
    const lines = [
      `default_realm = ${this.realm}`,
      'dns_lookup_kdc = false',
      'dns_lookup_realm = false',
      'dns_canonicalize_hostname = false',
      'rdns = false',
      'udp_preference_limit = 1',
      ...defaults,
    ]
    return `[libdefaults]\n  ${lines.join('\n  ')}\n[realms]\n${sections.join('\n')}\n[domain_realm]\n  localhost = ${this.realm}\n`
  }

  #config(): string {
    const sections = this.#options.realms.map((realm) => {
      const file = (name: string) => join(this.directory, `${realm}.${name}`)
      const lines = [
        `database_name = ${file('principals')}`,
        `key_stash_file = ${file('stash')}`,
        `acl_file = ${file('acl')}`,
        'max_life = 8h',
        'supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal',
      ]
      return `  ${realm} = {\n    ${lines.join('\n    ')}\n  }`
    })
    const listen = `kdc_listen = 127.0.0.1:${this.#port}\n  kdc_tcp_listen = 127.0.0.1:${this.#port}`
    return `[kdcdefaults]\n  ${listen}\n[realms]\n${sections.join('\n')}\n[logging]\n  kdc = STDERR\n`
  }
}

function realmOf(name: string): string {
  return name.slice(name.lastIndexOf('@') + 1)
}
