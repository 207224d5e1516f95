/**
 * A real Linux kernel for tests, beside the one they run on: User Mode Linux (Debian's package user-mode-linux) on the
 * host's own files, read-only. It has what a container lacks: an NFSv4 server and client, and quotas. No network.
 */

import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

const here = join(import.meta.dirname, 'uml')

/** What must be installed, each with a file that shows it. */
const needed = {
  'user-mode-linux': '/usr/bin/linux.uml',
  kmod: '/sbin/modprobe',
  iproute2: '/sbin/ip',
  gcc: '/usr/bin/gcc',
  'libc6-dev': '/usr/include/stdio.h',
  'nfs-kernel-server': '/usr/sbin/rpc.nfsd',
  'nfs-common': '/sbin/mount.nfs4',
  'nfs4-acl-tools': '/usr/bin/nfs4_getfacl',
  e2fsprogs: '/sbin/mkfs.ext4',
  quota: '/usr/sbin/setquota',
} as const

/** Why no guest can be started here; false where one can. For `skip`. */
export function noGuest(): string | false {
  if (process.arch !== 'x64') return 'User Mode Linux is for x86_64 alone'
  // The guest's root reads the host's files as the one who starts it.
  if (process.getuid?.() !== 0) return 'the guest sees files of root only when root starts it'
  const missing = Object.entries(needed).filter(([, file]) => !existsSync(file))
  return missing.length > 0 && `missing Debian packages: ${missing.map(([name]) => name).join(', ')}`
}

export interface GuestRun {
  /** Exit status of the script; undefined when the guest did not get that far. */
  readonly status: number | undefined
  /** What it printed, both streams. */
  readonly output: string
  /** What it wrote to the file /mnt/share/result. */
  readonly result: string
}

export interface GuestOptions {
  /** MiB; 1024 by default. */
  readonly memory?: number
  /** Seconds after which the guest is killed; 120 by default. */
  readonly limit?: number
}

/**
 * Boots a guest, runs a script of bash in it as root, and powers it off. The guest's own log comes only when it failed.
 * `modprobe` finds the guest's modules; /run, /mnt/exp and /mnt/nfs are empty and writable.
 */
export async function runInGuest(script: string, { memory = 1024, limit = 120 }: GuestOptions = {}): Promise<GuestRun> {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-uml-'))
  try {
    const library = join(directory, 'fpregs.so')
    execFileSync('/usr/bin/gcc', ['-O2', '-shared', '-fPIC', '-o', library, join(here, 'fpregs.c')])
    const share = join(directory, 'share')
    mkdirSync(share)
    writeFileSync(join(share, 'command'), script)
    const kernel = [
      `mem=${memory}M`,
      ...['rootfstype=hostfs', 'rootflags=/', 'ro', 'quiet', 'loglevel=3', 'con=null', 'con0=null,fd:1'],
      ...[`init=${join(here, 'init.sh')}`, `uml_dir=${directory}`, `SHARE=${share}`],
    ]
    const child = spawn('/usr/bin/linux.uml', kernel, {
      stdio: ['ignore', 'pipe', 'pipe'],
      // The guest's memory is a file there.
      env: { ...process.env, LD_PRELOAD: library, TMPDIR: '/dev/shm' },
      detached: true,
    })
    const killer = setTimeout(() => child.pid && process.kill(-child.pid, 'SIGKILL'), limit * 1000)
    const [output, log] = await Promise.all([text(child.stdout), text(child.stderr)])
    clearTimeout(killer)
    const status = textIn(join(share, 'status'))
    const result = textIn(join(share, 'result')) ?? ''
    if (status === undefined) return { status, output: `${output}\n${log}`, result }
    return { status: Number(status), output, result }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/**
 * Runs a test file inside a guest after `prepare`, and reports what it reports as the results of this process, which
 * uses tap for nothing else.
 */
export async function testInGuest(file: string, prepare: string, options?: GuestOptions): Promise<void> {
  const skip = noGuest()
  if (skip !== false) {
    process.stdout.write(`TAP version 14\n1..0 # SKIP ${skip}\n`)
    return
  }
  // What the host has made of modules can be read there.
  const cache = process.env.NODE_COMPILE_CACHE
  const set = cache === undefined ? '' : `export NODE_COMPILE_CACHE=${quoted(cache)}`
  const script = `set -e\n${prepare}\n${set}\ncd ${quoted(process.cwd())}\n${quoted(process.execPath)} ${quoted(file)} >/mnt/share/result\n`
  const { status, output, result } = await runInGuest(script, options)
  process.stdout.write(result)
  if (status === 0) return
  process.stderr.write(output)
  // The guest's own failures are told already; anything else must not look like success.
  if (!/^not ok/m.test(result)) process.stdout.write(`\nBail out! the guest ended with status ${status ?? 'none'}\n`)
  process.exitCode = 1
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}

function textIn(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}
