/**
 * What passes between the main thread and the I/O threads of one mount. Everything is cloned, so
 * results and arguments are plain data; ids of descriptors are valid in all threads of the process.
 */

import type { PosixIds } from '../../../acl/principal.ts'
import type { ErrorCode, Reason } from '../../../gateway/core/errors.ts'
import type { Path } from '../../../gateway/core/path.ts'
import type { PosixSetup } from '../options.ts'

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
  /** Uids below it are refused. So are, always, uid 0, group 0 and the gateway's own uid; other groups are not judged. */
  readonly minUid: number
}

/** Handed to each thread at its start. */
export interface ThreadSetup {
  readonly posix: PosixSetup
  /** Absent: threads stay what the process is. */
  readonly identity?: IdentitySetup
  /** Module that exports `createOperations`; the back end's own if absent. For tests. */
  readonly operationsModule?: string
}

/** Made by the main thread for each thread; shared memory goes in here. */
export interface ThreadData extends ThreadSetup {
  readonly board: SharedArrayBuffer
}

/**
 * Words of the board that main thread and I/O thread share: how many operations have begun, then one word
 * for each slot. A request holds a slot until it is replied to or named in `revoked`. Whoever moves
 * the word away from `waiting` first, wins: the thread begins the operation, or the main thread takes it back.
 */
export const board = { begun: 0, slots: 1 } as const
export const slotState = { free: 0, waiting: 1, begun: 2, revoked: 3 } as const

export interface Request {
  readonly slot: number
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
  /** What was thrown in the thread, as text; for the log. */
  readonly cause: string
}

/** A `content` in the result is a Uint8Array with memory of its own, which leaves the thread with the reply. */
export interface Reply {
  readonly slot: number
  readonly result?: unknown
  readonly failure?: Failure
}

/** Main thread to I/O thread. */
export type ToThread =
  | { readonly type: 'run'; readonly requests: readonly Request[] }
  | { readonly type: 'dispose'; readonly result: unknown }
  | { readonly type: 'stop' }

/** I/O thread to main thread. `ready` once, after the self-test and the loading of the operations; or `unfit`. */
export type FromThread =
  | { readonly type: 'ready' }
  | { readonly type: 'unfit'; readonly failure: Failure }
  | {
      readonly type: 'replies'
      readonly replies: readonly Reply[]
      readonly revoked: readonly number[]
      /** ms of work on these. */
      readonly spent: number
    }
