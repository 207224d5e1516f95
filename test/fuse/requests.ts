/** Requests as the kernel writes them, and a device without a kernel (Linux, include/uapi/linux/fuse.h). */

import type { Device } from '../../mounts/fuse/kernel/device.ts'
import { opcode } from '../../mounts/fuse/kernel/protocol.ts'

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

export function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt.asUintN(64, value))
  return bytes
}

export interface Asking {
  readonly unique?: bigint
  readonly nodeid?: number
  readonly uid?: number
  readonly pid?: number
  /** Units of 8 bytes. */
  readonly extensions?: number
}

export function request(code: number, asking: Asking, ...parts: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(40)
  const rest = Buffer.concat(parts)
  header.writeUInt32LE(40 + rest.length, 0)
  header.writeUInt32LE(code, 4)
  header.writeBigUInt64LE(asking.unique ?? 2n, 8)
  header.writeBigUInt64LE(BigInt(asking.nodeid ?? 1), 16)
  header.writeUInt32LE(asking.uid ?? 0, 24)
  header.writeUInt32LE(asking.pid ?? 0, 32)
  header.writeUInt16LE(asking.extensions ?? 0, 36)
  return Buffer.concat([header, rest])
}

/** As Linux 6.18 sends it. */
export const initRequest = request(
  opcode.init,
  { unique: 2n, nodeid: 0 },
  ...[u32(7), u32(45), u32(131_072), u32(0x7fff_fffb), u32(0x5fd), Buffer.alloc(44)],
)

export interface Reply {
  readonly unique: bigint
  /** Negative. */
  readonly error: number
  readonly body: Buffer
}

/** What is sent is read in order; answers and notices are kept, and whoever waits for one is told. */
export class TestDevice implements Device {
  readonly notices: Buffer[] = []
  closed = false
  /** Thrown by the next answer. */
  refusal: NodeJS.ErrnoException | undefined
  readonly #requests: (Buffer | NodeJS.ErrnoException)[] = []
  readonly #readers: { into: Buffer; done: (error: NodeJS.ErrnoException | null, length: number) => void }[] = []
  readonly #replies = new Map<bigint, Reply>()
  readonly #waiting = new Map<bigint, (reply: Reply) => void>()

  read(into: Buffer, done: (error: NodeJS.ErrnoException | null, length: number) => void): void {
    this.#readers.push({ into, done })
    this.#go()
  }

  answer(message: Buffer | readonly Uint8Array[]): void {
    const { refusal } = this
    this.refusal = undefined
    if (refusal) throw refusal
    const bytes = Buffer.isBuffer(message) ? Buffer.from(message) : Buffer.concat(message)
    if (bytes.readUInt32LE(0) !== bytes.length) throw systemError('EINVAL')
    const reply = { unique: bytes.readBigUInt64LE(8), error: bytes.readInt32LE(4), body: bytes.subarray(16) }
    if (reply.error !== 0 && reply.body.length > 0) throw systemError('EINVAL')
    if (this.#replies.has(reply.unique)) throw systemError('ENOENT')
    this.#replies.set(reply.unique, reply)
    this.#waiting.get(reply.unique)?.(reply)
  }

  async notify(message: Buffer): Promise<void> {
    this.notices.push(Buffer.from(message))
  }

  close(): void {
    this.closed = true
  }

  send(message: Buffer | NodeJS.ErrnoException): void {
    this.#requests.push(message)
    this.#go()
  }

  reply(unique: bigint): Promise<Reply> {
    const known = this.#replies.get(unique)
    if (known) return Promise.resolve(known)
    return new Promise((resolve) => this.#waiting.set(unique, resolve))
  }

  hasReply(unique: bigint): boolean {
    return this.#replies.has(unique)
  }

  #go(): void {
    while (this.#readers.length > 0 && this.#requests.length > 0) {
      const [reader, message] = [this.#readers.shift(), this.#requests.shift()]
      setImmediate(() => {
        if (message instanceof Error) reader?.done(message, 0)
        else if (message && reader) reader.done(null, message.copy(reader.into))
      })
    }
  }
}

export function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code })
}
