/** Files that live on after the call that opened them, and are told when they are somewhere else. */

import type { Place } from '../../mounts/namespace.ts'

export interface Movable {
  /** Whether it was renamed with that, alone or in a directory. */
  moved(from: Place, to: Place): boolean
}

export class OpenFiles {
  readonly #files = new Set<Movable>()

  add(file: Movable): void {
    this.#files.add(file)
  }

  delete(file: Movable): void {
    this.#files.delete(file)
  }

  /** `swaps`: what was at `to` is at `from` now. */
  moved(from: Place, to: Place, swaps: boolean): void {
    for (const file of this.#files) if (!file.moved(from, to) && swaps) file.moved(to, from)
  }
}
