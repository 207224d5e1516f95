/** `portolan mount URL DIRECTORY -- COMMAND`: a program, and a mount for as long as it runs. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import type { InBackground } from '../../mounts/fuse/keeper/background.ts'
import { tellChild } from '../../mounts/fuse/keeper/reports.ts'
import type { MountOptions } from '../../mounts/fuse/mount.ts'
import { passedDescriptor } from '../../mounts/fuse/mounting/attach.ts'
import { detachMount } from '../../mounts/fuse/mounting/detach.ts'
import { keepCapabilities } from '../../mounts/fuse/mounting/libc.ts'
import { mayAskFusermount, mayMount, namespaceWords } from '../../mounts/fuse/mounting/privilege.ts'
import { StorageError } from '../core/errors.ts'
import { UsageError } from './exit.ts'
import type { MountWords } from './mount-options.ts'
import { mountBeside, mountedLine, ownCommand } from './mount-processes.ts'
import { complain } from './output.ts'

/** Says that the namespaces have been made. */
const insideVariable = 'PORTOLAN_MOUNT_INSIDE'

/** Gives the exit code of the command. Throws when there is no mount, and so no command. */
export async function mountForCommand(
  options: MountOptions,
  words: MountWords,
  command: readonly string[],
): Promise<number> {
  if (!process.argv.includes('--')) throw new UsageError(`mount: ${command[0]}: a COMMAND stands behind --`)
  if (words.foreground || words.json) throw new UsageError('--foreground and --json do not go with a COMMAND')
  if (passedDescriptor(options.directory) !== undefined) {
    throw new UsageError('a descriptor that was handed over does not go with a COMMAND')
  }
  const isInside = process.env[insideVariable] !== undefined
  // Neither the mount nor the command is to know.
  delete process.env[insideVariable]
  if (!isInside && !mayMount() && !(await mayAskFusermount())) await goInside()
  const mount = await mountBeside(options, words, command.length)
  if (words.verbose) complain(mountedLine(options, mount.report))
  const running = { isStopping: false }
  const ended = once(mount.child, 'exit')
  mount.child.once('exit', () => void lost(mount, running))
  try {
    return await runCommand(command[0] === '--' ? command.slice(1) : command)
  } finally {
    running.isStopping = true
    tellChild(mount.child)
    if (mount.child.exitCode === null && mount.child.signalCode === null) await ended
  }
}

/** This process becomes unshare(1), which becomes this command line once more. */
async function goInside(): Promise<void> {
  const unshare = await namespaceWords()
  if (!unshare) {
    throw new StorageError(
      'invalid',
      'nobody may mount here: there is no usable fusermount3 (package fuse3), and unshare(1) makes no user namespace',
    )
  }
  const words = ['/usr/bin/env', ...unshare, process.execPath, ...ownCommand([])]
  process.execve?.('/usr/bin/env', words, { ...process.env, [insideVariable]: '1' })
}

/** Nobody is left to serve it, so that it is not to be waited for. */
async function lost({ report }: InBackground, { isStopping }: { readonly isStopping: boolean }): Promise<void> {
  if (isStopping) return
  complain('the mount has ended before the command')
  const { directory } = report
  // Its guard has been there before, or it was unmounted.
  if (directory !== undefined) await detachMount(directory, directory, true).catch(() => undefined)
}

/** SIGWINCH and what stops a program come from the terminal, which tells the whole group. */
const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const
const ofTerminal: ReadonlySet<string> = new Set(['SIGINT', 'SIGQUIT', 'SIGHUP'])

async function runCommand([program = '', ...words]: readonly string[]): Promise<number> {
  let child: ChildProcess | undefined
  for (const signal of passedOn) {
    process.on(signal, () => {
      if (!(ofTerminal.has(signal) && isInFront())) child?.kill(signal)
    })
  }
  keepCapabilities()
  try {
    child = spawn(program, words, { stdio: 'inherit' })
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
    return code ?? 128 + (signal === null ? 0 : constants.signals[signal])
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    complain(`${program}: cannot be run (${code})`)
    return code === 'ENOENT' ? 127 : 126
  }
}

/** Whether the keys of a terminal reach the command as they reach us: tpgid and pgrp of proc_pid_stat(5). */
function isInFront(): boolean {
  const text = readFileSync('/proc/self/stat', 'latin1')
  const [, , group, , , foreground] = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return group === foreground
}
