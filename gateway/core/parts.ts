/**
 * Uploads in numbered parts: made once, filled part by part in any order, several at a time and through whatever
 * process, and joined in the one step in which every upload becomes visible.
 *
 * Where the back end keeps a draft for as long as it takes, a part goes straight to where it will be in the whole, as
 * far as the sizes allow that; elsewhere the parts wait in a spool of the gateway's own. What is known of them is in the
 * state store.
 */

import type { Writable } from 'node:stream'
import type { Digest, Digests, Range } from '../../backends/backend.ts'
import type { Call } from './call.ts'
import { StorageError } from './errors.ts'
import type { Announced, Conditions, Written } from './operations.ts'
import type { Path } from './path.ts'

/** The number of a part is 1 at least and this at most. */
export const maxParts = 10_000
/** What `list` and `uploads` give at most, whatever the limit. */
export const maxListedParts = 10_000

export interface NewParted {
  /** Looked at now, and again at completion, where others may take their place. */
  readonly conditions?: Conditions
  /** Seconds since 1970 after which it need not be kept; never later than the gateway's own bound, which is the default. */
  readonly expires?: number
  /** What the front end wants to be told again, as it is: at most `maxUploadNote` bytes, no secret. */
  readonly note?: string
  /** Make missing parents, each under the caller's rights; the mount may do so anyway. */
  readonly createParents?: boolean
}

export interface PartedState {
  readonly id: string
  /** What it will be. */
  readonly path: Path
  /** ms since 1970. */
  readonly created: number
  /** Seconds since 1970: from then on it is gone. */
  readonly expires: number
  /** `Principal.user` of who made it. */
  readonly user: string | undefined
  readonly note: string | undefined
}

export interface PartState {
  /** 1 to `maxParts`. */
  readonly number: number
  readonly size: number
  /** Those that were asked for when it was written. */
  readonly digests: Digests
  /** ms since 1970: when it was acknowledged. A part that is written again is another one then. */
  readonly modified: number
}

export interface PartOptions {
  /** Bytes, where they are known: then the part finds its place before it comes. */
  readonly size?: number
  /** Digests to compute in the same pass and keep. */
  readonly digests?: readonly Digest[]
  /** What the sender says they are; a mismatch is `bad-checksum`, and the part is as it was before. */
  readonly expected?: Digests
}

/** A part on its way, as `Writing`. */
export interface PartWriting {
  /** Errors of the back end (no space, quota) surface here as StorageError. */
  readonly body: Writable
  /** As `Writing.announce`. */
  announce(announced: Announced): void
  /** The part is on disk, where the mount syncs at all, and counts; one of the same number that was there does no more. */
  commit(): Promise<PartState>
  /** Leaves what was there before. Also called after a failed commit; harmless twice. */
  discard(error?: unknown): Promise<void>
}

export interface ChosenPart {
  readonly number: number
  /** `PartState.modified` as the front end has seen it: another one has come in between otherwise. */
  readonly modified?: number
}

export interface CompleteOptions {
  /** Instead of those of `create`. */
  readonly conditions?: Conditions
  /** Kept with the whole; see `Kept.record`. */
  readonly record?: (parts: readonly PartState[]) => string | undefined
  /** Called every now and then as long as it takes, where bytes have to be moved. */
  readonly progress?: () => void
}

/** Where a list of unfinished uploads goes on: behind this path, or behind this one of its uploads. */
export interface UploadMarker {
  readonly path: Path
  readonly id?: string
}

/**
 * Uploads by id. An id is of no use to any other principal, nor with a credential that does not reach its path: both
 * are told `not-found`, as is everybody of one that has expired. Rights, locks and conditions are decided when it is
 * made, again with each part, and when the parts are joined.
 */
export interface PartOperations {
  /** Whether there can be such uploads at all; without it everything but `uploads` is `unsupported`. */
  readonly available: boolean
  /**
   * Throws what `write` throws before its body, `busy` where the caller has too many, and `unauthenticated` for callers
   * without a credential.
   */
  create(call: Call, path: Path, options?: NewParted): Promise<PartedState>
  /** An unfinished one. */
  state(call: Call, id: string): Promise<PartedState>
  /**
   * Resolves once the caller may write. Several at a time, in all processes; of two of one number the one that is
   * committed last counts. Throws `invalid` for a number out of range.
   */
  write(call: Call, id: string, number: number, options?: PartOptions): Promise<PartWriting>
  /** A part from a file, or a range of it, that the caller may read. `stale` unless the file is of this version. */
  copy(
    call: Call,
    id: string,
    number: number,
    from: Path,
    range: Range | undefined,
    options?: { readonly digests?: readonly Digest[]; readonly version?: string },
  ): Promise<PartState>
  /** Parts that count, ascending, behind number `after`. */
  list(
    call: Call,
    id: string,
    options: { readonly after?: number; readonly limit: number },
  ): Promise<readonly PartState[]>
  /**
   * Joins these parts, ascending, in this order, and makes the file; other parts are dropped. Constant in the size of
   * the data where all parts are at their final places. Throws PartError where one is not there (any more), and `busy`
   * while another one completes it; what it throws leaves the upload and its parts as they are.
   */
  complete(call: Call, id: string, parts: readonly ChosenPart[], options?: CompleteOptions): Promise<Written>
  /**
   * What came of a completion, for hours: senders repeat what they have not seen answered. Undefined of an unfinished
   * one, and of one of another path.
   */
  completed(call: Call, id: string, path: Path): Promise<Written | undefined>
  /** Leaves no trace of it. A part that is still coming, or a completion, is cut first. */
  abort(call: Call, id: string): Promise<void>
  /**
   * Unfinished ones of the caller at or below a path, by path in UTF-8 byte order, then by creation, then by id. Nothing
   * for callers without a credential.
   */
  uploads(
    call: Call,
    below: Path,
    options: { readonly after?: UploadMarker; readonly limit: number },
  ): Promise<readonly PartedState[]>
}

/** A part that was chosen is not there, or is not the one that was seen. */
export class PartError extends StorageError {
  readonly number: number

  constructor(number: number, path: Path) {
    super('invalid', 'a part is not there', { path, reason: { rule: 'part', text: `part ${number} is not there` } })
    this.number = number
  }
}

/** Where nothing outlives a call. */
export const noParts: PartOperations = {
  available: false,
  create: refuse,
  state: refuse,
  write: refuse,
  copy: refuse,
  list: refuse,
  complete: refuse,
  completed: refuse,
  abort: refuse,
  uploads: async () => [],
}

async function refuse(): Promise<never> {
  throw new StorageError('unsupported', 'this gateway keeps no parts')
}
