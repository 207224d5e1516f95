/**
 * Where a mount is made and used: by root, by an ordinary user through fusermount3(1), and by one who has nothing but a
 * user namespace. A place is a process that stays, in whose namespaces programs are started.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, existsSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { asRoot, users } from '../gateway/people.ts'
import { outOfReach } from '../reach.ts'
import { run, type Started } from './run.ts'

export type Way = 'root' | 'fusermount' | 'namespace'

export interface Place {
  readonly way: Way
  /** Whom files made for this place must belong to, in numbers of the outside. */
  readonly uid: number
  readonly gid: number
  run(program: string, args: readonly string[], started?: Omit<Started, 'cwd'>): Promise<string>
  /** Its output goes where `output` says; pipes by default. */
  start(program: string, args: readonly string[], env?: Readonly<Record<string, string>>): ChildProcess
}

/** Why this way cannot be gone here, or false. For `skip`. */
export function closedWay(way: Way): string | false {
  if (!existsSync('/dev/fuse')) return 'needs /dev/fuse'
  if (way === 'root') return asRoot ? false : 'needs root'
  if (way === 'fusermount' && !existsSync('/usr/bin/fusermount3')) return 'needs fusermount3 (Debian package fuse3)'
  if (asRoot) return outOfReach()
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
    return false
  } catch {
    return 'needs a /dev/fuse that everybody may open, or root to make one'
  }
}

/** It ends with the test. `directory` must be open to everybody, and is where a device of our own is made if that of the machine is closed. */
export async function openPlace(t: Test, way: Way, directory: string): Promise<Place> {
  const prefix = way === 'root' ? [] : await enter(t, way, directory)
  const who = way === 'root' || !asRoot ? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 } : users.alice
  const whole = (program: string, args: readonly string[]): readonly [string, readonly string[]] => {
    const [first = program, ...rest] = [...prefix, program, ...args]
    return [first, rest]
  }
  const home = { HOME: directory, XDG_RUNTIME_DIR: '', BEARER_TOKEN: '', BEARER_TOKEN_FILE: '' }
  return {
    ...{ way, uid: who.uid, gid: who.gid },
    run: (program, args, started = {}) =>
      run(...whole(program, args), { ...started, env: { ...home, ...started.env } }),
    start: (program, args, env = {}) =>
      spawn(...whole(program, args), {
        cwd: '/',
        env: { ...process.env, ...home, ...env },
        stdio: ['pipe', 'pipe', 'pipe'],
      }),
  }
}

/** What a command line begins with, so that the rest happens in there. */
async function enter(t: Test, way: Way, directory: string): Promise<readonly string[]> {
  const outer: string[] = []
  if (asRoot) {
    // fusermount3 wants to know its caller by name.
    const passwd = join(directory, 'passwd')
    writeFileSync(passwd, `root:x:0:0::/root:/bin/sh\nalice:x:${users.alice.uid}:${users.alice.gid}::/:/bin/sh\n`)
    const opening = `${await openDevice(directory)}mount --bind ${passwd} /etc/passwd; `
    const pid = await stay(t, [
      'unshare',
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-euc',
      `${opening}echo; exec cat`,
    ])
    const { uid, gid } = users.alice
    const account = ['setpriv', '--reuid', String(uid), '--regid', String(gid), '--clear-groups']
    outer.push('nsenter', '--target', String(pid), '--mount', ...account)
  }
  if (way === 'fusermount') return outer
  const pid = await stay(t, [
    ...outer,
    'unshare',
    '--user',
    '--map-root-user',
    '--mount',
    'sh',
    '-euc',
    'echo; exec cat',
  ])
  return ['nsenter', '--target', String(pid), '--user', '--mount', '--setuid', '0', '--setgid', '0']
}

/** What lets everybody open /dev/fuse in a namespace, as it is on most machines. */
async function openDevice(directory: string): Promise<string> {
  if ((statSync('/dev/fuse').mode & 0o006) === 0o006) return ''
  const device = join(directory, 'fuse')
  await run('mknod', ['-m', '666', device, 'c', '10', '229'])
  return `mount --bind ${device} /dev/fuse; `
}

/** Starts what prints a line and then waits for the end of its input. */
async function stay(t: Test, [program = '', ...args]: readonly string[]): Promise<number> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  t.teardown(async () => {
    child.stdin.end()
    await closed
  })
  const first = await Promise.race([once(child.stdout, 'data'), closed.then(() => undefined)])
  if (first === undefined || child.pid === undefined) throw new Error(`${program} ${args.join(' ')} did not start`)
  return child.pid
}
