/** An authority that certifies servers and people, takes back what it certified, and is made anew for each test (openssl). */

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/** PEM. */
export interface Certified {
  readonly key: string
  /** With those between it and the authority, if there are some. */
  readonly cert: string
}

export interface CertificateOptions {
  /** Lines of an extension file. */
  readonly extensions?: readonly string[]
  /** As in `openssl ca -startdate`; now and for two days if absent. */
  readonly dates?: readonly [from: string, until: string]
}

/** What certificates of people say. */
export const forClients = ['basicConstraints=critical,CA:FALSE', 'extendedKeyUsage=clientAuth']
/** What certificates of servers on loopback say. */
export const forLoopback = ['basicConstraints=critical,CA:FALSE', 'subjectAltName=IP:127.0.0.1,DNS:localhost']

const settings = `[ca]
default_ca=own
[own]
database=index.txt
new_certs_dir=issued
serial=serial
crlnumber=crlnumber
certificate=ca.pem
private_key=ca.key
default_md=sha256
default_days=2
default_crl_days=2
policy=any
unique_subject=no
preserve=yes
[any]
domainComponent=optional
countryName=optional
organizationName=optional
organizationalUnitName=optional
commonName=optional
`

export class CertificateAuthority {
  readonly directory: string
  /** PEM. */
  readonly cert: string
  #count = 0

  /** `subject` with slashes. Gone with the test. */
  constructor(t: Test, subject = '/C=DE/O=Grid/CN=Test CA') {
    this.directory = mkdtempSync(join(tmpdir(), 'portolan-ca-'))
    t.teardown(() => rmSync(this.directory, { recursive: true, force: true }))
    mkdirSync(join(this.directory, 'issued'))
    this.#write('openssl.cnf', settings)
    this.#write('index.txt', '')
    this.#write('serial', '1000\n')
    this.#write('crlnumber', '01\n')
    this.#makeKey('ca.key')
    const says = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign']
    this.#run('req', '-x509', '-new', '-key', 'ca.key', '-subj', subject, '-days', '2', '-out', 'ca.pem', ...says)
    this.cert = this.#read('ca.pem')
  }

  /** `subject` with slashes. */
  certify(subject: string, { extensions = forClients, dates }: CertificateOptions = {}): Certified {
    const name = this.#request(subject, extensions)
    const span = dates ? ['-startdate', dates[0], '-enddate', dates[1]] : []
    const files = ['-in', `${name}.csr`, '-out', `${name}.pem`, '-extfile', `${name}.ext`]
    this.#run('ca', '-batch', '-notext', '-config', 'openssl.cnf', ...files, ...span)
    return { key: this.#read(`${name}.key`), cert: this.#read(`${name}.pem`) }
  }

  /** What its owner has signed himself: a proxy certificate (RFC 3820, section 3), if the extensions say so. */
  delegate(owner: Certified, subject: string, extensions: readonly string[]): Certified {
    const name = this.#request(subject, extensions)
    this.#write(`${name}.owner.pem`, owner.cert)
    this.#write(`${name}.owner.key`, owner.key)
    const signer = ['-CA', `${name}.owner.pem`, '-CAkey', `${name}.owner.key`, '-CAcreateserial', '-days', '1']
    this.#run('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, '-extfile', `${name}.ext`, ...signer)
    return { key: this.#read(`${name}.key`), cert: `${this.#read(`${name}.pem`)}${owner.cert}` }
  }

  revoke({ cert }: Certified): void {
    this.#write('revoked.pem', cert)
    this.#run('ca', '-config', 'openssl.cnf', '-revoke', 'revoked.pem')
  }

  /** The list of what was revoked so far: PEM. */
  revoked(): string {
    this.#run('ca', '-config', 'openssl.cnf', '-gencrl', '-out', 'crl.pem')
    return this.#read('crl.pem')
  }

  #request(subject: string, extensions: readonly string[]): string {
    const name = `n${this.#count++}`
    this.#makeKey(`${name}.key`)
    this.#run('req', '-new', '-utf8', '-key', `${name}.key`, '-subj', subject, '-out', `${name}.csr`)
    this.#write(`${name}.ext`, `${extensions.join('\n')}\n`)
    return name
  }

  #makeKey(file: string): void {
    this.#run('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', file)
  }

  #run(...args: readonly string[]): void {
    execFileSync('openssl', args, { cwd: this.directory, stdio: ['ignore', 'ignore', 'pipe'] })
  }

  #write(name: string, text: string): void {
    writeFileSync(join(this.directory, name), text, { mode: 0o600 })
  }

  #read(name: string): string {
    return readFileSync(join(this.directory, name), 'utf8')
  }
}
