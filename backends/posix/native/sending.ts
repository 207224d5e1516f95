/** From a file to a socket without passing through this process's memory. */

import { libc } from './library.ts'
import { close, dup } from './open.ts'

const sendfile = libc.func('long sendfile64(int, int, void *, size_t)')

/**
 * A descriptor of our own of a connected socket: the socket's owner may close it at any moment, and a new connection
 * that got its number must not receive what was meant for the old. Closed when it is released and no call is under way.
 */
export class SocketCopy {
  readonly #fd: number
  readonly #position = new BigInt64Array(new ArrayBuffer(8))
  #users = 1

  /** Throws Errno when `fd` is not open. */
  constructor(fd: number) {
    this.#fd = dup(fd)
  }

  /**
   * Sends from a file, on a thread of libuv's pool, as much as the socket takes at once. `done` gets the bytes sent, 0 at the
   * end of the file, -1 when the socket takes none, is closed, or the file system or socket cannot do this. One call at a time.
   */
  send(file: number, position: number, length: number, done: (sent: number) => void): void {
    this.#users++
    this.#position[0] = BigInt(position)
    sendfile.async(this.#fd, file, this.#position, length, (error: unknown, sent: number) => {
      this.release()
      done(error ? -1 : sent)
    })
  }

  release(): void {
    if (--this.#users === 0) close(this.#fd)
  }
}
