/** Drafts: a staged file and the body that is written to it. */

import type { Writable } from 'node:stream'
import { StorageError } from '../../gateway/core/errors.ts'
import type { CommitOptions, Draft, Entry } from '../backend.ts'
import type { Desk } from './desk.ts'
import { type DraftWriter, draftWriter } from './io/streams.ts'
import type { StagedFile } from './staged-file.ts'
import type { Target } from './target.ts'

export class PosixDraft implements Draft {
  readonly body: Writable
  readonly #writer: DraftWriter
  readonly #desk: Desk
  readonly #file: StagedFile
  readonly #target: Target
  #state: 'open' | 'committed' | 'discarded' = 'open'
  #failure: unknown

  /** Owns the file and the target's directory from now on. */
  constructor(desk: Desk, file: StagedFile, target: Target) {
    this.#desk = desk
    this.#file = file
    this.#target = target
    const { signal } = target.caller
    this.#writer = draftWriter({
      share: desk.share,
      fd: file.handle.ref.fd,
      signal,
      syncFollows: desk.setup.sync,
    })
    this.body = this.#writer
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
      const entry = await this.#file.commit(options, this.#writer.received)
      await this.#end()
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
    await this.#end()
  }

  async #end(): Promise<void> {
    await this.#file.end()
    this.#target.parent.release()
  }
}
