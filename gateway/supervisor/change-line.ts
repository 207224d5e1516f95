/** A worker's way to the other workers for those that watch the namespace: by the supervisor. */

import type { Change, ChangeLine } from '../core/feed.ts'
import { ChangeSender } from '../core/pending-changes.ts'
import type { FromWorker } from './messages.ts'

export class SupervisorLine implements ChangeLine {
  wanted = false
  readonly #tell: (message: FromWorker, told?: () => void) => void
  readonly #sender: ChangeSender
  readonly #asked = new Map<number, () => void>()
  #heard: ((changes: readonly Change[]) => void) | undefined
  #last = 0

  constructor(tell: (message: FromWorker, told?: () => void) => void) {
    this.#tell = tell
    this.#sender = new ChangeSender((changes, sent) => tell({ kind: 'changes', changes }, sent))
  }

  send(changes: readonly Change[]): void {
    this.#sender.add(changes)
  }

  listen(heard: (changes: readonly Change[]) => void): void {
    this.#heard = heard
  }

  want(wanted: boolean): Promise<void> {
    const id = ++this.#last
    return new Promise((resolve) => {
      this.#asked.set(id, resolve)
      this.#tell({ kind: 'watching', id, wanted })
    })
  }

  /** The supervisor tells of changes in other workers. */
  hear(changes: readonly Change[]): void {
    this.#heard?.(changes)
  }

  /** The supervisor has seen to a wish. */
  granted(id: number): void {
    this.#asked.get(id)?.()
    this.#asked.delete(id)
  }
}
