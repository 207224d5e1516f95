/** Drafts that outlive the call that made them, and the process too. */

import type { Writable } from 'node:stream'
import type { Call } from '../gateway/core/call.ts'
import type { Path } from '../gateway/core/path.ts'
import type { CommitOptions, CreateOptions, Entry, FileStream, Pending, Range } from './backend.ts'

/**
 * Where a draft may be left and gone on with. Its name for that is a text of the back end's own, which Storage keeps:
 * the back end knows of no draft that nobody has open, and no sweep of its own takes one away.
 */
export interface ResumingFacet {
  /** As `Backend.create`, of a draft that stays until it is committed, discarded or dropped. */
  begin(file: Path, options: BeginOptions, call: Call): Promise<Pending<LastingDraft>>
  /**
   * Opens a draft again, as the caller; the trail is that of `file`, for which it was made. `busy` while somebody else
   * has it open and does not share it, `not-found` where it is gone, or what is in its place is not `id`.
   */
  resume(file: Path, draft: LeftDraft, call: Call): Promise<Pending<LastingDraft>>
  /** Takes away a draft that nobody has open, whoever made it. One that is gone already is fine. */
  drop(place: string): Promise<void>
}

export interface BeginOptions extends CreateOptions {
  /** Called with the draft's name before anything is made, and waited for. When it throws nothing is made. */
  keep(place: string): Promise<void>
}

export interface LeftDraft {
  readonly place: string
  /** `LastingDraft.id`. */
  readonly id: string
  /** Others who share it may have it open too, and write elsewhere in it; nobody commits it meanwhile. */
  readonly shared?: boolean
}

/** An open draft, which nobody else has open unless it is shared. `close`, `discard` or a commit ends that. */
export interface LastingDraft {
  /** `Entry.id` of what a commit makes of it, where that takes no other file's place. */
  readonly id: string
  /** Bytes in it when it was opened. */
  readonly size: number
  /**
   * Takes bytes from `offset` on, over what is there and also far behind its end; one at a time. `finish`: they are
   * written, not yet on disk.
   */
  writeFrom(offset: number): Writable
  /** What is written is on disk, where the mount syncs at all. */
  sync(): Promise<void>
  stream(range: Range): FileStream
  /**
   * Copies bytes of a draft of the same back end, this one too, to `to` and what follows; inside the storage where it
   * can. In one draft the two places must not overlap. `stale` where the bytes are not there.
   */
  copyFrom(from: LastingDraft, range: Range, to: number): Promise<void>
  /**
   * As Draft.commit, of the first `size` bytes; what is behind them is cut. When it fails the draft is as it was,
   * open and to be closed. A shared draft has no commit and no discard.
   */
  commit(size: number, options: CommitOptions): Promise<Entry>
  /** Leaves it where it is. Harmless after everything else, and twice. */
  close(): Promise<void>
  discard(): Promise<void>
}
