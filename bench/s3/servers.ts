/** The servers: the gateway with and without fsync, versitygw, which does not sync, and MinIO, which does. */

import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, openSync } from 'node:fs'
import { homedir } from 'node:os'
import { resolve } from 'node:path'
import { startPortolan } from '../http/portolan.ts'
import { answers, end, freePort } from '../peers.ts'
import { type AccessKey, presign, type S3Target } from './presign.ts'

export type ServerName = 'portolan' | 'unsynced' | 'versitygw' | 'minio'

export interface Servers {
  /** Those of the peers that are installed, or could be built. */
  readonly targets: Readonly<Partial<Record<ServerName, S3Target>>>
  /** Of the gateway's supervisor. */
  readonly pid: number
  stop(): Promise<void>
}

interface Running {
  readonly targets: Servers['targets']
  readonly pid?: number
  readonly stop: () => Promise<void>
}

export async function startServers(work: string): Promise<Servers> {
  const running: Running[] = []
  const stop = async () => void (await Promise.all(running.map((each) => each.stop())))
  try {
    for (const begin of [gateway, versitygw, minio]) running.push(await begin(work))
  } catch (error) {
    await stop()
    throw error
  }
  const { pid = 0 } = running[0] ?? {}
  return { targets: Object.assign({}, ...running.map(({ targets }) => targets)), pid, stop }
}

async function gateway(work: string): Promise<Running> {
  const tree = `${work}/tree`
  mkdirSync(tree)
  const {
    s3Url: url,
    url: httpUrl,
    authorization,
    pid,
    stop,
  } = await startPortolan(work, { tree, smallFiles: 0, bigSize: 0 })
  const headers = { authorization: authorization.replace(/^Authorization: /, ''), 'content-type': 'application/json' }
  const answer = await fetch(`${httpUrl}/.portolan/api/v1/s3-keys`, {
    method: 'POST',
    headers,
    body: '{"name":"bench"}',
  })
  if (answer.status !== 201) throw new Error(`no access key: ${answer.status} ${await answer.text()}`)
  const { id: accessKeyId, secret } = (await answer.json()) as { readonly id: string; readonly secret: string }
  const key = { accessKeyId, secret }
  return { targets: { portolan: { url, bucket: 'bench', key }, unsynced: { url, bucket: 'unsynced', key } }, pid, stop }
}

async function versitygw(work: string): Promise<Running> {
  const key = newKey()
  mkdirSync(`${work}/versitygw`)
  const program = programOf('versitygw', 'github.com/versity/versitygw/cmd/versitygw@latest')
  const port = await freePort()
  const login = ['--access', key.accessKeyId, '--secret', key.secret]
  const args = [...login, '--port', `127.0.0.1:${port}`, '--quiet', '--keep-alive', 'posix', `${work}/versitygw`]
  return start('versitygw', { work, program, args, port, key })
}

async function minio(work: string): Promise<Running> {
  const key = newKey()
  mkdirSync(`${work}/minio`)
  const program = programOf('minio', 'github.com/minio/minio@latest')
  const port = await freePort()
  const args = ['server', `${work}/minio`, '--address', `127.0.0.1:${port}`, '--quiet']
  const env = { MINIO_ROOT_USER: key.accessKeyId, MINIO_ROOT_PASSWORD: key.secret, MINIO_BROWSER: 'off' }
  return start('minio', { work, program, args, port, key, env })
}

interface Start {
  readonly work: string
  readonly program: string | undefined
  readonly args: readonly string[]
  readonly port: number
  readonly key: AccessKey
  readonly env?: Readonly<Record<string, string>>
}

async function start(name: 'versitygw' | 'minio', { work, program, args, port, key, env }: Start): Promise<Running> {
  if (program === undefined) {
    console.log(`${name} is not installed, and there is no go to build it with: measured without it`)
    return { targets: {}, stop: async () => {} }
  }
  const log = openSync(`${work}/${name}.log`, 'a')
  const child = spawn(program, args, {
    stdio: ['ignore', log, log],
    env: { PATH: '/usr/bin:/bin', HOME: work, ...env },
  })
  try {
    await answers(port)
    const target: S3Target = { url: `http://127.0.0.1:${port}`, bucket: 'bench', key }
    await made(target)
    return { targets: { [name]: target }, stop: () => end(child) }
  } catch (error) {
    await end(child)
    throw error
  }
}

/** The bucket; a server that has just begun may say that it is not ready. */
async function made(target: S3Target): Promise<void> {
  for (let tries = 0; ; tries++) {
    const answer = await fetch(presign('PUT', target, ''), { method: 'PUT' })
    if (answer.ok) return
    if (answer.status !== 503 || tries === 20) throw new Error(`no bucket: ${answer.status} ${await answer.text()}`)
    await new Promise((done) => setTimeout(done, 500))
  }
}

function newKey(): AccessKey {
  return {
    accessKeyId: `BENCH${randomBytes(7).toString('hex').toUpperCase()}`,
    secret: randomBytes(20).toString('hex'),
  }
}

/** On the path, where Go installs programs, or built from its source; undefined where that is not possible. */
function programOf(name: string, source: string): string | undefined {
  const places = [...(process.env.PATH ?? '').split(':'), resolve(homedir(), 'go/bin')]
  const find = () => places.map((place) => resolve(place, name)).find((file) => existsSync(file))
  const found = find()
  if (found !== undefined) return found
  try {
    execFileSync('go', ['install', source], { stdio: 'inherit' })
  } catch {
    return undefined
  }
  return find()
}
