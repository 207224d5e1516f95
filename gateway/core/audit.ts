/** The audit log: one JSON line a call, successes and refusals, and never a credential. */

import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { Protocol } from './call.ts'
import { type ErrorCode, type Reason, StorageError } from './errors.ts'
import type { Path } from './path.ts'
import type { Operation } from './task.ts'

export interface AuditRecord {
  /** The call's id, as shown to the caller. */
  readonly call: string
  readonly principal: string
  readonly user: string | undefined
  readonly door: Protocol
  readonly from: string
  /**
   * `authenticate`: a credential was refused before there was a call. Doors write such lines themselves, as those of
   * macaroons, links and bans, whose `reason` tells which one.
   */
  readonly action:
    | Operation
    | 'authenticate'
    | 'issue'
    | 'revoke'
    | 'rotate'
    | 'ban'
    | 'unban'
    | 'inspect'
    | 'link'
    | 'unlink'
  readonly path: Path
  /** The other path of a rename or copy. */
  readonly to?: Path | undefined
  /** Whom or what it was meant for, where that is no path: "s3-key AKIA…", "sessions of alice@desy.de". */
  readonly about?: string | undefined
  /** `refused`: by the credential, an ACL, a limit or the mount; `failed`: everything else that went wrong. */
  readonly outcome: 'ok' | 'refused' | 'failed'
  readonly code?: ErrorCode | undefined
  readonly reason?: Reason | undefined
  /** Bytes moved. */
  readonly bytes?: number | undefined
  /** Objects touched by an operation on a tree. */
  readonly items?: number | undefined
  /** Milliseconds the call took. */
  readonly ms: number
}

export interface AuditLog {
  /** False while lines cannot be written and the gateway is to stop then: Storage refuses every call. */
  readonly healthy: boolean
  /** Lines that were lost since the start. */
  readonly dropped: number
  /** Writes that failed since the start. */
  readonly failures: number
  /** Never throws and never waits. */
  record(record: AuditRecord): void
  /** Writes what is left and lets go of everything. */
  close(): Promise<void>
}

export interface FileAuditOptions {
  readonly file: string
  /** When lines cannot be written: refuse all calls, or go on and count the lines lost. */
  readonly onFailure: 'stop' | 'continue'
  /** Milliseconds a line waits at most for others to be written with it; 20 by default. */
  readonly delay?: number
  /** Milliseconds between tries after a failure; 1,000 by default. */
  readonly retry?: number
  /** Bytes kept while they cannot be written; 32 MiB by default. */
  readonly keep?: number
}

/** Bytes that are written at once without waiting for more. */
const batch = 65_536

/**
 * Appends whole lines to a file that other processes append to as well. A line is in the file at most
 * `delay` ms after its call; a crash of the machine or the process can lose lines of that time.
 */
export class FileAudit implements AuditLog {
  readonly #options: Required<FileAuditOptions>
  #handle: FileHandle
  #lines: string[] = []
  #length = 0
  /** What a failed write left, from the start of a line. */
  #rest: Buffer = Buffer.alloc(0)
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #failing = false
  #full = false
  #closed = false
  #dropped = 0
  #failures = 0

  /** Throws `unavailable` if the file cannot be opened for appending. It is made with mode 0640. */
  static async open(options: FileAuditOptions): Promise<FileAudit> {
    return new FileAudit(options, await openForAppending(options.file))
  }

  private constructor(options: FileAuditOptions, handle: FileHandle) {
    this.#options = { delay: 20, retry: 1000, keep: 32 * 1024 * 1024, ...options }
    this.#handle = handle
  }

  get healthy(): boolean {
    return this.#options.onFailure === 'continue' || !(this.#failing || this.#full)
  }

  get dropped(): number {
    return this.#dropped
  }

  get failures(): number {
    return this.#failures
  }

  record(record: AuditRecord): void {
    const kept = this.#length + this.#rest.length
    // Calls that were let in before still end here, so the stop begins before the room is used up.
    this.#full = kept > this.#options.keep / 2
    if (kept > this.#options.keep || this.#closed) {
      this.#dropped++
      return
    }
    const line = lineOf(record)
    this.#lines.push(line)
    this.#length += line.length
    if (this.#failing) return
    if (this.#length >= batch) void this.#flush()
    else this.#timer ??= setTimeout(() => void this.#flush(), this.#options.delay)
  }

  /**
   * Goes on in a new file of the same name, after a log rotation. Throws `unavailable` if it cannot be
   * opened, and then stays with the old one.
   */
  async reopen(): Promise<void> {
    const fresh = await openForAppending(this.#options.file)
    await this.#flush()
    await this.#swap(fresh)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#flush()
    clearTimeout(this.#timer)
    this.#dropped += this.#lines.length
    await this.#handle.close()
  }

  /** One write at a time; a second call waits for the first and writes what has come since. */
  async #flush(): Promise<void> {
    while (this.#running) await this.#running
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#length === 0 && this.#rest.length === 0) return
    this.#running = this.#write().finally(() => {
      this.#running = undefined
    })
    await this.#running
  }

  async #write(): Promise<void> {
    const bytes = Buffer.concat([this.#rest, Buffer.from(this.#lines.join(''))])
    this.#lines = []
    this.#length = 0
    this.#rest = bytes
    let done = 0
    try {
      if (this.#failing) await this.#swap(await openForAppending(this.#options.file))
      while (done < bytes.length) {
        const { bytesWritten } = await this.#handle.write(bytes, done)
        done += bytesWritten
      }
      this.#rest = Buffer.alloc(0)
      this.#failing = false
      this.#full = false
      if (this.#length > 0) this.#timer ??= setTimeout(() => void this.#flush(), this.#options.delay)
    } catch {
      // The reason is of no use to a caller; the state shows in `healthy` and `failures`, and it is tried again.
      this.#failures++
      this.#failing = true
      this.#rest = unfinished(bytes, done)
      if (!this.#closed) this.#timer ??= setTimeout(() => void this.#flush(), this.#options.retry)
    }
  }

  async #swap(fresh: FileHandle): Promise<void> {
    const old = this.#handle
    this.#handle = fresh
    await old.close()
  }
}

/** Keeps everything; for tests. */
export class MemoryAudit implements AuditLog {
  healthy = true
  readonly dropped = 0
  readonly failures = 0
  readonly records: AuditRecord[] = []

  record(record: AuditRecord): void {
    this.records.push(record)
  }

  async close(): Promise<void> {}
}

/** The line of a record, with its end. Members in a fixed order, absent ones left out. */
export function lineOf(record: AuditRecord): string {
  const { to, about, code, reason, bytes, items } = record
  let line =
    `{"time":"${now()}","call":${quote(record.call)},"principal":${quote(record.principal)}` +
    `,"user":${record.user === undefined ? 'null' : quote(record.user)},"door":"${record.door}"` +
    `,"from":${quote(record.from)},"action":"${record.action}","path":${quote(record.path)}`
  if (to !== undefined) line += `,"to":${quote(to)}`
  if (about !== undefined) line += `,"about":${quote(about)}`
  line += `,"outcome":"${record.outcome}"`
  if (code !== undefined) line += `,"code":"${code}"`
  if (reason !== undefined) line += `,"reason":${reasonText(reason)}`
  if (bytes !== undefined) line += `,"bytes":${bytes}`
  if (items !== undefined) line += `,"items":${items}`
  return `${line},"ms":${Math.round(record.ms * 1000) / 1000}}\n`
}

function reasonText({ rule, text, path, ace }: Reason): string {
  const where = path === undefined ? '' : `,"path":${quote(path)}`
  const which = ace === undefined ? '' : `,"ace":${ace}`
  return `{"rule":${quote(rule)},"text":${quote(text)}${where}${which}}`
}

/** What JSON leaves as it is but a terminal or an editor obeys: DEL, C1 controls, line and direction marks. */
const obeyed = /[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/

function quote(text: string): string {
  const quoted = JSON.stringify(text)
  if (!obeyed.test(quoted)) return quoted
  return quoted.replace(new RegExp(obeyed, 'g'), (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

let lastTime = 0
let lastText = ''

/** Many calls end in one millisecond. */
function now(): string {
  const time = Date.now()
  if (time !== lastTime) {
    lastTime = time
    lastText = new Date(time).toISOString()
  }
  return lastText
}

async function openForAppending(file: string): Promise<FileHandle> {
  try {
    return await open(file, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o640)
  } catch (cause) {
    throw new StorageError('unavailable', 'the audit log cannot be opened', { cause })
  }
}

/** From the line that was cut; the piece of it that is in the file is ended, so that only that piece is unreadable. */
function unfinished(bytes: Buffer, done: number): Buffer {
  if (done === 0) return bytes
  const start = bytes.lastIndexOf(10, done - 1) + 1
  const whole = start === done
  return whole ? bytes.subarray(done) : Buffer.concat([Buffer.from('\n'), bytes.subarray(start)])
}
