/** What is on tape, and how it is brought back. */

import type { Call } from '../gateway/core/call.ts'
import type { StorageError } from '../gateway/core/errors.ts'
import type { Path } from '../gateway/core/path.ts'
import type { Locality } from './backend.ts'

/** Files on tape. Requests are the back end's own; the gateway's queue and its callers are in gateway/core/staging.ts. */
export interface TapeFacet {
  /**
   * Asks for bringing files to disk and keeping them there, those that are on disk already too. Two calls with one
   * `key` are one request, also after a crash between them; the second then has `earlier`. Never two at a time with
   * one key. Returns the back end's id of it.
   */
  stage(request: StageOrder, call: Call): Promise<string>
  /** Throws `not-found` for an id the back end does not know any more. */
  progress(id: string, call: Call): Promise<readonly StageProgress[]>
  /** Stops what is left of a request: these files of it, or all. What is done already stays. */
  cancel(id: string, files: readonly Path[] | undefined, call: Call): Promise<void>
  /** Ends the pin that the request holds on these files. Unknown files and ids are no error. */
  release(id: string, files: readonly Path[], call: Call): Promise<void>
  /** Names that exist for nobody, as is known without asking. */
  isReserved?(file: Path): boolean
  /** In the order asked; one that cannot be told has its error. Never causes a recall. */
  locality(files: readonly Path[], call: Call): Promise<ReadonlyArray<Locality | StorageError>>
}

export interface StageOrder {
  readonly key: string
  /** Where a call with this key was made before, whose outcome is not known. */
  readonly earlier?: EarlierOrder
  readonly files: readonly StageFile[]
}

/** For back ends that know no keys, to recognise what an earlier call has made. */
export interface EarlierOrder {
  /** Milliseconds since 1970 of the first call. */
  readonly at: number
  /** Whether a request of the back end, by its id, is known as another's. */
  isTaken(id: string): Promise<boolean>
}

export interface StageFile {
  readonly path: Path
  /** Seconds that the file stays on disk once it is there; the back end's default if absent. */
  readonly lifetime?: number
}

export interface StageProgress {
  readonly path: Path
  readonly state: StageState
  /** Milliseconds since 1970. */
  readonly startedAt?: number
  readonly finishedAt?: number
  /** Why it failed, for the one who asked. */
  readonly error?: string
}

/** States of the WLCG Tape REST API v1; the last three are final. */
export type StageState = 'submitted' | 'started' | 'completed' | 'cancelled' | 'failed'
