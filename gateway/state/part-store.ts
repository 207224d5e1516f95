/** Parts of uploads, as the state store keeps them. */

import type { UploadBounds } from './state.ts'

/**
 * Places in the drafts of uploads, each for one part: no byte belongs to two of them. What is written here is bound to
 * a turn of the upload, as `StoredUpload.called` tells it: once another one was called, nothing counts any more, and once
 * it was taken only `move` does.
 */
export interface PartStore {
  /**
   * A place for bytes that are about to come. Undefined: the upload is gone, complete, or at another turn. Throws `busy`
   * or `no-space` where the bytes would be more than `bounds`.
   */
  reserve(upload: string, part: NewStoredPart, bounds: UploadBounds): Promise<PartPlace | undefined>
  /**
   * To disk: the bytes are there and count, instead of those of another part of this number, whose place stays reserved
   * for the next part that fits there. Undefined as above.
   */
  count(upload: string, place: CountedPlace): Promise<StoredPart | undefined>
  /** Nothing counts there, and nothing is written there any more. What was `written` stays reserved, as above. */
  release(upload: string, offset: number, how: { readonly written: boolean }): Promise<void>
  /** Parts that count, ascending, behind number `after`. */
  list(upload: string, after: number, limit: number): Promise<readonly StoredPart[]>
  /** Places whose bytes are still to come, from processes that are alive. */
  coming(upload: string): Promise<number>
  /** To disk: parts that count are elsewhere. Places whose bytes were still to come are free. False: another turn. */
  move(upload: string, turn: number, moves: readonly PartMove[]): Promise<boolean>
}

export interface NewStoredPart {
  readonly turn: number
  readonly number: number
  /** Bytes. */
  readonly size: number
  /** Bytes of the largest file: beyond that nothing is at its final place. */
  readonly largest: number
}

export interface PartPlace {
  readonly offset: number
  /** Bytes of another part may be there, which do not count. */
  readonly used: boolean
}

export interface CountedPlace {
  readonly offset: number
  readonly turn: number
  /** Text of the core's. */
  readonly digests: string
}

export interface StoredPart {
  readonly offset: number
  readonly number: number
  readonly size: number
  readonly digests: string
  /** ms since 1970; later than that of the part in whose place it came. */
  readonly modified: number
}

export interface PartMove {
  readonly from: number
  readonly to: number
}
