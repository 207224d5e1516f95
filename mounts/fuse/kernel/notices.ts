/**
 * What the kernel is told to forget. Notices wait in a queue of their own: one that is written while a request holds the
 * directory or page that it is about would wait for that request for ever. Names of a directory in which a request is being
 * worked on are told when it is answered: a thread that the kernel holds meanwhile could not even be killed.
 */

import type { Notifier } from '../operations.ts'
import type { Device } from './device.ts'
import { notice, size } from './protocol.ts'

/** More are not kept: then all names are forgotten at once, where the kernel can do that. Keys of names begin with `e`. */
const longestQueue = 100_000
/** The same of one directory in which a request is being worked on. */
const longestHeld = 10_000

/** fuse_notify_inc_epoch_out came with 7.44. */
const epochMinor = 44

export class Notices implements Notifier {
  readonly #device: Device
  /** By what they are about, so that one is never queued twice. */
  readonly #waiting = new Map<string, Buffer>()
  #writing = false
  #minor = 0
  #over = false
  #settled: (() => void)[] = []
  #isHeld: (directory: number) => boolean = () => false
  /** Of names in directories that are held, by directory. */
  readonly #held = new Map<number, Map<string, Buffer>>()

  constructor(device: Device) {
    this.#device = device
  }

  /** Nothing is told of names in directories of which this is so; `goOn` when it is so no longer. */
  avoid(isHeld: (directory: number) => boolean): void {
    this.#isHeld = isHeld
  }

  goOn(): void {
    for (const [directory, messages] of this.#held) {
      if (this.#isHeld(directory)) continue
      this.#held.delete(directory)
      for (const [key, message] of messages) this.#waiting.set(key, message)
    }
    this.#go()
  }

  /** The kernel understands notices from now on. */
  begin(minor: number): void {
    this.#minor = minor
    this.#go()
  }

  end(): void {
    this.#over = true
    this.#waiting.clear()
    this.#held.clear()
    this.#settle()
  }

  settled(): Promise<void> {
    if (this.#over || (!this.#writing && this.#waiting.size === 0)) return Promise.resolve()
    return new Promise((resolve) => this.#settled.push(resolve))
  }

  #settle(): void {
    const waiting = this.#settled
    this.#settled = []
    for (const resolve of waiting) resolve()
  }

  invalidateNode(nodeid: number, content: boolean): void {
    const key = `n${nodeid}`
    const pending = this.#waiting.get(key)
    // An offset below 0 says: attributes only.
    if (pending && (!content || pending.readBigInt64LE(size.outHeader + 8) === 0n)) return
    const message = begun(notice.invalidateNode, 24)
    message.writeBigUInt64LE(BigInt(nodeid), size.outHeader)
    message.writeBigInt64LE(content ? 0n : -1n, size.outHeader + 8)
    this.#add(key, message)
  }

  invalidateEntry(directory: number, name: string): void {
    const key = `e${directory}/${name}`
    if (this.#waiting.has(key)) return
    const length = Buffer.byteLength(name)
    const message = begun(notice.invalidateEntry, 16 + length + 1)
    message.writeBigUInt64LE(BigInt(directory), size.outHeader)
    message.writeUInt32LE(length, size.outHeader + 8)
    message.write(name, size.outHeader + 16)
    this.#add(key, message)
  }

  /**
   * Requests that a process before this one has read and not answered come once more (from Linux 6.9 on). What is read before
   * this is kept would come a second time, too. Never fails: a kernel that cannot do it is known by what it agreed on.
   */
  async resend(): Promise<void> {
    await this.#device.notify(begun(notice.resend, 0)).catch(() => undefined)
  }

  #add(key: string, message: Buffer): void {
    if (this.#over) return
    if (this.#waiting.size >= longestQueue && this.#minor >= epochMinor) {
      // Pages and attributes of an object are another matter than its names.
      for (const each of this.#waiting.keys()) if (isOfName(each)) this.#waiting.delete(each)
      this.#waiting.set('epoch', begun(notice.newEpoch, 0))
    }
    if (isOfName(key) && this.#waiting.has('epoch')) {
      // It goes with all names.
    } else if (this.#waiting.size < longestQueue) this.#waiting.set(key, message)
    this.#go()
  }

  #holdBack(key: string, message: Buffer): boolean {
    if (!isOfName(key)) return false
    const directory = directoryOf(message)
    if (!this.#isHeld(directory)) return false
    const messages = this.#held.get(directory) ?? new Map<string, Buffer>()
    // Too many are told all the same.
    if (messages.size >= longestHeld) return false
    this.#held.set(directory, messages.set(key, message))
    return true
  }

  #go(): void {
    if (this.#writing || this.#over || this.#minor === 0 || this.#waiting.size === 0) return
    this.#writing = true
    // Not in this turn: the answer to the request that brought this about goes first.
    setImmediate(() => void this.#drain())
  }

  async #drain(): Promise<void> {
    for (const [key, message] of this.#waiting) {
      this.#waiting.delete(key)
      if (this.#holdBack(key, message)) continue
      try {
        await this.#device.notify(message)
      } catch {
        // ENOENT: the kernel knows nothing of it, which is what was asked for. Others: the end, which readers are told.
      }
    }
    this.#writing = false
    this.#settle()
    this.#go()
  }
}

function isOfName(key: string): boolean {
  return key.startsWith('e') && key !== 'epoch'
}

function directoryOf(message: Buffer): number {
  return Number(message.readBigUInt64LE(size.outHeader))
}

function begun(code: number, length: number): Buffer {
  const message = Buffer.alloc(size.outHeader + length)
  message.writeUInt32LE(message.length, 0)
  message.writeInt32LE(code, 4)
  return message
}
