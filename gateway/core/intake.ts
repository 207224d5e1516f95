/** The body of an append, chunk by chunk, until it ends or something stops it. It is left where it is then. */

import type { Readable } from 'node:stream'
import { StorageError } from './errors.ts'

export class Intake {
  readonly #body: Readable
  readonly #stops: readonly AbortSignal[]
  #wake: (() => void) | undefined
  readonly #woken = () => this.#wake?.()

  /** Each of `stops` ends it with its reason. */
  constructor(body: Readable, stops: readonly AbortSignal[]) {
    this.#body = body
    this.#stops = stops
    for (const event of events) body.on(event, this.#woken)
    for (const stop of stops) stop.addEventListener('abort', this.#woken)
  }

  /** Undefined at the end. Throws what the body failed with, `cancelled` where it broke off, or why it was stopped. */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      this.#requireWanted()
      const chunk: unknown = this.#body.read()
      if (chunk instanceof Uint8Array) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      if (typeof chunk === 'string') return Buffer.from(chunk)
      if (this.#body.readableEnded) return undefined
      if (this.#body.errored) throw brokenOff(this.#body.errored)
      if (this.#body.destroyed) throw brokenOff(undefined)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Lets go of the body. */
  close(): void {
    for (const event of events) this.#body.off(event, this.#woken)
    for (const stop of this.#stops) stop.removeEventListener('abort', this.#woken)
    // What it still has to say is nobody's news.
    this.#body.on('error', () => {})
  }

  #requireWanted(): void {
    for (const { aborted, reason } of this.#stops) {
      if (aborted) throw reason instanceof StorageError ? reason : brokenOff(reason)
    }
  }
}

const events = ['readable', 'end', 'error', 'close'] as const

/** Whoever made the body may have said why in our words; else the sender has gone. */
function brokenOff(cause: unknown): StorageError {
  if (cause instanceof StorageError) return cause
  return new StorageError('cancelled', 'the transfer was broken off', { cause })
}
