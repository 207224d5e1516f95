/** What the processes of a mount tell each other, over the channel that Node gives to a child. */

import type { ChildProcess } from 'node:child_process'
import { type ErrorCode, errorCodes, StorageError } from '../../../gateway/core/errors.ts'
import type { Agreement } from '../kernel/init.ts'

/** What whoever started the mount is told. */
export interface MountedReport {
  readonly kind: 'mounted'
  /** Undefined where a descriptor was handed over. */
  readonly directory: string | undefined
  readonly way: string
  /** Who the gateway takes us for. */
  readonly user: string | undefined
}

export interface FailedReport {
  readonly kind: 'failed'
  readonly code: ErrorCode
  readonly message: string
}

export interface AgreedReport {
  readonly kind: 'agreed'
  readonly agreement: Agreement
}

export type Report = MountedReport | FailedReport | AgreedReport

/** What goes down: unmount, and end; or stay when we have gone. */
type Word = { readonly kind: 'stop' | 'stay' }
const [stopWord, stayWord]: readonly [Word, Word] = [{ kind: 'stop' }, { kind: 'stay' }]

export function failureReport(error: unknown): FailedReport {
  const { code, message } = StorageError.from(error)
  // The bug is in another process than the one that prints it.
  const bug = error instanceof StorageError || !(error instanceof Error) ? '' : `: ${error.name}: ${error.message}`
  return { kind: 'failed', code, message: `${message}${bug}` }
}

/** Tells the parent, where there is one. */
export function tellParent(report: Report): void {
  // A parent that has gone meanwhile is told nothing.
  if (process.connected) process.send?.(report, () => undefined)
}

/** Reports of a child, in order; what is none is left out. */
export function onReport(child: ChildProcess, told: (report: Report) => void): void {
  child.on('message', (message) => {
    if (isReport(message)) told(message)
  })
}

function isReport(message: unknown): message is Report {
  if (typeof message !== 'object' || message === null || !('kind' in message)) return false
  if (message.kind === 'failed') {
    return 'code' in message && errorCodes.some((code) => code === message.code) && 'message' in message
  }
  return message.kind === 'mounted' || message.kind === 'agreed'
}

/** To be stopped: the child unmounts and ends. */
export function tellChild(child: ChildProcess): void {
  if (child.connected) child.send(stopWord, () => undefined)
}

/** It goes on without us. */
export function letGo(child: ChildProcess): void {
  child.send(stayWord, () => child.connected && child.disconnect())
  child.unref()
}

const childVariable = 'PORTOLAN_MOUNT_CHILD'
/** In the environment of a process that is to heed its parent. */
export const childOfMount: Readonly<Record<string, string>> = { [childVariable]: '1' }

/** `stop` is called when the parent says so, and when it has gone without having let us go. */
export function heedParent(stop: () => void): void {
  const hadParent = process.env[childVariable] !== undefined
  delete process.env[childVariable]
  if (!process.connected) {
    // It has gone while we were loading.
    if (hadParent) stop()
    return
  }
  let stays = false
  process.on('message', (message) => {
    if (typeof message === 'object' && message !== null && 'kind' in message && message.kind === stayWord.kind)
      stays = true
    else stop()
  })
  process.once('disconnect', () => {
    if (!stays) stop()
  })
}
