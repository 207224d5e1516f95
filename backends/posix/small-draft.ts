/**
 * Drafts of few bytes: those wait in memory, and with the commit one step of an I/O thread makes the file that they
 * become. A small upload takes half the calls so, and one that is given up none.
 */

import { Writable } from 'node:stream'
import { StorageError } from '../../gateway/core/errors.ts'
import type { CommitOptions, Entry } from '../backend.ts'
import type { Desk } from './desk.ts'
import { PosixDraft } from './draft.ts'
import { StagedFile } from './staged-file.ts'
import type { StageArgs } from './staging.ts'
import type { StagingArea } from './staging-area.ts'
import type { Target } from './target.ts'

/** Bytes of a draft that wait in memory: no more than a stream to a file holds at least. */
export const smallDraft = 64 * 1024

export class SmallDraft extends PosixDraft {
  readonly body: Writable
  readonly #area: StagingArea
  readonly #acl: StageArgs['acl']
  #chunks: Uint8Array[] = []
  #size = 0

  constructor(desk: Desk, area: StagingArea, target: Target, acl: StageArgs['acl']) {
    super(desk, target)
    this.#area = area
    this.#acl = acl
    this.body = this.listening(
      new Writable({
        highWaterMark: smallDraft,
        write: (chunk: Buffer, _encoding, callback) => callback(this.#take(chunk)),
      }),
    )
  }

  protected override async make(options: CommitOptions): Promise<Entry> {
    const file = await this.#staged(options)
    if (!(file instanceof StagedFile)) return file
    try {
      return await file.commit(options, this.#size)
    } finally {
      await file.end()
    }
  }

  protected override async letGo(): Promise<void> {
    this.#chunks = []
  }

  #take(chunk: Buffer): StorageError | undefined {
    this.#size += chunk.length
    if (this.#size > smallDraft) return new StorageError('invalid', 'there are more bytes than announced')
    // A slice of the sender's buffer would keep all of that.
    this.#chunks.push(new Uint8Array(chunk))
    return undefined
  }

  /** The file, or its entry where it is there already. */
  async #staged(options: CommitOptions): Promise<StagedFile | Entry> {
    const [first] = this.#chunks
    const bytes = first && this.#chunks.length === 1 ? first : new Uint8Array(Buffer.concat(this.#chunks))
    const made = { bytes, acl: this.#acl }
    const whole = await StagedFile.makeWhole(this.desk, this.#area, this.target, made, options)
    if (whole) return whole
    const file = await StagedFile.make(this.desk, this.#area, this.target, { size: this.#size, acl: this.#acl })
    try {
      await this.#write(file, bytes)
      return file
    } catch (error) {
      await file.end()
      throw error
    }
  }

  async #write(file: StagedFile, bytes: Uint8Array): Promise<void> {
    const { signal } = this.target.caller
    for (let written = 0; written < bytes.length; ) {
      const count = await this.desk.share.write(file.handle.ref.fd, [bytes.subarray(written)], written, signal)
      if (count === 0) throw new StorageError('no-space', 'nothing written')
      written += count
    }
  }
}
