/**
 * What passes between the main thread and the I/O threads of one mount. Everything is cloned, so
 * results and arguments are plain data; ids of descriptors are valid in all threads of the process.
 */

import type { PosixIds } from '../../../acl/principal.ts'
import type { ErrorCode, Reason } from '../../../gateway/core/errors.ts'
import type { Path } from '../../../gateway/core/path.ts'
import type { PosixSetup } from '../operations.ts'

/**
 * Whose identity an operation runs with. `gateway` is the service account itself, for the mount's own
 * housekeeping; `undefined` is the same in a mount without switching and a refusal in one with it.
 */
export type RunAs = PosixIds | 'gateway' | undefined

/** What an operation is: synchronous, on an I/O thread that has already switched to `ids`. */
export type Operation = (args: never, ids: RunAs) => unknown

/**
 * What `createOperations(setup)` of operations.ts returns. One named `dispose` is required: it is given
 * the result of an operation nobody waits for any more and must close the descriptors in it. It must not throw.
 */
export type Operations = Readonly<Record<string, Operation>> & { readonly dispose: (result: unknown) => void }

/** The identity switching of a mount of the `native` grade. */
export interface IdentitySetup {
  /** Uids and gids below it are refused; 0 always is. */
  readonly minUid: number
  /** A directory of the service account, open to others (mode o+x), for the self-test's probe file. */
  readonly probeDirectory: string
}

/** Handed to each thread at its start. */
export interface ThreadSetup {
  readonly posix: PosixSetup
  /** Absent: threads stay what the process is. */
  readonly identity?: IdentitySetup
  /** Module that exports `createOperations`; the back end's own if absent. For tests. */
  readonly operationsModule?: string
}

export interface Request {
  readonly id: number
  readonly operation: string
  readonly args: unknown
  readonly ids: RunAs
}

/** An error as data. */
export interface Failure {
  readonly code: ErrorCode
  readonly message: string
  readonly path?: Path | undefined
  readonly retryAfter?: number | undefined
  readonly reason?: Reason | undefined
  /** What was thrown, as text, when it was neither a StorageError nor an Errno. For the log. */
  readonly cause?: string | undefined
}

export type Reply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly failure: Failure }

/** Main thread to I/O thread. `revoke` is best effort: those of the ids that have not begun are sent back. */
export type ToThread =
  | { readonly type: 'run'; readonly requests: readonly Request[] }
  | { readonly type: 'revoke' }
  | { readonly type: 'dispose'; readonly results: readonly unknown[] }
  | { readonly type: 'stop' }

/** I/O thread to main thread. `ready` once, after the self-test and the loading of the operations. */
export type FromThread =
  | { readonly type: 'ready' }
  | { readonly type: 'replies'; readonly replies: readonly Reply[] }
  | { readonly type: 'unfit'; readonly failure: Failure }
