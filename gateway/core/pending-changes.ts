/** Changes that wait to be told. */

import type { Change } from './feed.ts'
import type { Path } from './path.ts'

/** More are told as `all` of their mounts. */
const most = 4096

/** Those of one kind at one path are one, unless it went to different places. */
export class PendingChanges {
  #changes = new Map<string, Change>()
  readonly #lost = new Set<Path>()

  get size(): number {
    return this.#changes.size + this.#lost.size
  }

  add(change: Change): void {
    if (this.#lost.has(change.mount)) return
    this.#changes.set(`${change.kind}\0${change.path}\0${change.goes?.to ?? ''}`, change)
    if (this.#changes.size <= most) return
    for (const { mount } of this.#changes.values()) this.#lost.add(mount)
    this.#changes.clear()
  }

  /** All of them; afterwards none waits. */
  take(): Change[] {
    const taken = [...this.#changes.values()]
    for (const mount of this.#lost) taken.push({ path: mount, kind: 'all', mount })
    this.#changes = new Map()
    this.#lost.clear()
    return taken
  }
}

/** Sends changes one message at a time: what comes while one is on its way waits, and is bounded. */
export class ChangeSender {
  readonly #send: (changes: readonly Change[], sent: () => void) => void
  readonly #pending = new PendingChanges()
  #isSending = false

  constructor(send: (changes: readonly Change[], sent: () => void) => void) {
    this.#send = send
  }

  add(changes: readonly Change[]): void {
    for (const change of changes) this.#pending.add(change)
    this.#next()
  }

  #next(): void {
    if (this.#isSending || this.#pending.size === 0) return
    this.#isSending = true
    this.#send(this.#pending.take(), () => {
      this.#isSending = false
      this.#next()
    })
  }
}
