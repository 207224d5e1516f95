/** A request that is being worked on: who asks, and what may put an end to it. */

import { readFileSync } from 'node:fs'
import type { Context } from '../operations.ts'
import type { Header } from './decode.ts'
import { opcode } from './protocol.ts'

/** Why a request is given up: a signal to its caller, the time limit, the end of the mount. */
export type Cause = 'interrupt' | 'timeout' | 'end'

/** A context as operations see it; the signal is made only where somebody asks for it. */
export class Pending implements Context {
  readonly header: Header
  readonly nodeid: number
  readonly uid: number
  readonly gid: number
  readonly pid: number
  readonly isRepeated: boolean
  /** In the session's ticks. */
  readonly since: number
  /** A signal came that the caller handles. */
  interrupted = false
  abortedSince: number | undefined
  cause: Cause | undefined
  isUnlimited: boolean
  #controller: AbortController | undefined

  constructor(header: Header, since: number) {
    this.header = header
    this.nodeid = header.nodeid
    this.uid = header.uid
    this.gid = header.gid
    this.pid = header.pid
    this.isRepeated = header.isRepeated
    this.since = since
    this.isUnlimited = header.opcode === opcode.setlkw
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.cause !== undefined) this.#controller.abort()
    return this.#controller.signal
  }

  mayTakeLong(): void {
    this.isUnlimited = true
    if (this.interrupted && this.cause === undefined) this.abort('interrupt', this.since)
  }

  abort(cause: Cause, now: number): void {
    if (this.cause !== undefined) return
    this.cause = cause
    this.abortedSince = now
    this.#controller?.abort()
  }
}

/**
 * Whether the signal that a thread has been sent ends it. One that it handles (timers, children, SIGINT of an interpreter)
 * breaks no call of a local file system, and programs do not expect it of one. Unknown threads count as ended.
 */
export function isEnding(thread: number): boolean {
  if (thread === 0) return true
  let status: string
  try {
    status = readFileSync(`/proc/${thread}/status`, 'latin1')
  } catch {
    // It is gone, or not to be seen from here.
    return true
  }
  const mask = (name: string) => BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1] ?? '0'}`)
  const pending = mask('SigPnd') | mask('ShdPnd')
  return (pending & ~mask('SigBlk') & ~mask('SigCgt') & ~mask('SigIgn') & ~harmlessSignals) !== 0n
}

/** Ignored unless handled: SIGCHLD 17, SIGCONT 18, SIGURG 23, SIGWINCH 28. Those that stop a process end nothing either: 19 to 22. */
const harmlessSignals = [17, 18, 19, 20, 21, 22, 23, 28].reduce((sum, signal) => sum | (1n << BigInt(signal - 1)), 0n)
