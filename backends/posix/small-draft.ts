/**
 * Drafts of few bytes: those wait in memory, and with the commit one step of an I/O thread makes the file that they
 * become. A small upload takes half the calls so, and one that is given up none.
 */

import { Writable } from 'node:stream'
import { StorageError } from '../../gateway/core/errors.ts'
import type { CommitOptions, Draft, Entry } from '../backend.ts'
import type { Desk } from './desk.ts'
import { StagedFile } from './staged-file.ts'
import type { StageArgs } from './staging.ts'
import type { StagingArea } from './staging-area.ts'
import type { Target } from './target.ts'

/** Bytes of a draft that wait in memory: no more than a stream to a file holds at least. */
export const smallDraft = 64 * 1024

export class SmallDraft implements Draft {
  readonly body: Writable
  readonly #desk: Desk
  readonly #area: StagingArea
  readonly #target: Target
  readonly #acl: StageArgs['acl']
  #chunks: Uint8Array[] = []
  #size = 0
  #state: 'open' | 'committed' | 'discarded' = 'open'
  #failure: unknown

  /** Owns the target's directory from now on. */
  constructor(desk: Desk, area: StagingArea, target: Target, acl: StageArgs['acl']) {
    this.#desk = desk
    this.#area = area
    this.#target = target
    this.#acl = acl
    this.body = new Writable({
      highWaterMark: smallDraft,
      write: (chunk: Buffer, _encoding, callback) => callback(this.#take(chunk)),
    })
    // Whoever writes gets the error from the stream; commit tells it to those who do not listen.
    this.body.on('error', (error) => {
      this.#failure = error
    })
  }

  async commit(options: CommitOptions): Promise<Entry> {
    if (this.#state !== 'open') throw new StorageError('invalid', `the draft is ${this.#state} already`)
    this.#desk.requireAlive(this.#target.caller.signal)
    if (this.#failure) throw StorageError.from(this.#failure)
    if (!this.body.writableFinished) throw new StorageError('invalid', 'the body of the draft has not ended')
    this.#state = 'committed'
    try {
      const entry = await this.#commit(options)
      this.#target.parent.release()
      return entry
    } catch (error) {
      this.#state = 'open'
      throw error
    }
  }

  async discard(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'discarded'
    this.body.destroy()
    this.#chunks = []
    this.#target.parent.release()
  }

  #take(chunk: Buffer): StorageError | undefined {
    this.#size += chunk.length
    if (this.#size > smallDraft) return new StorageError('invalid', 'there are more bytes than announced')
    // A slice of the sender's buffer would keep all of that.
    this.#chunks.push(new Uint8Array(chunk))
    return undefined
  }

  async #commit(options: CommitOptions): Promise<Entry> {
    const file = await this.#staged(options)
    if (!(file instanceof StagedFile)) return file
    try {
      return await file.commit(options, this.#size)
    } finally {
      await file.end()
    }
  }

  /** The file, or its entry where it is there already. */
  async #staged(options: CommitOptions): Promise<StagedFile | Entry> {
    const [first] = this.#chunks
    const bytes = first && this.#chunks.length === 1 ? first : new Uint8Array(Buffer.concat(this.#chunks))
    const made = { bytes, acl: this.#acl }
    const whole = await StagedFile.makeWhole(this.#desk, this.#area, this.#target, made, options)
    if (whole) return whole
    const file = await StagedFile.make(this.#desk, this.#area, this.#target, { size: this.#size, acl: this.#acl })
    try {
      await this.#write(file, bytes)
      return file
    } catch (error) {
      await file.end()
      throw error
    }
  }

  async #write(file: StagedFile, bytes: Uint8Array): Promise<void> {
    const { signal } = this.#target.caller
    for (let written = 0; written < bytes.length; ) {
      const count = await this.#desk.share.write(file.handle.ref.fd, [bytes.subarray(written)], written, signal)
      if (count === 0) throw new StorageError('no-space', 'nothing written')
      written += count
    }
  }
}
