/** Makes the demo below one directory: trees, people, tokens, configuration. What is there stays; secrets are made anew. */

import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createDevelopmentIssuer } from '../../acl/identity/development-issuer.ts'
import type { Secret } from '../../acl/secret.ts'
import { StorageError } from '../core/errors.ts'
import { type DemoKey, keepKeys, newKey } from './access-keys.ts'
import { configFile } from './config.ts'
import { demoText } from './lines.ts'
import { accountsFile, newPassword, service, type UserName, userNames } from './people.ts'
import { planDcache, playScale } from './stand-ins.ts'
import { makeTrees } from './trees.ts'

export interface Demo {
  readonly configFile: string
  /** Holds what is printed once the gateway serves, tokens too. */
  readonly textFile: string
  /** What the stand-in for dCache is started from. */
  readonly dcache: string
}

/** Where a demo in this directory keeps what its gateway needs. */
export function demoIn(directory: string): Demo {
  return {
    configFile: join(directory, 'portolan.yaml'),
    textFile: join(directory, 'lines.txt'),
    dcache: join(directory, 'dcache'),
  }
}

export interface DemoOptions {
  readonly directory: string
  readonly port: number
  /** Started as root: files get owners of their own. */
  readonly asRoot: boolean
  /** /asap3 in the `native` grade; otherwise why not. */
  readonly native: true | { readonly because: string }
}

/** How the trees were made; another way needs new trees. */
export interface Made {
  readonly asRoot: boolean
  readonly native: boolean
  /** Demos of earlier versions say nothing here. */
  readonly asap3?: 'gpfs'
}

/** How the demo in this directory was made; undefined if there is none. */
export function madeIn(directory: string): Made | undefined {
  const file = join(directory, 'made.json')
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Made) : undefined
}

/** Throws `invalid` when the directory holds a demo that was made as another user. */
export async function prepareDemo(options: DemoOptions): Promise<Demo> {
  const { directory, port, asRoot } = options
  const native = options.native === true
  claim(directory, { asRoot, native, asap3: 'gpfs' })
  const scale = await playScale(join(directory, 'gpfs'), join(directory, 'asap3'))
  const trees = makeTrees(directory, { asRoot, native, scale })
  for (const name of ['state', 'log']) mkdirSync(join(directory, name), { recursive: true, mode: 0o700 })
  const url = `http://127.0.0.1:${port}`
  const issuer = await createDevelopmentIssuer(join(directory, 'issuer'), 'https://issuer.portolan.demo')
  const claims = (name: UserName, scope: string) => ({
    sub: name,
    aud: url,
    'wlcg.ver': '1.0',
    exp: weekFromNow(),
    scope,
  })
  const tokens = new Map<UserName, string>()
  const passwords = new Map<UserName, Secret>()
  const keys = new Map<UserName, DemoKey>()
  for (const name of userNames) {
    tokens.set(name, await issuer.sign(claims(name, 'openid')))
    passwords.set(name, newPassword(name))
    keys.set(name, newKey(name))
  }
  const s3 = `http://127.0.0.1:${port + 1}`
  const scoped = await issuer.sign(claims('alice', 'storage.read:/data-dust/group/p01'))
  const accounts = join(directory, 'accounts.yaml')
  const demo = demoIn(directory)
  const { dcache: dcacheDirectory } = demo
  const { jwksFile } = issuer
  const dcache = planDcache(dcacheDirectory, port + 4, { issuer: issuer.issuer, jwksFile, audience: url })
  // It has sealed what is in the state store already.
  const masterKey = join(directory, 'master.key')
  if (!existsSync(masterKey)) write(masterKey, `${randomBytes(32).toString('hex')}\n`, 0o600)
  await keepKeys(join(directory, 'state'), masterKey, keys)
  write(accounts, await accountsFile(passwords), 0o600)
  write(
    demo.configFile,
    configFile({ ...options, native, issuer: issuer.issuer, jwksFile, accountsFile: accounts, trees, scale, dcache }),
    0o644,
  )
  const people = Object.fromEntries(
    userNames.map((name) => {
      const { accessKeyId, secret } = keys.get(name) ?? {}
      const s3 = { accessKeyId, secretAccessKey: secret?.reveal() }
      return [name, { token: tokens.get(name), password: passwords.get(name)?.reveal(), s3 }]
    }),
  )
  const mounts = ['/data-dust', '/asap3', '/pnfs/desy.de']
  write(
    join(directory, 'demo.json'),
    `${JSON.stringify({ doors: { http: url, s3 }, mounts, users: people }, null, 2)}\n`,
    0o600,
  )
  const notes = [
    '/data-dust      DUST, gateway grade: Portolan decides by NFSv4 ACLs',
    asap3Note(options.native),
    '/pnfs/desy.de   dCache with tape, delegated: dCache decides about the caller (a stand-in; what is written there is not kept)',
  ]
  write(demo.textFile, demoText({ url, s3, tokens, keys, scoped, notes, directory }), 0o600)
  if (asRoot) giveToService(directory)
  return demo
}

function asap3Note(native: DemoOptions['native']): string {
  if (native === true) return '/asap3          GPFS, native grade: the kernel decides, as the user'
  return `/asap3          GPFS, gateway grade, not native: ${native.because}`
}

function claim(directory: string, made: Made): void {
  const file = join(directory, 'made.json')
  mkdirSync(directory, { recursive: true, mode: 0o755 })
  const before = madeIn(directory)
  // The demo may be removed and made anew; what somebody else keeps under that name may not.
  if (before === undefined && readdirSync(directory).length > 0) {
    throw new StorageError('invalid', `${directory} holds something that is no demo; move it away and start again`)
  }
  if (before === undefined || before.asRoot === made.asRoot) {
    // What the kernel guards and what Portolan guards are kept in different ways.
    if (before && (before.native !== made.native || before.asap3 !== made.asap3)) {
      for (const name of ['asap3', 'gpfs']) rmSync(join(directory, name), { recursive: true, force: true })
    }
    write(file, JSON.stringify(made), 0o644)
    return
  }
  throw new StorageError(
    'invalid',
    `${directory} holds a demo that was made ${before.asRoot ? 'as root' : 'as another user'}; remove it and start again`,
  )
}

/** The trees have their owners already; what the gateway itself reads and writes goes to its account. */
function giveToService(directory: string): void {
  const own = [
    'state',
    'log',
    'issuer',
    'gpfs',
    'dcache',
    'master.key',
    'accounts.yaml',
    'portolan.yaml',
    'lines.txt',
  ].map((name) => join(directory, name))
  execFileSync('chown', ['-R', '--', `${service.uid}:${service.gid}`, ...own])
}

function write(file: string, text: string, mode: number): void {
  const draft = `${file}.new`
  writeFileSync(draft, text, { mode })
  renameSync(draft, file)
}

function weekFromNow(): number {
  return Math.floor(Date.now() / 1000) + 6 * 86_400
}
