/** One call while it runs: what the back end sees of it, and what the audit line will say. */

import { type Action, actions } from '../../acl/needs.ts'
import type { Principal } from '../../acl/principal.ts'
import type { Namespace } from '../../mounts/namespace.ts'
import type { Call, Protocol } from './call.ts'
import type { StorageError } from './errors.ts'
import type { Generation } from './generation.ts'
import type { Path } from './path.ts'

/** What a caller asked for, as named in audit lines and metrics: an action, or an operation made of several. */
export type Operation = Action | (typeof others)[number]

const others = [
  'rename',
  'copy',
  'symlink',
  'link',
  'exchange',
  'rights',
  'checksum',
  'usage',
  'versions',
  'explain',
  'effective',
  'stage-progress',
  'stage-cancel',
  'release',
  'lock',
  'unlock',
  'locks',
  'upload',
  'append',
  'upload-progress',
  'upload-cancel',
  'uploads',
] as const

export const operations: readonly Operation[] = [...actions, ...others]

/**
 * The Call that back ends get. Its signal aborts when the caller's does and when the mount's deadline
 * has passed; it is made when first looked at. Do not spread it: signal and principal are getters.
 */
export class Task implements Call {
  readonly id: string
  readonly protocol: Protocol
  readonly from: string
  lockTokens: readonly string[]
  readonly path: Path
  /** The other path of a rename or copy. */
  readonly to: Path | undefined
  /** The mount table of its beginning. It stays with that one: a tree must not be continued on another back end. */
  readonly namespace: Namespace
  /** May become more precise while the call runs: `create` turns into `replace`. */
  operation: Operation
  /** Milliseconds on the clock of `performance`. */
  readonly started: number
  /** Whom it is about, where that is somebody else, for the audit line. */
  about: string | undefined
  /** Bytes moved, for the audit line. */
  bytes: number | undefined
  /** Objects touched by an operation on a tree, for the audit line. */
  items: number | undefined
  /** The audit line is written. */
  ended = false
  /** Back-end calls go on after the audit line, so `detach` is for whoever makes them. */
  lasting = false
  /** Who waits for its end, where it is a call of its own. */
  generation: Generation | undefined
  /** Why the deadline ended it; a back-end call that has only looked must not act any more. */
  expired: StorageError | undefined

  readonly #call: Call
  #inner: AbortController | undefined
  #follow: (() => void) | undefined

  constructor(call: Call, operation: Operation, path: Path, namespace: Namespace, to?: Path) {
    this.id = call.id
    this.#call = call
    this.protocol = call.protocol
    this.from = call.from
    this.lockTokens = call.lockTokens ?? []
    this.operation = operation
    this.path = path
    this.to = to
    this.namespace = namespace
    this.started = performance.now()
  }

  /** As the call has it now: while a file stays open its caller's credential may be renewed. */
  get principal(): Principal {
    return this.#call.principal
  }

  get signal(): AbortSignal {
    if (this.#inner) return this.#inner.signal
    const outer = this.#call.signal
    if (outer.aborted) return outer
    const inner = new AbortController()
    this.#inner = inner
    if (this.expired) {
      inner.abort(this.expired)
    } else if (!this.ended || this.lasting) {
      this.#follow = () => inner.abort(outer.reason)
      outer.addEventListener('abort', this.#follow)
    }
    return inner.signal
  }

  /** Ends what still runs for this call: nobody waits for it any more. */
  expire(error: StorageError): void {
    this.expired ??= error
    this.#inner?.abort(this.expired)
  }

  /** Called after a look that may have come back too late. Throws what the deadline said. */
  requireAlive(): void {
    if (this.expired) throw this.expired
  }

  /** Lets go of the caller's signal, which may live longer than this call. */
  detach(): void {
    this.lasting = false
    if (this.#follow) this.#call.signal.removeEventListener('abort', this.#follow)
    this.#follow = undefined
  }
}
