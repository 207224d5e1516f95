/**
 * The programs that people use with S3, run for real against a gateway of two worker processes.
 *
 * They are the packages of Debian 12: awscli, python3-boto3, s3cmd, rclone, s3fs. Others of the same names may stand before
 * them on PATH; these are meant, by their places.
 */

import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { accessKeyOf } from '../gateway/access-keys.ts'
import { type GatewayOptions, startTestGateway, type TestGateway } from '../gateway/harness.ts'
import type { UserName } from '../gateway/people.ts'
import { everything, Guarded, look, makeLab } from '../gateway/tree.ts'

/** Where Debian puts them, and its packages. */
const programs = {
  aws: ['/usr/bin/aws', 'awscli'],
  python: ['/usr/bin/python3', 'python3-boto3'],
  s3cmd: ['/usr/bin/s3cmd', 's3cmd'],
  rclone: ['/usr/bin/rclone', 'rclone'],
  s3fs: ['/usr/bin/s3fs', 's3fs'],
  curl: ['/usr/bin/curl', 'curl'],
} as const
export type Program = keyof typeof programs

/** Why it cannot run here, or false. */
export function without(program: Program): string | false {
  const [file, debian] = programs[program]
  const isThere = existsSync(file) && (program !== 'python' || spawnSync(file, ['-c', 'import boto3']).status === 0)
  return isThere ? false : `needs ${file} (Debian: ${debian})`
}

/**
 * A gateway with `/lab` of docs/semantics.md and with `/objects`, in which everybody makes buckets. Buckets that are
 * there: `lab`, `p01` (alice's and carol's) and `mine` (the caller's own).
 */
export function startForPrograms(t: Test, more: GatewayOptions['more'] = {}): Promise<TestGateway> {
  return startTestGateway(t, {
    mounts: [
      { path: '/lab', make: (top) => void makeLab(top), backend: { sync: 'never' } },
      { path: '/objects', make: makeObjects, backend: { sync: 'never' } },
    ],
    workers: 2,
    s3: { buckets: { lab: '/lab', p01: '/lab/p01', mine: '/lab/{user}' }, root: '/objects' },
    more,
  })
}

function makeObjects(top: string): void {
  const mayMake = [`A:fd:OWNER@:${everything}`, `A::EVERYONE@:${look}a`]
  new Guarded(top).directory('', 'admin', mayMake)
}

export interface Ran {
  readonly status: number | null
  readonly out: string
  readonly err: string
}

/** One user's place of work: programs run in his empty directory, with his access key. */
export class Desk {
  readonly directory: string
  readonly gateway: TestGateway
  readonly env: Readonly<Record<string, string>>
  readonly #user: UserName

  constructor(t: Test, gateway: TestGateway, user: UserName, env?: Readonly<Record<string, string>>) {
    this.directory = mkdtempSync(join(tmpdir(), 'portolan-desk-'))
    t.teardown(() => rmSync(this.directory, { recursive: true, force: true }))
    this.gateway = gateway
    this.#user = user
    const { accessKeyId, secret } = accessKeyOf(user)
    this.env = {
      ...{ PATH: '/usr/bin:/bin', HOME: this.directory, TZ: 'UTC', LC_ALL: 'C.UTF-8' },
      ...{ AWS_DEFAULT_REGION: 'us-east-1', AWS_EC2_METADATA_DISABLED: 'true', RCLONE_CONFIG: '/dev/null' },
      ...(env ?? { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secret }),
    }
  }

  async run(program: Program, ...args: readonly string[]): Promise<Ran> {
    const child = spawn(programs[program][0], args, { cwd: this.directory, env: this.env })
    const { promise, resolve, reject } = Promise.withResolvers<number | null>()
    child.on('close', resolve).on('error', reject)
    child.stdin.end()
    const [out, err, status] = await Promise.all([text(child.stdout), text(child.stderr), promise])
    return { status, out, err }
  }

  /** Fails the test, with what it said, unless it succeeds. Gives its output. */
  async done(t: Test, program: Program, ...args: readonly string[]): Promise<string> {
    const { status, out, err } = await this.run(program, ...args)
    t.equal(status, 0, `${program} ${args.slice(0, 12).join(' ').slice(0, 200)}`, { diagnostic: true, out, err })
    return out
  }

  aws(t: Test, ...args: readonly string[]): Promise<string> {
    return this.done(t, 'aws', '--endpoint-url', this.gateway.s3Url, ...args)
  }

  /** Given the endpoint and what else it takes. */
  python(t: Test, script: string, ...args: readonly string[]): Promise<string> {
    return this.done(t, 'python', '-c', script, this.gateway.s3Url, ...args)
  }

  s3cmd(t: Test, ...args: readonly string[]): Promise<string> {
    const { accessKeyId, secret } = accessKeyOf(this.#user)
    const { host } = new URL(this.gateway.s3Url)
    const access = [`--access_key=${accessKeyId}`, `--secret_key=${secret}`, `--host=${host}`, `--host-bucket=${host}`]
    return this.done(t, 's3cmd', '--config=/dev/null', ...access, '--no-ssl', '--no-progress', ...args)
  }

  /** What the remote `:s3:BUCKET/KEY` takes. */
  rcloneAccess(): readonly string[] {
    return ['--s3-provider', 'Other', '--s3-env-auth', '--s3-endpoint', this.gateway.s3Url]
  }

  rclone(t: Test, ...args: readonly string[]): Promise<string> {
    return this.done(t, 'rclone', ...this.rcloneAccess(), ...args)
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  write(name: string, content: string | Uint8Array): string {
    const file = this.path(name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content)
    return file
  }

  read(name: string): Buffer {
    return readFileSync(this.path(name))
  }

  /** What the gateway holds at a path of the namespace, as a file of its tree. */
  stored(path: string): Buffer {
    return readFileSync(this.gateway.tree(path.split('/', 2).join('/')) + path.slice(path.indexOf('/', 1)))
  }
}

/** Names of all files below a directory, relative to it, sorted, without what no door shows. */
export function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((each) => each.isFile())
    .map((each) => relative(directory, join(each.parentPath, each.name)))
    .sort()
}
