/**
 * Keeps the descriptor of a mount, and a process that serves it. When that process dies, the next one goes on with the
 * same descriptor: whoever uses the mount waits, and sees no error.
 */

import type { ChildProcess } from 'node:child_process'
import { closeSync } from 'node:fs'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { Agreement } from '../kernel/init.ts'
import type { Attached } from '../mounting/attach.ts'
import { type MountedReport, onReport, tellChild } from './reports.ts'

export interface SuperviseOptions {
  readonly attached: Attached
  /** Starts a process with the descriptor and a channel to us; `resumed`: what the one before had agreed on. */
  readonly start: (fd: number, resumed: Agreement | undefined) => ChildProcess
  readonly log: (line: string) => void
}

export interface Supervised {
  /** The first process serves the mount. Rejects with what it failed by; nothing is mounted then. */
  readonly mounted: Promise<MountedReport>
  /** True after an orderly end. */
  readonly ended: Promise<boolean>
  stop(): Promise<void>
}

/** A process that dies as often within a minute would die again. */
const mostDeaths = 10
const firstPause = 100
const longestPause = 5000
const grace = 5000

export function supervise(options: SuperviseOptions): Supervised {
  const keeper = new Keeper(options)
  return { mounted: keeper.mounted, ended: keeper.ended, stop: () => keeper.stop() }
}

class Keeper {
  readonly mounted: Promise<MountedReport>
  readonly ended: Promise<boolean>
  readonly #options: SuperviseOptions
  readonly #mounted = Promise.withResolvers<MountedReport>()
  readonly #ended = Promise.withResolvers<boolean>()
  #child: ChildProcess | undefined
  #agreement: Agreement | undefined
  #deaths: number[] = []
  #stopping = false
  #over = false

  constructor(options: SuperviseOptions) {
    this.#options = options
    this.mounted = this.#mounted.promise
    this.ended = this.#ended.promise
    // Told to who waits; nobody has to.
    this.mounted.catch(() => undefined)
    this.#start()
  }

  #start(): void {
    const { attached, start } = this.#options
    const child = start(attached.fd, this.#agreement)
    this.#child = child
    onReport(child, (report) => {
      if (report.kind === 'agreed') this.#agreement = report.agreement
      else if (report.kind === 'mounted')
        this.#mounted.resolve({ ...report, directory: attached.directory, way: attached.way })
      else this.#mounted.reject(new StorageError(report.code, report.message))
    })
    child.once('error', () => void this.#gone('could not be started', undefined))
    child.once('exit', (code, signal) => void this.#gone(`ended by ${signal ?? `status ${code}`}`, code ?? undefined))
  }

  async #gone(how: string, code: number | undefined): Promise<void> {
    if (this.#over) return
    // The kernel has told it that the mount is gone, or it was asked to end.
    if (code === 0) return this.#end(true)
    this.#mounted.reject(new StorageError('internal', `the process of the mount ${how}`))
    const now = Date.now()
    this.#deaths = [...this.#deaths.filter((death) => now - death < 60_000), now]
    // Without RESEND, whoever waits for an answer of the dead process would wait for ever, and could not be killed.
    const isLost = !this.#agreement?.flags.includes('resend')
    if (isLost || this.#stopping || this.#deaths.length > mostDeaths) return this.#giveUp(how)
    this.#options.log(`the process of the mount ${how}; the next one takes over`)
    await new Promise((resolve) => {
      setTimeout(resolve, Math.min(longestPause, firstPause * 2 ** (this.#deaths.length - 1)))
    })
    if (this.#over) return
    if (this.#stopping) await this.#giveUp(how)
    else this.#start()
  }

  async #giveUp(how: string): Promise<void> {
    this.#options.log(`the process of the mount ${how}; the mount ends`)
    await this.#options.attached.detach(true).catch(() => undefined)
    this.#end(false)
  }

  /** Lazily where it is in use; what was written is flushed before the process ends. */
  async stop(): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    const { attached } = this.#options
    await attached.detach(false).catch(() => attached.detach(true).catch(() => undefined))
    const child = this.#child
    if (!child) return
    const late = setTimeout(() => tellChild(child), grace)
    await this.ended
    clearTimeout(late)
  }

  #end(orderly: boolean): void {
    if (this.#over) return
    this.#over = true
    const { attached } = this.#options
    closeSync(attached.fd)
    void attached.end().then(() => this.#ended.resolve(orderly))
  }
}
