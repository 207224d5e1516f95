/** The gateway under measurement: the same tree three times, with a token, public, and without fsync. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { stringify } from 'yaml'
import { parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import { encodeStoredAcl } from '../../acl/codec/stored.ts'
import { createDevelopmentIssuer } from '../../acl/identity/development-issuer.ts'
import { fsetxattr } from '../../backends/posix/native/sys.ts'
import { end, freePort } from '../peers.ts'
import type { Data } from './data.ts'

export interface Portolan {
  readonly url: string
  /** Answers where a certificate was given. */
  readonly tlsUrl: string
  /** Where S3 is heard; buckets are named like the mounts. */
  readonly s3Url: string
  /** Header line with alice's token. */
  readonly authorization: string
  /** Of the supervisor; workers are its children. */
  readonly pid: number
  stop(): Promise<void>
}

const service = { uid: 64_990, gid: 64_990 }
const issuer = 'https://issuer.bench'

/** An ACL as people have them: a denial, named users and groups before everyone. */
const entries = [
  'D:fd:mallory@bench:rwaDdxtTnNcCoy',
  'A:fd:OWNER@:rwaDdxtTnNcCoy',
  'A:fdg:staff@bench:rxtncy',
  'A:fdg:p01@bench:rxtncy',
  'A:fd:bob@bench:rxtncy',
  'A:fd:alice@bench:rwaDdxtTnNcCoy',
  'A:fd:EVERYONE@:rxtncy',
].join('\n')

export interface PortolanOptions {
  /** Of its directory below `work`; the second one of a measurement needs another. */
  readonly name?: string
  /** Files of a certificate and its key: serves HTTPS on a second port. */
  readonly tls?: { readonly certificate: string; readonly key: string }
  /** Servers that third-party copies may lead to, as `host:port`. */
  readonly copiesFrom?: readonly string[]
}

export async function startPortolan(work: string, data: Data, options: PortolanOptions = {}): Promise<Portolan> {
  const { name = 'portolan', tls, copiesFrom: hosts = [] } = options
  guard(data.tree)
  const directory = `${work}/${name}`
  mkdirSync(directory, { recursive: true })
  const [port, tlsPort, s3Port] = [await freePort(), await freePort(), await freePort()]
  writeFileSync(`${directory}/master.key`, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  const signer = await createDevelopmentIssuer(`${directory}/issuer`, issuer)
  writeFileSync(`${directory}/accounts.yaml`, stringify({ users: { alice: { uid: 64_801, gid: 64_801 } } }))
  const mount = (path: string, more: object, backend: object = {}) => ({
    path,
    backend: { type: 'posix', root: data.tree, dataThreads: 8, ...backend },
    ...more,
  })
  writeFileSync(
    `${directory}/portolan.yaml`,
    stringify({
      domain: 'bench',
      ...(process.getuid?.() === 0 && { runAs: service }),
      listen: [
        { address: '127.0.0.1', port },
        ...(tls ? [{ address: '127.0.0.1', port: tlsPort, tls: { certificate: tls.certificate, key: tls.key } }] : []),
      ],
      ...(hosts.length > 0 && { thirdParty: { hosts, networks: ['127.0.0.0/8'], insecure: true } }),
      state: { directory: `${directory}/state`, masterKeyFile: `${directory}/master.key` },
      s3: {
        buckets: { bench: '/bench', unsynced: '/unsynced' },
        listen: [{ address: '127.0.0.1', port: s3Port }],
      },
      log: { level: 'warn', file: `${directory}/portolan.log` },
      audit: { file: `${directory}/audit.jsonl` },
      limits: {
        connectionsPerPrincipal: 100_000,
        inFlightPerPrincipal: 100_000,
        inFlight: 100_000,
        stallTimeout: '5m',
      },
      issuers: [
        {
          issuer,
          name: 'bench-issuer',
          keys: { jwksFile: signer.jwksFile },
          audiences: ['https://bench'],
          profile: 'wlcg',
          basePath: '/',
          account: 'alice',
        },
      ],
      mapping: [{ issuer: 'bench-issuer', subject: 'alice', account: 'alice' }],
      accounts: [{ file: `${directory}/accounts.yaml` }],
      mounts: [
        mount('/bench', { maxInFlight: 10_000 }),
        mount('/public', { anonymous: true, maxInFlight: 10_000 }),
        mount('/unsynced', {}, { sync: 'never' }),
      ],
    }),
  )
  if (process.getuid?.() === 0) execFileSync('chown', ['-R', `${service.uid}:${service.gid}`, directory])
  const program = [resolve(import.meta.dirname, 'program.ts'), `${directory}/portolan.yaml`]
  const child = spawn(process.execPath, program, { stdio: ['ignore', 'pipe', 'inherit'] })
  await ready(child)
  const token = await signer.sign({ sub: 'alice', aud: 'https://bench', 'wlcg.ver': '1.0' })
  return {
    url: `http://127.0.0.1:${port}`,
    tlsUrl: `https://127.0.0.1:${tlsPort}`,
    s3Url: `http://127.0.0.1:${s3Port}`,
    authorization: `Authorization: Bearer ${token}`,
    pid: child.pid ?? 0,
    stop: () => end(child),
  }
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((done, reject) => {
    child.stdout?.once('data', () => done())
    child.once('exit', (code, signal) => reject(new Error(`the gateway ended with ${signal ?? code}`)))
  })
}

/** Gives every object of the tree its ACL, and the tree to the gateway's account. */
function guard(tree: string): void {
  const put = (path: string, kind: 'file' | 'directory') => {
    const fd = openSync(path, 'r')
    const aces = parseNfs4Text(entries.replaceAll(kind === 'file' ? ':fd' : ' ', kind === 'file' ? ':' : ' '), kind)
    fsetxattr(
      fd,
      'user.portolan.acl',
      encodeStoredAcl({ owner: 'alice@bench', group: 'staff@bench', aces, dialect: 'rfc8881' }),
      0,
    )
    closeSync(fd)
  }
  put(tree, 'directory')
  for (const entry of readdirSync(tree, { recursive: true, withFileTypes: true })) {
    put(`${entry.parentPath}/${entry.name}`, entry.isDirectory() ? 'directory' : 'file')
  }
  if (process.getuid?.() === 0) execFileSync('chown', ['-R', `${service.uid}:${service.gid}`, tree])
}
