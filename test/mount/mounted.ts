/** A gateway and mounts of it, as their users start them. */

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Test } from 'tap'
import { type GatewayOptions, startTestGateway, type TestGateway } from '../gateway/harness.ts'
import { asRoot, type UserName } from '../gateway/people.ts'
import { eventually, familyOf, gone } from '../gateway/processes.ts'
import { makeLab } from '../gateway/tree.ts'
import { openPlace, type Place, type Way } from './places.ts'
import { run } from './run.ts'

const program = resolve(import.meta.dirname, '../../gateway/cli.ts')
const proving = join(import.meta.dirname, 'prove.ts')

/** One with two processes, and the tree of docs/semantics.md at /lab. */
export function startLab(t: Test, more: Partial<GatewayOptions> = {}): Promise<TestGateway> {
  const mounts = [{ path: '/lab', make: (top: string) => void makeLab(top) }]
  return startTestGateway(t, { workers: 2, logLevel: 'info', mounts, ...more })
}

export interface MountOptions {
  readonly way?: Way
  readonly user?: UserName
  /** Instead of the user's own. */
  readonly token?: string
  /** Further words of the command line. */
  readonly options?: readonly string[]
  /** One that is there already. */
  readonly place?: Place
  /** Further variables of the environment. */
  readonly environment?: Readonly<Record<string, string>>
}

export interface Mounted {
  readonly place: Place
  readonly mountpoint: string
  /** Holds the token and nothing else. */
  readonly tokenFile: string
  /** The process in the foreground. */
  readonly child: ChildProcess
  /** What it has written so far. */
  log(): string
  /** One of `proofs`, below a path of the mount: what was wrong, or nothing. */
  prove(name: string, below: string, scale?: number): Promise<string>
  /** SIGTERM; resolves to its exit status once it has ended. */
  end(): Promise<number | null>
}

/** `portolan mount` in the foreground; unmounted and ended with the test. */
export async function mountGateway(
  t: Test,
  gateway: Pick<TestGateway, 'url' | 'standingToken'>,
  given: MountOptions = {},
): Promise<Mounted> {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-mount-'))
  chmodSync(directory, 0o755)
  const place = given.place ?? (await openPlace(t, given.way ?? 'root', directory))
  const [mountpoint, tokenFile] = [join(directory, 'data'), join(directory, 'token')]
  mkdirSync(mountpoint)
  const token = given.token ?? (await gateway.standingToken(given.user ?? 'alice'))
  writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 })
  if (asRoot) for (const path of [directory, mountpoint, tokenFile]) chownSync(path, place.uid, place.gid)
  const words = [
    program,
    'mount',
    '--foreground',
    '--token-file',
    tokenFile,
    ...(given.options ?? []),
    gateway.url,
    mountpoint,
  ]
  const child = place.start(process.execPath, words, given.environment)
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (log += String(chunk)))
  const ended = once(child, 'exit').then(([code]) => code as number | null)
  const end = async () => {
    const family = familyOf(child.pid ?? -1)
    child.kill('SIGTERM')
    const code = await ended
    await gone(family)
    return code
  }
  t.teardown(async () => {
    // By force, since what is left may be anything.
    await place.run('umount', ['--force', '--lazy', mountpoint], { also: [1, 32] }).catch(() => {})
    for (const pid of familyOf(child.pid ?? -1)) killIfThere(pid)
    await ended
    rmSync(directory, { recursive: true, force: true, maxRetries: 20 })
  })
  const up = () => child.exitCode !== null || isMounted(child.pid ?? -1, mountpoint)
  await eventually(up, 30_000, 'the mount did not come').catch((error: Error) => {
    throw new Error(`${error.message}: ${log}`)
  })
  if (child.exitCode !== null) throw new Error(`the mount ended with status ${child.exitCode}: ${log}`)
  const prove = (name: string, below: string, scale = 1) =>
    place.run(process.execPath, [proving, name, join(mountpoint, below), String(scale)]).then(() => '', whatWasWrong)
  return { place, mountpoint, tokenFile, child, log: () => log, prove, end }
}

/** It may end by itself at this moment. */
function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Whether the process sees a FUSE mount there. */
export function isMounted(pid: number, mountpoint: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/mounts`, 'utf8')
      .split('\n')
      .some((line) => line.split(' ')[1] === mountpoint && line.includes(' fuse'))
  } catch {
    // It has ended.
    return false
  }
}

/** A local directory, to say of a proof that it is right. */
export function temporaryDirectory(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-local-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 20 }))
  return directory
}

/** The same as `Mounted.prove`, of a local directory. */
export function proveHere(name: string, directory: string, scale: number): Promise<string> {
  return run(process.execPath, [proving, name, directory, String(scale)]).then(() => '', whatWasWrong)
}

/** Proofs by name, each with its share of the whole, two at a time: each has a directory of its own, and they mostly wait. */
export async function proveAll(
  t: Test,
  asked: Readonly<Record<string, number>>,
  prove: (name: string, scale: number) => Promise<string>,
): Promise<void> {
  const left = Object.entries(asked)
  const lane = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const [name, scale] = next
      const started = performance.now()
      t.equal(await prove(name, scale), '', name)
      t.comment(`${name}: ${((performance.now() - started) / 1000).toFixed(1)} s`)
    }
  }
  await Promise.all([lane(), lane()])
}

/** The end of it, where scripts and programs say what they could not do. */
function whatWasWrong(error: Error): string {
  return error.message.slice(-1500)
}
