/** Bans and revocations in memory, kept in step with the state store: what one process adds holds in all within a second. */

import type { RevocationStore } from '../../gateway/state/state.ts'
import type { Holder, Revocations } from './options.ts'

/** Milliseconds between two looks at the store. */
const pause = 500

export class RevocationList implements Revocations {
  readonly #store: RevocationStore
  readonly #onFailure: (error: unknown) => void
  #names = new Map<string, number | undefined>()
  /** Names of groups among them: a caller may have many more than there are here. */
  #groups: readonly string[] = []
  #serial = -1
  #looking: Promise<void> | undefined
  readonly #timer: NodeJS.Timeout

  /** Reads the store once; fails if it cannot be read. `onFailure` is told when it cannot be read later on. */
  static async open(store: RevocationStore, onFailure: (error: unknown) => void): Promise<RevocationList> {
    const list = new RevocationList(store, onFailure)
    try {
      await list.refresh()
    } catch (error) {
      await list.close()
      throw error
    }
    return list
  }

  private constructor(store: RevocationStore, onFailure: (error: unknown) => void) {
    this.#store = store
    this.#onFailure = onFailure
    this.#timer = setInterval(() => void this.#look(), pause)
    this.#timer.unref()
  }

  isRevoked({ id, user, tokenId, marks, groups }: Holder): boolean {
    if (this.#names.size === 0) return false
    return (
      this.#has(`principal:${id}`) ||
      (user !== undefined && this.#has(`user:${user}`)) ||
      (tokenId !== undefined && this.#has(`token:${tokenId}`)) ||
      marks?.some((mark) => this.#has(mark)) === true ||
      (groups !== undefined && this.#groups.some((group) => groups.has(group) && this.#has(`group:${group}`)))
    )
  }

  /** Takes over what has changed. To be called after a change of one's own, so that it holds at once. */
  async refresh(): Promise<void> {
    const serial = await this.#store.serial()
    if (serial === this.#serial) return
    const entries = await this.#store.list()
    // Another look, which began later, may have ended before this one.
    if (serial < this.#serial) return
    this.#names = new Map(entries.map(({ name, until }) => [name, until]))
    this.#groups = [...this.#names.keys()].flatMap((name) =>
      name.startsWith('group:') ? name.slice('group:'.length) : [],
    )
    this.#serial = serial
  }

  /** Ends the looking. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#looking
  }

  #has(name: string): boolean {
    const until = this.#names.get(name)
    return until === undefined ? this.#names.has(name) : this.#store.now() < until
  }

  async #look(): Promise<void> {
    if (this.#looking) return
    this.#looking = this.refresh().catch(this.#onFailure)
    await this.#looking
    this.#looking = undefined
  }
}
