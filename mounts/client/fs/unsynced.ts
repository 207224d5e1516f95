/**
 * What was written and not synced is in the memory of the gateway's machine. It outlives the gateway's processes, not that
 * machine: where it was started anew whoever wrote is told, as by the write verifier of NFS (RFC 8881, section 18.3).
 */

import { StorageError } from '../../../gateway/core/errors.ts'
import type { Path } from '../../../gateway/core/path.ts'

/** Names a start of the gateway's machine; undefined where it does not tell. */
type Boot = string | undefined

export class Unsynced {
  /** Where the last writes that no sync was told after are; undefined where there are none. */
  #kept: { readonly boot: Boot } | undefined
  #count = 0
  #isLost = false

  /** An answer from this start has said that something was written. */
  wrote(boot: Boot): void {
    this.#compare(boot)
    this.#kept = { boot }
    this.#count++
  }

  /** Before a sync: what it will cover. */
  get count(): number {
    return this.#count
  }

  /** A sync that began when there were `count` writes has come to its end. */
  synced(count: number): void {
    if (count === this.#count) this.#kept = undefined
  }

  /** Throws `stale`, once, where what was written is not in this start any more. */
  check(boot: Boot, path: Path): void {
    this.#compare(boot)
    if (!this.#isLost) return
    this.#isLost = false
    throw new StorageError('stale', 'the machine of the gateway was started anew: what was written may be lost', {
      path,
    })
  }

  #compare(boot: Boot): void {
    const before = this.#kept?.boot
    if (before === undefined || boot === undefined || before === boot) return
    this.#isLost = true
    this.#kept = undefined
  }
}
