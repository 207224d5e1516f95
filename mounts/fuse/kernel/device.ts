/** The descriptor over which the kernel and a file system talk. */

import { close, read, write, writeSync, writevSync } from 'node:fs'

/** One read is one request, one write is one answer or notice. */
export interface Device {
  /** Waits for a request and tells its length. Errors carry the system's `code`. */
  read(into: Buffer, done: (error: NodeJS.ErrnoException | null, length: number) => void): void
  /** Throws what the system says; ENOENT is: nobody waits for this any more. */
  answer(message: Buffer | readonly Uint8Array[]): void
  /** What may have to wait for a lock in the kernel, and must therefore not be waited for here. */
  notify(message: Buffer): Promise<void>
  close(): void
}

/** A descriptor of /dev/fuse, which belongs to the device from now on. Each read that waits takes up a thread of libuv's pool. */
export function deviceOf(fd: number): Device {
  return {
    read: (into, done) => read(fd, into, 0, into.length, null, done),
    // The kernel copies at once: a thread of the pool would cost more than it spares.
    answer: (message) => {
      if (Buffer.isBuffer(message)) writeSync(fd, message)
      else writevSync(fd, [...message])
    },
    notify: (message) =>
      new Promise((resolve, reject) => {
        write(fd, message, 0, message.length, null, (error) => (error ? reject(error) : resolve()))
      }),
    // After the end there is nothing that a failure could be told to.
    close: () => close(fd, () => undefined),
  }
}
