/**
 * A real directory server for tests: Debian's OpenLDAP (slapd, ldap-utils). Two trees, loaded offline: `dc=lab,dc=test` as of
 * RFC 2307 (members are login names) and `dc=bis,dc=test` as of RFC2307bis (members are DNs). Loopback only, ports by the
 * kernel, everything in a directory of its own, ended by pid.
 */

import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { freePort } from './ports.ts'

const run = promisify(execFile)

/** Why none can be started here, or false. For `skip`. */
export function noSlapd(): string | false {
  const missing = ['slapd', 'slapadd', 'ldapmodify', 'openssl'].find((name) => {
    return spawnSync('which', [name], { env: withSbin() }).status !== 0
  })
  return missing !== undefined && `needs the program ${missing} (Debian: slapd, ldap-utils, openssl)`
}

export const labBase = 'dc=lab,dc=test'
export const bisBase = 'dc=bis,dc=test'

/** Who may read everything; other accounts may not, and nobody may without a name. */
export const reader = { dn: (base: string) => `cn=reader,${base}`, password: 'reader-secret' }
const admin = { password: 'admin-secret' }

export interface SlapdOptions {
  /** Further entries of the trees, in LDIF. */
  readonly lab?: string
  readonly bis?: string
  /** Lines of slapd.conf for both trees. */
  readonly database?: readonly string[]
}

export class Slapd {
  readonly directory: string
  readonly port: number
  readonly tlsPort: number
  #process: ChildProcess | undefined

  private constructor(directory: string, ports: readonly [number, number]) {
    this.directory = directory
    this.port = ports[0]
    this.tlsPort = ports[1]
  }

  /** Runs until the test ends. */
  static async start(t: Test, options: SlapdOptions = {}): Promise<Slapd> {
    const directory = mkdtempSync(join(tmpdir(), 'portolan-slapd-'))
    const slapd = new Slapd(directory, [await freePort(), await freePort()])
    t.teardown(async () => {
      await slapd.stop()
      rmSync(directory, { recursive: true, force: true, maxRetries: 20 })
    })
    await makeCertificates(directory)
    writeFileSync(join(directory, 'slapd.conf'), slapd.#config(options.database ?? []))
    for (const base of [labBase, bisBase]) mkdirSync(join(directory, base))
    await slapd.load(labBase, tree(labBase) + (options.lab ?? ''))
    await slapd.load(bisBase, tree(bisBase) + (options.bis ?? ''))
    await slapd.resume()
    return slapd
  }

  get url(): string {
    return `ldap://127.0.0.1:${this.port}`
  }

  /** Its certificate is for this name and for 127.0.0.1. */
  get tlsUrl(): string {
    return `ldaps://localhost:${this.tlsPort}`
  }

  /** Files of PEM. */
  get ca(): string {
    return join(this.directory, 'ca.pem')
  }

  /** Adds entries while it does not run. */
  async load(base: string, ldif: string): Promise<void> {
    const file = join(this.directory, 'load.ldif')
    writeFileSync(file, tidied(ldif))
    await run('slapadd', ['-q', '-f', join(this.directory, 'slapd.conf'), '-b', base, '-l', file], { env: withSbin() })
  }

  /** Changes entries while it runs: LDIF with `changetype`. */
  async change(base: string, ldif: string): Promise<void> {
    const who = ['-x', '-H', this.url, '-D', `cn=admin,${base}`, '-w', admin.password]
    const done = run('ldapmodify', who)
    done.child.stdin?.end(ldif)
    await done
  }

  async resume(): Promise<void> {
    const { directory } = this
    const log = openSync(join(directory, 'log'), 'a')
    const listen = `ldap://127.0.0.1:${this.port} ldaps://127.0.0.1:${this.tlsPort}`
    const args = ['-d', 'none', '-f', join(directory, 'slapd.conf'), '-h', listen]
    this.#process = spawn('slapd', args, { stdio: ['ignore', log, log], env: withSbin() })
    closeSync(log)
    await this.#answering(this.#process)
  }

  /** Also a second time. */
  async stop(): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    // It waits for clients that have sent half of a request.
    const late = setTimeout(() => child.kill('SIGKILL'), 5000)
    await exited
    clearTimeout(late)
  }

  async #answering(child: ChildProcess): Promise<void> {
    for (let tries = 0; tries < 400 && child.exitCode === null; tries++) {
      const socket = connect(this.tlsPort, '127.0.0.1')
      try {
        await once(socket, 'connect')
        return
      } catch {
        await sleep(25)
      } finally {
        socket.destroy()
      }
    }
    throw new Error(`slapd did not start: ${readFileSync(join(this.directory, 'log'), 'utf8').slice(-2000)}`)
  }

  #config(database: readonly string[]): string {
    const { directory } = this
    const schema = ['core', 'cosine', 'inetorgperson', 'namedobject', 'dsee'].map(
      (name) => `/etc/ldap/schema/${name}.schema`,
    )
    const trees = [labBase, bisBase].map((base) =>
      [
        'database mdb',
        `suffix "${base}"`,
        `rootdn "cn=admin,${base}"`,
        `rootpw ${admin.password}`,
        `directory ${join(directory, base)}`,
        'maxsize 268435456',
        'dbnosync',
        'index objectClass,uid,uidNumber,gidNumber,memberUid,member,cn eq',
        'access to attrs=userPassword by anonymous auth by * none',
        `access to * by dn.exact="${reader.dn(base)}" read by anonymous auth by * none`,
        ...database,
      ].join('\n'),
    )
    return `${[
      ...schema.slice(0, 2).map((file) => `include ${file}`),
      `include ${this.#posixSchema()}`,
      ...schema.slice(2).map((file) => `include ${file}`),
      'modulepath /usr/lib/ldap',
      'moduleload back_mdb',
      'moduleload ppolicy',
      `pidfile ${join(directory, 'pid')}`,
      `TLSCACertificateFile ${join(directory, 'ca.pem')}`,
      `TLSCertificateFile ${join(directory, 'cert.pem')}`,
      `TLSCertificateKeyFile ${join(directory, 'key.pem')}`,
      // As most servers are set up: more comes in pages only.
      'sizelimit size.soft=500 size.hard=unlimited size.prtotal=unlimited',
      'threads 4',
      ...trees,
    ].join('\n')}\n`
  }

  /** Debian's is RFC 2307's; in RFC2307bis posixGroup is auxiliary, and two trees of one server share one schema. */
  #posixSchema(): string {
    const [before = '', group = ''] = readFileSync('/etc/ldap/schema/nis.schema', 'utf8').split("NAME 'posixGroup'")
    const text = `${before}NAME 'posixGroup'${group
      .replace('SUP top STRUCTURAL', 'SUP top AUXILIARY')
      .replace(/MUST \( cn \$ gidNumber \)/, 'MUST gidNumber')
      .replace('MAY ( userPassword', 'MAY ( cn $ userPassword')}`
    const file = join(this.directory, 'posix.schema')
    writeFileSync(file, text)
    return file
  }
}

export interface UserEntry {
  readonly uid: number
  readonly gid?: number
  /** Further lines of LDIF. */
  readonly more?: readonly string[]
}

/** LDIF of a person whose password is NAME-pw. */
export function person(base: string, name: string, { uid, gid = 20_000, more = [] }: UserEntry): string {
  return `${[
    `dn: uid=${name},ou=people,${base}`,
    'objectClass: inetOrgPerson',
    'objectClass: posixAccount',
    `uid: ${name}`,
    `cn: ${name}`,
    `sn: ${name}`,
    `mail: ${name}@example.test`,
    `uidNumber: ${uid}`,
    `gidNumber: ${gid}`,
    `homeDirectory: /home/${name}`,
    `userPassword: ${name}-pw`,
    ...more,
  ].join('\n')}\n\n`
}

/** LDIF of a group; `members` are login names below dc=lab and DNs below dc=bis. */
export function group(base: string, name: string, gid: number, members: readonly string[]): string {
  const isBis = base === bisBase
  const member = isBis ? 'member' : 'memberUid'
  return `${[
    `dn: cn=${name},ou=groups,${base}`,
    `objectClass: ${isBis ? 'groupOfNames' : 'namedObject'}`,
    'objectClass: posixGroup',
    `cn: ${name}`,
    `gidNumber: ${gid}`,
    ...members.map((each) => `${member}: ${each}`),
  ].join('\n')}\n\n`
}

export const userDn = (name: string, base = bisBase) => `uid=${name},ou=people,${base}`
export const groupDn = (name: string, base = bisBase) => `cn=${name},ou=groups,${base}`

/** What every tree has: alice in p01 and p02, bob in p02, and the group of everybody's group number. */
function tree(base: string): string {
  const isBis = base === bisBase
  const who = (name: string) => (isBis ? userDn(name, base) : name)
  return [
    `dn: ${base}\nobjectClass: domain\ndc: ${/dc=(\w+)/.exec(base)?.[1]}\n\n`,
    ...['people', 'groups'].map((unit) => `dn: ou=${unit},${base}\nobjectClass: organizationalUnit\nou: ${unit}\n\n`),
    `dn: ${reader.dn(base)}\nobjectClass: person\ncn: reader\nsn: reader\nuserPassword: ${reader.password}\n\n`,
    person(base, 'alice', { uid: 20_001 }),
    person(base, 'bob', { uid: 20_002 }),
    group(base, 'staff', 20_000, isBis ? [who('bob')] : []),
    group(base, 'p01', 30_001, [who('alice')]),
    group(base, 'p02', 30_002, [who('alice'), who('bob')]),
  ].join('')
}

/** An authority, a certificate of it for localhost and 127.0.0.1, and one of a stranger. */
async function makeCertificates(directory: string): Promise<void> {
  const file = (name: string) => join(directory, name)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30']
  const authority = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign']
  for (const name of ['ca', 'stranger']) {
    const out = ['-keyout', file(`${name}.key`), '-out', file(`${name}.pem`)]
    await run('openssl', ['req', '-x509', ...key, '-subj', `/CN=${name}`, ...out, ...authority])
  }
  const names = 'subjectAltName=DNS:localhost,IP:127.0.0.1'
  const signed = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-addext', names]
  const out = ['-keyout', file('key.pem'), '-out', file('cert.pem')]
  await run('openssl', ['req', '-x509', ...key, '-subj', '/CN=localhost', ...out, ...signed])
}

function withSbin(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` }
}

/** slapadd takes the values of an attribute only where they follow each other. */
function tidied(ldif: string): string {
  const entries = ldif.split(/\n\n+/).filter((entry) => entry.trim() !== '')
  return entries
    .map((entry) => {
      const [dn, ...lines] = entry.trim().split('\n')
      const groups = Map.groupBy(lines, (line) => line.slice(0, line.indexOf(':')))
      return `${[dn, ...[...groups.values()].flat()].join('\n')}\n\n`
    })
    .join('')
}
