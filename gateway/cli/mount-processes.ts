/** What the processes of `portolan mount` are started with, and the command that goes when the mount is there. */

import { type InBackground, startInBackground } from '../../mounts/fuse/keeper/background.ts'
import { letGo, type MountedReport } from '../../mounts/fuse/keeper/reports.ts'
import type { MountOptions } from '../../mounts/fuse/mount.ts'
import { passedDescriptor } from '../../mounts/fuse/mounting/attach.ts'
import { keepOverExec } from '../../mounts/fuse/mounting/libc.ts'
import { findToken } from './endpoint.ts'
import type { MountWords } from './mount-options.ts'
import { harmless, say, sayJson } from './output.ts'

export type Role = 'background' | 'supervisor' | 'server'

/** The descriptor that a supervisor hands to its child, and what was agreed on with the kernel. */
export const inheritedVariable = 'PORTOLAN_MOUNT_INHERITED'
/** Each read of the kernel's device that waits takes up a thread of libuv's pool; files and names need some, too. */
const threads = 16
/** Where a process in the background finds the descriptor that this one was given. */
const passedOn = '/dev/fd/4'

export function roleOf({ foreground, supervise }: MountWords): Role {
  if (process.env[inheritedVariable] !== undefined) return 'server'
  if (!foreground) return 'background'
  return supervise ? 'supervisor' : 'server'
}

/** Returns when the mount answers; it goes on in a process of its own. */
export async function mountInBackground(options: MountOptions, words: MountWords): Promise<void> {
  const { report, child } = await mountBeside(options, words)
  letGo(child)
  if (words.json) await sayJson({ ...mountedShape(options, report), pid: child.pid })
  else if (words.verbose) await say(mountedLine(options, report))
}

/** In a process that ends with this one. `command`: words at the end of our command line that are none of the mount's. */
export async function mountBeside(options: MountOptions, words: MountWords, command = 0): Promise<InBackground> {
  const descriptor = passedDescriptor(options.directory)
  const isOurs = command > 0
  const more = isOurs && words.log === undefined ? ['--foreground', '--log', 'stderr'] : ['--foreground']
  const own = ownCommand(more, command)
  return startInBackground({
    command: descriptor === undefined ? own : own.map((word) => (word === options.directory ? passedOn : word)),
    environment: await childEnvironment(words),
    descriptor,
    timeout: (options.timeout + 20) * 1000,
    mayBeClosed: options.perProcess || options.account !== undefined,
    errors: isOurs ? 'inherit' : 'ignore',
  })
}

/** As `--json` prints it. */
export function mountedShape({ source, readOnly }: MountOptions, { directory, way, user }: MountedReport) {
  return { source, directory: directory ?? null, way, user: user ?? null, readOnly }
}

export function mountedLine({ source, directory }: MountOptions, { way, user }: MountedReport): string {
  return `${harmless(source)} on ${harmless(directory)} as ${harmless(user ?? 'nobody in particular')}, by ${way}`
}

/** This command line once more, with further words, and without the last ones. */
export function ownCommand(words: readonly string[], without = 0): string[] {
  const [script = '', mount = 'mount', ...rest] = process.argv.slice(1, process.argv.length - without)
  if (without > 0 && rest.at(-1) === '--') rest.pop()
  return [...process.execArgv, script, mount, ...words, ...rest]
}

/** With a pool that is large enough, and the token of `--as`. */
export async function childEnvironment(words: MountWords): Promise<NodeJS.ProcessEnv> {
  const environment = { ...process.env, UV_THREADPOOL_SIZE: String(threads) }
  if (words.as === undefined) return environment
  const found = await findToken({ as: words.as })
  return found ? { ...environment, BEARER_TOKEN: found.token.reveal() } : environment
}

/**
 * For the process that serves: the pool's size is read when it is first used, which is too late, so that the process begins
 * anew, before it has loaded much.
 */
export async function takeThreads(directory: string, words: MountWords): Promise<void> {
  if (Number(process.env.UV_THREADPOOL_SIZE) >= threads && words.as === undefined) return
  if (process.env.UV_THREADPOOL_SIZE === String(threads) && process.env.BEARER_TOKEN !== undefined) return
  const descriptor = passedDescriptor(directory)
  if (descriptor !== undefined) keepOverExec(descriptor)
  process.execve?.(process.execPath, [process.execPath, ...ownCommand([])], await childEnvironment(words))
}
