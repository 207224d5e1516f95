/** Takes requests from the kernel, has them worked on, and answers each of them exactly once. */

import { constants } from 'node:os'
import { Errno } from '../errno.ts'
import type { Operations } from '../operations.ts'
import { Body, type Header, readHeader } from './decode.ts'
import type { Device } from './device.ts'
import { type Answer, handlerOf, type Surroundings } from './dispatch.ts'
import { HeldDirectories } from './held-directories.ts'
import { type Agreement, agree, putInit, readInit } from './init.ts'
import type { Notices } from './notices.ts'
import { isEnding, Pending } from './pending.ts'
import { opcode, requestBuffer, size } from './protocol.ts'

export interface SessionOptions {
  readonly device: Device
  readonly notices: Notices
  readonly operations: Operations
  /** The kernel's positive number for whatever an operation has thrown. */
  readonly errnoOf: (thrown: unknown) => number
  /** Seconds without the gateway after which an operation fails by itself; only what does not is ended from here. */
  readonly timeout: number
  /** So many seconds more before that, 10 by default. */
  readonly margin?: number
  readonly readOnly?: boolean
  /** Several identities use the mount. */
  readonly isShared?: boolean
  /** Of the process that had the device before, whose unanswered requests are then asked for again. */
  readonly resumed?: Agreement
  /** Something that should not happen, for the administrator. */
  readonly warn?: (line: string) => void
}

/** Reads that wait at the same time: while one request is decoded, the next is copied by another thread. */
const readers = 3
/** Buffers that are kept for the next requests, a good megabyte each. */
const mostSpare = 16
const tickMs = 500
/** Seconds. */
const usualMargin = 10
/** Bytes may be on their way for longer than the gateway may be away. */
const carriesBytes: ReadonlySet<number> = new Set([
  ...[opcode.read, opcode.write, opcode.flush, opcode.fsync, opcode.release, opcode.setattr, opcode.fallocate],
  ...[opcode.copyFileRange, opcode.copyFileRange64],
])
const patience = 10
/** After being told to end, an operation has so many ticks before the kernel is answered without it. */
const graceTicks = { interrupt: 2, timeout: 10, end: 10 } as const
const { errno } = constants
const causes = { interrupt: errno.EINTR, timeout: errno.ETIMEDOUT, end: errno.EIO } as const
/** The kernel has put these requests off, or taken them back while they were read. */
const again: ReadonlySet<string | undefined> = new Set(['EINTR', 'EAGAIN', 'ENOENT'])

export class Session {
  /** What the kernel and we have agreed on; rejects when the mount ends before. */
  readonly agreed: Promise<Agreement>
  /** The mount is over and everything of it is closed. */
  readonly ended: Promise<void>
  readonly #options: SessionOptions
  readonly #pending = new Map<number, Pending>()
  readonly #held = new HeldDirectories()
  readonly #spare: Buffer[] = []
  readonly #agreed = Promise.withResolvers<Agreement>()
  readonly #ended = Promise.withResolvers<void>()
  readonly #header = Buffer.alloc(size.outHeader)
  readonly #ticker: NodeJS.Timeout
  #around: Surroundings | undefined
  #tick = 0
  #over = false

  /** Begins to read at once; the device is closed at the end. */
  constructor(options: SessionOptions) {
    this.#options = options
    options.notices.avoid((directory) => this.#held.has(directory, this.#tick))
    this.agreed = this.#agreed.promise
    this.ended = this.#ended.promise
    // Whoever waits for it is told; nobody has to.
    this.agreed.catch(() => undefined)
    this.#ticker = setInterval(() => this.#sweep(), tickMs)
    if (options.resumed) {
      this.#begin(options.resumed)
      void options.notices.resend().then(() => this.#readAll())
    } else this.#readAll()
  }

  #readAll(): void {
    for (let reader = 0; reader < readers && !this.#over; reader += 1) this.#read()
  }

  /** Ends it without the kernel: who still uses the mount is told ENOTCONN once this process is gone. */
  async stop(): Promise<void> {
    await this.#end()
    await this.ended
  }

  #read(): void {
    const buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(requestBuffer)
    this.#options.device.read(buffer, (error, length) => {
      if (error) this.#readFailed(error, buffer)
      else {
        if (!this.#take(buffer, length)) this.#spare.push(buffer)
        this.#read()
      }
    })
  }

  #readFailed(error: NodeJS.ErrnoException, buffer: Buffer): void {
    if (this.#over) return
    this.#spare.push(buffer)
    if (again.has(error.code)) {
      this.#read()
      return
    }
    // ENODEV: unmounted. ECONNABORTED: by the administrator, below /sys/fs/fuse/connections.
    if (error.code !== 'ENODEV' && error.code !== 'ECONNABORTED') {
      this.#options.warn?.(`the kernel's device cannot be read: ${error.code}`)
    }
    void this.#end()
  }

  /** True when the buffer is needed for longer. */
  #take(buffer: Buffer, length: number): boolean {
    const header = readHeader(buffer, length)
    if (!header) {
      this.#options.warn?.(`${length} bytes from the kernel are no request`)
      return false
    }
    let kept = false
    switch (header.opcode) {
      case opcode.init:
        this.#init(header, buffer)
        break
      case opcode.interrupt:
        this.#interrupt(header, buffer)
        break
      case opcode.forget:
      case opcode.batchForget:
        this.#forget(header, buffer)
        break
      case opcode.notifyReply:
        // Nothing is ever asked of the kernel.
        break
      case opcode.destroy:
        this.#answer(header, undefined)
        break
      default:
        this.#run(header, buffer, () => {
          kept = true
          let isBack = false
          return () => {
            // Told twice, it would be written to while it is in use for the next request.
            if (!isBack && this.#spare.length < mostSpare) this.#spare.push(buffer)
            isBack = true
          }
        })
    }
    return kept
  }

  #init(header: Header, buffer: Buffer): void {
    try {
      const agreement = agree(readInit(new Body(buffer, header.length)), this.#options)
      const bytes = Buffer.alloc(size.outHeader + size.initReply)
      putInit(bytes, agreement, size.outHeader)
      this.#answer(header, { bytes })
      this.#begin(agreement)
    } catch (error) {
      this.#refuse(header, error instanceof Errno ? error.number : errno.EIO)
      this.#agreed.reject(error)
    }
  }

  #begin(agreement: Agreement): void {
    const { operations, readOnly = false, notices } = this.#options
    this.#around = { operations, readOnly, extendedSetxattr: agreement.flags.includes('extendedSetxattr') }
    notices.begin(agreement.minor)
    this.#agreed.resolve(agreement)
  }

  #forget(header: Header, buffer: Buffer): void {
    const { operations } = this.#options
    try {
      const body = new Body(buffer, header.length)
      const isOne = header.opcode === opcode.forget
      const count = isOne ? 0 : body.u32()
      if (isOne) operations.forget(header.nodeid, body.u64())
      else body.skip(4)
      for (let index = 0; index < count; index += 1) operations.forget(body.u64(), body.u64())
    } catch (error) {
      // It has no answer.
      this.#options.warn?.(`FORGET: ${error instanceof Error ? error.name : 'failed'}`)
    }
  }

  #interrupt(header: Header, buffer: Buffer): void {
    const target = readHeaderKey(buffer, header.length)
    const pending = target === undefined ? undefined : this.#pending.get(target)
    // It may be in the hands of another reader: the kernel asks again as long as it waits.
    if (!pending) this.#refuse(header, errno.EAGAIN)
    else {
      pending.interrupted = true
      if (pending.isUnlimited || isEnding(pending.pid)) pending.abort('interrupt', this.#tick)
    }
  }

  #run(header: Header, buffer: Buffer, keep: () => () => void): void {
    const around = this.#around
    if (!around || this.#over) {
      this.#refuse(header, errno.EIO)
      return
    }
    const pending = new Pending(header, this.#tick)
    this.#pending.set(header.key, pending)
    this.#held.hold(pending)
    try {
      handlerOf(header.opcode)(around, pending, new Body(buffer, header.length), keep).then(
        (answer) => this.#settle(pending, answer),
        (error: unknown) => this.#fail(pending, error),
      )
    } catch (error) {
      this.#fail(pending, error)
    }
  }

  #settle(pending: Pending, answer: Answer | undefined): void {
    // Answered already, without it.
    if (this.#pending.get(pending.header.key) === pending) {
      this.#answer(pending.header, answer)
      this.#letGo(pending)
    } else answer?.undo?.()
  }

  #fail(pending: Pending, error: unknown): void {
    if (this.#pending.get(pending.header.key) !== pending) return
    this.#refuse(pending.header, pending.cause ? causes[pending.cause] : this.#options.errnoOf(error))
    this.#letGo(pending)
  }

  /** It is answered. */
  #letGo(pending: Pending): void {
    this.#pending.delete(pending.header.key)
    this.#held.letGo(pending)
    if (pending.since < this.#tick) this.#options.notices.goOn()
  }

  #answer(header: Header, answer: Answer | undefined): void {
    const bytes = answer?.bytes
    try {
      if (Buffer.isBuffer(bytes)) this.#options.device.answer(headed(bytes, header, bytes.length))
      else this.#answerChunks(header, bytes ?? [])
    } catch (error) {
      answer?.undo?.()
      this.#unanswered(header, error)
    }
  }

  #answerChunks(header: Header, chunks: readonly Uint8Array[]): void {
    let length: number = size.outHeader
    for (const chunk of chunks) length += chunk.length
    const head = headed(this.#header, header, length)
    // IOV_MAX is 1024.
    const message = chunks.length < 1000 ? [head, ...chunks] : [head, Buffer.concat(chunks)]
    this.#options.device.answer(message.length === 1 ? head : message)
  }

  #refuse(header: Header, number: number): void {
    const message = headed(this.#header, header, size.outHeader)
    message.writeInt32LE(-(number > 0 && number < 512 ? number : errno.EIO), 4)
    try {
      this.#options.device.answer(message)
    } catch (error) {
      this.#unanswered(header, error)
    }
  }

  /** ENOENT: the caller is gone. ENODEV and EPERM: the mount is. */
  #unanswered(header: Header, error: unknown): void {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'EPERM' || code === 'EBADF') return
    this.#options.warn?.(`the kernel does not take the answer to operation ${header.opcode}: ${code ?? error}`)
    const message = headed(this.#header, header, size.outHeader)
    message.writeInt32LE(-errno.EIO, 4)
    try {
      this.#options.device.answer(message)
    } catch {
      // It took neither; the time limit of the caller has the last word.
    }
  }

  /** What lasts for too long ends, and if it does not, the kernel is answered all the same: nobody waits for ever. */
  #sweep(): void {
    this.#tick += 1
    const { timeout, margin = usualMargin } = this.#options
    const limit = ((timeout + margin) * 1000) / tickMs
    for (const pending of this.#pending.values()) {
      if (pending.cause === undefined) {
        const longest = carriesBytes.has(pending.header.opcode) ? limit * patience : limit
        if (!pending.isUnlimited && this.#tick - pending.since > longest) pending.abort('timeout', this.#tick)
        else if (pending.interrupted && isEnding(pending.pid)) pending.abort('interrupt', this.#tick)
      } else if (this.#tick - (pending.abortedSince ?? 0) > graceTicks[pending.cause]) {
        this.#refuse(pending.header, causes[pending.cause])
        this.#letGo(pending)
      }
    }
  }

  async #end(): Promise<void> {
    if (this.#over) return
    this.#over = true
    const { device, notices, operations, warn } = this.#options
    notices.end()
    this.#agreed.reject(new Errno('ENODEV'))
    for (const pending of this.#pending.values()) pending.abort('end', this.#tick)
    try {
      await operations.close()
    } catch (error) {
      warn?.(`the end of the mount: ${error instanceof Error ? error.message : 'failed'}`)
    }
    clearInterval(this.#ticker)
    this.#pending.clear()
    device.close()
    this.#ended.resolve()
  }
}

/** The request that an INTERRUPT is about. */
function readHeaderKey(buffer: Buffer, length: number): number | undefined {
  if (length < size.inHeader + 8) return undefined
  return (buffer.readUInt32LE(44) & 0x7fff_ffff) * 0x1_0000_0000 + buffer.readUInt32LE(40)
}

/** fuse_out_header of a success, in the first bytes of `into`. */
function headed(into: Buffer, header: Header, length: number): Buffer {
  into.writeUInt32LE(length, 0)
  into.writeInt32LE(0, 4)
  into.writeUInt32LE(header.uniqueLow, 8)
  into.writeUInt32LE(header.uniqueHigh, 12)
  return into
}
