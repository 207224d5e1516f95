/** Drafts: a body that is written, and what a commit makes of it. */

import type { Writable } from 'node:stream'
import { StorageError } from '../../gateway/core/errors.ts'
import type { CommitOptions, Draft, Entry } from '../backend.ts'
import type { Desk } from './desk.ts'
import { type DraftWriter, draftWriter } from './io/streams.ts'
import type { StagedFile } from './staged-file.ts'
import type { Target } from './target.ts'

/** What all drafts have in common: they end once. */
export abstract class PosixDraft implements Draft {
  abstract readonly body: Writable
  protected readonly desk: Desk
  protected readonly target: Target
  #state: 'open' | 'committed' | 'discarded' = 'open'
  #failure: unknown

  /** Owns the target's directory from now on. */
  constructor(desk: Desk, target: Target) {
    this.desk = desk
    this.target = target
  }

  async commit(options: CommitOptions): Promise<Entry> {
    if (this.#state !== 'open') throw new StorageError('invalid', `the draft is ${this.#state} already`)
    this.desk.requireAlive(this.target.caller.signal)
    if (this.#failure) throw StorageError.from(this.#failure)
    if (!this.body.writableFinished) throw new StorageError('invalid', 'the body of the draft has not ended')
    this.#state = 'committed'
    try {
      const entry = await this.make(options)
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

  /** Whoever writes gets the error from the stream; commit tells it to those who do not listen. */
  protected listening<W extends Writable>(body: W): W {
    return body.on('error', (error) => {
      this.#failure = error
    })
  }

  /** The file, visible. When it fails the draft is as it was. */
  protected abstract make(options: CommitOptions): Promise<Entry>

  /** Lets go of what was made. */
  protected abstract letGo(): Promise<void>

  async #end(): Promise<void> {
    await this.letGo()
    this.target.parent.release()
  }
}

/** A staged file, written to as the body comes. */
export class FileDraft extends PosixDraft {
  readonly body: DraftWriter
  readonly #file: StagedFile

  /** Owns the file too. */
  constructor(desk: Desk, file: StagedFile, target: Target) {
    super(desk, target)
    this.#file = file
    const { signal } = target.caller
    const writer = { share: desk.share, fd: file.handle.ref.fd, signal, syncFollows: desk.setup.sync }
    this.body = this.listening(draftWriter(writer))
  }

  protected override make(options: CommitOptions): Promise<Entry> {
    return this.#file.commit(options, this.body.received)
  }

  protected override letGo(): Promise<void> {
    return this.#file.end()
  }
}
