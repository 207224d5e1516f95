/** A whole new file for storage that is not written in place: in order from its beginning, and seen by nobody before the commit. */

import type { Entry } from '../../../backends/backend.ts'
import { StorageError } from '../../core/errors.ts'
import type { Writing } from '../../core/storage.ts'

export class Draft {
  readonly #begin: () => Promise<Writing>
  readonly #name: string
  #writing: Writing
  #position = 0
  #committed: Entry | undefined
  /** Why nothing more can come of it. */
  #failed: StorageError | undefined
  /** One after the other. */
  #turn: Promise<unknown> = Promise.resolve()
  #closed = false

  /** `begin` makes another one, for a file that is emptied before its commit. */
  constructor(writing: Writing, name: string, begin: () => Promise<Writing>) {
    this.#writing = writing
    this.#name = name
    this.#begin = begin
    this.#guard(writing)
  }

  /** As it is now: nobody but its writer knows of it. */
  get entry(): Entry {
    const now = BigInt(Date.now()) * 1_000_000n
    const empty = { name: this.#name, type: 'file', modified: now, changed: now, version: '', id: '' } as const
    return this.#committed ?? { ...empty, size: this.#position }
  }

  /** All of it. Throws `unsupported` for bytes that are not the next ones. */
  write(bytes: Uint8Array, offset: number): Promise<void> {
    return this.#inTurn(async () => {
      this.#requireOpen()
      if (offset !== this.#position) {
        throw new StorageError('unsupported', 'new files of this mount are written in order, from the beginning')
      }
      await new Promise<void>((resolve, reject) => {
        this.#writing.body.write(bytes, (error) => (error ? reject(error) : resolve()))
      }).catch((error) => {
        throw this.#fail(error)
      })
      this.#position += bytes.length
    })
  }

  /** To nothing, or to what it is long already. */
  truncate(size: number): Promise<void> {
    return this.#inTurn(async () => {
      this.#requireOpen()
      if (size === this.#position) return
      if (size !== 0) throw new StorageError('unsupported', 'new files of this mount cannot be cut or made longer')
      const writing = await this.#begin()
      await this.#discard()
      this.#writing = writing
      this.#position = 0
      this.#guard(writing)
    })
  }

  /** It becomes the file. What was committed already is told again. */
  commit(): Promise<Entry> {
    return this.#inTurn(async () => {
      if (this.#committed) return this.#committed
      this.#requireOpen()
      try {
        this.#writing.body.end()
        const { entry } = await this.#writing.commit()
        this.#committed = entry
        return entry
      } catch (error) {
        throw this.#fail(error)
      }
    })
  }

  /** Without a commit it leaves no trace. */
  close(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#closed) return
      this.#closed = true
      if (!this.#committed) await this.#discard()
    })
  }

  async #discard(): Promise<void> {
    await this.#writing.discard(this.#failed)
  }

  #requireOpen(): void {
    if (this.#failed) throw this.#failed
    if (this.#closed) throw new StorageError('stale', 'the file is not open any more')
    if (this.#committed) throw new StorageError('unsupported', 'the file is complete: it cannot be written to any more')
  }

  #fail(error: unknown): StorageError {
    this.#failed ??= StorageError.from(error)
    return this.#failed
  }

  /** An error that nobody waits for must not end the process; the next one to write is told. */
  #guard({ body }: Writing): void {
    body.on('error', (error) => {
      if (this.#writing.body === body) this.#fail(error)
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => {})
    return turn
  }
}
