/** `portolan mount` in processes that stay: the one that serves the kernel, and one that watches over it. */

import { spawn } from 'node:child_process'
import { mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  childOfMount,
  failureReport,
  heedParent,
  type MountedReport,
  tellParent,
} from '../../mounts/fuse/keeper/reports.ts'
import { supervise } from '../../mounts/fuse/keeper/supervise.ts'
import type { Agreement } from '../../mounts/fuse/kernel/init.ts'
import { attachOptions, type Inherited, type MountOptions, mountGateway } from '../../mounts/fuse/mount.ts'
import { attach, raiseReadAhead } from '../../mounts/fuse/mounting/attach.ts'
import { StorageError } from '../core/errors.ts'
import { exitCode } from './exit.ts'
import type { MountWords } from './mount-options.ts'
import { childEnvironment, inheritedVariable, mountedLine, mountedShape, ownCommand } from './mount-processes.ts'
import { sayJson } from './output.ts'

/** What a child of ours is told to be besides. */
const inheritedDescriptor = 3
/** Where it finds what the one before it wrote down. */
const inheritedJournal = 5

/** Until it is unmounted. */
export async function mountInForeground(options: MountOptions, words: MountWords): Promise<number> {
  // A process that stays must keep no directory of others in use.
  if (process.connected) process.chdir('/')
  const inherited = inheritedOf()
  const ending = new AbortController()
  heedParent(() => ending.abort())
  // A supervisor gets the same signals, and says when it is time.
  for (const signal of signals) process.on(signal, () => inherited ?? ending.abort())
  try {
    const mount = await mountGateway(options, inherited, ending.signal)
    const stop = () => void mount.stop()
    ending.signal.addEventListener('abort', stop)
    if (ending.signal.aborted) stop()
    const { directory, way, user, agreement } = mount
    const report: MountedReport = { kind: 'mounted', directory, way, user }
    tellParent({ kind: 'agreed', agreement })
    tellParent(report)
    if (!process.connected) await announce(options, words, report)
    await mount.ended
    return exitCode.done
  } catch (error) {
    return failed(error)
  }
}

/** A file of ours alone, which ends with the last process that has it. */
function nameless(): number {
  const directory = mkdtempSync(join(process.env.XDG_RUNTIME_DIR || tmpdir(), 'portolan-'))
  try {
    return openSync(join(directory, 'journal'), 'wx+', 0o600)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Holds the mount, and starts who serves it as often as needed. */
export async function mountSupervised(options: MountOptions, words: MountWords): Promise<number> {
  const environment = await childEnvironment(words)
  const cwd = process.cwd()
  if (process.connected) process.chdir('/')
  try {
    const ending = new AbortController()
    for (const signal of signals) process.on(signal, () => ending.abort())
    heedParent(() => ending.abort())
    const journal = nameless()
    const attached = await attach(attachOptions(options))
    const start = (fd: number, resumed: Agreement | undefined) =>
      spawn(process.execPath, ownCommand(process.connected ? [] : ['--log', 'stderr']), {
        cwd,
        env: { ...environment, ...childOfMount, [inheritedVariable]: JSON.stringify(resumed ?? null) },
        stdio: ['ignore', 'inherit', 'inherit', fd, 'ipc', journal],
      })
    const { mounted, ended, stop } = supervise({ attached, start, log: options.log })
    ending.signal.addEventListener('abort', () => void stop())
    if (ending.signal.aborted) void stop()
    try {
      const report = await mounted
      if (attached.directory !== undefined) await raiseReadAhead(attached.directory)
      tellParent(report)
      if (!process.connected) await announce(options, words, report)
    } catch (error) {
      // Nothing is left of it when the reason is told.
      await stop()
      await ended
      if (ending.signal.aborted) throw new StorageError('cancelled', 'ended before it was mounted')
      throw error
    }
    return (await ended) ? exitCode.done : exitCode.failed
  } catch (error) {
    return failed(error)
  }
}

/** Whoever has started us says it; otherwise it is thrown. */
function failed(error: unknown): number {
  if (!process.connected) throw error
  tellParent(failureReport(error))
  return exitCode.failed
}

async function announce(options: MountOptions, words: MountWords, report: MountedReport): Promise<void> {
  if (words.json) await sayJson({ ...mountedShape(options, report), pid: process.pid })
  else options.log(mountedLine(options, report))
}

function inheritedOf(): Inherited | undefined {
  const text = process.env[inheritedVariable]
  if (text === undefined) return undefined
  delete process.env[inheritedVariable]
  // Written by the supervisor of this very program.
  const agreement = (JSON.parse(text) as Agreement | null) ?? undefined
  return { fd: inheritedDescriptor, agreement, journal: inheritedJournal }
}
