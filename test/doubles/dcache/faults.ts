/** Faults that tests switch on: what a door, a pool or the network does when it is ill. */

export type Place = 'door' | 'pool' | 'frontend'

export type Fault =
  /** Nothing is answered before that many milliseconds, or until the fault is taken back. */
  | { readonly type: 'slow-headers'; readonly ms?: number }
  /** The body stops after so many bytes, for that many milliseconds or until the fault is taken back. */
  | { readonly type: 'slow-body'; readonly after: number; readonly ms?: number }
  /** The connection is reset after so many bytes of the answer's body; before the headers without `after`. */
  | { readonly type: 'reset'; readonly after?: number }
  /** The connection is reset after so many bytes of the request's body. */
  | { readonly type: 'reset-upload'; readonly after: number }
  /** The connection ends in order, so many bytes into the body. */
  | { readonly type: 'truncate'; readonly after: number }
  /** A page of HTML instead, as from a proxy before the door. */
  | { readonly type: 'html'; readonly status?: number }
  /** Content-Length is wrong by so many bytes. */
  | { readonly type: 'wrong-length'; readonly by: number }
  /** The Digest header, or the checksums in an answer's JSON or XML, are not those of the bytes. */
  | { readonly type: 'wrong-checksum' }
  /** The first byte of the body is another one. */
  | { readonly type: 'corrupt' }
  /** A redirect leads there. */
  | { readonly type: 'redirect'; readonly to: URL }
  /** A redirect leads to a port where nobody listens any more. */
  | { readonly type: 'dead-pool' }
  | { readonly type: 'status'; readonly status: number; readonly retryAfter?: number }

export interface FaultRule {
  readonly at: Place
  /** A method at doors and pools, the name of a resource at the frontend ("namespace"); any if absent. */
  readonly kind?: string
  /** Only requests for this path. */
  readonly path?: string
  /** How often; without end if absent. */
  readonly times?: number
  readonly fault: Fault
}

interface Held {
  readonly rule: FaultRule
  left: number
  readonly gone: Promise<void>
  readonly takeBack: () => void
}

/** A fault that has struck. */
export interface Struck {
  readonly fault: Fault
  /** When the test has taken it back. */
  readonly gone: Promise<void>
}

export class Faults {
  readonly #held = new Set<Held>()
  readonly #waiting: (() => void)[] = []

  /** Switches one on; the first that fits a request strikes. Returns how to take it back. */
  add(rule: FaultRule): () => void {
    const { promise: gone, resolve } = Promise.withResolvers<void>()
    const held: Held = {
      rule,
      left: rule.times ?? Number.POSITIVE_INFINITY,
      gone,
      takeBack: () => {
        this.#held.delete(held)
        resolve()
      },
    }
    this.#held.add(held)
    return held.takeBack
  }

  clear(): void {
    for (const { takeBack } of this.#held) takeBack()
  }

  /** Resolves when the next fault strikes. */
  nextStrike(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push(resolve)
    return promise
  }

  strike(at: Place, kind: string, path: string): Struck | undefined {
    for (const held of this.#held) {
      const { rule } = held
      if (rule.at !== at || held.left <= 0) continue
      if ((rule.kind ?? kind) !== kind || (rule.path ?? path) !== path) continue
      held.left--
      for (const told of this.#waiting.splice(0)) told()
      return { fault: rule.fault, gone: held.gone }
    }
    return undefined
  }
}
