/**
 * Started as root, the gateway becomes its service account before it does anything else: with the ambient
 * capabilities CAP_SETUID and CAP_SETGID alone where mounts of the `native` grade need them, with none where
 * not. A process cannot drop these for all of its threads, so it executes itself again.
 */

import { existsSync, mkdirSync, realpathSync, statSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import {
  ambientSet,
  boundingSet,
  capabilitySet,
  dropFromBoundingSet,
  getCapabilities,
  setAmbient,
  setCapabilities,
  setNoNewPrivileges,
} from '../backends/posix/native/capabilities.ts'
import type { AccountIds } from '../backends/posix/native/process.ts'
import {
  asAccount,
  becomeAccount,
  closeOnExec,
  detachMount,
  hideMemory,
  keepOverExec,
  leaveMountNamespace,
  MS_BIND,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  MS_REC,
  MS_REMOUNT,
  mount,
} from '../backends/posix/native/process.ts'
import * as sys from '../backends/posix/native/sys.ts'

export interface PrivilegeOptions {
  /** Who the gateway becomes when started as root. */
  readonly account: AccountIds
  /** Whether mounts of the `native` grade are configured. */
  readonly native: boolean
  /**
   * Absolute paths that the service account must reach: state, logs, trees of the `gateway` grade. The program's own
   * files are always among them. What lies below a closed directory is made reachable for this process alone.
   */
  readonly needed: readonly string[]
  /** Tops of native mounts, opened by root: the account needs no way to them. */
  readonly roots: readonly string[]
  /** Listening on ports below 1024. */
  readonly lowPorts?: boolean
}

/** `roots`: descriptors of the tops that root opened, by path; empty when the gateway was not started as root. */
export type Privileges =
  | { readonly ready: true; readonly roots: ReadonlyMap<string, number> }
  | { readonly ready: false; readonly refused: string }

/** Tells the second start of the first. Never trusted alone: ids and capabilities are looked at. */
const marker = 'PORTOLAN_REEXECUTED'
const rootsVariable = 'PORTOLAN_ROOTS'

const { CAP_SETGID, CAP_SETUID } = sys.capabilities
const CAP_NET_BIND_SERVICE = 10
const topOfProgram = resolve(import.meta.dirname, '..')

/**
 * Call it before threads, files and listeners exist. Ready: the process has exactly the privileges it needs, and umask
 * 0. Started as root it does not return: the same program starts again, as the account. Refused: it cannot be
 * had, for the reason given; nothing has changed, and the caller goes on in the `gateway` grade or stops.
 */
export function preparePrivileges(options: PrivilegeOptions): Privileges {
  if (process.geteuid?.() !== 0) return alreadyDropped(options)
  if (process.env[marker]) return refuse('started again by itself and still root')
  if (options.account.uid === 0 || options.account.gid === 0) return refuse('the service account must not be root')
  const wanted = wantedCapabilities(options)
  const means = capabilitySet(CAP_SETGID, CAP_SETUID, sys.capabilities.CAP_SETPCAP, ...wanted)
  if ((getCapabilities().effective & means) !== means) return refuse('root has not the capabilities to become another')
  const needed = [topOfProgram, realpathSync(process.execPath), ...options.needed].filter((path) => existsSync(path))
  const closed = openTheWay(needed, options.account)
  if (closed !== undefined) return refuse(closed)
  return executeAgain(options, wanted)
}

/** The sets of the main thread, for `check` and logs. */
export function currentCapabilities(): {
  readonly permitted: bigint
  readonly bounding: bigint
  readonly ambient: bigint
} {
  return { permitted: getCapabilities().permitted, bounding: boundingSet(), ambient: ambientSet() }
}

/**
 * Descriptors of tops that the first start opened, or that `rootsFor` gave. From here on programs that this process
 * starts do not get them. Throws if one is not what it should be.
 */
export function inheritedRoots(): ReadonlyMap<string, number> {
  const roots = new Map<string, number>()
  const text = process.env[rootsVariable]
  if (!text) return roots
  for (const [path, fd] of Object.entries(JSON.parse(text) as Record<string, unknown>)) {
    if (typeof fd !== 'number' || (sys.fstat(fd).mode & sys.S_IFMT) !== sys.S_IFDIR) {
      throw new Error(`${rootsVariable} names a descriptor that is not a directory`)
    }
    closeOnExec(fd)
    roots.set(path, fd)
  }
  return roots
}

/** How a process of the gateway gets the tops: descriptors to be handed to it in this order from number `first` on, and its environment. */
export function rootsFor(
  roots: ReadonlyMap<string, number>,
  first: number,
): { readonly descriptors: readonly number[]; readonly environment: Readonly<Record<string, string>> } {
  const numbers = Object.fromEntries([...roots.keys()].map((path, index) => [path, first + index]))
  return { descriptors: [...roots.values()], environment: { [rootsVariable]: JSON.stringify(numbers) } }
}

/** Programs that the calling thread starts from here on get no capability. It keeps its own, and cannot take this back. */
export function endInheritance(): void {
  if (ambientSet() === 0n) return
  setAmbient([])
  setCapabilities({ ...getCapabilities(), inheritable: 0n })
}

/** Starts a program without capabilities, in a process that hands its own on to others. `start` must be synchronous. */
export function startUnprivileged<T>(start: () => T): T {
  const ambient = ambientSet()
  if (ambient === 0n) return start()
  setAmbient([])
  try {
    return start()
  } finally {
    setAmbient(numbersOf(ambient))
  }
}

function numbersOf(set: bigint): number[] {
  return Array.from({ length: 64 }, (_, number) => number).filter((number) => set & (1n << BigInt(number)))
}

function wantedCapabilities({ native, lowPorts }: PrivilegeOptions): number[] {
  return [...(native ? [CAP_SETGID, CAP_SETUID] : []), ...(lowPorts ? [CAP_NET_BIND_SERVICE] : [])]
}

function alreadyDropped(options: PrivilegeOptions): Privileges {
  const { permitted, ambient } = currentCapabilities()
  const bindOnly = capabilitySet(CAP_NET_BIND_SERVICE)
  const switching = capabilitySet(CAP_SETGID, CAP_SETUID)
  if (options.native) {
    if ((permitted & ambient & switching) !== switching) {
      return refuse('not root, and without the ambient capabilities CAP_SETUID and CAP_SETGID')
    }
    if ((permitted & ~bindOnly) !== switching) return refuse('has capabilities beyond CAP_SETUID and CAP_SETGID')
  }
  process.umask(0)
  if (options.native) hideMemory()
  return { ready: true, roots: inheritedRoots() }
}

function refuse(reason: string): Privileges {
  return { ready: false, refused: reason }
}

function executeAgain(options: PrivilegeOptions, wanted: readonly number[]): never {
  const roots = Object.fromEntries(options.roots.map((path) => [path, openRoot(path)]))
  const [script, ...rest] = process.argv.slice(1)
  const args = [...process.execArgv, ...(script === undefined ? [] : [realpathSync(script)]), ...rest]
  const env = { ...process.env, [marker]: '1', [rootsVariable]: JSON.stringify(roots) }
  // The old working directory may lie below what is closed now, or covered.
  process.chdir(reachable(process.cwd(), options.account) ? process.cwd() : topOfProgram)
  process.umask(0)
  for (let number = 0; number < 64; number++) {
    if (!wanted.includes(number) && boundingSet() & (1n << BigInt(number))) dropFromBoundingSet(number)
  }
  becomeAccount(options.account)
  const set = capabilitySet(...wanted)
  setCapabilities({ effective: set, permitted: set, inheritable: set })
  setAmbient(wanted)
  setNoNewPrivileges()
  if (!process.execve) throw new Error('this Node has no process.execve')
  process.execve(process.execPath, [process.execPath, ...args], env)
  throw new Error('the program could not be executed again')
}

function openRoot(path: string): number {
  const fd = sys.openat(sys.AT_FDCWD, path, sys.O_PATH | sys.O_DIRECTORY, 0)
  keepOverExec(fd)
  return fd
}

/** Makes all of `needed` reachable for the account, in a mount table of our own if it must be. Returns why it cannot be. */
function openTheWay(needed: readonly string[], account: AccountIds): string | undefined {
  const real = [...new Set(needed.map((path) => realpathSync(path)))]
  const closedBelow = (): string | undefined =>
    real.map((path) => closedAncestor(path, account)).find((path) => path !== undefined)
  const covered: string[] = []
  // Below one closed directory there may be another.
  for (let closed = closedBelow(); closed !== undefined; closed = closedBelow()) {
    try {
      if (covered.length === 0) leaveMountNamespace()
      coverWithBinds(
        closed,
        real.filter((path) => path.startsWith(`${closed}/`)),
      )
    } catch (error) {
      if (!(error instanceof sys.Errno)) throw error
      for (const directory of covered.toReversed()) detachMount(directory)
      const attempt = `${error.syscall} gave ${error.code} when a way was made for this process alone`
      return `uid ${account.uid} may not enter ${closed}, and ${attempt}: move the files or open it with chmod o+x`
    }
    covered.push(closed)
  }
  const still = real.find((path) => !reachable(path, account))
  if (still === undefined) return undefined
  for (const directory of covered.toReversed()) detachMount(directory)
  return `uid ${account.uid} may not open ${still}: change its mode or owner`
}

/** The first directory on the way to `path` that the account may not pass. */
function closedAncestor(path: string, account: AccountIds): string | undefined {
  for (let end = 1; end > 0; end = path.indexOf('/', end + 1)) {
    const ancestor = end === 1 ? '/' : path.slice(0, end)
    if (ancestor !== '/' && !passes(ancestor, account)) return ancestor
  }
  return undefined
}

function passes(directory: string, account: AccountIds): boolean {
  return asAccount(account, () => sys.faccessat2(sys.AT_FDCWD, directory, sys.X_OK, sys.AT_EACCESS))
}

function reachable(path: string, account: AccountIds): boolean {
  const mode = statSync(path).isDirectory() ? sys.R_OK | sys.X_OK : sys.R_OK
  return asAccount(account, () => sys.faccessat2(sys.AT_FDCWD, path, mode, sys.AT_EACCESS))
}

/** A small empty file system over `directory`, open to all, with these paths of the old one at their places. All or nothing. */
function coverWithBinds(directory: string, paths: readonly string[]): void {
  const outermost = paths.filter((path) => !paths.some((other) => path.startsWith(`${other}/`)))
  // Opened in the mount table we are in: what was opened in another cannot be bound from.
  const sources = outermost.map((path) => [path, sys.openat(sys.AT_FDCWD, path, sys.O_PATH, 0)] as const)
  try {
    mount('portolan', directory, 'tmpfs', harmless, 'mode=0755,size=1m,nr_inodes=1024')
    try {
      for (const [path, fd] of sources) bindAt(path, fd)
      mount('none', directory, '', harmless | MS_REMOUNT | MS_RDONLY, 'mode=0755')
    } catch (error) {
      detachMount(directory)
      throw error
    }
  } finally {
    for (const [, fd] of sources) sys.close(fd)
  }
}

const harmless = MS_NOSUID | MS_NODEV | MS_NOEXEC

function bindAt(path: string, fd: number): void {
  const isDirectory = (sys.fstat(fd).mode & sys.S_IFMT) === sys.S_IFDIR
  mkdirSync(isDirectory ? path : dirname(path), { recursive: true, mode: 0o755 })
  if (!isDirectory) writeFileSync(path, '')
  mount(sys.procPath(fd), path, '', MS_BIND | MS_REC, '')
}
