/** What is kept with files, and how many are looked at at once. */

import type { Call } from '../gateway/core/call.ts'
import type { Path } from '../gateway/core/path.ts'
import type { Digests, Entry, Pending } from './backend.ts'

/** What is kept with a file under its content version, and is gone with it: whoever changes the bytes loses it. */
export interface Kept {
  readonly digests: Digests
  /**
   * What a front end wants to have kept with these very bytes: a text of its own, which no other one shows. It stays
   * over renames and changes of the ACL.
   */
  readonly record?: string
}

/** What goes with the bytes of a file besides their digests. */
export interface RecordFacet {
  /** What is kept of the file as it is; nothing of what is no file. */
  get(path: Path, call: Call): Promise<Pending<Kept>>
  /** Puts a record in place of another's. Changes no version. */
  set(path: Path, record: string | undefined, options: RecordOptions, call: Call): Promise<Pending<void>>
}

/** What a file must be like for its record to be changed, in the same step; else `stale`. */
export interface RecordOptions {
  /** Its content version. */
  readonly version: string
  /** What is kept with it, where the new record was made of that one: nobody has put another in its place. */
  readonly before?: { readonly record: string | undefined }
}

/** Members of one directory by name, many with one call: for listings told page by page, each page a request. */
export interface MembersFacet {
  /** In the order of the names; undefined where there is no such member (any more). */
  look(
    directory: Path,
    names: readonly string[],
    options: { readonly acls?: boolean; readonly kept?: boolean },
    call: Call,
  ): Promise<Pending<ReadonlyArray<Member | undefined>>>
}

export interface Member {
  readonly entry: Entry
  /** Where it was asked for, of files. */
  readonly kept?: Kept
}
