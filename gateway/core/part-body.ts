/** The body of a part, which finds its place in the draft with its first byte, if not before. */

import { once } from 'node:events'
import { Writable } from 'node:stream'
import { StorageError } from './errors.ts'

export interface PartBodyHooks {
  /** Sees every byte before the draft does, and may refuse it. */
  take(bytes: Buffer): StorageError | undefined
  /** Where the bytes go, now. */
  writer(): Writable | Promise<Writable>
}

export class PartBody extends Writable {
  readonly #hooks: PartBodyHooks
  #writer: Writable | undefined

  constructor(hooks: PartBodyHooks) {
    super({ highWaterMark: 64 * 1024 })
    this.#hooks = hooks
    // Whoever writes gets the error from the stream, or from the commit.
    this.on('error', () => {})
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const refusal = this.#hooks.take(chunk)
    if (refusal) callback(refusal)
    else this.#use((writer) => writer.write(chunk, failing(callback)), callback)
  }

  override _final(callback: (error?: Error | null) => void): void {
    const writer = this.#writer
    if (writer) this.#use(() => writer.end(failing(callback)), callback)
    else callback()
  }

  /** Ends when nothing is written to the draft any more. */
  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    const writer = this.#writer
    const done = () => callback(error)
    if (!writer || writer.closed) {
      done()
      return
    }
    once(writer, 'close').then(done, done)
    writer.destroy()
  }

  #use(work: (writer: Writable) => unknown, failed: (error: Error) => void): void {
    try {
      const writer = this.#hooks.writer()
      if (writer instanceof Writable) {
        this.#writer = writer
        work(writer)
        return
      }
      writer.then(
        (ready) => {
          this.#writer = ready
          if (this.destroyed) ready.destroy()
          else work(ready)
        },
        (error: unknown) => failed(StorageError.from(error)),
      )
    } catch (error) {
      failed(StorageError.from(error))
    }
  }
}

function failing(callback: (error?: Error | null) => void): (error?: Error | null) => void {
  return (error) => callback(error ? StorageError.from(error) : null)
}
