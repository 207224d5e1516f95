/** The mounts that are measured: ours, `rclone mount` over WebDAV and s3fs over S3, all of the same gateway. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Portolan } from '../http/portolan.ts'
import { end } from '../peers.ts'

export const mountNames = ['portolan', 'rclone', 's3fs'] as const
export type MountName = (typeof mountNames)[number]

export interface Mounted {
  readonly name: MountName
  /** Where the tree of the gateway is. */
  readonly directory: string
  readonly pid: number
  stop(): Promise<void>
}

export interface Setting {
  readonly gateway: Portolan
  readonly work: string
  /** The tree that the gateway serves, as it lies on this machine. */
  readonly tree: string
  readonly isQuick: boolean
}

/** Needed for this measurement; they are in Debian's packages of the same names. */
export function missingPrograms(): string[] {
  const found = (name: string) => {
    try {
      execFileSync('which', [name], { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  }
  return ['rclone', 's3fs', 'fusermount3', 'curl', 'git'].filter((name) => !found(name))
}

const running = new Set<Mounted>()

/** For whoever is told to end in the middle. */
export async function stopMounts(): Promise<void> {
  await Promise.all([...running].map((each) => each.stop()))
}

/** A fresh mount, which remembers nothing. `writes`: as whoever writes has to set it up. */
export async function mount(name: MountName, setting: Setting, writes = false): Promise<Mounted> {
  const { work } = setting
  const directory = `${work}/mounts/${name}`
  mkdirSync(directory, { recursive: true })
  const log = openSync(`${work}/${name}-mount.log`, 'a')
  const [command, ...words] = { portolan, rclone, s3fs }[name](setting, directory, writes)
  const env = {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: work,
    RCLONE_CONFIG: `${work}/rclone.conf`,
    ...profiling(),
  }
  const child = spawn(command, words, { stdio: ['ignore', log, log], env })
  try {
    await answering(child, directory)
  } catch (error) {
    await end(child)
    throw new Error(`${name}: ${readFileSync(`${work}/${name}-mount.log`, 'utf8').slice(-500)}`, { cause: error })
  }
  const mounted: Mounted = {
    name,
    directory: `${directory}/user`,
    pid: child.pid ?? 0,
    stop: async () => {
      running.delete(mounted)
      try {
        execFileSync('fusermount3', ['-u', directory], { stdio: 'ignore' })
      } catch {
        execFileSync('umount', ['-l', directory], { stdio: 'ignore' })
      }
      await end(child)
    },
  }
  running.add(mounted)
  return mounted
}

/** Where the environment asks for a profile of our own mount. */
function profiling(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS } = process.env
  return NODE_OPTIONS === undefined ? {} : { NODE_OPTIONS }
}

type Command = readonly [string, ...string[]]

function portolan({ gateway, work }: Setting, directory: string): Command {
  const file = `${work}/token`
  writeFileSync(file, tokenOf(gateway), { mode: 0o600 })
  const cli = resolve(import.meta.dirname, '../../gateway/cli.ts')
  return [process.execPath, cli, 'mount', '-f', `${gateway.url}/bench`, directory, '--token-file', file]
}

function rclone({ gateway, work }: Setting, directory: string, writes: boolean): Command {
  writeFileSync(
    `${work}/rclone.conf`,
    `[gateway]\ntype = webdav\nurl = ${gateway.url}/bench\nvendor = other\nbearer_token = ${tokenOf(gateway)}\n`,
    { mode: 0o600 },
  )
  const cache = writes ? ['--vfs-cache-mode', 'writes', '--cache-dir', `${work}/rclone-cache`] : []
  return ['rclone', 'mount', 'gateway:', directory, ...cache]
}

function s3fs({ gateway, work }: Setting, directory: string): Command {
  const terms = ['use_path_request_style', 'endpoint=us-east-1', `passwd_file=${work}/s3fs.key`, `url=${gateway.s3Url}`]
  return ['s3fs', 'bench', directory, '-f', ...terms.flatMap((term) => ['-o', term])]
}

/** An access key of the S3 door for s3fs. */
export async function makeKey({ gateway, work }: Setting): Promise<void> {
  const answer = await fetch(`${gateway.url}/.portolan/api/v1/s3-keys`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tokenOf(gateway)}`, 'content-type': 'application/json' },
    body: '{"name":"bench"}',
  })
  if (answer.status !== 201) throw new Error(`no access key: ${answer.status} ${await answer.text()}`)
  const { id, secret } = (await answer.json()) as { readonly id: string; readonly secret: string }
  writeFileSync(`${work}/s3fs.key`, `${id}:${secret}\n`, { mode: 0o600 })
}

export function tokenOf({ authorization }: Portolan): string {
  return authorization.split(' ').at(-1) ?? ''
}

/** Until the directory is another file system than the one above it. */
async function answering(child: ChildProcess, directory: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) throw new Error('it ended')
    if (
      execFileSync('stat', ['-c', '%d', directory], { encoding: 'utf8' }).trim() !==
      `${statSync(dirname(directory)).dev}`
    )
      return
    await pause(100)
  }
  throw new Error('it does not answer')
}
