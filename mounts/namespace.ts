/** The mount table: which back end holds which part of the functional namespace. */

import type { Backend } from '../backends/backend.ts'
import type { Path } from '../gateway/core/path.ts'

/** Who decides the storage's half of a decision (docs/architecture.md, "Who decides"). */
export type Enforcement = 'native' | 'gateway' | 'delegated'

export interface Mount {
  readonly at: Path
  readonly backend: Backend
  /** The directory of the back end that appears at `at`. */
  readonly base: Path
  readonly enforce: Enforcement
  readonly readOnly: boolean
  /** Callers without a credential are let in as far as EVERYONE@ goes; otherwise they are asked for one. */
  readonly anonymous: boolean
  /** PUT makes missing parents, under the caller's rights. */
  readonly createParents: boolean
  /** What a read of a file on tape does: fail with nearline, or start a recall and say busy. */
  readonly recall: 'explicit' | 'on-read'
  /** Calls in flight, one process. Past it callers get `busy`. */
  readonly maxInFlight: number
  /** Milliseconds after which a call that got no answer fails with `unavailable`. */
  readonly deadline: number
  /** A line for users, such as "scratch, no backup". */
  readonly note?: string
}

/** Where a functional path lives. */
export interface Place {
  readonly mount: Mount
  readonly path: Path
  /** The same object in the back end's own terms. */
  readonly inner: Path
}
