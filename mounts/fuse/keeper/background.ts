/** A mount in a process of its own: the command that began it waits until it answers, or says why it does not. */

import { type ChildProcess, spawn } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { StorageError } from '../../../gateway/core/errors.ts'
import { childOfMount, type MountedReport, onReport, tellChild } from './reports.ts'

export interface BackgroundOptions {
  /** Arguments of Node; the program must do the mount in the foreground and report. */
  readonly command: readonly string[]
  readonly environment: NodeJS.ProcessEnv
  /** Becomes descriptor 4 of the process. */
  readonly descriptor: number | undefined
  /** Milliseconds. */
  readonly timeout: number
  /** Whoever starts the mount need not be let in himself. */
  readonly mayBeClosed: boolean
  /** Where its standard error goes: to ours, or nowhere. */
  readonly errors: 'inherit' | 'ignore'
}

export interface InBackground {
  readonly report: MountedReport
  /** Ends when we do, unless it is let go (reports.ts). */
  readonly child: ChildProcess
}

/** Resolves when the root of the mount can be looked at. Otherwise throws, and nothing is mounted. */
export async function startInBackground(options: BackgroundOptions): Promise<InBackground> {
  const child = spawn(process.execPath, options.command, {
    detached: true,
    env: { ...options.environment, ...childOfMount },
    stdio: ['ignore', 'ignore', options.errors, 'ipc', options.descriptor ?? 'ignore'],
  })
  const gone = new Promise<never>((_, reject) => {
    child.once('error', (cause) => reject(new StorageError('internal', 'the mount cannot be started', { cause })))
    child.once('exit', (code, signal) =>
      reject(new StorageError('internal', `the process of the mount ended (${signal ?? code})`)),
    )
  })
  gone.catch(() => undefined)
  const mounted = new Promise<MountedReport>((resolve, reject) => {
    onReport(child, (report) => {
      if (report.kind === 'mounted') resolve(report)
      if (report.kind === 'failed') reject(new StorageError(report.code, report.message))
    })
  })
  try {
    const report = await within(Promise.race([mounted, gone]), options.timeout)
    if (report.directory !== undefined)
      await within(Promise.race([look(report.directory, options), gone]), options.timeout)
    return { report, child }
  } catch (error) {
    tellChild(child)
    await within(gone, 10_000).catch(() => child.kill('SIGKILL'))
    throw error
  }
}

async function look(directory: string, { mayBeClosed }: BackgroundOptions): Promise<void> {
  await stat(directory).catch((cause: NodeJS.ErrnoException) => {
    if (mayBeClosed && cause.code === 'EACCES') return
    throw new StorageError('unavailable', `${directory} is mounted, and cannot be looked at (${cause.code})`, { cause })
  })
}

async function within<T>(work: Promise<T>, limit: number): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new StorageError('timeout', 'the mount does not answer')), limit)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
