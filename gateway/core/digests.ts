/** Several digests of file contents in one pass, and their comparison. */

import type { Digest, Digests } from '../../backends/backend.ts'
import { type Digesting, startDigest } from '../../backends/digesting.ts'

export { type Crc, combineCrc, digestSizes } from '../../backends/digesting.ts'

/** Several digests over the same bytes, in one pass. */
export class DigestSet {
  readonly #running: ReadonlyMap<Digest, Digesting>

  constructor(kinds: Iterable<Digest>) {
    this.#running = new Map([...new Set(kinds)].map((kind) => [kind, startDigest(kind)]))
  }

  get size(): number {
    return this.#running.size
  }

  has(kind: Digest): boolean {
    return this.#running.has(kind)
  }

  update(bytes: Uint8Array): void {
    for (const digest of this.#running.values()) digest.update(bytes)
  }

  finish(): Digests {
    const done: Partial<Record<Digest, Uint8Array>> = {}
    for (const [kind, digest] of this.#running) done[kind] = digest.digest()
    return done
  }
}

/** Whether two digests of one kind are the same bytes. */
export function sameDigest(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}
