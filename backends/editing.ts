/** Facets of back ends that are worked on in place, as a file system is. */

import type { Call } from '../gateway/core/call.ts'
import type { Path } from '../gateway/core/path.ts'
import type { Entry, OpenFile, Pending, PendingMove, Range } from './backend.ts'

/** Writing in place, for NFS and FUSE. Object-like back ends go without. */
export interface EditFacet {
  /** With `create` the trail may have no entry; what is made inherits as with `create` of the back end. */
  edit(file: Path, options: EditOptions, call: Call): Promise<Pending<EditableFile>>
}

export interface EditOptions {
  readonly truncate?: boolean
  /** What is there is to be read as well: `denied`, and nothing is changed, where that is closed to the caller. */
  readonly read?: boolean
  /** Makes an empty file where there is none. */
  readonly create?: {
    /** `exists` where there is anything, atomically. */
    readonly exclusive: boolean
    /** POSIX mode bits, low 12, of a new file whose directory has nothing to inherit. */
    readonly mode?: number
  }
}

export interface EditableFile extends OpenFile {
  /** Whether this opening made the file. */
  readonly created?: boolean
  /** All bytes or an error. Resolves when the storage has taken them; durable after `sync`. */
  write(from: Uint8Array, offset: number): Promise<number>
  truncate(size: number): Promise<void>
  /** Bytes and attributes are durable. */
  sync(): Promise<void>
  /**
   * Where the storage may still refuse bytes that it has taken (NFS, for quota or space): resolves when it has them, as
   * close(2) does. Absent where `write` is the last word.
   */
  flush?(): Promise<void>
  /** Attributes as they are now, also of a file that has no name any more. */
  stat(): Promise<Entry>
  /**
   * fallocate(2): `extend` and `zero` make the file as long as the range ends, `keep` and `punch` do not; `punch` and
   * `zero` make zeros of what is there.
   */
  allocate?(range: Range, how: 'extend' | 'keep' | 'punch' | 'zero'): Promise<void>
  /** lseek(2): where data, or a hole, begins at or after `offset`; undefined where there is no more (ENXIO). */
  seek?(offset: number, what: 'data' | 'hole'): Promise<number | undefined>
  /** copy_file_range(2) inside the back end: how many bytes were copied, fewer at the end of `source`. */
  copyFrom?(source: OpenFile, range: Range, offset: number): Promise<number>
}

/** Names that lead to objects elsewhere. */
export interface LinkFacet {
  /** Stores `target` as it is; it is never followed by this call. */
  symlink(link: Path, target: string, call: Call): Promise<Pending<Entry>>
  /** A further name of a file, which must be absent; the entry is that of the file. */
  link?(file: Path, name: Path, call: Call): Promise<PendingMove<Entry>>
}

/** Two objects change places in one step. */
export interface ExchangeFacet {
  exchange(one: Path, other: Path, call: Call): Promise<PendingMove>
}

/** Extended attributes `user.NAME` as bytes; names are given without `user.`, reserved ones do not exist. */
export interface XattrFacet {
  /** Undefined where there is none of that name. */
  get(path: Path, name: string, call: Call): Promise<Pending<Uint8Array | undefined>>
  list(path: Path, call: Call): Promise<Pending<readonly string[]>>
  /** `condition` as XATTR_CREATE (`exists`) and XATTR_REPLACE (`not-found`). `undefined` removes (`not-found`). */
  set(
    path: Path,
    name: string,
    value: Uint8Array | undefined,
    condition: 'any' | 'absent' | 'present',
    call: Call,
  ): Promise<Pending<void>>
}
